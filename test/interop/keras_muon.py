"""Keras' side of keras-muon.test.ts: trains FOLDER/dense.keras on by two batches of FOLDER/data.npz and saves it as back.keras; loads conv.keras; and trains the
same dense network by its own Muon with and without layers excluded.

    python keras_muon.py FOLDER
"""

import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import keras  # noqa: E402
import numpy as np  # noqa: E402

folder = Path(sys.argv[1])
data = np.load(folder / "data.npz")
images, labels = data["images"].astype("float32"), data["labels"]


def train(model, *batches):
    model.run_eagerly = True
    losses = []
    for k in batches:
        model.reset_metrics()
        losses.append(float(model.train_on_batch(images[k], labels[k])[0]))
    return losses


dense = keras.models.load_model(folder / "dense.keras")
optimizer = dense.optimizer
result = {
    "muon": [type(optimizer).__name__, int(optimizer.iterations), len(optimizer.variables)],
    "losses": train(dense, 2, 3),
}
dense.save(folder / "back.keras")
result["later"] = train(dense, 4)
conv = keras.models.load_model(folder / "conv.keras")
result["conv"] = [type(conv.optimizer).__name__, int(conv.optimizer.iterations)]
for name, excluded in {"plain": None, "named": ["answer"]}.items():
    model = keras.models.load_model(folder / "dense.keras", compile=False)
    muon = keras.optimizers.Muon(1e-3, exclude_layers=excluded)
    model.compile(optimizer=muon, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["acc"])
    train(model, 0)
    model.save(folder / f"{name}.keras")
print(json.dumps(result))
