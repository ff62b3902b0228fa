"""The five models in Keras, with logits as their output. Import it after the backend has been chosen."""

import keras
from keras import layers as L


BN_MOMENTUM = 0.99


def gelu_norm(x):
    return L.BatchNormalization(momentum=BN_MOMENTUM)(L.Activation("gelu")(x))


def mixer_block(x, dim):
    y = L.Add()([gelu_norm(L.DepthwiseConv2D(5, padding="same")(x)), x])
    return gelu_norm(L.Conv2D(dim, 1)(y))


def block_residual(x, dim):
    y = L.Conv2D(dim, 1)(L.DepthwiseConv2D(5, padding="same")(x))
    return gelu_norm(L.Add()([gelu_norm(y), x]))


def stage(x, dim, depth, block=mixer_block):
    x = gelu_norm(L.Conv2D(dim, 2, strides=2)(x))
    for _ in range(depth):
        x = block(x, dim)
    return x


def pooled(x):
    return L.Dense(10)(L.Dropout(0.5)(L.GlobalAveragePooling2D()(x)))


def flattened(x):
    return L.Dense(10)(L.Dense(256, activation="relu")(L.Dropout(0.5)(L.Flatten()(x))))


def conv_pooling(x):
    for filters in (64, 128, 256):
        x = L.BatchNormalization(momentum=BN_MOMENTUM)(x)
        for _ in range(2):
            x = L.Conv2D(filters, 3, padding="same", activation="gelu")(x)
        x = L.MaxPooling2D()(x)
    return flattened(x)


MODELS = {
    "convmixer-256-8": lambda x: pooled(stage(x, 256, 8)),
    "convmixer-2stage": lambda x: pooled(stage(stage(x, 256, 4), 512, 4)),
    "convmixer-256-8-block-residual": lambda x: pooled(stage(x, 256, 8, block_residual)),
    "convmixer-2stage-flatten": lambda x: flattened(stage(stage(x, 256, 4), 512, 4)),
    "conv-pooling": conv_pooling,
}


def build(arch, bn_momentum=0.99):
    global BN_MOMENTUM
    BN_MOMENTUM = bn_momentum
    image = keras.Input((32, 32, 3))
    return keras.Model(image, MODELS[arch](L.Rescaling(1 / 255)(image)))
