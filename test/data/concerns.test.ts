import { expect, test } from 'vitest';
import { classConcerns, duplicateConcerns } from '../../app/sources/concerns.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { partsOf } from '../../runtime/data/split.ts';

/** Images of two bytes: what each holds, and its class. */
const setOf = (images: readonly (readonly [number, number])[], classes = ['ant', 'bee', 'cow']): Dataset => ({
  ...memoryDataset({
    ...{ name: 'set', shape: [1, 2, 1], classes },
    labels: Int32Array.from(images, ([, label]) => label),
    images: Uint8Array.from(images.flatMap(([value]) => [value, value])),
  }),
  fileOf: (index) => `${index}.png`,
});
const many = (count: number, label: number, from = 0): [number, number][] =>
  Array.from({ length: count }, (_, i) => [(from + i) % 256, label]);

test('classes of a few images, and of very different sizes, are told with their numbers; others are not', () => {
  expect(classConcerns(setOf([...many(20, 0), ...many(30, 1), ...many(12, 2)]))).toEqual([]);
  expect(classConcerns(setOf([...many(150, 0), ...many(3, 1), ...many(9, 2)]))).toEqual([
    '2 classes have fewer than 10 training images ("bee" 3, "cow" 9): add some, or leave them out',
    'class sizes differ widely: "ant" has 150 training images, 50 times as many as "bee" (3): check the accuracy of each class, not only the mean',
  ]);
  // A class without an image is another matter, and told elsewhere.
  expect(classConcerns(setOf([...many(20, 0), ...many(30, 1)]))).toEqual([]);
});

test('classes that differ in capital letters alone are told', () => {
  expect(classConcerns(setOf([...many(20, 0), ...many(20, 1), ...many(20, 2)], ['Cat', 'cat', 'dog']))).toEqual([
    'classes differ only in upper and lower case ("Cat" and "cat"): if they are the same, merge them',
  ]);
});

test('pictures that are in two parts, or in two classes of one, are told by the names of their files', async () => {
  const train = setOf([...many(20, 0), [5, 1], [200, 2]]);
  const test = setOf([
    [7, 0],
    [201, 1],
    [200, 2],
  ]);
  expect(await duplicateConcerns({ train, test })).toEqual([
    '1 training image is of another class elsewhere, pixel for pixel (20.png and 5.png)',
    '2 test images are training images as well, pixel for pixel (0.png is 7.png, 2.png is 21.png)',
  ]);
  expect(await duplicateConcerns({ train: setOf(many(9, 0)), test: setOf(many(9, 0, 100)) })).toEqual([]);
});

test('what was split off the training images counts as a part, by the names in the whole set', async () => {
  const whole = setOf([...many(10, 0, 50), ...many(10, 0, 50)]);
  const { train, validation, test } = partsOf({ train: whole, test: null, mixed: true }, { valFraction: 0.1 });
  expect(await duplicateConcerns({ train, validation, test })).toEqual([
    '2 validation images are training images as well, pixel for pixel (0.png is 10.png, 1.png is 11.png)',
  ]);
  const nameless = { ...whole, fileOf: undefined };
  const parts = partsOf({ train: nameless, test: null, mixed: true }, { valFraction: 0.1 });
  expect((await duplicateConcerns(parts))[0]).toContain('image 0 is image 10');
});
