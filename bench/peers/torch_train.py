"""Times whole training steps of the ConvMixers, or of the networks of torchvision that files of Keras name, in PyTorch, eager and compiled, on the CPU or (--device webgpu) on the GPU, there in
fp32, TF32 and with automatic mixed precision too; one JSON line a case.

    pip install torch==2.15.0 torchvision==0.29.2
    python torch_train.py --batch 128 --steps 5 [--arch convmixer-256-8 convmixer-2stage | --model FILE.keras …] [--threads N] [--mode eager compiled] [--device wasm|webgpu]
"""

import argparse
import contextlib
import json
import statistics
import time
import zipfile
from pathlib import Path

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--arch", nargs="+", default=[])
parser.add_argument("--model", nargs="+", default=[], help="files of Keras whose networks torchvision has as well")
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


# What Keras calls a network (its name begins so), and what torchvision does.
OF_TORCHVISION = {
    "mobilenetv2": "mobilenet_v2", "MobileNetV3Small": "mobilenet_v3_small", "resnet50": "resnet50", "efficientnetb0": "efficientnet_b0",
    "densenet121": "densenet121", "vgg16": "vgg16", "convnext_tiny": "convnext_tiny", "inception_v3": "inception_v3",
}


def network_of(file):
    """The same network by torchvision, its image size [height, width] and number of classes, by what a .keras file says of itself."""
    import torchvision

    with zipfile.ZipFile(file) as archive:
        config = json.loads(archive.read("config.json"))["config"]
    layers = config["layers"]
    shape = layers[0]["config"].get("batch_shape") or layers[0]["config"]["batch_input_shape"]
    classes = next(layer["config"]["units"] for layer in reversed(layers) if layer["class_name"] == "Dense")
    names = [ours for theirs, ours in OF_TORCHVISION.items() if config["name"].startswith(theirs) and not config["name"].startswith(theirs + "v2")]
    if not names:
        raise SystemExit(f"torchvision has no {config['name']}")
    return getattr(torchvision.models, names[0])(weights=None, num_classes=classes), shape[1:3], classes


def steps_of(make, mode, precision):
    """Milliseconds of each step. On a GPU: of several steps at a time, as the GPU works them off."""
    torch.manual_seed(0)
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    model, size, classes = make()
    model = model.to(place, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
    scaler = torch.amp.GradScaler(place, enabled=precision == "amp")
    run = torch.compile(model) if mode == "compiled" else model
    loss_of = nn.CrossEntropyLoss()
    x = torch.rand(args.batch, 3, *size, device=place).to(memory_format=torch.channels_last)
    y = torch.arange(args.batch, device=place) % classes
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


names = args.arch or (list(MODELS) if not args.model else [])
networks = [(name, lambda name=name: (MODELS[name](), (32, 32), 10)) for name in names]
networks += [(Path(file).stem, lambda file=file: network_of(file)) for file in args.model]
for arch, make in networks:
    for mode in args.mode:
        for precision in ["fp32", "tf32", "amp"] if on_gpu else ["fp32"]:
            times = steps_of(make, mode, precision)
            step = statistics.median(times[args.warmup :])
            name = f"torch {torch.__version__} {mode}" + (f" {precision}" if on_gpu else "")
            print(
                json.dumps({"peer": name, "arch": arch, "batch": args.batch,
                            "stepMs": step, "imagesPerSecond": 1000 * args.batch / step, "firstStepMs": times[0]}),
                flush=True,
            )
