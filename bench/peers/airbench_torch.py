"""The network and recipe of airbench94 (github.com/KellerJordan/cifar10-airbench, legacy/airbench94.py) in PyTorch on the CPU, in float32, on
CIFAR-10's binary files: what `hybrid train --arch airbench --recipe speedrun` is measured beside. One JSON line an epoch, or a step.

    pip install torch==2.15.0
    python airbench_torch.py train --data FOLDER [--seed 1] [--bf16]
        the published recipe: 9.9 epochs without short batches, torch.optim.SGD, decay that goes through the momentum
    python airbench_torch.py losses --data FOLDER --hybrid "node dist/cli/main.js" [--batch 256] [--steps 20]
        hybrid and PyTorch from the same weights on the same batches: the loss of each step in both. The images are not shuffled and not augmented,
        all else is the speed run's: whitening, rates, schedule, decay and momentum in hybrid's form, label smoothing, lookahead
"""

import argparse
import json
import math
import os
import shlex
import signal
import struct
import subprocess
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["train", "losses"])
parser.add_argument("--data", required=True, help="folder with data_batch_1.bin to data_batch_5.bin and test_batch.bin")
parser.add_argument("--batch", type=int, default=1024)
parser.add_argument("--epochs", type=float, help="of the schedule (default: 9.9, of losses hybrid's 10)")
parser.add_argument("--steps", type=int, default=20, help="of losses")
parser.add_argument("--hybrid", default="hybrid", help="the command, of losses")
parser.add_argument("--threads", type=int)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--bf16", action="store_true", help="of train: convolutions in bfloat16, where the original has half precision")
args = parser.parse_args()
torch.manual_seed(args.seed)
if args.threads:
    torch.set_num_threads(args.threads)

LR, MOMENTUM, DECAY, BIAS_RATE, SMOOTHING, WHITEN_BIAS_EPOCHS = 11.5, 0.85, 0.0153, 64.0, 0.2, 3
MEAN, STD = [torch.tensor(x).view(1, 3, 1, 1) for x in ((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616))]


def read(*names):
    records = np.concatenate([np.fromfile(os.path.join(args.data, name), np.uint8).reshape(-1, 3073) for name in names])
    return torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy()), torch.from_numpy(records[:, 0].astype(np.int64))


def normalized(images):
    return ((images.float() / 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last)


class Conv(nn.Conv2d):
    def __init__(self, inputs, outputs, size=3, padding="same", bias=False):
        super().__init__(inputs, outputs, size, padding=padding, bias=bias)
        if bias:
            self.bias.data.zero_()
        nn.init.dirac_(self.weight.data[:inputs])


class Group(nn.Sequential):
    def __init__(self, inputs, outputs):
        def norm():
            layer = nn.BatchNorm2d(outputs, eps=1e-12, momentum=0.4)
            layer.weight.requires_grad = False
            return layer

        super().__init__(
            *(Conv(inputs, outputs), nn.MaxPool2d(2), norm(), nn.GELU()),
            *(Conv(outputs, outputs), norm(), nn.GELU()),
        )


class Net(nn.Sequential):
    def __init__(self, images):
        super().__init__(
            *(Conv(3, 24, 2, padding=0, bias=True), nn.GELU()),
            *(Group(24, 64), Group(64, 256), Group(256, 256)),
            *(nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, 10, bias=False)),
        )
        self[0].weight.requires_grad = False
        self[0].weight.data[:] = whitening(images)

    def forward(self, x):
        return super().forward(x) / 9


def whitening(images, epsilon=5e-4):
    patches = images.unfold(2, 2, 1).unfold(3, 2, 1).transpose(1, 3).reshape(-1, 12)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches), UPLO="U")
    kernel = vectors.T.reshape(12, 3, 2, 2).flip(0) / torch.sqrt(values.flip(0).view(-1, 1, 1, 1) + epsilon)
    return torch.cat((kernel, -kernel))


def floats(net):
    return [tensor for tensor in net.state_dict().values() if tensor.is_floating_point()]


class Lookahead:
    """Every five steps the weights go back to an average, statistics included."""

    def __init__(self, net, total):
        self.slow, self.total = [tensor.clone() for tensor in floats(net)], total

    def step(self, net, step):
        if step % 5 == 0:
            self.back(net, 0.95**5 * (step / self.total) ** 3)

    def back(self, net, decay):
        for slow, fast in zip(self.slow, floats(net)):
            slow.lerp_(fast, 1 - decay)
            fast.copy_(slow)


def biases(net):
    return [module.bias for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


def others(net):
    known = {id(bias) for bias in biases(net)}
    return [weight for weight in net.parameters() if weight.requires_grad and id(weight) not in known]


def train():
    images, labels = read(*(f"data_batch_{k}.bin" for k in range(1, 6)))
    test, truth = read("test_batch.bin")
    begin = time.perf_counter()
    images = normalized(images)
    net = Net(images[:5000]).to(memory_format=torch.channels_last)
    per_epoch = len(images) // args.batch
    epochs = args.epochs or 9.9
    total = math.ceil(per_epoch * epochs)
    scale = 1024 * (1 + 1 / (1 - MOMENTUM))
    lr, decay = LR / scale, DECAY * args.batch / scale
    groups = [
        dict(params=biases(net), lr=lr * BIAS_RATE, weight_decay=decay / (lr * BIAS_RATE)),
        dict(params=others(net), lr=lr, weight_decay=decay / lr),
    ]
    optimizer = torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True)
    warmup = int(total * 0.23)

    def factor(step):
        if step < warmup:
            return 0.2 + 0.8 * step / warmup
        return 1 - 0.93 * (step - warmup) / (total - warmup)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    lookahead = Lookahead(net, total)
    flipped = torch.where((torch.rand(len(images)) < 0.5).view(-1, 1, 1, 1), images.flip(-1), images)
    padded = F.pad(flipped, (2,) * 4, "reflect")
    step = 0
    for epoch in range(math.ceil(epochs)):
        net[0].bias.requires_grad = epoch < WHITEN_BIAS_EPOCHS
        net.train()
        sums = torch.zeros(2)
        order = torch.randperm(len(images))
        for k in range(min(per_epoch, total - step)):
            chosen = order[k * args.batch : (k + 1) * args.batch]
            shifts = torch.randint(0, 5, (len(chosen), 2)).tolist()
            batch = torch.stack([padded[i, :, y : y + 32, x : x + 32] for i, (y, x) in zip(chosen.tolist(), shifts)])
            batch = (batch.flip(-1) if epoch % 2 else batch).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
                output = net(batch).float()
            loss = F.cross_entropy(output, labels[chosen], label_smoothing=SMOOTHING, reduction="sum")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            lookahead.step(net, step)
            sums += torch.tensor([loss.item(), (output.argmax(1) == labels[chosen]).sum().item()])
        if step == total:
            lookahead.back(net, 1)
        seen = (k + 1) * args.batch
        record = dict(epoch=epoch + 1, loss=sums[0].item() / seen, accuracy=sums[1].item() / seen)
        print(json.dumps({**record, "seconds": round(time.perf_counter() - begin, 1)}), flush=True)
    seconds = time.perf_counter() - begin
    net.eval()
    result = {name: accuracy(net, normalized(test), truth, views) for name, views in VIEWS.items()}
    print(json.dumps(dict(seed=args.seed, steps=total, seconds=round(seconds, 1), threads=torch.get_num_threads(), test=result)))


# Shift, mirrored or not, and weight of each view; pixels from outside are reflected.
VIEWS = {
    "none": [(0, False, 1.0)],
    "mirror": [(0, False, 0.5), (0, True, 0.5)],
    "shift": [(0, False, 0.25), (0, True, 0.25), *((shift, mirrored, 0.125) for shift in (-1, 1) for mirrored in (False, True))],
}


@torch.no_grad()
def accuracy(net, images, labels, views):
    padded = F.pad(images, (1,) * 4, "reflect")
    logits = 0
    for shift, mirrored, weight in views:
        view = padded[:, :, 1 + shift : 33 + shift, 1 + shift : 33 + shift]
        view = view.flip(-1) if mirrored else view
        logits = logits + weight * torch.cat([net(part) for part in view.split(500)])
    return (logits.argmax(1) == labels).float().mean().item()


def losses():
    images, labels = read(*(f"data_batch_{k}.bin" for k in range(1, 6)))
    net = Net(normalized(images[:5000])).to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "init.safetensors")
        write_safetensors(path, keras_names(net))
        theirs, total = of_hybrid(path, folder)
    lookahead = Lookahead(net, total)
    velocity = {id(weight): torch.zeros_like(weight) for weight in [*biases(net), *others(net)]}
    rate, decay = 1.5, 8.87e-3
    net.train()
    worst = 0
    for step in range(args.steps):
        rows = batch_rows(step, len(images))
        loss = F.cross_entropy(net(normalized(images[rows])), labels[rows], label_smoothing=SMOOTHING)
        net.zero_grad(set_to_none=True)
        loss.backward()
        lr = rate * factor_at((step + 1) / total)
        with torch.no_grad():
            for weights, times in ((biases(net), BIAS_RATE), (others(net), 1)):
                for weight in weights:
                    v = velocity[id(weight)]
                    weight -= weight * (decay / times) * (lr * times)
                    v.mul_(MOMENTUM).sub_(weight.grad * (lr * times))
                    weight += v * MOMENTUM - weight.grad * (lr * times)
            lookahead.step(net, step + 1)
        difference = abs(loss.item() - theirs[step])
        worst = max(worst, difference)
        print(json.dumps(dict(step=step + 1, torch=loss.item(), hybrid=theirs[step], difference=difference)), flush=True)
    print(json.dumps(dict(batch=args.batch, steps=args.steps, worst=worst)))


def factor_at(share):
    return 0.2 + 0.8 * share / 0.23 if share <= 0.23 else 1 - 0.93 * (share - 0.23) / 0.77


def batch_rows(step, size):
    per_epoch = math.ceil(size / args.batch)
    first = step % per_epoch * args.batch
    return slice(first, min(size, first + args.batch))


def keras_names(net):
    """Tensors by hybrid's names, in Keras' layouts."""
    tensors, convolutions, norms = {}, 0, 0

    def numbered(name, count):
        return f"layers/{name}_{count}" if count else f"layers/{name}"

    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            path = numbered("conv2d", convolutions)
            convolutions += 1
            tensors[f"{path}/vars/0"] = module.weight.permute(2, 3, 1, 0)
            if module.bias is not None:
                tensors[f"{path}/vars/1"] = module.bias
        elif isinstance(module, nn.BatchNorm2d):
            path = numbered("batch_normalization", norms)
            norms += 1
            for k, tensor in enumerate((module.bias, module.running_mean, module.running_var)):
                tensors[f"{path}/vars/{k}"] = tensor
        elif isinstance(module, nn.Linear):
            tensors["layers/dense/vars/0"] = module.weight.T
    return {name: tensor.detach().contiguous().numpy() for name, tensor in tensors.items()}


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, data in tensors.items():
        header[name] = dict(dtype="F32", shape=list(data.shape), data_offsets=[at, at + data.nbytes])
        at += data.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for data in tensors.values():
            file.write(data.tobytes())


def of_hybrid(weights, folder):
    """The loss of each step of `hybrid train`, and how many steps the whole run has."""
    options = ["--arch", "airbench", "--recipe", "speedrun", "--init", weights, "--data", args.data, "--batch", args.batch, "--device", "wasm"]
    more = ["--no-shuffle", "--augment", "none", "--epochs", round(args.epochs or 10), "--no-figures", "--json", "--out", folder]
    command = [*shlex.split(args.hybrid), "train", *(str(word) for word in options + more)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    found, total, images, sums = [], 0, 0, (0, 0.0)
    for line in process.stdout:
        event = json.loads(line)
        if event["type"] == "start":
            per_epoch, images = event["stepsPerEpoch"], event["trainImages"]
            total = per_epoch * event["epochs"]
        if event["type"] != "step":
            continue
        if (event["epoch"] - 1) * per_epoch + event["step"] != len(found) + 1:
            raise SystemExit("steps were told together: no loss of each is known")
        if event["step"] == 1:
            sums = (0, 0.0)
        # The loss is the mean over the images of the epoch so far.
        rows = min(images, event["step"] * args.batch)
        found.append((event["loss"] * rows - sums[1]) / (rows - sums[0]))
        sums = (rows, event["loss"] * rows)
        if len(found) == args.steps:
            break
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    process.wait()
    if len(found) < args.steps:
        raise SystemExit(f"hybrid ended after {len(found)} steps")
    return found, total


{"train": train, "losses": losses}[args.what]()
