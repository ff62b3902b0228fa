"""Writes test/golden/timm: two small ConvMixers of timm's own class with random weights, in the three forms that PyTorch's users save, images, and
the probabilities that PyTorch gives.

    python test/golden/make_timm.py        needs torch, timm, safetensors and numpy; written with torch 2.x and timm 1.x
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from timm.models.convmixer import ConvMixer

FOLDER = Path(__file__).parent / "timm"
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def network(activation, **sizes):
    net = ConvMixer(num_classes=5, act_layer=activation, **sizes).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.2, 3)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    net.head.weight.data.normal_(0, 1)
    return net


def probabilities(net, images):
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    x = (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(DEVIATION).view(1, 3, 1, 1)
    with torch.no_grad():
        return torch.softmax(net(x), 1).double().numpy()


torch.manual_seed(0)
FOLDER.mkdir(exist_ok=True)
images = np.random.default_rng(0).integers(0, 256, (3, 21, 28, 3), dtype=np.uint8)
relu = network(torch.nn.ReLU, dim=6, depth=2, kernel_size=5, patch_size=7)
gelu = network(torch.nn.GELU, dim=5, depth=1, kernel_size=4, patch_size=5)
torch.save(relu.state_dict(), FOLDER / "relu.pth")
torch.save(relu.state_dict(), FOLDER / "relu-legacy.pth", _use_new_zipfile_serialization=False)
torch.save({"state_dict": gelu.state_dict(), "epoch": 3}, FOLDER / "gelu.pth")
save_file(gelu.state_dict(), FOLDER / "gelu.safetensors")
result = {name: probabilities(net, images).tolist() for name, net in {"relu": relu, "gelu": gelu}.items()}
(FOLDER / "expected.json").write_text(json.dumps({"shape": images.shape, "images": images.ravel().tolist(), **result}) + "\n")
