"""Images a second of PyTorch's DataLoader with torchvision's transforms: 32 x 32 x 3 uint8 in memory, shuffled, padded crop, flip.

    pip install torch==2.15.0 torchvision==0.29.2
    python data_torch.py [--images 50000] [--batch 128] [--workers 0 1 2] [--seconds 3]

`item`: the transforms on each image, as training scripts have them. `batch`: on whole batches, the fastest that the library offers;
all images of a batch are then shifted and flipped alike, which is less than what the others do.
"""

import argparse
import json
import resource
import time

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler
from torchvision.transforms import v2

parser = argparse.ArgumentParser()
parser.add_argument("--images", type=int, default=50_000)
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
parser.add_argument("--seconds", type=float, default=3)
args = parser.parse_args()

transforms = v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()])


class Items(Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return transforms(self.images[index]), index % 10


class Batches(Items):
    def __getitem__(self, indices):
        rows = torch.as_tensor(indices)
        return transforms(self.images[rows]), rows % 10


def cpu_seconds():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(name, workers, loader):
    begin, cpu, images = None, None, 0
    for epoch in range(1_000_000):
        iterator = iter(loader())
        for position, (batch, _) in enumerate(iterator):
            if begin is None and position == 3:  # past the start
                begin, cpu = time.perf_counter(), cpu_seconds()
            elif begin is not None:
                images += len(batch)
                if time.perf_counter() - begin > args.seconds:
                    break
        else:
            continue
        break
    elapsed = time.perf_counter() - begin
    del iterator  # its workers end, and their time counts
    used = cpu_seconds() - cpu
    print(
        json.dumps(
            {
                "peer": f"PyTorch DataLoader {name}, {workers} workers",
                "workers": workers,
                "imagesPerSecond": images / elapsed,
                "imagesPerCoreSecond": images / used,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    pixels = torch.randint(0, 256, (args.images, 3, 32, 32), dtype=torch.uint8)
    for count in args.workers:
        measure("item", count, lambda: DataLoader(Items(pixels), args.batch, shuffle=True, num_workers=count))

        def batched():
            data = Batches(pixels)
            sampler = BatchSampler(RandomSampler(data), args.batch, drop_last=False)
            return DataLoader(data, sampler=sampler, batch_size=None, num_workers=count)

        measure("batch", count, batched)
