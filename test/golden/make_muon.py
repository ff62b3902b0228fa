"""Writes muon.json: what Keras' Muon makes of dense kernels, and timm's of kernels of convolutions, in three steps, in float64.

    python test/golden/make_muon.py

With the Python of make_golden.py, and torch==2.15.0 timm==1.0.31. Parameters and gradients are functions of the index, which test/optim/muon.test.ts has as
well. timm computes in bfloat16 and is told otherwise; its kernels [out, in, height, width] are written as [height, width, in, out].
"""

import functools
import json
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"  # TensorFlow and PyTorch do not go into one process
import keras  # noqa: E402
import numpy as np  # noqa: E402
import timm  # noqa: E402
import timm.optim.muon  # noqa: E402
import torch  # noqa: E402

keras.config.set_floatx("float64")
RATE, DECAY, STEPS = 0.125, 0.01, 3  # Keras keeps its rate as a float32


def text(numbers):
    return " ".join(map(repr, np.ravel(numbers).tolist()))


def parameter(shape):
    return np.cos(1.3 * np.arange(np.prod(shape))).reshape(shape)


def gradient(shape, t):
    i = np.arange(np.prod(shape))
    return (np.sin(1.7 * i + t) + 0.3 * np.cos(0.9 * i * t)).reshape(shape)


def of_keras(options):
    shapes = {"tall": (9, 5), "wide": (4, 7), "head": (5, 3), "bias": (5,)}
    variables = [keras.Variable(parameter(shape), name=name) for name, shape in shapes.items()]
    muon = keras.optimizers.Muon(RATE, weight_decay=DECAY, adam_weight_decay=DECAY, exclude_layers=["head"], **options)
    for t in range(1, STEPS + 1):
        muon.apply([keras.ops.convert_to_tensor(gradient(shape, t)) for shape in shapes.values()], variables)
    return {name: text(np.asarray(v)) for name, v in zip(shapes, variables)}


def of_timm(shape, options):
    kernel = torch.nn.Parameter(torch.tensor(parameter(shape)).permute(3, 2, 0, 1).contiguous())
    muon = timm.optim.muon.Muon(
        [{"params": [kernel], "use_fallback": False}],
        **{"lr": RATE, "weight_decay": DECAY, "adjust_lr_fn": "match_rms_adamw", "ns_coefficients": "original", "nesterov": True, **options},
    )
    for t in range(1, STEPS + 1):
        kernel.grad = torch.tensor(gradient(shape, t)).permute(3, 2, 0, 1).contiguous()
        muon.step()
    return text(kernel.detach().permute(2, 3, 1, 0).numpy())


timm.optim.muon.zeropower_via_newtonschulz = functools.partial(timm.optim.muon.zeropower_via_newtonschulz, dtype=torch.float64)
OTHERWISE = {"momentum": 0.8, "nesterov": False, "ns_steps": 3, "rms_rate": 0.5, "adam_beta_1": 0.8, "adam_beta_2": 0.95, "epsilon": 1e-3}
golden = {
    "versions": {"keras": keras.__version__, "timm": timm.__version__, "torch": torch.__version__},
    "keras": {"usual": of_keras({}), "otherwise": of_keras(OTHERWISE)},
    "timm": [
        {"shape": text(shape), "options": options, "after": of_timm(shape, options)}
        for shape, options in [((3, 3, 2, 6), {}), ((2, 2, 3, 16), {}), ((1, 1, 5, 5), {"momentum": 0.8, "nesterov": False, "ns_steps": 3})]
    ],
}
Path(__file__).with_name("muon.json").write_text(json.dumps(golden, indent=2) + "\n")
