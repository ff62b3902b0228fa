"""Writes test/golden/keras/freeze.json: what Keras computes with networks of test/golden/keras of which some layers are frozen (trainable = False).
Of each case: the losses of three steps of one batch, the gradients before them, how far each weight has moved, and the moving statistics.

    python test/golden/make_freeze.py        needs keras, tensorflow and numpy; written with Keras 3.15.1 on TensorFlow 2.21
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "interop"))
import freeze_peer  # noqa: E402
import numpy as np  # noqa: E402

FOLDER = Path(__file__).parent / "keras"
STEPS = 3
# The network, what `freeze` is here, and the layers that it stands for.
CASES = [
    ("sequential", "none", []),
    ("sequential", "backbone", ["stem", "batch_normalization", "depthwise_conv2d", "conv2d", "dense"]),
    ("sequential", "*normalization*", ["batch_normalization"]),
    ("sequential", "stem,*normalization*,dense", ["stem", "batch_normalization", "dense"]),
    ("branched", "conv2d_1,*normalization*", ["conv2d_1", "batch_normalization"]),
]


def short(values, digits=6):
    return [float(f"{value:.{digits}g}") for value in np.ravel(values)]


def prepare(folder, name):
    data = np.load(FOLDER / f"{name}.npz")
    shutil.copy(FOLDER / f"{name}.keras", folder / f"{name}.keras")
    np.savez(folder / f"{name}.data.npz", images=np.stack([data["images"]] * STEPS), labels=np.stack([data["labels"]] * STEPS))


def moved(folder, name, after):
    before = freeze_peer.keras.models.load_model(folder / f"{name}.keras")
    kinds = [variable.path.rsplit("/", 1)[-1] for variable in before.weights]
    return {
        "moved": [float(f"{np.abs(np.ravel(b) - a).max():.6g}") for b, a in zip(before.get_weights(), after)],
        "statistics": [short(a) for kind, a in zip(kinds, after) if kind.startswith("moving_")],
    }


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    results = []
    for network, freeze, frozen in CASES:
        prepare(folder, network)
        result = freeze_peer.run(folder, {"arch": network, "frozen": frozen})
        gradients = [short(gradient) for gradient in result["gradients"]]
        results.append({"network": network, "freeze": freeze, "frozen": frozen, "losses": short(result["losses"], 8), "gradients": gradients, **moved(folder, network, result["weights"])})
(FOLDER / "freeze.json").write_text(json.dumps(results) + "\n")
