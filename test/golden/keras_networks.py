"""Networks built, saved and run by Keras, for the readers of its files.

    python keras_networks.py make FOLDER [NAME ...]   writes NAME.keras and NAME.npz (images, labels, logits, losses of three steps); all names without one
    python keras_networks.py wide FOLDER NAME ...     runs networks of `make applications` in float64 with the same weights, and prints logits and losses as JSON
    python keras_networks.py orders FOLDER NAME ...   the losses again, with the rows of the batch in other orders
    python keras_networks.py check FOLDER             loads NAME.back.keras and NAME.onnx, which were written here, and prints logits and losses as JSON

test/golden/keras holds the files of those under GOLDEN, made with Keras 3.15.1 on TensorFlow; test/interop makes all of them anew.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path

BACKEND = next(name for name, module in {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}.items() if importlib.util.find_spec(module))
os.environ["KERAS_BACKEND"] = BACKEND
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers as L  # noqa: E402

ROWS = 8


def sequential():
    return keras.Sequential([
        keras.Input((12, 10, 3)),
        L.Rescaling(1 / 255),
        L.Conv2D(6, 3, strides=2, padding="same", use_bias=False, name="stem"),
        L.BatchNormalization(epsilon=1e-5),
        L.Activation("relu"),
        L.DepthwiseConv2D(3, padding="same", use_bias=False),
        L.Conv2D(8, 1, activation="gelu", kernel_initializer="he_normal"),
        L.MaxPooling2D(),
        L.Flatten(),
        L.Dropout(0.0),
        L.Dense(7, activation="relu"),
        L.Dense(5, activation="softmax"),
    ])


def branched():
    """Branches of different length, a sum of three, images that nothing rescales."""
    images = keras.Input((8, 8, 1))
    stem = L.Conv2D(4, 1, activation="relu", kernel_initializer=keras.initializers.RandomNormal(stddev=0.01))(images)
    short = L.Conv2D(4, 3, padding="same")(stem)
    long = L.BatchNormalization()(L.Conv2D(4, 3, padding="same", name="after")(L.DepthwiseConv2D(3, padding="same")(stem)))
    x = L.GlobalAveragePooling2D()(L.Add()([short, long, stem]))
    return keras.Model(images, L.Dense(3)(x), name="branched-model")


def nested():
    """Models in models: one of them a chain, one with a branch in it, of classes whose numbers go on in each."""
    inner = keras.Sequential([keras.Input((8, 8, 4)), L.Conv2D(4, 3, padding="same"), L.BatchNormalization(), L.Activation("gelu")], name="chain")
    a = keras.Input((8, 8, 4))
    block = keras.Model(a, L.Add()([L.Conv2D(4, 1)(a), L.DepthwiseConv2D(3, padding="same")(a)]), name="block")
    images = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 1)(L.Rescaling(1 / 127.5)(images))
    x = L.Add()([block(inner(x)), x])
    x = L.Dense(4)(L.GlobalAveragePooling2D()(L.Conv2D(6, 1)(x)))
    return keras.Model(images, x)


def shapes():
    """Dense over more than one axis, reshaping, an image of one pixel, a separable convolution, a softmax of its own."""
    images = keras.Input((6, 4, 3))
    x = L.Dense(4, activation="gelu")(L.Rescaling(1 / 255)(images))
    x = L.ReLU()(L.SeparableConv2D(5, 3, padding="same", use_bias=False)(x))
    x = L.Conv2D(4, 2, strides=2, activation="relu")(x)
    y = L.Dense(4, use_bias=False)(L.Reshape((3, -1))(x))
    y = L.Reshape((3, 2, 4))(L.Dense(8)(y))
    pixel = L.GlobalAveragePooling2D(keepdims=True)(L.Add()([x, y]))
    return keras.Model(images, L.Softmax()(L.Dense(3)(L.Flatten()(pixel))))


def framed():
    """Zeros around images, parts of images, images and features beside each other."""
    images = keras.Input((7, 6, 3))
    x = L.ZeroPadding2D(((1, 0), (2, 1)))(L.Rescaling(1 / 255)(images))
    a = L.Conv2D(4, 3, strides=2, activation="relu")(x)
    b = L.Conv2D(3, 3, strides=2)(L.ZeroPadding2D(1)(L.Cropping2D(1)(x)))
    x = L.Concatenate()([a, L.Cropping2D(((0, 0), (0, 1)))(L.ZeroPadding2D(((0, 0), (0, 1)))(b)), a])
    x = L.Concatenate()([L.GlobalAveragePooling2D()(x), L.Flatten()(a)])
    return keras.Model(images, L.Dense(4)(x))


def shared():
    """A convolution that is called twice, once behind itself, a dense layer of two branches, and a product."""
    images = keras.Input((6, 6, 3))
    twice = L.Conv2D(3, 3, padding="same", name="twice")
    x = L.Rescaling(1 / 255)(images)
    a = twice(x)
    b = twice(L.Activation("relu")(a))
    head = L.Dense(4)
    a, b = (head(L.GlobalAveragePooling2D()(y)) for y in (a, L.Multiply()([a, b])))
    return keras.Model(images, L.Add()([a, b]))


def pooled():
    """Pooling over windows of all kinds, and activations of many."""
    images = keras.Input((13, 11, 3))
    x = L.Conv2D(6, 3, padding="same", activation="silu")(L.Rescaling(1 / 255)(images))
    x = L.AveragePooling2D(3, 2, padding="same")(x)
    x = L.LeakyReLU(0.1)(L.Conv2D(5, 3, activation="mish")(x))
    a = L.MaxPooling2D((3, 2), (1, 2), padding="same")(L.ELU(0.7)(L.BatchNormalization()(L.Conv2D(4, 1, activation="hard_swish")(x))))
    b = L.AveragePooling2D((1, 2))(L.ReLU(6.0, negative_slope=0.25, threshold=0.1)(L.DepthwiseConv2D(3, padding="same", activation="selu")(x)))
    c = L.GlobalMaxPooling2D(keepdims=True)(L.Conv2D(4, 1, activation="relu6")(x))
    parts = [L.GlobalMaxPooling2D()(a), L.GlobalAveragePooling2D()(L.Activation("softplus")(b)), L.Flatten()(c)]
    x = L.Dense(9, activation="tanh")(L.Concatenate()(parts))
    x = L.Dense(8, activation="sigmoid")(L.Dense(8, activation="softsign")(x))
    return keras.Model(images, L.Dense(4)(L.Dense(7, activation="hard_sigmoid")(L.Dense(6, activation="exponential")(x))))


def windows():
    """Convolutions of any windows: not square, dilated, in groups, depthwise with strides and with several kernels a channel."""
    images = keras.Input((11, 9, 3))
    x = L.Rescaling(1 / 127.5, offset=-1)(images)
    x = L.Conv2D(6, (3, 2), strides=(2, 1), padding="same")(x)
    x = L.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    y = L.Conv2D(8, 3, dilation_rate=2, padding="same", groups=2)(x)
    z = L.DepthwiseConv2D((2, 3), depth_multiplier=2, padding="same", activation="relu")(x)
    z = L.SeparableConv2D(8, 3, dilation_rate=2, padding="same", depth_multiplier=2)(z)
    x = L.Conv2D(12, 3, padding="same", groups=8 // 2)(L.Add()([y, z]))
    x = L.Conv2D(24, 3, padding="valid", groups=12)(x)
    return keras.Model(images, L.Dense(4)(L.GlobalAveragePooling2D()(x)))


def excited():
    """What networks of now have besides: squeeze and excitation, operations on tensors, normalisation without scale or centre, of layers too."""
    images = keras.Input((8, 6, 3))
    x = L.Normalization()(L.Rescaling([1 / 255, 1 / 200, 1 / 100], offset=[0.1, 0.2, 0.3])(images))
    x = L.BatchNormalization(scale=False)(L.Conv2D(8, 3, padding="same")(x))
    x = L.BatchNormalization(center=False, epsilon=0.01)(L.Activation("relu")(x))
    y = L.Reshape((1, 1, 8))(L.GlobalAveragePooling2D()(x))
    y = L.Conv2D(8, 1)(L.Conv2D(2, 1, activation="relu")(y))
    x = L.Multiply()([x, L.ReLU()(y + 3.0) * (1.0 / 6.0)])
    x = L.LayerNormalization(epsilon=1e-6)(x)
    a, b = L.UpSampling2D(2)(x), L.Permute((1, 2, 3))(L.UpSampling2D((2, 2))(x * 0.5))
    x = L.Concatenate()([L.Average()([a, b]), L.Maximum()([a, b]), L.Minimum()([a, -b]), L.Subtract()([a, b])])
    x = L.Concatenate(axis=1)([x, L.Dropout(0.0, noise_shape=(None, 1, 1, 1))(x)])
    x = L.Permute((2, 1))(L.Reshape((24 * 16, 16))(L.MaxPooling2D()(L.Concatenate(axis=2)([x, 2.0 - x]))))
    x = L.Flatten()(L.Dense(3)(L.LayerNormalization(scale=False)(x)))
    return keras.Model(images, L.Dense(4)(x))


def frozen():
    """Layers that are not trained, a model of them, and momenta that differ. No bias whose gradient is 0 but for rounding: Adam takes a whole step of that."""
    inner = keras.Sequential([keras.Input((8, 8, 4)), L.Conv2D(4, 3, padding="same"), L.BatchNormalization(momentum=0.5)], name="backbone")
    inner.trainable = False
    images = keras.Input((8, 8, 3))
    x = L.BatchNormalization(momentum=0.3)(L.Conv2D(4, 3, padding="same", use_bias=False)(L.Rescaling(1 / 255)(images)))
    x = L.Conv2D(4, 1, trainable=False)(L.Activation("relu")(inner(x, training=False)))
    x = L.BatchNormalization(momentum=0.8)(x)
    x = L.BatchNormalization(momentum=0.7, trainable=False)(L.Activation("relu")(x))
    return keras.Model(images, L.Dense(4)(L.GlobalAveragePooling2D()(x)))


def grouped():
    """Normalisation of groups of channels and of whole images, slopes that are trained, the middle of an image, thresholds that values lie on."""
    images = keras.Input((9, 8, 3))
    x = L.Conv2D(8, 3, use_bias=False)(L.CenterCrop(8, 7)(L.Rescaling(1 / 255)(images)))
    x = L.PReLU(shared_axes=(1, 2))(L.GroupNormalization(4)(x))
    a = L.PReLU()(L.GroupNormalization(-1, scale=False)(L.Conv2D(6, 3)(x)))
    b = L.LayerNormalization(axis=(1, 2, 3))(L.GroupNormalization(1, center=False, epsilon=0.01)(L.Conv2D(6, 3)(x)))
    x = L.LayerNormalization(axis=(-2, -1), center=False)(L.Add()([a, b]))
    x = L.ReLU(threshold=0.5)(L.ReLU(max_value=0.5)(x))
    x = L.PReLU()(L.LayerNormalization()(L.Dense(7)(L.Flatten()(L.Concatenate()([x, a])))))
    return keras.Model(images, L.Dense(4)(L.GroupNormalization(2)(L.Dense(6)(x))))


def attending():
    """A small vision transformer: patches, positions as the bias of each place, blocks of attention and of dense layers, one of them with heads of other sizes."""
    images = keras.Input((12, 8, 3))
    x = L.Conv2D(8, 4, strides=4)(L.Rescaling(1 / 127.5, offset=-1)(images))
    x = L.Reshape((6, 8))(x)
    x = L.EinsumDense("abc,cd->abd", output_shape=(6, 8), bias_axes="bd")(x)
    for heads, size, value in ((2, 4, 4), (3, 5, 2)):
        y = L.LayerNormalization(epsilon=1e-6)(x)
        x = L.Add()([x, L.MultiHeadAttention(heads, size, value_dim=value, use_bias=heads == 2)(y, y)])
        y = L.LayerNormalization(epsilon=1e-6)(x)
        x = L.Add()([x, L.Dense(8)(L.Dropout(0.0)(L.Dense(16, activation="gelu")(y)))])
    x = L.LayerNormalization(epsilon=1e-6)(x)
    x = L.Concatenate()([L.GlobalAveragePooling1D()(x), L.GlobalMaxPooling1D()(L.EinsumDense("...c,cd->...d", output_shape=4, bias_axes="d")(x))])
    return keras.Model(images, L.Dense(5)(x))


def resized():
    """Images in other sizes, softmax in the midst, and attention of the pixels of an image."""
    images = keras.Input((9, 7, 3))
    x = L.Resizing(8, 10)(L.RandomCrop(9, 7)(L.Rescaling(1 / 255)(images)))
    x = L.Conv2D(4, 3, strides=2, activation="softmax")(x)
    a = L.UpSampling2D((2, 3), interpolation="bilinear")(x)
    b = L.Resizing(6, 12, interpolation="nearest")(L.Softmax()(L.Resizing(5, 3)(a)))
    x = L.Multiply()([L.Activation("softmax")(L.Conv2D(4, 1)(a)), b])
    x = L.MaxPooling2D(2)(x)
    x = L.MultiHeadAttention(2, 3, output_shape=5)(x, x)
    return keras.Model(images, L.Dense(4, activation="softmax")(L.Flatten()(x)))


def binary():
    """One unit with a sigmoid, for two classes."""
    images = keras.Input((8, 8, 3))
    x = L.Conv2D(6, 3, activation="relu")(L.Rescaling(1 / 255)(images))
    return keras.Model(images, L.Dense(1, activation="sigmoid")(L.GlobalAveragePooling2D()(x)))


def binary_logit():
    """One unit without one: a logit."""
    images = keras.Input((8, 8, 1))
    x = L.BatchNormalization()(L.Conv2D(6, 3, strides=2, use_bias=False)(L.Rescaling(1 / 255)(images)))
    return keras.Model(images, L.Dense(1)(L.Flatten()(L.Activation("silu")(x))))


def modes():
    """Calls with training=False, of layers that are trained: Keras 3 overrides that in training."""
    inner = keras.Sequential([keras.Input((6, 6, 4)), L.Conv2D(4, 3, padding="same", use_bias=False), L.BatchNormalization(momentum=0.5)], name="inner")
    images = keras.Input((8, 8, 3))
    twice = L.BatchNormalization(momentum=0.3)
    x = L.Conv2D(4, 3, use_bias=False)(L.Rescaling(1 / 255)(images))
    x = L.Activation("relu")(twice(x, training=False))
    x = L.Add()([inner(x, training=False), twice(x)])
    return keras.Model(images, L.Dense(4)(L.GlobalAveragePooling2D()(L.Activation("tanh")(x))))


def odd():
    """A model in a model in a model, a layer that is called three times, a batch of fixed size, axes by their numbers, and layers that compute nothing."""
    inner = keras.Sequential([keras.Input((8, 8, 4)), L.Conv2D(4, 3, padding="same", use_bias=False), L.BatchNormalization(axis=3), L.Identity(), L.Activation("tanh")], name="inner")
    features = keras.Input((8, 8, 4))
    thrice = L.Conv2D(4, 3, padding="same", activation="tanh", name="thrice")
    block = keras.Model(features, L.Add()([inner(thrice(thrice(thrice(features)))), features]), name="block")
    return keras.Sequential([
        keras.Input((8, 8, 3), batch_size=ROWS),
        L.Rescaling(np.array([1 / 255, 1 / 200, 1 / 100])),
        L.Conv2D(4, 1),
        block,
        L.SpatialDropout2D(0.0),
        L.GaussianDropout(0.0),
        L.Softmax(axis=3),
        L.MaxPooling2D(4),
        L.GroupNormalization(2, axis=3),
        L.Flatten(),
        L.Dense(6, use_bias=False),
        L.BatchNormalization(axis=1, synchronized=True),
        L.ActivityRegularization(0.0),
        L.Activation("relu"),
        L.Dense(4),
    ])


NETWORKS = {f.__name__.replace("_", "-"): f for f in (sequential, branched, nested, shapes, framed, shared, pooled, windows, excited, frozen, grouped, attending, resized, binary, binary_logit, modes, odd)}
GOLDEN = list(NETWORKS)

# Of keras.applications, with the size of the images.
APPLICATIONS = {
    "MobileNet": 32,
    "MobileNetV2": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG16": 32,
    "EfficientNetB0": 32,
    "MobileNetV3Small": 32,
    "DenseNet121": 32,
    "Xception": 71,
    "InceptionV3": 75,
    "NASNetMobile": 32,
    "ConvNeXtTiny": 32,
}


def application(name: str):
    size = APPLICATIONS[name]
    model = getattr(keras.applications, name)(weights=None, classes=10, input_shape=(size, size, 3))
    for layer in model._flatten_layers():
        if isinstance(layer, (L.Dropout, L.SpatialDropout2D)):
            layer.rate = 0.0
    return model


def compiled(model, rate=1e-3):
    softmax = getattr(model.layers[-1], "activation", None) is keras.activations.softmax or isinstance(model.layers[-1], L.Softmax)
    sigmoid = getattr(model.layers[-1], "activation", None) is keras.activations.sigmoid
    binary = model.output_shape[-1] == 1
    loss = keras.losses.BinaryCrossentropy(from_logits=not sigmoid) if binary else keras.losses.SparseCategoricalCrossentropy(from_logits=not softmax)
    if not model.compiled:
        model.compile(optimizer=keras.optimizers.AdamW(learning_rate=rate, weight_decay=1e-4), loss=loss, metrics=["acc"])
    model.run_eagerly = model.count_params() < 10**5  # small graphs are quicker without compiling them
    return model, softmax or (binary and sigmoid)


def run(model, images, labels):
    """Logits, which are log-probabilities where the model ends in a softmax, the losses of three steps, and the logits after them."""
    model, softmax = compiled(model)

    def predict():
        values = np.asarray(model.predict_on_batch(images.astype(keras.config.floatx())))
        if values.shape[-1] == 1:  # of two classes
            values = np.concatenate([1 - values if softmax else np.zeros_like(values), values], -1)
        return np.log(values) if softmax else values

    logits = predict()
    losses = []
    for _ in range(3):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(images.astype(keras.config.floatx()), labels)[0]))
    return logits, losses, predict()


def calm(model, images):
    """Makes logits smaller where weights at random saturate the softmax: Keras takes the logarithm of probabilities that it holds above 1e-7, so that its loss is another there."""
    for _ in range(20):
        probabilities = np.asarray(model.predict_on_batch(images.astype("float32")), "float64")
        spread = -np.log(np.maximum(probabilities, 1e-30).min())
        if spread <= 8:
            return
        # Of a probability that is 0 no more is known than that: again.
        model.layers[-1].kernel.assign(np.asarray(model.layers[-1].kernel) * (8 / spread))


def make(folder: Path, name: str):
    keras.utils.set_random_seed(7)
    random = np.random.default_rng(11)
    large = name in APPLICATIONS
    model = application(name) if large else NETWORKS[name]()
    rows = 16 if large else ROWS
    for variable in model.variables:
        value = np.asarray(variable)
        kind = variable.path.rsplit("/", 1)[-1]
        if "layer_scale" in variable.path:
            variable.assign(random.uniform(0.1, 0.5, value.shape).astype("float32"))
        elif kind in ("moving_variance", "gamma", "variance", "alpha"):
            variable.assign(random.uniform(0.5, 1.5, value.shape).astype("float32"))
        elif kind in ("bias", "beta", "moving_mean", "mean"):
            variable.assign(random.normal(0, 0.1, value.shape).astype("float32"))
    for layer in model._flatten_layers():
        if isinstance(layer, L.Normalization) and layer.input_mean is None:
            layer.finalize_state()  # computes with what its weights say
    images = random.integers(0, 256, (rows, *model.input_shape[1:])).astype("uint8")
    labels = random.integers(0, max(2, model.output_shape[-1]), rows).astype("int32")
    if large:
        calm(model, images)
    rate = 1e-5 if large else 1e-3
    model, softmax = compiled(model, rate)
    model.save(folder / f"{name}.keras")
    logits, losses, after = run(model, images, labels)
    np.savez(folder / f"{name}.npz", images=images, labels=labels, logits=logits, after=after, losses=np.float32(losses), softmax=np.int32([softmax]), rate=np.float32([rate]))


def check(path: Path):
    data = np.load(path.with_name(path.name.replace(".back.keras", ".npz")))
    logits, losses, after = run(keras.models.load_model(path), data["images"], data["labels"])
    import onnx
    import onnxruntime

    exported = path.with_name(path.name.replace(".back.keras", ".onnx"))
    onnx.checker.check_model(onnx.load(exported), full_check=True)
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    return {"logits": logits.ravel().tolist(), "losses": losses, "after": after.ravel().tolist(), "onnx": session.run(["logits"], {"images": data["images"]})[0].ravel().tolist()}


def wide(folder: Path, name: str):
    """The same in doubles: what rounding alone makes of it."""
    data = np.load(folder / f"{name}.npz")
    model = application(name)
    model.load_weights(folder / f"{name}.keras")
    model, _ = compiled(model, float(data["rate"][0]))
    logits, losses, after = run(model, data["images"], data["labels"])
    return {"logits": logits.ravel().tolist(), "losses": losses, "after": after.ravel().tolist()}


def orders(folder: Path, name: str):
    """Losses of the same steps in floats with the rows of the batch in other orders: the same numbers but for rounding."""
    data = np.load(folder / f"{name}.npz")
    model = keras.models.load_model(folder / f"{name}.keras")
    model.optimizer.build(model.trainable_variables)
    kept = [(variable, np.array(variable)) for variable in [*model.variables, *model.optimizer.variables]]
    found = []
    for seed in range(6):
        for variable, value in kept:
            variable.assign(value)
        order = np.random.default_rng(seed).permutation(len(data["labels"]))
        losses = []
        for _ in range(3):
            model.reset_metrics()
            losses.append(float(model.train_on_batch(data["images"][order].astype("float32"), data["labels"][order])[0]))
        found.append(losses)
    return found


command, folder, *names = sys.argv[1:]
if command == "make":
    for name in (APPLICATIONS if names == ["applications"] else names) or NETWORKS:
        make(Path(folder), name)
    print(json.dumps({"keras": keras.__version__, "names": list(APPLICATIONS) if names == ["applications"] else names or list(NETWORKS)}))
elif command == "orders":
    print(json.dumps({name: orders(Path(folder), name) for name in names}))
elif command == "wide":
    keras.config.set_floatx("float64")
    print(json.dumps({name: wide(Path(folder), name) for name in names}))
else:
    print(json.dumps({path.name.removesuffix(".back.keras"): check(path) for path in sorted(Path(folder).glob("*.back.keras"))}))
