"""Times whole training steps of the ConvMixers in PyTorch on the CPU, eager and compiled; one JSON line a case.

    pip install torch==2.15.0
    python torch_train.py --batch 128 --steps 5 [--arch convmixer-256-8 convmixer-2stage] [--threads N] [--mode eager compiled]
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--arch", nargs="+", default=["convmixer-256-8", "convmixer-2stage"])
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--warmup", type=int, default=2)
parser.add_argument("--threads", type=int)
parser.add_argument("--mode", nargs="+", default=["eager", "compiled"])
args = parser.parse_args()
if args.threads:
    torch.set_num_threads(args.threads)


class Residual(nn.Sequential):
    def forward(self, x):
        return super().forward(x) + x


def gelu_norm(dim):
    return nn.GELU(), nn.BatchNorm2d(dim, eps=1e-3, momentum=0.01)


def stage(channels, dim, depth):
    yield from (nn.Conv2d(channels, dim, 2, 2), *gelu_norm(dim))
    for _ in range(depth):
        yield Residual(nn.Conv2d(dim, dim, 5, padding=2, groups=dim), *gelu_norm(dim))
        yield from (nn.Conv2d(dim, dim, 1), *gelu_norm(dim))


def head(dim):
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(dim, 10)


MODELS = {
    "convmixer-256-8": lambda: nn.Sequential(*stage(3, 256, 8), *head(256)),
    "convmixer-2stage": lambda: nn.Sequential(*stage(3, 256, 4), *stage(256, 512, 4), *head(512)),
}

for arch in args.arch:
    for mode in args.mode:
        torch.manual_seed(0)
        model = MODELS[arch]().to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
        run = torch.compile(model) if mode == "compiled" else model
        loss_of = nn.CrossEntropyLoss()
        x = torch.rand(args.batch, 3, 32, 32).to(memory_format=torch.channels_last)
        y = torch.arange(args.batch) % 10
        times = []
        for _ in range(args.warmup + args.steps):
            begin = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(run(x), y)
            loss.backward()
            optimizer.step()
            times.append((time.perf_counter() - begin) * 1000)
        step = statistics.median(times[args.warmup :])
        print(
            json.dumps({"peer": f"torch {torch.__version__} {mode}", "arch": arch, "batch": args.batch,
                        "stepMs": step, "imagesPerSecond": 1000 * args.batch / step, "firstStepMs": times[0]}),
            flush=True,
        )
