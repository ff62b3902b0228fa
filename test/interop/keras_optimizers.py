"""Keras' side of keras-weights.test.ts: trains FOLDER/start.keras two steps with every optimizer, and saves the model, its weights and what they are. Says to what length
the optimizer of FOLDER/clipping.keras shortens all gradients together.

    python keras_optimizers.py FOLDER
"""

import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import optimizers as o  # noqa: E402

OPTIMIZERS = {
    "adam": lambda: o.Adam(),
    "adamw": lambda: o.AdamW(),
    "adamax": lambda: o.Adamax(),
    "adadelta": lambda: o.Adadelta(),
    "nadam": lambda: o.Nadam(),
    "ftrl": lambda: o.Ftrl(),
    "lion": lambda: o.Lion(),
    "muon": lambda: o.Muon(),
    "rmsprop": lambda: o.RMSprop(),
    "rmsprop-momentum": lambda: o.RMSprop(momentum=0.9, centered=True),
    "sgd": lambda: o.SGD(),
    "sgd-momentum": lambda: o.SGD(momentum=0.9),
    "adagrad": lambda: o.Adagrad(),
    "amsgrad": lambda: o.Adam(amsgrad=True),
    "ema": lambda: o.AdamW(use_ema=True),
    "accumulation": lambda: o.AdamW(gradient_accumulation_steps=2),
    "scaled": lambda: o.LossScaleOptimizer(o.Adam()),
    "clipped": lambda: o.AdamW(global_clipnorm=0.5),
    "clipped-each": lambda: o.AdamW(clipnorm=0.5),
    "clipped-values": lambda: o.AdamW(clipvalue=0.125),
    "schedule": lambda: o.AdamW(o.schedules.CosineDecay(1e-3, 100)),
}

folder = Path(sys.argv[1])
x = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype("float32")
y = np.array([0, 1, 2, 1])
for name, make in OPTIMIZERS.items():
    model = keras.models.load_model(folder / "start.keras", compile=False)
    model.compile(optimizer=make(), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.run_eagerly = True
    for _ in range(2):
        model.train_on_batch(x, y)
    model.save(folder / f"{name}.keras")
    model.save_weights(folder / f"{name}.weights.h5")
    weights = [np.asarray(v, "float32").ravel() for v in model.get_weights()]
    state = [np.asarray(v, "float32").ravel() for v in model.optimizer.variables]
    np.savez(folder / f"{name}.npz", weights=np.concatenate(weights), state=np.concatenate(state))
model.save(folder / "older.h5")
print(json.dumps({"names": list(OPTIMIZERS), "clip": keras.models.load_model(folder / "clipping.keras").optimizer.global_clipnorm}))
