"""PyTorch's and ONNX Runtime's side of test/interop/onnx-import.test.ts: networks of torchvision (`tv:resnet18`) or timm (`timm:resnet18`) with random
weights as ONNX files, images, and the logits of ONNX Runtime; and with `run` the logits of files that this program wrote.

    python onnx_import_peer.py FOLDER NAME...
    python onnx_import_peer.py FOLDER run FILE...
"""

import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def run(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    if entry.type == "tensor(float)":
        images = np.ascontiguousarray(((images.astype(np.float32) / 255 - MEAN) / DEVIATION).transpose(0, 3, 1, 2))
    return session.run(None, {entry.name: images})[0].ravel().tolist()


def export(name, folder):
    import torch

    torch.manual_seed(0)
    kind, name = name.split(":")
    name, size = name.split("@")
    if kind == "tv":
        import torchvision

        options = {"init_weights": True, "aux_logits": False} if name == "googlenet" else {}
        net = torchvision.models.get_model(name, weights=None, num_classes=10, **options)
    else:
        import timm

        net = timm.create_model(name, pretrained=False, num_classes=10, exportable=True)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.8, 1.2)
            module.bias.data.normal_(0, 0.1)
    path = folder / f"{kind}-{name}.onnx"
    example = torch.zeros(1, 3, int(size), int(size))
    options = {"input_names": ["input"], "output_names": ["logits"], "dynamic_axes": {"input": {0: "n"}, "logits": {0: "n"}}}
    torch.onnx.export(net.eval(), (example,), path, dynamo=False, opset_version=17, **options)
    images = np.random.default_rng(1).integers(0, 256, (2, int(size), int(size), 3), dtype=np.uint8)
    path.with_suffix(".images").write_bytes(images.tobytes())
    return {"file": path.name, "size": int(size), "logits": run(path, images)}


folder = Path(sys.argv[1])
if sys.argv[2] == "run":
    result = {}
    for name in sys.argv[3:]:
        _, size = name.split("@")
        file = name.split("@")[0]
        images = np.frombuffer((folder / file).with_suffix(".images").read_bytes(), np.uint8).reshape(2, int(size), int(size), 3)
        result[file] = run((folder / file).with_suffix(".back.onnx"), images)
else:
    result = {name: export(name, folder) for name in sys.argv[2:]}
print(json.dumps(result))
