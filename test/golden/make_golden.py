"""Writes the golden tensors: what Keras on TensorFlow computes for the five models and for single ops, in float64.

The tests read what this wrote (ops.bin and one <architecture>.bin per model, beside this file) and need no Python.
To write the files anew, in an empty folder of your choice:

    python3 -m venv golden-env
    golden-env/bin/pip install tensorflow==2.21.0 keras==3.15.1
    golden-env/bin/python test/golden/make_golden.py

It takes half a minute on two cores. On one machine two runs write the same bytes; on another machine the last bits of
doubles may differ. The reader is test/support/golden.ts: change the format and FORMAT_VERSION in both.

Format, all little-endian:

    bytes 0..7    the magic "HYBGOLD" and a zero byte
    bytes 8..11   format version, uint32
    bytes 12..15  length of the header, uint32, a multiple of 8
    header        UTF-8 JSON padded with spaces: {"versions": {package: version}, "metadata": {…},
                  "tensors": [{"name", "dtype": "float64" | "float32" | "int32" | "uint8", "shape", "offset"}]}
    data          the tensors in C order, each at its offset (a multiple of 8) from the end of the header

Inputs and initial weights are float32 (so that a float32 device starts from exactly the same numbers), results are float64.

Contents of a model's file; PATH is Keras' own, such as layers/conv2d_1/vars/0:

    reduced/…   few channels and a small image, random weights everywhere (biases and moving statistics too). Three AdamW steps:
                images, labels (all batches on end), initial/PATH; before/logits, before/loss (inference mode, all images);
                step/outputs/LAYER: every layer's output, step/logits, step/loss, step/gradients/PATH and step/statistics/PATH of
                the first step; losses of the three steps; after/PATH (weights, moving statistics, moments), after/logits, after/loss
    eight/…     the same model on two images so small that a batch normalisation sees eight values a channel:
                images, labels, initial/PATH, step/loss, step/statistics/PATH after one update
    full/…      the script's widths with the data and weights of the golden run (below): before/…, step/…, losses and after/… as in
                `reduced`, but every tensor larger than the logits is a *digest* of ten numbers: eight elements, spread
                evenly from the first to the last, the Euclidean norm and the sum. For conv-pooling the images are others,
                full/images

Contents of ops.bin: metadata.cases lists {name, op, attrs}; the tensors are NAME/x, NAME/y and so on, named as in ARCHITECTURE.md.
"""

import json
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402
from keras.src.utils.naming import to_snake_case  # noqa: E402

MAGIC = b"HYBGOLD\0"
FORMAT_VERSION = 1
VERSIONS = {"tensorflow": "2.21.0", "keras": "3.15.1"}

# tf.cast rounds a Python float to float32 even on its way to float64, but not a NumPy double. So that no constant loses half of
# its digits, those that Keras casts are NumPy doubles here, and gelu, whose √2 TensorFlow casts inside, is written out.
LEARNING_RATE = np.float64(2e-3)
WEIGHT_DECAY = np.float64(1e-4)
BETA_1 = np.float64(0.9)
BETA_2 = np.float64(0.999)
# The devices multiply bytes by this float32; in double arithmetic it is a double like any other.
SCALE = float(np.float32(1 / 255))
BATCHES = (4, 4, 2)


def gelu(x):
    return 0.5 * x * (1 + tf.math.erf(x / tf.constant(math.sqrt(2), x.dtype)))


def adamw(learning_rate: float, weight_decay: float) -> keras.optimizers.AdamW:
    return keras.optimizers.AdamW(
        learning_rate=np.float64(learning_rate), weight_decay=np.float64(weight_decay), beta_1=BETA_1, beta_2=BETA_2
    )


# --- The file ---------------------------------------------------------------------------------------------------------


class GoldenFile:
    """Collects named tensors and writes them."""

    def __init__(self, metadata: dict):
        self.metadata = metadata
        self.entries: list[dict] = []
        self.data = bytearray()

    def add(self, name: str, values, dtype: str = "float64") -> None:
        array = np.asarray(values)
        assert all(entry["name"] != name for entry in self.entries), name
        stored = np.ascontiguousarray(array.astype(np.dtype(dtype).newbyteorder("<"))).reshape(array.shape)
        assert np.array_equal(stored, array), f"{name} is not exact in {dtype}"
        self.entries.append({"name": name, "dtype": dtype, "shape": list(array.shape), "offset": len(self.data)})
        self.data += stored.tobytes()
        self.data += bytes(-len(self.data) % 8)

    def write(self, path: Path) -> None:
        header = json.dumps({"versions": VERSIONS, "metadata": self.metadata, "tensors": self.entries}, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        path.write_bytes(MAGIC + struct.pack("<II", FORMAT_VERSION, len(header)) + header + self.data)
        print(f"{path.name}: {len(self.entries)} tensors, {path.stat().st_size:,} bytes", flush=True)


def digest(values) -> np.ndarray:
    """Eight elements spread evenly over the tensor, its Euclidean norm, its sum."""
    flat = np.asarray(values, np.float64).reshape(-1)
    spread = [i * (flat.size - 1) // 7 for i in range(8)]
    return np.array([*flat[spread], np.sqrt(np.sum(flat * flat)), np.sum(flat)])


# --- The five models, in Keras' layer order; `channels` maps the script's channel counts to those wanted --------------------


def activation_block(x):
    x = layers.Activation(gelu)(x)
    return layers.BatchNormalization()(x)


def conv_stem(x, filters: int):
    x = layers.Conv2D(filters, kernel_size=2, strides=2)(x)
    return activation_block(x)


def conv_mixer_block(x, filters: int):
    block_input = x
    x = layers.DepthwiseConv2D(kernel_size=5, padding="same")(x)
    x = layers.Add()([activation_block(x), block_input])
    x = layers.Conv2D(filters, kernel_size=1)(x)
    return activation_block(x)


def block_residual_block(x, filters: int):
    block_input = x
    x = layers.DepthwiseConv2D(kernel_size=5, padding="same")(x)
    x = layers.Conv2D(filters, kernel_size=1)(x)
    x = layers.Add()([activation_block(x), block_input])
    return activation_block(x)


def stage(x, filters: int, depth: int, block):
    x = conv_stem(x, filters)
    for _ in range(depth):
        x = block(x, filters)
    return x


def mean_head(x):
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.0)(x)
    return layers.Dense(10)(x)


def flatten_head(x, units: int):
    x = layers.Flatten()(x)
    x = layers.Dropout(0.0)(x)
    x = layers.Dense(units, activation="relu")(x)
    return layers.Dense(10)(x)


def convmixer_256_8(x, channels):
    return mean_head(stage(x, channels(256), 8, conv_mixer_block))


def convmixer_256_8_block_residual(x, channels):
    return mean_head(stage(x, channels(256), 8, block_residual_block))


def two_stages(x, channels):
    x = stage(x, channels(256), 4, conv_mixer_block)
    return stage(x, channels(512), 4, conv_mixer_block)


def convmixer_2stage(x, channels):
    return mean_head(two_stages(x, channels))


def convmixer_2stage_flatten(x, channels):
    return flatten_head(two_stages(x, channels), channels(256))


def conv_pooling(x, channels):
    for filters in (64, 128, 256):
        x = layers.BatchNormalization()(x)
        x = layers.Conv2D(channels(filters), 3, padding="same", activation=gelu)(x)
        x = layers.Conv2D(channels(filters), 3, padding="same", activation=gelu)(x)
        x = layers.MaxPooling2D()(x)
    return flatten_head(x, channels(256))


@dataclass(frozen=True)
class Architecture:
    name: str
    body: Callable
    width: float  # factor on the channels in `reduced` and `eight`: odd counts on purpose, for the tails of vector code
    image: int  # size of the images of `reduced`
    image_eight: int  # size at which two images give eight values a channel somewhere


ARCHITECTURES = [
    Architecture("convmixer-256-8", convmixer_256_8, 10 / 256, 12, 4),
    Architecture("conv-pooling", conv_pooling, 5 / 64, 16, 8),
    Architecture("convmixer-2stage-flatten", convmixer_2stage_flatten, 7 / 256, 12, 8),
    Architecture("convmixer-2stage", convmixer_2stage, 8 / 256, 12, 8),
    Architecture("convmixer-256-8-block-residual", convmixer_256_8_block_residual, 11 / 256, 12, 4),
]


class Trainee:
    """A model with every layer's output exposed, its optimizer, and Keras' paths for layers and variables."""

    def __init__(self, architecture: Architecture, width: float, image: int):
        inputs = keras.Input((image, image, 3))
        logits = architecture.body(layers.Rescaling(SCALE)(inputs), lambda channels: round(channels * width))
        self.model = keras.Model(inputs, logits)
        self.layers = self.model.layers[1:]
        self.exposed = keras.Model(inputs, [layer.output for layer in self.layers])
        self.optimizer = adamw(LEARNING_RATE, WEIGHT_DECAY)
        self.optimizer.build(self.model.trainable_variables)
        self.loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

        self.layer_paths = []
        self.paths = {}  # variable to its path
        seen: dict[str, int] = {}
        for layer in self.layers:
            kind = to_snake_case(type(layer).__name__)
            k = seen.get(kind, 0)
            seen[kind] = k + 1
            path = f"layers/{kind}" + (f"_{k}" if k else "")
            self.layer_paths.append(path)
            for i, variable in enumerate(layer.variables):
                self.paths[id(variable)] = f"{path}/vars/{i}"

    def path(self, variable) -> str:
        return self.paths[id(variable)]

    @property
    def statistics(self):
        return self.model.non_trainable_variables

    def state(self):
        """Weights, moving statistics and moments by path."""
        for variable in self.model.variables:
            yield self.path(variable), variable.numpy()
        # Keras' own order: step count, rate, then the two moments of each parameter in turn.
        for i, variable in enumerate(self.optimizer.variables):
            if i >= 2:
                yield f"optimizer/vars/{i}", variable.numpy()

    def infer(self, images, labels):
        logits = self.model(images, training=False)
        return logits.numpy(), float(self.loss(labels, logits))

    def step(self, images, labels):
        """One training step: outputs of all layers, the loss, the gradients. Moving statistics and weights have changed after it."""
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            outputs = self.exposed(images, training=True)
            loss = self.loss(labels, outputs[-1])
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self.optimizer.apply(gradients, variables)
        return [output.numpy() for output in outputs], float(loss), [gradient.numpy() for gradient in gradients]


def random_state(trainee: Trainee, rng: np.random.Generator) -> None:
    """Kernels as Glorot draws them, and everything else away from its initial value, so that no term can be forgotten unnoticed."""
    for variable in trainee.model.variables:
        shape = variable.shape
        if len(shape) > 1:
            limit = glorot_limit(shape)
            values = rng.uniform(-limit, limit, shape)
        elif variable.name in ("gamma", "moving_variance"):
            values = rng.uniform(0.5, 1.5, shape)
        else:  # bias, beta, moving_mean
            values = rng.uniform(-0.2, 0.2, shape)
        variable.assign(values.astype(np.float32).astype(np.float64))


def glorot_limit(shape) -> float:
    field = math.prod(shape[:-2])
    return math.sqrt(6 / (field * shape[-2] + field * shape[-1]))


def run_steps(trainee: Trainee, images, labels, record: Callable, small: Callable) -> None:
    """Everything before, in and after three training steps. `record` takes large tensors, `small` keeps them whole."""
    logits, loss = trainee.infer(images, labels)
    small("before/logits", logits)
    small("before/loss", loss)
    losses = []
    start = 0
    for count in BATCHES:
        outputs, loss, gradients = trainee.step(images[start : start + count], labels[start : start + count])
        if start == 0:
            for path, output in zip(trainee.layer_paths, outputs, strict=True):
                record(f"step/outputs/{path}", output)
            small("step/logits", outputs[-1])
            small("step/loss", loss)
            for variable, gradient in zip(trainee.model.trainable_variables, gradients, strict=True):
                record(f"step/gradients/{trainee.path(variable)}", gradient)
            for variable in trainee.statistics:
                record(f"step/statistics/{trainee.path(variable)}", variable.numpy())
        losses.append(loss)
        start += count
    small("losses", losses)
    for path, values in trainee.state():
        record(f"after/{path}", values)
    logits, loss = trainee.infer(images, labels)
    small("after/logits", logits)
    small("after/loss", loss)


def golden_reduced(file: GoldenFile, architecture: Architecture, rng: np.random.Generator) -> None:
    def record(name, values):
        file.add(f"reduced/{name}", values)

    trainee = Trainee(architecture, architecture.width, architecture.image)
    random_state(trainee, rng)
    images, labels = random_batch(rng, sum(BATCHES), architecture.image)
    file.add("reduced/images", images, "uint8")
    file.add("reduced/labels", labels, "int32")
    for variable in trainee.model.variables:
        file.add(f"reduced/initial/{trainee.path(variable)}", variable.numpy(), "float32")
    run_steps(trainee, images, labels, record, record)


def golden_eight(file: GoldenFile, architecture: Architecture, rng: np.random.Generator) -> None:
    trainee = Trainee(architecture, architecture.width, architecture.image_eight)
    random_state(trainee, rng)
    images, labels = random_batch(rng, 2, architecture.image_eight)
    file.add("eight/images", images, "uint8")
    file.add("eight/labels", labels, "int32")
    for variable in trainee.model.variables:
        file.add(f"eight/initial/{trainee.path(variable)}", variable.numpy(), "float32")
    outputs, loss, _ = trainee.step(images, labels)
    sizes = [math.prod(output.shape[:-1]) for layer, output in zip(trainee.layers, outputs) if isinstance(layer, layers.BatchNormalization)]
    assert 8 in sizes, f"{architecture.name}: values a channel are {sizes}"
    file.add("eight/step/loss", loss)
    for variable in trainee.statistics:
        file.add(f"eight/step/statistics/{trainee.path(variable)}", variable.numpy())


def random_batch(rng: np.random.Generator, count: int, image: int):
    return rng.integers(0, 256, (count, image, image, 3), np.uint8), rng.integers(0, 10, count).astype(np.int32)


# --- The golden run at full width: data and weights by rule ------------------------------------------------------------


def golden_images() -> np.ndarray:
    """x[n,h,w,c] = (7n + 13h + 29w + 53c + 11·((h·w) mod 17)) mod 256 for n = 0..9; the label of image n is n."""
    n, h, w, c = np.meshgrid(np.arange(10), np.arange(32), np.arange(32), np.arange(3), indexing="ij")
    return ((7 * n + 13 * h + 29 * w + 53 * c + 11 * ((h * w) % 17)) % 256).astype(np.uint8)


def lcg_state(trainee: Trainee) -> None:
    """Kernels, in layer order, from one stream s ← 1664525·s + 1013904223 mod 2³² that starts at 12345: w = (2·s/2³² − 1)·L.

    Rounded to float32, as devices hold them. Biases, gamma, beta and moving statistics keep their initial values.
    """
    s = 12345
    for layer in trainee.layers:
        for variable in layer.variables:
            if len(variable.shape) < 2:
                continue
            values = np.empty(math.prod(variable.shape))
            for i in range(values.size):
                s = (1664525 * s + 1013904223) & 0xFFFFFFFF
                values[i] = s
            kernel = ((2 * values / 2**32 - 1) * glorot_limit(variable.shape)).reshape(variable.shape)
            variable.assign(kernel.astype(np.float32).astype(np.float64))


def golden_full(file: GoldenFile, architecture: Architecture, rng: np.random.Generator) -> None:
    trainee = Trainee(architecture, 1, 32)
    lcg_state(trainee)
    images = golden_images()
    if any(isinstance(layer, layers.MaxPooling2D) for layer in trainee.layers):
        # The images repeat themselves, so that windows of a maximum have ties, which float32 and float64 break differently.
        images, _ = random_batch(rng, len(images), 32)
        file.add("full/images", images, "uint8")
    run_steps(
        trainee,
        images,
        np.arange(10, dtype=np.int32),
        lambda name, values: file.add(f"full/{name}", digest(values)),
        lambda name, values: file.add(f"full/{name}", values),
    )


# --- Single ops ----------------------------------------------------------------------------------------------------------


class OpCases:
    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.file = GoldenFile({"cases": []})

    def begin(self, name: str, op: str, **attrs) -> None:
        self.name = name
        self.file.metadata["cases"].append({"name": name, "op": op, "attrs": attrs})

    def normal(self, tensor: str, *shape: int, scale: float = 1, offset: float = 0) -> tf.Tensor:
        """A random input, exact in float32 and recorded."""
        return self.given(tensor, self.rng.normal(offset, scale, shape))

    def given(self, tensor: str, values) -> tf.Tensor:
        values = np.asarray(values, np.float32)
        self.file.add(f"{self.name}/{tensor}", values, "float32")
        return tf.constant(values, tf.float64)

    def result(self, tensor: str, values, dtype: str = "float64") -> None:
        self.file.add(f"{self.name}/{tensor}", values, dtype)

    def differentiate(self, function: Callable, inputs: dict[str, tf.Tensor]) -> None:
        """Records y of the function, a random dy, and the gradient of every input, called d and its name."""
        with tf.GradientTape() as tape:
            tape.watch(list(inputs.values()))
            y = function(*inputs.values())
        self.result("y", y)
        dy = self.normal("dy", *y.shape)
        for name, gradient in zip(inputs, tape.gradient(y, list(inputs.values()), output_gradients=dy), strict=True):
            self.result(f"d{name}", gradient)


def conv_cases(cases: OpCases) -> None:
    # name, rows, height, width, input channels, kernel, output channels, stride, padding
    for name, n, h, w, ci, k, co, stride, padding in [
        ("conv-1x1", 3, 5, 7, 5, 1, 7, 1, "valid"),
        ("conv-1x1-wide", 2, 3, 3, 17, 1, 19, 1, "valid"),
        ("conv-2x2-stride-2-valid", 2, 6, 8, 3, 2, 5, 2, "valid"),
        ("conv-2x2-stride-2-valid-odd", 2, 7, 9, 3, 2, 5, 2, "valid"),
        ("conv-3x3-same", 2, 5, 4, 3, 3, 6, 1, "same"),
        ("conv-3x3-same-1-pixel", 3, 1, 1, 4, 3, 5, 1, "same"),
        ("conv-5x5-same", 1, 4, 6, 2, 5, 3, 1, "same"),
        ("conv-5x5-same-smaller-image", 2, 3, 2, 3, 5, 4, 1, "same"),
        ("conv-2x2-same", 2, 4, 5, 3, 2, 4, 1, "same"),
        ("conv-3x3-stride-2-same-odd", 2, 7, 5, 3, 3, 4, 2, "same"),
        ("conv-3x3-stride-2-same-even", 2, 6, 8, 3, 3, 4, 2, "same"),
        ("conv-3x3-valid", 2, 5, 7, 2, 3, 3, 1, "valid"),
        ("conv-4x4-stride-4-valid-odd", 2, 9, 11, 3, 4, 5, 4, "valid"),
    ]:
        cases.begin(name, "conv", stride=stride, padding=padding)
        cases.differentiate(
            lambda x, w, b: tf.nn.conv2d(x, w, stride, padding.upper()) + b,
            {"x": cases.normal("x", n, h, w, ci), "w": cases.normal("w", k, k, ci, co), "b": cases.normal("b", co)},
        )
    for name, n, ci, co in [("dense", 5, 13, 6), ("dense-1-row", 1, 33, 10)]:
        cases.begin(name, "conv", stride=1, padding="valid")
        cases.differentiate(
            lambda x, w, b: tf.matmul(x, w) + b,
            {"x": cases.normal("x", n, ci), "w": cases.normal("w", ci, co), "b": cases.normal("b", co)},
        )


def depthwise_cases(cases: OpCases) -> None:
    for k in (3, 4, 5, 7):
        for channels, n, h, w in ((1, 3, 5, 7), (3, 2, 7, 6), (7, 2, 3, 5)):
            cases.begin(f"depthwise-{k}x{k}-{channels}-channels", "depthwise")
            cases.differentiate(
                lambda x, w, b: tf.nn.depthwise_conv2d(x, w, (1, 1, 1, 1), "SAME") + b,
                {"x": cases.normal("x", n, h, w, channels), "w": cases.normal("w", k, k, channels, 1), "b": cases.normal("b", channels)},
            )


def activation_cases(cases: OpCases) -> None:
    difference = np.max(np.abs(gelu(tf.linspace(-9.0, 9.0, 999)) - keras.activations.gelu(tf.linspace(-9.0, 9.0, 999))))
    assert difference < 1e-6, f"keras.activations.gelu is another function: {difference}"
    # One row of as many channels as there are points. The last of the grid is the minimum of gelu.
    for name, points in {
        "grid": [*np.linspace(-6, 6, 301), -0.7517915246935645],
        "small": [-1e-3, -1e-7, -1e-20, 0, 1e-20, 1e-7, 1e-3],
        "tails": [-100, -40, -13, -9, 9, 13, 40, 100],
    }.items():
        for op, function in (("gelu", gelu), ("relu", keras.activations.relu)):
            cases.begin(f"{op}-{name}", op)
            cases.differentiate(function, {"x": cases.given("x", [points])})


def pooling_cases(cases: OpCases) -> None:
    # Few distinct values, so that most windows have ties; and an odd image, whose last row and column no window covers.
    for name, n, h, w, channels in (("max-pool-ties", 2, 6, 4, 3), ("max-pool-ties-odd", 2, 5, 7, 5)):
        cases.begin(name, "maxPool")
        x = cases.given("x", cases.rng.integers(0, 3, (n, h, w, channels)))
        cases.differentiate(lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"), {"x": x})
    cases.begin("global-average-pool", "globalAvgPool")
    cases.differentiate(lambda x: tf.reduce_mean(x, (1, 2)), {"x": cases.normal("x", 3, 5, 3, 7)})


def batch_norm_cases(cases: OpCases) -> None:
    for name, shape, offset, scale in [
        ("batch-norm-8-values", (2, 2, 2, 3), 0, 1),
        ("batch-norm", (3, 5, 7, 5), 0.5, 2),
        ("batch-norm-1-pixel", (5, 1, 1, 6), 0, 1),
        ("batch-norm-far-mean", (4, 6, 6, 3), 100, 0.25),
        ("batch-norm-tiny-variance", (2, 4, 4, 4), 1, 1e-3),
    ]:
        momentum = 0.99
        cases.begin(name, "batchnorm", epsilon=1e-3, momentum=momentum)
        layer = layers.BatchNormalization(momentum=momentum)
        layer.build(shape)
        inputs = {"x": cases.normal("x", *shape, offset=offset, scale=scale), "gamma": cases.normal("gamma", shape[-1], offset=1, scale=0.3)}
        inputs["beta"] = cases.normal("beta", shape[-1], scale=0.3)
        layer.moving_mean.assign(cases.normal("movingMean", shape[-1], scale=0.3))
        layer.moving_variance.assign(cases.given("movingVariance", cases.rng.uniform(0.5, 1.5, shape[-1])))

        def run(x, gamma, beta, training):
            # As variables gamma and beta would hide from the tape: the layer reads them inside a stateless scope.
            with keras.StatelessScope(state_mapping=[(layer.gamma, gamma), (layer.beta, beta)]) as scope:
                y = layer(x, training=training)
            for variable in (layer.moving_mean, layer.moving_variance):
                if training:
                    variable.assign(scope.get_current_value(variable))
            return y

        cases.result("inference", run(*inputs.values(), training=False))
        cases.differentiate(lambda *args: run(*args, training=True), inputs)
        cases.result("movingMeanAfter", layer.moving_mean)
        cases.result("movingVarianceAfter", layer.moving_variance)
        mean, variance = tf.nn.moments(inputs["x"], (0, 1, 2))
        cases.result("mean", mean)
        cases.result("variance", variance)


def loss_cases(cases: OpCases) -> None:
    for name, rows, classes, scale in [
        ("cross-entropy", 5, 10, 2),
        ("cross-entropy-1-row", 1, 3, 1),
        ("cross-entropy-large-logits", 7, 5, 200),
        ("cross-entropy-ties", 4, 6, 0),
    ]:
        cases.begin(name, "softmaxCrossEntropy")
        logits = cases.normal("logits", rows, classes, scale=scale)
        labels = cases.rng.integers(0, classes, rows)
        if scale == 0:
            labels[0] = 0  # all logits are equal: the lowest index counts as the prediction
        cases.file.add(f"{name}/labels", labels, "int32")
        loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = loss_function(labels, logits)
        cases.result("loss", loss)
        cases.result("correct", np.sum(keras.metrics.sparse_categorical_accuracy(labels, logits).numpy()))
        cases.result("dlogits", tape.gradient(loss, logits))


def adamw_cases(cases: OpCases) -> None:
    """Steps whose gradients are of every size around ε = 1e-7, zero among them, with a rate that changes on the way."""
    rates = [2e-3, 2e-3, 1e-3, 5e-4, 5e-4]
    for name, decay in (("adamw", 1e-4), ("adamw-strong-decay", 0.5)):
        cases.begin(name, "adamw", weightDecay=decay, learningRates=rates, beta1=0.9, beta2=0.999, epsilon=1e-7)
        start = cases.normal("w", 37)
        gradients = cases.rng.normal(0, 1, (len(rates), 37)) * 10.0 ** cases.rng.integers(-12, 3, (len(rates), 37))
        gradients[:, 0] = 0
        gradients[1:, 1] = 0
        gradients = cases.given("gradients", gradients)
        variable = keras.Variable(start, dtype="float64")
        optimizer = adamw(rates[0], decay)
        optimizer.build([variable])
        steps = []
        for rate, gradient in zip(rates, gradients, strict=True):
            optimizer.learning_rate.assign(np.float64(rate))
            optimizer.apply([gradient], [variable])
            steps.append([variable.numpy(), optimizer.variables[2].numpy(), optimizer.variables[3].numpy()])
        for i, result in enumerate(("weights", "moment1", "moment2")):
            cases.result(result, np.stack([step[i] for step in steps]))


def golden_ops() -> GoldenFile:
    cases = OpCases(np.random.default_rng(2026))
    conv_cases(cases)
    depthwise_cases(cases)
    activation_cases(cases)
    pooling_cases(cases)
    batch_norm_cases(cases)
    loss_cases(cases)
    adamw_cases(cases)
    return cases.file


def main() -> None:
    found = {"tensorflow": tf.__version__, "keras": keras.__version__}
    if found != VERSIONS:
        raise SystemExit(f"The golden tensors are made with {VERSIONS}; this environment has {found}.")
    keras.config.set_floatx("float64")
    # One thread each: sums in one order, hence the same bytes every time.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(0)

    folder = Path(__file__).resolve().parent
    golden_ops().write(folder / "ops.bin")
    for seed, architecture in enumerate(ARCHITECTURES):
        rng = np.random.default_rng(seed)
        file = GoldenFile(
            {
                "arch": architecture.name,
                "learningRate": float(LEARNING_RATE),
                "weightDecay": float(WEIGHT_DECAY),
                "batches": BATCHES,
                "reduced": {"width": architecture.width, "image": architecture.image},
                "eight": {"width": architecture.width, "image": architecture.image_eight},
            }
        )
        golden_reduced(file, architecture, rng)
        golden_eight(file, architecture, rng)
        golden_full(file, architecture, rng)
        file.write(folder / f"{architecture.name}.bin")


if __name__ == "__main__":
    main()
