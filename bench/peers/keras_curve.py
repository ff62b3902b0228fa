"""Trains one of the five models in Keras on TensorFlow with a recipe of `hybrid train`, and prints its epochs as JSON lines with
the names that hybrid's metrics.jsonl has. The same images, split, crop and flip, rates and decay; other random numbers.

    pip install tensorflow==2.21.0 keras==3.15.1
    python keras_curve.py --data FOLDER --arch convmixer-2stage --epochs 10 --stop-after 1 --lr 0.005 --weight-decay 0.005 --bn-momentum 0.97
"""

import argparse
import json
import os
import time

parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True, help="folder with data_batch_1.bin to data_batch_5.bin and test_batch.bin")
parser.add_argument("--arch", default="convmixer-2stage")
parser.add_argument("--epochs", type=int, default=10, help="of the schedule")
parser.add_argument("--stop-after", type=int, help="epochs that are trained (default: all)")
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--lr", type=float, default=5e-3, help="peak of the one-cycle schedule")
parser.add_argument("--weight-decay", type=float, default=5e-3)
parser.add_argument("--bn-momentum", type=float, default=0.97)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras_models import build  # noqa: E402

keras.utils.set_random_seed(args.seed)


def read(*names):
    records = np.concatenate([np.fromfile(os.path.join(args.data, name), np.uint8).reshape(-1, 3073) for name in names])
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy(), records[:, 0].astype(np.int32)


images, labels = read(*[f"data_batch_{k}.bin" for k in range(1, 6)])
test = read("test_batch.bin")
# hybrid keeps the first tenth for validation.
kept = len(images) // 10
validation, (images, labels) = (images[:kept], labels[:kept]), (images[kept:], labels[kept:])


def augment(image, label):
    padded = tf.pad(image, [[4, 4], [4, 4], [0, 0]])
    return tf.image.random_flip_left_right(tf.image.random_crop(padded, [32, 32, 3])), label


train = (
    tf.data.Dataset.from_tensor_slices((images, labels))
    .shuffle(len(images), seed=args.seed, reshuffle_each_iteration=True)
    .map(augment, num_parallel_calls=tf.data.AUTOTUNE)
    .batch(args.batch)
    .prefetch(tf.data.AUTOTUNE)
)


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """0 to the peak at 40 % of the steps, down to 5 % of it at 80 %, down to 0 at the end; as runtime/train/schedule.ts."""

    def __init__(self, peak, steps):
        self.peak, self.steps = peak, steps

    def __call__(self, step):
        share = (tf.cast(step, tf.float32) + 1) / self.steps
        rise, fall, end = share / 0.4, 1 - 0.95 * (share - 0.4) / 0.4, 0.05 * (1 - share) / 0.2
        return self.peak * tf.where(share <= 0.4, rise, tf.where(share <= 0.8, fall, end))


steps = args.epochs * -(-len(images) // args.batch)
model = build(args.arch, args.bn_momentum)
model.compile(
    optimizer=keras.optimizers.AdamW(learning_rate=OneCycle(args.lr, steps), weight_decay=args.weight_decay),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
)

begin = time.perf_counter()


def metrics(logs, prefix=""):
    return {"loss": logs[f"{prefix}loss"], "accuracy": logs[f"{prefix}accuracy"]}


class Print(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs):
        line = {"type": "epoch", "epoch": epoch + 1, "train": metrics(logs), "validation": metrics(logs, "val_"), "seconds": time.perf_counter() - begin}
        print(json.dumps(line), flush=True)


model.fit(train, epochs=args.stop_after or args.epochs, validation_data=(*validation,), batch_size=args.batch, verbose=0, callbacks=[Print()])
result = model.evaluate(*test, batch_size=args.batch, verbose=0, return_dict=True)
print(json.dumps({"type": "end", "peer": f"keras {keras.__version__}", "arch": args.arch, "test": metrics(result), "seconds": time.perf_counter() - begin}))
