"""ONNX Runtime's side of test/interop/onnx.test.ts: checks the .onnx files of a folder and runs them.

    python onnx_peer.py FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

folder = Path(sys.argv[1])


def run(path: Path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    images = np.load(folder / f"{path.name.split('.')[0]}.data.npz")["images"]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images})
    (alone,) = session.run(None, {"images": images[:1]})
    return {
        "opset": model.opset_import[0].version,
        "operators": [node.op_type for node in model.graph.node],
        "metadata": {entry.key: entry.value for entry in model.metadata_props},
        "seen": session.get_modelmeta().custom_metadata_map,
        "logits": logits.ravel().tolist(),
        "alone": alone.ravel().tolist(),
    }


print(json.dumps({"onnx": onnx.__version__, "runtime": onnxruntime.__version__, "models": {path.name: run(path) for path in sorted(folder.glob("*.onnx"))}}))
