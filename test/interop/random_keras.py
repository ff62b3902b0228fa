"""Random functional models of Keras, for test/interop/random-keras.test.ts.

    python random_keras.py FOLDER FIRST COUNT

writes random-SEED.keras and random-SEED.npz (images, labels, logits, loss, gradients of all trained weights one after the other) for the seeds from
FIRST on, and prints of each whose weights these are; all that is random follows from the seed. Layers are drawn until the image is small or there are enough of them; a step may read any earlier image.
"""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers as L  # noqa: E402

ROWS = 4
# Smooth, or with kinks that random numbers do not meet.
ACTIVATIONS = ["relu", "gelu", "silu", "tanh", "elu", "selu", "mish", "softplus", "sigmoid", "hard_silu", "leaky_relu", "relu6", "hard_sigmoid", "softsign", None]


class Maker:
    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)

    def of(self, *choices):
        return choices[int(self.random.integers(len(choices)))]

    def number(self, low: int, high: int) -> int:
        return int(self.random.integers(low, high + 1))

    def activation(self):
        return self.of(*ACTIVATIONS)

    def convolution(self, x):
        height, width, channels = x.shape[1:]
        padding = self.of("same", "valid")
        size = [self.number(1, min(4, n)) for n in (height, width)]
        kind = self.of("conv", "conv", "groups", "depthwise", "separable", "dilated")
        strides = self.of(1, 1, 2)
        bias = bool(self.number(0, 1))
        filters = self.number(1, 9)
        if kind == "conv":
            strides = (self.of(1, 2), self.of(1, 2, 3))
            return L.Conv2D(filters, size, strides=strides, padding=padding, use_bias=bias, activation=self.activation())(x)
        if kind == "groups":
            groups = self.of(*[g for g in range(1, channels + 1) if channels % g == 0])
            return L.Conv2D(groups * self.number(1, 3), size, strides=strides, padding=padding, groups=groups, use_bias=bias)(x)
        if kind == "depthwise":
            # TensorFlow strides depthwise windows alike in both directions.
            return L.DepthwiseConv2D(size, strides=strides, padding=padding, depth_multiplier=self.of(1, 1, 2), use_bias=bias, activation=self.activation())(x)
        if kind == "separable":
            return L.SeparableConv2D(filters, size, strides=strides, padding=padding, use_bias=bias, depth_multiplier=self.of(1, 2))(x)
        return L.Conv2D(filters, size, dilation_rate=self.of(1, 2), padding="same", use_bias=bias)(x)

    def pooling(self, x):
        size = [self.number(1, min(3, n)) for n in x.shape[1:3]]
        make = self.of(L.MaxPooling2D, L.AveragePooling2D)
        return make(size, strides=self.of(None, 1, 2), padding=self.of("same", "valid"))(x)

    def normalization(self, x):
        channels = x.shape[-1]
        flags = {"scale": bool(self.number(0, 1)), "center": bool(self.number(0, 1))}
        kind = self.of("batch", "batch", "layer", "group", "image")
        if kind == "batch":
            return L.BatchNormalization(epsilon=self.of(1e-3, 1e-2), momentum=self.of(0.5, 0.9), trainable=self.of(True, True, False), **flags)(x)
        if kind == "group":
            return L.GroupNormalization(self.of(-1, *[g for g in range(1, channels + 1) if channels % g == 0]), epsilon=1e-2, **flags)(x)
        # Of one or two channels it is a step: gradients as large as one likes.
        return L.LayerNormalization(axis=(1, 2, 3) if kind == "image" or channels < 3 else -1, epsilon=1e-2, **flags)(x)

    def arranging(self, x):
        height, width, channels = x.shape[1:]
        kind = self.of("pad", "crop", "up", "permute", "reshape", "dense", "dropout", "resize")
        if kind == "pad":
            return L.ZeroPadding2D(((self.number(0, 2), self.number(0, 2)), (self.number(0, 2), self.number(0, 2))))(x)
        if kind == "crop" and height > 4 and width > 4:
            return L.Cropping2D(((self.number(0, 1), self.number(0, 1)), (self.number(0, 1), 1)))(x)
        if kind == "up" and height * width < 60:
            return L.UpSampling2D((self.of(1, 2), self.of(2, 3)), interpolation=self.of("nearest", "bilinear"))(x)
        if kind == "resize":
            return L.Resizing(self.number(2, 8), self.number(2, 8), interpolation=self.of("nearest", "bilinear"))(x)
        if kind == "permute":
            return L.Permute((2, 1, 3))(x)
        if kind == "reshape":
            return L.Reshape((width, -1, channels))(x)
        if kind == "dropout":
            return self.of(L.Dropout(0.0), L.SpatialDropout2D(0.0))(x)
        return L.Dense(self.number(1, 8), activation=self.activation())(x)

    def activating(self, x):
        return self.of(
            lambda: L.ReLU(max_value=self.of(None, 2.0), negative_slope=self.of(0.0, 0.25), threshold=self.of(0.0, 0.125))(x),
            lambda: L.LeakyReLU(negative_slope=0.2)(x),
            lambda: L.PReLU(shared_axes=self.of(None, (1, 2)), alpha_initializer=keras.initializers.RandomUniform(0.1, 0.4))(x),
            lambda: L.ELU(0.5)(x),
            lambda: L.Activation(self.activation() or "linear")(x),
            lambda: L.Softmax()(x),
            lambda: x * 0.5 + 0.25,
            lambda: 1.5 - x,
        )()

    def attention(self, x):
        """Of pixels to each other, over the image or over a sequence with positions."""
        height, width, channels = x.shape[1:]
        heads, size = self.number(1, 3), self.number(1, 5)
        bias = bool(self.number(0, 1))
        if self.number(0, 1):
            y = L.MultiHeadAttention(heads, size, value_dim=self.number(1, 5), use_bias=bias)(x, x)
        else:
            y = L.Reshape((height * width, channels))(x)
            y = L.EinsumDense("abc,cd->abd", output_shape=(height * width, channels), bias_axes=self.of(None, "d", "bd"), activation=self.activation())(y)
            y = L.Reshape((height, width, channels))(L.MultiHeadAttention(heads, size, use_bias=bias)(y, y))
        return L.Add()([x, y])

    def merging(self, x, earlier):
        alike = [y for y in earlier if y.shape == x.shape and y is not x]
        if not alike or self.number(0, 3) == 0:
            # Squeeze and excitation.
            gate = L.GlobalAveragePooling2D(keepdims=True)(x)
            return L.Multiply()([x, L.Conv2D(x.shape[-1], 1, activation="sigmoid")(gate)])
        y = self.of(*alike)
        make = self.of(L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Concatenate)
        return make()([x, y])

    def model(self):
        images = keras.Input((self.number(6, 13), self.number(6, 13), self.of(1, 3)))
        x = L.Rescaling(self.of(1 / 255, 1 / 127.5), offset=self.of(0.0, -0.5))(images)
        earlier = []
        for _ in range(self.number(3, 9)):
            make = self.of(self.convolution, self.convolution, self.normalization, self.activating, self.arranging, self.pooling, self.attention, None)
            if make == self.pooling and min(x.shape[1:3]) < 2:
                make = self.normalization
            y = self.merging(x, earlier) if make is None else make(x)
            if min(y.shape[1:3]) < 1 or np.prod(y.shape[1:]) > 4000:
                continue
            x = y
            earlier.append(x)
        heads = [self.of(L.GlobalAveragePooling2D(), L.GlobalMaxPooling2D(), L.Flatten())(x)]
        if len(earlier) > 1:
            heads.append(L.GlobalAveragePooling2D()(self.of(*earlier)))
        x = L.Concatenate()(heads) if len(heads) > 1 else heads[0]
        if self.number(0, 1):
            x = L.Dense(self.number(2, 9), activation=self.activation())(x)
        return keras.Model(images, L.Dense(self.number(2, 6), activation=self.of(None, "softmax"))(x), name="random")


def make(folder: Path, seed: int):
    keras.utils.set_random_seed(seed)
    maker = Maker(seed)
    model = maker.model()
    random = maker.random
    for variable in model.variables:
        value, kind = np.asarray(variable), variable.path.rsplit("/", 1)[-1]
        if kind in ("moving_variance", "gamma"):
            variable.assign(random.uniform(0.5, 1.5, value.shape).astype("float32"))
        elif kind in ("bias", "beta", "moving_mean"):
            variable.assign(random.normal(0, 0.2, value.shape).astype("float32"))
    images = random.integers(0, 256, (ROWS, *model.input_shape[1:])).astype("uint8")
    labels = random.integers(0, model.output_shape[-1], ROWS).astype("int32")
    softmax = model.layers[-1].activation is keras.activations.softmax
    logits = np.asarray(model(images.astype("float32"), training=False))
    model.save(folder / f"random-{seed}.keras")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not softmax)
    places = [(layer.name, k, w) for layer in model.layers for k, w in enumerate(layer.weights) if w.trainable]
    with tf.GradientTape() as tape:
        value = loss(labels, model(images.astype("float32"), training=True))
    found = tape.gradient(value, [w.value for *_, w in places], unconnected_gradients=tf.UnconnectedGradients.ZERO)
    flat = np.concatenate([np.asarray(g).ravel() for g in found])
    logits = np.log(logits) if softmax else logits
    np.savez(folder / f"random-{seed}.npz", images=images, labels=labels, logits=logits, losses=np.float32([float(value)]), softmax=np.int32([softmax]), gradients=flat)
    return {"seed": seed, "layers": [layer.__class__.__name__ for layer in model.layers], "weights": [[name, k] for name, k, _ in places]}


folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
print(json.dumps([make(folder, seed) for seed in range(first, first + count)]))
