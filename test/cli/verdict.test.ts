// What a run says of a result that guessing may explain.

import { expect, test } from 'vitest';
import { verdict } from '../../cli/train/say.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';

const images = (...counts: number[]) => {
  const labels = Int32Array.from(counts.flatMap((count, label) => new Array<number>(count).fill(label)));
  const classes = counts.map((_, label) => 'abc'[label]);
  return memoryDataset({ name: 'set', shape: [1, 1, 3], classes, labels, images: new Uint8Array(3 * labels.length) });
};
const said = (accuracy: number, ...counts: number[]) => verdict({ test: { accuracy, loss: 1 } }, { test: images(...counts) });

test('a result within two standard errors of the most frequent class is no better than guessing', () => {
  // 20 of 60: the standard error is 6.1 %.
  expect(said(0.45, 20, 20, 20)).toMatch(
    /^45\.00 % is no better than guessing: answering "a" for every image gives 33\.33 %\. .*--init\) may help$/,
  );
  expect(said(0.46, 20, 20, 20)).toBeNull();
  expect(said(0.9, 10, 90)).toMatch(/answering "b" for every image gives 90\.00 %/);
  expect(said(0.97, 10, 90)).toBeNull();
});

test('nothing is said without test images, or of one class', () => {
  expect(verdict({ test: null }, { test: null })).toBeNull();
  expect(said(1, 10)).toBeNull();
});
