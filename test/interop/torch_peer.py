"""PyTorch's side of test/interop/torch.test.ts: builds the layers of model.json, loads model.safetensors strictly, predicts.

    python torch_peer.py FOLDER
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn


def read_safetensors(path: Path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    start = 8 + length
    arrays = {n: np.frombuffer(data, "<f4", offset=start + t["data_offsets"][0], count=(t["data_offsets"][1] - t["data_offsets"][0]) // 4).reshape(t["shape"]) for n, t in header.items()}
    return {n: torch.tensor(a) for n, a in arrays.items()}, metadata


class Model(nn.Module):
    """Layers as the list describes them: type, name, inputs and measures."""

    def __init__(self, layers):
        super().__init__()
        self.plan = layers
        for layer in layers:
            c, config = layer["inputShape"][-1] if layer["inputShape"] else 0, layer["config"]
            if layer["type"] == "Conv2D":
                padding = config["kernelSize"][0] // 2 if config["padding"] == "same" else 0
                setattr(self, layer["name"], nn.Conv2d(c, config["filters"], config["kernelSize"], config["strides"], padding))
            elif layer["type"] == "DepthwiseConv2D":
                setattr(self, layer["name"], nn.Conv2d(c, c, config["kernelSize"], padding="same", groups=c))
            elif layer["type"] == "BatchNormalization":
                setattr(self, layer["name"], nn.BatchNorm2d(c, eps=config["epsilon"]))
            elif layer["type"] == "Dense":
                setattr(self, layer["name"], nn.Linear(c, config["units"]))

    def forward(self, images):
        values = []
        activations = {"gelu": nn.functional.gelu, "relu": nn.functional.relu, "linear": lambda x: x}
        for layer in self.plan:
            inputs = [values[i] for i in layer["inputs"]]
            kind = layer["type"]
            if kind == "InputLayer":
                y = images.permute(0, 3, 1, 2).float()
            elif kind == "Rescaling":
                y = inputs[0] * layer["config"]["scale"]
            elif kind in ("Conv2D", "DepthwiseConv2D", "BatchNormalization", "Dense"):
                y = activations[layer["config"].get("activation", "linear")](getattr(self, layer["name"])(inputs[0]))
            elif kind == "Activation":
                y = activations[layer["config"]["activation"]](inputs[0])
            elif kind == "Add":
                y = inputs[0] + inputs[1]
            elif kind == "MaxPooling2D":
                y = nn.functional.max_pool2d(inputs[0], 2)
            elif kind == "GlobalAveragePooling2D":
                y = inputs[0].mean((2, 3))
            elif kind == "Flatten":
                y = inputs[0].flatten(1)
            else:
                y = inputs[0]
            values.append(y)
        return values[-1]


folder = Path(sys.argv[1])
result = {}
for path in sorted(folder.glob("*.safetensors")):
    name = path.name.removesuffix(".safetensors")
    weights, metadata = read_safetensors(path)
    model = Model(json.loads((folder / f"{name}.json").read_text())).eval()
    model.load_state_dict(weights)
    with torch.no_grad():
        logits = model(torch.tensor(np.load(folder / f"{name}.npy")))
    result[name] = {"logits": logits.ravel().tolist(), "metadata": metadata}
print(json.dumps({"torch": torch.__version__, "models": result}))
