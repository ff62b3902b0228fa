// More classes than a confusion matrix has room for: it grows with their square, and that of 100,000 would be 40 GB of zeros.

import { expect, it } from 'vitest';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { graphModel } from '../../runtime/model/graph-model.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { evaluate, MOST_CONFUSION_CLASSES } from '../../runtime/train/evaluate.ts';

/** Takes an image for the class of its brightest pixel. */
async function brightest(width: number, pictures: readonly (readonly [label: number, bright: number])[]) {
  const model = graphModel({
    name: 'brightest',
    input: [1, width, 1],
    classes: width,
    build: (g, images) => g.one('reshape', { x: g.one('rescale', { x: images }, { scale: 1 / 255 }) }, { shape: [width] }),
  });
  const images = new Uint8Array(pictures.length * width);
  for (const [i, [, bright]] of pictures.entries()) images[i * width + bright] = 255;
  const dataset = memoryDataset({
    name: 'pixels',
    shape: [1, width, 1],
    classes: Array.from({ length: width }, (_, i) => `${i}`),
    labels: Int32Array.from(pictures, ([label]) => label),
    images,
  });
  return evaluate({ device: openReferenceDevice(), model, weights: new Map(), dataset, batch: 2, workers: 0 });
}

const LAST = 99_999;

it('100,000 classes: accuracy, the shares of each class and who was taken for whom, without a matrix', async () => {
  const { accuracy, confusion, confused, perClass, largestLosses } = await brightest(LAST + 1, [
    [0, 0],
    [LAST, LAST],
    [LAST, 7],
    [LAST, 7],
    [5, LAST],
  ]);
  expect(accuracy).toBe(2 / 5);
  expect(confusion).toBeNull();
  expect(confused).toEqual([
    { label: LAST, predicted: 7, count: 2 },
    { label: 5, predicted: LAST, count: 1 },
  ]);
  expect(perClass).toHaveLength(LAST + 1);
  expect([0, 1, LAST].map((label) => perClass[label])).toEqual([
    { name: '0', accuracy: 1, count: 1 },
    { name: '1', accuracy: 0, count: 0 },
    { name: `${LAST}`, accuracy: 1 / 3, count: 3 },
  ]);
  expect(largestLosses).toHaveLength(5);
});

it('few classes: the pairs are what is beside the diagonal of the matrix', async () => {
  const { confusion, confused } = await brightest(3, [
    [0, 1],
    [2, 0],
    [0, 1],
    [1, 1],
  ]);
  expect([...(confusion ?? [])]).toEqual([0, 2, 0, 0, 1, 0, 1, 0, 0]);
  expect(confused).toEqual([
    { label: 0, predicted: 1, count: 2 },
    { label: 2, predicted: 0, count: 1 },
  ]);
  expect((await brightest(MOST_CONFUSION_CLASSES, [[0, 1]])).confusion).toHaveLength(MOST_CONFUSION_CLASSES ** 2);
});
