"""timm's side of test/interop/timm.test.ts: models of the given names with random weights, their files, images, and the probabilities.

    python timm_peer.py FOLDER NAME...
"""

import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from timm.data import resolve_model_data_config

folder = Path(sys.argv[1])
images = np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
(folder / "images.bin").write_bytes(images.tobytes())
result = {}
for name in sys.argv[2:]:
    torch.manual_seed(3)
    net = timm.create_model(name, pretrained=False, num_classes=7).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.8, 1.2)
            module.bias.data.normal_(0, 0.1)
    # Probabilities that are none of them alike.
    net.head.weight.data.normal_(0, 2 / net.head.in_features**0.5)
    config = resolve_model_data_config(net)
    torch.save(net.state_dict(), folder / f"{name}.pth")
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    x = (x - torch.tensor(config["mean"]).view(1, 3, 1, 1)) / torch.tensor(config["std"]).view(1, 3, 1, 1)
    with torch.no_grad():
        logits = net(x)
    result[name] = {
        "logits": logits.tolist(),
        "probabilities": torch.softmax(logits, 1).tolist(),
        "size": list(config["input_size"]),
        "crop": config["crop_pct"],
        "interpolation": config["interpolation"],
    }
print(json.dumps({"timm": timm.__version__, "torch": torch.__version__, "models": result}))
