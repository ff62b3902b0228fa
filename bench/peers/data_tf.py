"""Images a second of tf.data with Keras' augmentation layers, as in the original script: shuffle from a window, batch, augment, prefetch.

    pip install tensorflow==2.21.0 keras==3.15.1
    python data_tf.py [--images 50000] [--batch 128] [--seconds 3]

The script's RandomCrop(32) of 32 x 32 images does nothing; here they are padded before, as everywhere else.
"""

import argparse
import json
import os
import resource
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras
import numpy as np
import tensorflow as tf

parser = argparse.ArgumentParser()
parser.add_argument("--images", type=int, default=50_000)
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--seconds", type=float, default=3)
args = parser.parse_args()

auto = tf.data.AUTOTUNE
layers = [keras.layers.ZeroPadding2D(4), keras.layers.RandomCrop(32, 32), keras.layers.RandomFlip("horizontal")]


def augment(images):
    for layer in layers:
        images = layer(images, training=True)
    return images


images = np.random.randint(0, 256, (args.images, 32, 32, 3), dtype=np.uint8)
labels = np.arange(args.images) % 10
dataset = tf.data.Dataset.from_tensor_slices((images, labels)).repeat().shuffle(args.batch * 20).batch(args.batch)
dataset = dataset.map(lambda x, y: (augment(x), y), num_parallel_calls=auto).prefetch(auto)


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


iterator = iter(dataset)
for _ in range(30):  # past the start, and until tf.data has tuned itself
    next(iterator)
done, begin, cpu = 0, time.perf_counter(), cpu_seconds()
while time.perf_counter() - begin < args.seconds:
    done += len(next(iterator)[1])
elapsed, used = time.perf_counter() - begin, cpu_seconds() - cpu
print(json.dumps({"peer": "tf.data", "imagesPerSecond": done / elapsed, "imagesPerCoreSecond": done / used}))
