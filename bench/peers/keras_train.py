"""Times whole training steps of the five models, or of networks that Keras saved, in Keras on TensorFlow, as `hybrid bench train` does, on the CPU
or (--device webgpu) on the GPU; one JSON line a model.

    pip install tensorflow==2.21.0 keras==3.15.1
    python keras_train.py --batch 128 --steps 5 [--arch NAME … | --model FILE.keras …] [--threads N] [--device wasm|webgpu]
"""

import argparse
import json
import os
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--arch", nargs="+", default=[])
parser.add_argument("--model", nargs="+", default=[], help="files that Keras saved")
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--warmup", type=int, default=2)
parser.add_argument("--threads", type=int)
parser.add_argument("--device", choices=["wasm", "webgpu"], default="wasm", help="of hybrid: the CPU, or the GPU")
args = parser.parse_args()

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if args.device == "wasm":
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras_models import MODELS, build  # noqa: E402

if args.device == "webgpu" and not tf.config.list_physical_devices("GPU"):
    raise SystemExit("TensorFlow finds no GPU")
if args.threads:
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)


names = args.arch or (MODELS if not args.model else [])
networks = [(name, lambda name=name: build(name)) for name in names]
networks += [(Path(file).stem, lambda file=file: keras.models.load_model(file, compile=False)) for file in args.model]
for arch, make in networks:
    model = make()
    probabilities = getattr(model.layers[-1], "activation", None) is keras.activations.softmax
    classes = model.output_shape[-1]
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=2e-3, weight_decay=1e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=not probabilities),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    x = np.random.default_rng(0).integers(0, 256, (args.batch, *model.input_shape[1:]), dtype=np.uint8)
    y = np.arange(args.batch).reshape(-1, 1) % classes
    times = []
    for _ in range(args.warmup + args.steps):
        begin = time.perf_counter()
        model.train_on_batch(x, y)
        times.append((time.perf_counter() - begin) * 1000)
    step = float(np.median(times[args.warmup :]))
    print(
        json.dumps(
            {"peer": f"keras {keras.__version__} on tensorflow {tf.__version__}", "arch": arch, "batch": args.batch,
             "stepMs": step, "imagesPerSecond": 1000 * args.batch / step, "firstStepMs": times[0]}
        ),
        flush=True,
    )
