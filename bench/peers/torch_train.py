"""Times whole training steps of the ConvMixers in PyTorch, eager and compiled, on the CPU or (--device webgpu) on the GPU, there in
fp32, TF32 and with automatic mixed precision too; one JSON line a case.

    pip install torch==2.15.0
    python torch_train.py --batch 128 --steps 5 [--arch convmixer-256-8 convmixer-2stage] [--threads N] [--mode eager compiled] [--device wasm|webgpu]
"""

import argparse
import contextlib
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
parser.add_argument("--device", choices=["wasm", "webgpu"], default="wasm", help="of hybrid: the CPU, or the GPU")
args = parser.parse_args()
on_gpu = args.device == "webgpu"
if on_gpu and not torch.cuda.is_available():
    raise SystemExit("PyTorch finds no GPU")
place = "cuda" if on_gpu else "cpu"
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

def steps_of(arch, mode, precision):
    """Milliseconds of each step. On a GPU: of several steps at a time, as the GPU works them off."""
    torch.manual_seed(0)
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    model = MODELS[arch]().to(place, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
    scaler = torch.amp.GradScaler(place, enabled=precision == "amp")
    run = torch.compile(model) if mode == "compiled" else model
    loss_of = nn.CrossEntropyLoss()
    x = torch.rand(args.batch, 3, 32, 32, device=place).to(memory_format=torch.channels_last)
    y = torch.arange(args.batch, device=place) % 10
    times = []
    at_once = 10 if on_gpu else 1
    for _ in range(args.warmup + args.steps):
        begin = time.perf_counter()
        for _ in range(at_once):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(place, torch.float16) if precision == "amp" else contextlib.nullcontext():
                loss = loss_of(run(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        if on_gpu:
            torch.cuda.synchronize()
        times.append((time.perf_counter() - begin) * 1000 / at_once)
    return times


for arch in args.arch:
    for mode in args.mode:
        for precision in ["fp32", "tf32", "amp"] if on_gpu else ["fp32"]:
            times = steps_of(arch, mode, precision)
            step = statistics.median(times[args.warmup :])
            name = f"torch {torch.__version__} {mode}" + (f" {precision}" if on_gpu else "")
            print(
                json.dumps({"peer": name, "arch": arch, "batch": args.batch,
                            "stepMs": step, "imagesPerSecond": 1000 * args.batch / step, "firstStepMs": times[0]}),
                flush=True,
            )
