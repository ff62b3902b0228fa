"""PyTorch's side of test/interop/onnx-tune.test.ts: a ResNet-18 of torchvision's with random weights as ONNX files, with its batch normalisation and with
that folded into the convolutions, and the losses of three steps of fine-tuning in which the statistics stay (`eval()`), by plain gradient descent.

    python onnx_tune_peer.py FOLDER
"""

import copy
import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch.fx.experimental.optimization import fuse

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
SIZE, ROWS, CLASSES, RATE = 64, 6, 5, 0.001

folder = Path(sys.argv[1])
torch.manual_seed(0)
net = torchvision.models.resnet18(weights=None, num_classes=CLASSES)
for module in net.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        module.running_mean.normal_(0, 0.1)
        module.running_var.uniform_(0.5, 1.5)
        module.weight.data.uniform_(0.8, 1.2)
        module.bias.data.normal_(0, 0.1)
net.eval()
random = np.random.default_rng(1)
images = random.integers(0, 256, (ROWS, SIZE, SIZE, 3), dtype=np.uint8)
labels = random.integers(0, CLASSES, ROWS)
x = torch.from_numpy(np.ascontiguousarray(((images.astype(np.float32) / 255 - MEAN) / DEVIATION).transpose(0, 3, 1, 2)))
y = torch.from_numpy(labels)


def export(name, **options):
    axes = {"input": {0: "n"}, "logits": {0: "n"}}
    torch.onnx.export(
        net, (torch.zeros(1, 3, SIZE, SIZE),), folder / name, dynamo=False, opset_version=17, input_names=["input"], output_names=["logits"], dynamic_axes=axes, **options
    )


def losses(net, trains=lambda module: True):
    for module in net.modules():
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(trains(module))
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=RATE)
    result = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        result.append(loss.item())
    return result


export("apart.onnx", training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
export("folded.onnx")
fused = fuse(copy.deepcopy(net)).eval()
result = {
    "torch": torch.__version__,
    "size": SIZE,
    "rate": RATE,
    "images": images.ravel().tolist(),
    "labels": labels.tolist(),
    # All parameters, those of batch normalisation too, which computes with its moving statistics.
    "everything": losses(copy.deepcopy(net)),
    "without norms": losses(copy.deepcopy(net), lambda module: not isinstance(module, torch.nn.BatchNorm2d)),
    "head": losses(copy.deepcopy(net), lambda module: isinstance(module, torch.nn.Linear)),
    "folded": losses(fused),
}
print(json.dumps(result))
