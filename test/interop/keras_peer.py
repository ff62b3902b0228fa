"""Keras' side of test/interop/keras.test.ts: loads the .keras files of a folder, predicts, evaluates, trains on, and saves them again.

    python keras_peer.py FOLDER        the backend is the first of TensorFlow, JAX and PyTorch that is installed
"""

import importlib.util
import json
import os
import sys
from pathlib import Path

BACKEND = next(name for name, module in {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}.items() if importlib.util.find_spec(module))
os.environ["KERAS_BACKEND"] = BACKEND
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import keras  # noqa: E402
import numpy as np  # noqa: E402


def run(folder: Path, arch: str):
    data = np.load(folder / f"{arch}.data.npz")
    images, labels = data["images"], data["labels"]  # [batches, rows, h, w, c] bytes, [batches, rows]
    model = keras.models.load_model(folder / f"{arch}.keras")
    # Small graphs are quicker without compiling them.
    model.run_eagerly = True
    result = {"layers": [layer.name for layer in model.layers], "iterations": int(model.optimizer.iterations), "rate": float(model.optimizer.learning_rate)}

    def predict():
        return np.asarray(model.predict_on_batch(images[0].astype("float32"))).ravel().tolist()

    def train(*batches):
        # Of a batch, not the running mean over batches that train_on_batch returns.
        losses = []
        for k in batches:
            model.reset_metrics()
            losses.append(float(model.train_on_batch(images[k].astype("float32"), labels[k])[0]))
        return losses

    result["predicted"] = predict()
    model.reset_metrics()
    result["evaluated"] = [float(x) for x in model.test_on_batch(images[0].astype("float32"), labels[0])]
    result["losses"] = train(1, 2)
    result["predictedAfter"] = predict()
    model.save(folder / f"{arch}.back.keras")
    model.save_weights(folder / f"{arch}.back.weights.h5")
    result["lossesLater"] = train(3)
    result["predictedLater"] = predict()

    # The weights alone, into a model of the same configuration that has other ones.
    fresh = keras.models.clone_model(model)
    fresh.load_weights(folder / f"{arch}.weights.h5")
    again = keras.models.load_model(folder / f"{arch}.keras")
    result["weightsEqual"] = all(np.array_equal(a, b) for a, b in zip(fresh.get_weights(), again.get_weights(), strict=True))
    return result


folder = Path(sys.argv[1])
names = sorted(path.name.removesuffix(".data.npz") for path in folder.glob("*.data.npz"))
print(json.dumps({"keras": keras.__version__, "backend": BACKEND, "models": {name: run(folder, name) for name in names}}))
