"""Networks that Keras 2 (PyPI's tf-keras) and the older writers build and save, for the readers of their files.

    python keras2_networks.py make FOLDER [NAME ...]

writes NAME.keras, NAME.h5 and NAME.weights.h5 as Keras 2 does, with NAME.npz as keras_networks.py has it; of those under KERAS_3 the files that
Keras 3 writes with the ending .h5 (NAME.h5 and NAME.npz). test/golden/keras2 holds what tf-keras 2.21.0 and Keras 3.15.1 wrote.
"""

import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"
import keras as keras3  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf_keras as keras2  # noqa: E402

ROWS = 8


def sequential(keras):
    L = keras.layers
    return keras.Sequential([
        keras.Input((10, 8, 3)),
        L.Rescaling(1 / 255),
        L.Conv2D(6, 3, strides=2, padding="same", use_bias=False, name="stem"),
        L.BatchNormalization(epsilon=1e-5, momentum=0.8),
        L.Activation("relu"),
        L.DepthwiseConv2D(3, padding="same", use_bias=False),
        L.LeakyReLU(0.1),
        L.SeparableConv2D(8, 3, padding="same", activation="elu"),
        L.MaxPooling2D(),
        L.Flatten(),
        L.Dropout(0.0),
        L.Dense(5, activation="softmax"),
    ])


def operations(keras):
    """Operations on tensors: TFOpLambda layers of Keras 2. A model in the model, a layer that is called twice."""
    L = keras.layers
    inner = keras.Sequential([keras.Input((8, 6, 4)), L.Conv2D(4, 3, padding="same"), L.BatchNormalization(), L.ReLU()], name="chain")
    images = keras.Input((8, 6, 3))
    x = images / 127.5 - 1.0
    x = L.Conv2D(4, 3, padding="same", use_bias=False)(x)
    gate = tf.nn.relu6(x + 3.0) * (1 / 6)
    x = L.Multiply()([x, gate]) + inner(x)
    x = tf.nn.relu(x) - 0.25 * tf.nn.sigmoid(2.0 - x)
    twice = L.Conv2D(4, 1, activation="tanh", name="twice")
    x = twice(twice(x)) * x
    x = tf.nn.silu(-x)
    y = L.ReLU(6.0, negative_slope=0.125)(L.ZeroPadding2D(1)(x))
    x = L.Concatenate()([L.GlobalAveragePooling2D()(y), L.GlobalMaxPooling2D()(x), tf.reduce_mean(x, axis=[1, 2])])
    return keras.Model(images, L.Dense(4)(x))


def attention(keras):
    """Attention, whose parts have other names there, functions of TensorFlow at their defaults, and batch normalisation of a vector, whose axis has a number."""
    L = keras.layers
    images = keras.Input((8, 8, 3))
    x = L.Reshape((4, 8))(L.Conv2D(8, 4, strides=4)(L.Rescaling(1 / 255)(images)))
    y = L.LayerNormalization()(x)
    x = x + L.MultiHeadAttention(2, 4, value_dim=3)(y, y)
    x = tf.nn.gelu(L.Dense(8, name="query")(x)) + tf.nn.softmax(x)
    x = L.BatchNormalization()(L.Dense(6, use_bias=False)(L.GlobalAveragePooling1D()(x)))
    return keras.Model(images, L.Dense(4)(L.Activation("tanh")(x)))


def older(keras):
    """A file of Keras 3 with the ending .h5: a model in a model, in a shared layer's order."""
    L = keras.layers
    inner = keras.Sequential([keras.Input((8, 6, 4)), L.Conv2D(4, 3, padding="same", use_bias=False), L.BatchNormalization(momentum=0.9), L.Activation("gelu")], name="chain")
    images = keras.Input((8, 6, 3))
    x = L.Conv2D(4, 1)(L.Rescaling(1 / 255)(images))
    x = L.Add()([inner(x), x])
    x = L.SeparableConv2D(5, 3)(x * 0.5 + 1.0)
    return keras.Model(images, L.Dense(4)(L.GlobalAveragePooling2D()(x)))


KERAS_2 = {"sequential": sequential, "operations": operations, "attention": attention}
KERAS_3 = {"older": older}


def run(keras, model, images, labels):
    softmax = getattr(model.layers[-1], "activation", None) is keras.activations.softmax

    def predict():
        values = np.asarray(model.predict_on_batch(images.astype("float32")))
        return np.log(values) if softmax else values

    logits = predict()
    losses = []
    for _ in range(3):
        model.reset_metrics()
        losses.append(float(np.ravel(model.train_on_batch(images.astype("float32"), labels))[0]))
    return softmax, logits, losses, predict()


def make(folder: Path, name: str):
    keras, build = (keras2, KERAS_2[name]) if name in KERAS_2 else (keras3, KERAS_3[name])
    keras.utils.set_random_seed(7)
    random = np.random.default_rng(11)
    model = build(keras)
    for variable in model.variables:
        value = np.asarray(variable)
        kind = (variable.path if keras is keras3 else variable.name.split(":")[0]).rsplit("/", 1)[-1]
        if kind in ("moving_variance", "gamma"):
            variable.assign(random.uniform(0.5, 1.5, value.shape).astype("float32"))
        elif kind in ("bias", "beta", "moving_mean"):
            variable.assign(random.normal(0, 0.1, value.shape).astype("float32"))
    softmax = getattr(model.layers[-1], "activation", None) is keras.activations.softmax
    # Keras 2 has weight decay in AdamW, and its defaults are those of Keras 3.
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=1e-3, weight_decay=1e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=not softmax),
        metrics=["acc"],
    )
    images = random.integers(0, 256, (ROWS, *model.input_shape[1:])).astype("uint8")
    labels = random.integers(0, model.output_shape[-1], ROWS).astype("int32")
    if keras is keras2:
        model.save(folder / f"{name}.keras")
        model.save_weights(folder / f"{name}.weights.h5")
    model.save(folder / f"{name}.h5")
    _, logits, losses, after = run(keras, model, images, labels)
    np.savez(folder / f"{name}.npz", images=images, labels=labels, logits=logits, after=after, losses=np.float32(losses), softmax=np.int32([softmax]), rate=np.float32([1e-3]))


command, folder, *names = sys.argv[1:]
names = names or [*KERAS_2, *KERAS_3]
for name in names:
    make(Path(folder), name)
print(json.dumps({"keras": [keras2.__version__, keras3.__version__], "names": names}))
