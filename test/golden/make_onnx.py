"""Writes test/golden/onnx: small networks with random weights as PyTorch's two exporters and tf2onnx write them, images, and the logits that ONNX
Runtime gives for them.

    python test/golden/make_onnx.py        needs torch, onnx, onnxruntime, onnxscript and numpy; for Keras' network also tensorflow and tf2onnx

Written with torch 2.15, onnx 1.23, onnxscript 0.7, tf2onnx 1.17. Files that cannot be written for want of a package are left as they are.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

warnings.filterwarnings("ignore")
FOLDER = Path(__file__).parent / "onnx"
MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
SIZE = (20, 24)


def block(inputs, outputs, kernel=3, act=nn.ReLU, **options):
    layers = [nn.Conv2d(inputs, outputs, kernel, bias=False, **options), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Residual(nn.Module):
    """Of ResNet: a strided stem, the largest of overlapping windows, a block with a shortcut of its own, the mean, a dense layer."""

    def __init__(self):
        super().__init__()
        self.stem = block(3, 6, 7, stride=2, padding=3)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.a = nn.Sequential(block(6, 8, stride=2, padding=1), block(8, 8, act=None, padding=1))
        self.shortcut = block(6, 8, 1, act=None, stride=2)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.pool(self.stem(x))
        return self.fc(torch.flatten(self.mean(torch.relu(self.a(x) + self.shortcut(x))), 1))


class Gate(nn.Module):
    def __init__(self, channels, inner, gate):
        super().__init__()
        self.down, self.up, self.gate = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1), gate

    def forward(self, x):
        return x * self.gate(self.up(torch.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Mobile(nn.Module):
    """Of MobileNet: depthwise convolutions, ReLU6, hard Swish, SiLU, gates by channel, rectangular and dilated windows."""

    def __init__(self):
        super().__init__()
        self.stem = block(3, 8, act=nn.ReLU6, stride=2, padding=1)
        self.a = nn.Sequential(block(8, 8, act=nn.ReLU6, padding=1, groups=8), block(8, 12, 1, act=None))
        self.b = nn.Sequential(block(12, 24, 1, act=nn.Hardswish), block(24, 24, (5, 3), act=nn.Hardswish, padding=(2, 1), groups=24))
        self.gate = Gate(24, 4, nn.Hardsigmoid())
        self.c = nn.Sequential(block(24, 12, 1, act=nn.SiLU), Gate(12, 3, nn.Sigmoid()))
        self.d = block(12, 8, act=nn.Mish, padding=2, dilation=2, groups=2)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.a(self.stem(x))
        x = x + self.c(self.gate(self.b(x)))
        return self.fc(nn.functional.dropout(self.d(x).mean((2, 3)), 0.2, self.training))


class Joined(nn.Module):
    """Of DenseNet and VGG: maps side by side, means over windows with and without zeros, a head that reads a flattened image."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 5, 4, 2, bias=False), nn.MaxPool2d(3, 2, 1), nn.LeakyReLU(0.1))
        self.norm = nn.BatchNorm2d(5)
        self.grow = nn.Sequential(nn.Conv2d(5, 4, 3, padding=1), nn.ELU())
        self.turn = nn.Sequential(nn.BatchNorm2d(9), nn.ReLU(), nn.Conv2d(9, 7, 1), nn.AvgPool2d(3, 1, 1))
        self.head = nn.Sequential(nn.MaxPool2d(2, 2, ceil_mode=True), nn.Flatten(), nn.Linear(7 * 3 * 3, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 5))

    def forward(self, x):
        x = self.stem(x)
        x = torch.cat([x, self.grow(torch.relu(self.norm(x)))], 1)
        return self.head(torch.relu(self.turn(x)))


class Shuffle(nn.Module):
    """Of ShuffleNet: channels in two halves that change places."""

    def __init__(self):
        super().__init__()
        self.stem = block(3, 8, padding=1, stride=2)
        self.a = nn.Sequential(block(4, 4, 1), block(4, 4, act=None, padding=1, groups=4))
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        one, two = x.chunk(2, dim=1)
        x = torch.cat([one, self.a(two)], 1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return torch.log_softmax(self.fc(x.mean([2, 3])), 1)


class Next(nn.Module):
    """Of ConvNeXt: channels last in the middle, normalisation over channels, GELU, a factor for each channel."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 4, 4)
        self.norm0 = nn.LayerNorm(6, eps=1e-6)
        self.depthwise = nn.Conv2d(6, 6, 5, padding=2, groups=6)
        self.norm1 = nn.LayerNorm(6, eps=1e-6)
        self.up, self.down = nn.Linear(6, 12), nn.Linear(12, 6)
        self.gamma = nn.Parameter(torch.rand(6) + 0.5)
        self.norm2 = nn.LayerNorm(6, eps=1e-6)
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        x = self.norm0(self.stem(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        y = self.norm1(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.gamma * self.down(nn.functional.gelu(self.up(y)))
        x = x + y.permute(0, 3, 1, 2)
        return self.fc(self.norm2(x.mean([-2, -1])))


def randomised(net):
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d, nn.LayerNorm)):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
        if isinstance(module, nn.Linear):
            module.weight.data.normal_(0, 0.7)
    return net.eval()


def older(net, name, opset, **options):
    example = torch.zeros(1, 3, *SIZE)
    axes = {"input": {0: "n"}, "logits": {0: "n"}}
    torch.onnx.export(
        net, (example,), FOLDER / name, opset_version=opset, dynamo=False, input_names=["input"], output_names=["logits"], dynamic_axes=axes, **options
    )


def newer(net, name, opset):
    example = torch.zeros(2, 3, *SIZE)
    batch = torch.export.Dim("n")
    program = torch.onnx.export(net, (example,), opset_version=opset, dynamo=True, input_names=["input"], output_names=["logits"], dynamic_shapes=({0: batch},))
    program.save(FOLDER / name, external_data=False)
    model = onnx.load(FOLDER / name)
    # Notes about where a node came from: as large as the network.
    for node in model.graph.node:
        del node.metadata_props[:]
    for value in model.graph.value_info:
        del value.metadata_props[:]
    onnx.save(model, FOLDER / name)


def logits(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    x = (images.astype(np.float32) / 255 - MEAN) / DEVIATION
    if path.name.startswith("keras"):
        x = images.astype(np.float32)
    else:
        x = x.transpose(0, 3, 1, 2)
    return session.run(None, {entry.name: np.ascontiguousarray(x)})[0]


FOLDER.mkdir(exist_ok=True)
torch.manual_seed(0)
nets = {net.__name__.lower(): randomised(net()) for net in (Residual, Mobile, Joined, Shuffle, Next)}
preserve = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
older(nets["residual"], "residual-folded.onnx", 9)
older(nets["residual"], "residual.onnx", 17, **preserve)
older(nets["mobile"], "mobile.onnx", 13, **preserve)
older(nets["joined"], "joined.onnx", 11, **preserve)
older(nets["shuffle"], "shuffle.onnx", 15)
older(nets["next"], "next-parts.onnx", 12)
try:
    newer(nets["residual"], "residual-dynamo.onnx", 18)
    newer(nets["mobile"], "mobile-dynamo.onnx", 20)
    newer(nets["joined"], "joined-dynamo.onnx", 18)
    newer(nets["shuffle"], "shuffle-dynamo.onnx", 18)
    newer(nets["next"], "next-dynamo.onnx", 20)
except ImportError as error:
    print("without PyTorch's newer exporter:", error)
except Exception as error:
    print("newer exporter:", type(error), str(error)[:300])

try:
    import os

    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf
    import tf2onnx

    keras.utils.set_random_seed(0)
    layers = keras.layers
    entry = keras.Input((*SIZE, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(entry)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.BatchNormalization(moving_mean_initializer="random_normal", beta_initializer="random_normal")(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", activation="relu6")(x)
    y = layers.Conv2D(8, 1, activation="silu")(x)
    x = layers.Concatenate()([layers.Add()([x, y]), layers.MaxPooling2D(2, strides=1, padding="same")(y)])
    x = layers.Flatten()(x)
    x = layers.Dense(7, activation="elu")(x)
    net = keras.Model(entry, layers.Dense(5, activation="softmax", kernel_initializer="random_normal")(x))
    signature = [tf.TensorSpec((None, *SIZE, 3), tf.float32, name="input")]
    tf2onnx.convert.from_function(tf.function(lambda x: net(x, training=False), input_signature=signature), signature, opset=15, output_path=str(FOLDER / "keras.onnx"))
    # Of the probabilities only what they were made of is compared.
    model = onnx.load(FOLDER / "keras.onnx")
    (last,) = [node for node in model.graph.node if node.output[0] == model.graph.output[0].name]
    while last.op_type != "Softmax":
        (last,) = [node for node in model.graph.node if node.output[0] == last.input[0]]
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output[0].name = last.input[0]
    onnx.save(copy, FOLDER / "keras-logits.tmp")
except ImportError as error:
    print("without Keras' network:", error)

images = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
expected = {}
for path in sorted(FOLDER.glob("*.onnx")):
    of = FOLDER / "keras-logits.tmp" if path.name == "keras.onnx" else path
    if of.exists():
        expected[path.stem] = logits(of, images).tolist()
(FOLDER / "keras-logits.tmp").unlink(missing_ok=True)
(FOLDER / "expected.json").write_text(json.dumps({"shape": images.shape, "images": images.ravel().tolist(), "logits": expected}) + "\n")
