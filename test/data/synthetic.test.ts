import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Dataset } from '../../runtime/data/dataset.ts';
import { syntheticSource } from '../../runtime/data/synthetic.ts';

const IMAGE_BYTES = 3072;

function images(dataset: Dataset, count = dataset.size): Uint8Array {
  const out = new Uint8Array(count * IMAGE_BYTES);
  dataset.read(
    Array.from({ length: count }, (_, i) => i),
    out,
  );
  return out;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('syntheticSource', () => {
  test('has 5,000 and 1,000 images, as many of each class', () => {
    const { train, test } = syntheticSource();
    expect([train.size, test?.size, train.shape, train.classes.length]).toEqual([5_000, 1_000, [32, 32, 3], 10]);
    for (const dataset of [train, test as Dataset]) {
      const perClass = new Array<number>(10).fill(0);
      for (const label of dataset.labels) perClass[label]++;
      expect(perClass).toEqual(new Array(10).fill(dataset.size / 10));
    }
  });

  test('known answer: every byte is frozen', () => {
    const { train, test } = syntheticSource({ train: 500, test: 100 });
    expect(sha256(images(train))).toBe('83f7f037ebbfe70face8e3852e0aaba19e131f2cf124eb0b1c2f473f851d109b');
    expect(sha256(images(test as Dataset))).toBe('154b9989d5afb9961f0ae9cfcfafac21c3b77625e4b7bf7143fbb937b76e23f2');
  });

  test('a smaller set is the beginning of a larger one; parts and seeds differ', () => {
    const { train, test } = syntheticSource({ train: 30, test: 20 });
    const { train: larger } = syntheticSource({ train: 60, test: 0 });
    expect(images(larger, 30)).toEqual(images(train));
    expect(images(train, 20)).not.toEqual(images(test as Dataset));
    expect(images(syntheticSource({ train: 30, test: 0, seed: 1n }).train)).not.toEqual(images(train));
    expect(syntheticSource({ train: 1, test: 0 }).test).toBeNull();
  });

  // Softmax regression: what colours and places of pixels alone can tell. It learns its training images by heart and
  // still knows next to nothing of others. (ConvMixer 64/4 in Keras: 93 % after two epochs.)
  test('no linear function of the pixels tells the classes apart', () => {
    const { train, test } = syntheticSource({ train: 1_000, test: 500 });
    const weights = fitSoftmax(images(train), train.labels, 4);
    expect(accuracy(weights, images(train), train.labels)).toBeGreaterThan(0.2);
    expect(accuracy(weights, images(test as Dataset), (test as Dataset).labels)).toBeLessThan(0.2);
  });

  test('colours alone, in place or out of it, tell nothing', () => {
    const { train, test } = syntheticSource({ train: 1_000, test: 500 });
    const [fit, check] = [train, test as Dataset].map((dataset) => colourMoments(images(dataset)));
    const weights = fitSoftmax(fit, train.labels, 30);
    expect(accuracy(weights, check, (test as Dataset).labels)).toBeLessThan(0.2);
  });
});

/** Mean and mean square of each channel, as bytes. */
function colourMoments(pixels: Uint8Array): Uint8Array {
  const count = pixels.length / IMAGE_BYTES;
  const features = new Uint8Array(count * 6);
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < 3; c++) {
      let [sum, squares] = [0, 0];
      for (let k = c; k < IMAGE_BYTES; k += 3) {
        const value = pixels[i * IMAGE_BYTES + k];
        sum += value;
        squares += value * value;
      }
      features[i * 6 + c] = sum / 1024;
      features[i * 6 + 3 + c] = squares / 1024 / 255;
    }
  }
  return features;
}

/** Weights [features + 1, 10] of a softmax regression on bytes, by stochastic gradient descent. */
function fitSoftmax(features: Uint8Array, labels: ArrayLike<number>, epochs: number): Float64Array {
  const width = features.length / labels.length;
  const weights = new Float64Array((width + 1) * 10);
  const rate = 0.3 / width;
  for (let step = 0; step < epochs * labels.length; step++) {
    const i = step % labels.length;
    const p = scores(weights, features, i, width);
    const largest = Math.max(...p);
    let sum = 0;
    for (let k = 0; k < 10; k++) sum += p[k] = Math.exp(p[k] - largest);
    for (let k = 0; k < 10; k++) p[k] = p[k] / sum - (labels[i] === k ? 1 : 0);
    for (let f = 0; f <= width; f++) {
      const x = f < width ? features[i * width + f] / 127.5 - 1 : 1;
      for (let k = 0; k < 10; k++) weights[f * 10 + k] -= rate * p[k] * x;
    }
  }
  return weights;
}

function scores(weights: Float64Array, features: Uint8Array, i: number, width: number): Float64Array {
  const result = new Float64Array(10);
  for (let f = 0; f <= width; f++) {
    const x = f < width ? features[i * width + f] / 127.5 - 1 : 1;
    for (let k = 0; k < 10; k++) result[k] += weights[f * 10 + k] * x;
  }
  return result;
}

function accuracy(weights: Float64Array, features: Uint8Array, labels: ArrayLike<number>): number {
  const width = features.length / labels.length;
  let correct = 0;
  for (let i = 0; i < labels.length; i++) {
    const result = scores(weights, features, i, width);
    if (result.indexOf(Math.max(...result)) === labels[i]) correct++;
  }
  return correct / labels.length;
}
