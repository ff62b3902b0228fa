"""Keras' side of test/interop/freeze.test.ts: freezes layers of the .keras files of a folder (trainable = False), and gives the gradients of a batch,
the losses of three steps, and what became of the weights.

    python freeze_peer.py FOLDER
"""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


def run(folder, case):
    model = keras.models.load_model(folder / f"{case['arch']}.keras")
    data = np.load(folder / f"{case['arch']}.data.npz")
    images, labels = data["images"].astype("float32"), data["labels"]
    for layer in model.layers:
        layer.trainable = layer.name not in case["frozen"]
    optimizer = keras.optimizers.AdamW.from_config({**model.optimizer.get_config(), "name": "anew"})
    loss = model.loss
    model.compile(optimizer=optimizer, loss=loss, run_eagerly=True)
    with tf.GradientTape() as tape:
        value = keras.losses.get(loss)(labels[0], model(images[0], training=True))
        value = tf.reduce_mean(value)
    # The pass above has moved the statistics of what is not frozen: they are put back.
    gradients = [np.asarray(g).ravel().tolist() for g in tape.gradient(value, model.trainable_variables)]
    fresh = keras.models.load_model(folder / f"{case['arch']}.keras")
    model.set_weights(fresh.get_weights())
    losses = []
    for k in range(3):
        model.reset_metrics()
        losses.append(float(np.ravel(model.train_on_batch(images[k], labels[k]))[0]))
    return {"loss": float(value), "gradients": gradients, "losses": losses, "weights": [w.ravel().tolist() for w in model.get_weights()]}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    cases = json.loads((folder / "cases.json").read_text())
    print(json.dumps({"keras": keras.__version__, "cases": [run(folder, case) for case in cases]}))
