import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Dataset, Subset } from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { firstSamples, heldOutLimit, limitParts, missingClasses, partsOf, samplesOf, split } from '../../runtime/data/split.ts';

/** Images of one byte each, equal to the index (mod 256). */
function numbered(size: number, name = 'numbers'): Dataset {
  const values = Uint8Array.from({ length: size }, (_, i) => i);
  return memoryDataset({ name, shape: [1, 1, 1], classes: ['a'], labels: values.slice(), images: values });
}

function contents(dataset: Dataset): number[] {
  const out = new Uint8Array(dataset.size);
  dataset.read(
    Array.from({ length: dataset.size }, (_, i) => i),
    out,
  );
  return [...out];
}

describe('split', () => {
  test('validation is the first part, training the rest, as in the script', () => {
    const { train, validation } = split(numbered(50_000), { valFraction: 0.1 });
    expect([validation?.size, train.size]).toEqual([5_000, 45_000]);
    expect([validation?.samples[0], validation?.samples[4_999], train.samples[0], train.samples[44_999]]).toEqual([
      0, 4_999, 5_000, 49_999,
    ]);
    expect(split(numbered(5_170), { valFraction: 0.1 }).train.size).toBe(4_653);
  });

  test('every sample is in one part, with its image, label and index', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 250 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (size, valFraction) => {
        const { train, validation } = split(numbered(size), { valFraction });
        const parts = [...(validation ? [validation] : []), train];
        const whole = Array.from({ length: size }, (_, i) => i);
        expect(parts.flatMap(contents)).toEqual(whole);
        expect(parts.flatMap((part) => [...part.labels])).toEqual(whole);
        expect(parts.flatMap((part) => [...part.samples])).toEqual(whole);
        expect(validation?.size ?? 0).toBe(Math.floor(size * valFraction));
      }),
    );
  });

  test('no validation where the fraction is 0 or below one sample', () => {
    expect(split(numbered(9), { valFraction: 0 }).validation).toBeNull();
    expect(split(numbered(9), { valFraction: 0.1 }).validation).toBeNull();
  });

  test.each([-0.1, 1, Number.NaN])('refuses the fraction %s', (valFraction) => {
    expect(() => split(numbered(9), { valFraction })).toThrow(expect.objectContaining({ code: 'E_USAGE' }));
  });
});

/** Images whose only byte is their number, of classes in the order that is given. */
function labelled(labels: readonly number[], classes = 1 + labels.reduce((a, b) => Math.max(a, b), 0)): Dataset {
  const images = Uint8Array.from({ length: labels.length }, (_, i) => i);
  const names = Array.from({ length: classes }, (_, i) => `c${i}`);
  return memoryDataset({ name: 'sorted', shape: [1, 1, 1], classes: names, labels: Uint8Array.from(labels), images });
}

const countOf = ({ labels }: Dataset, classes: number) =>
  Array.from({ length: classes }, (_, label) => [...labels].filter((one) => one === label).length);

describe('a stratified split', () => {
  const sorted = [0, 1, 2].flatMap((label) => new Array<number>(60).fill(label));

  test('of a set that is sorted by class has every class in both parts, where the first tenth has one', () => {
    const source = { train: labelled(sorted), test: labelled(sorted) };
    const { train, validation, test } = partsOf(source, { valFraction: 0.1 });
    expect([countOf(train, 3), countOf(validation as Dataset, 3)]).toEqual([
      [54, 54, 54],
      [6, 6, 6],
    ]);
    expect(test?.size).toBe(180);
    const plain = partsOf(source, { valFraction: 0.1, split: 'first' });
    expect(countOf(plain.validation as Dataset, 3)).toEqual([18, 0, 0]);
    // A set that says its order is mixed keeps it, as the script has it.
    expect(partsOf({ ...source, mixed: true }, { valFraction: 0.1 }).validation?.name).toBe(plain.validation?.name);
  });

  test('so has a limit', () => {
    const { train, validation, test } = partsOf({ train: labelled(sorted), test: labelled(sorted) }, { valFraction: 0.5, limit: 30 });
    expect([train, validation, test].map((part) => part && countOf(part, 3))).toEqual([
      [10, 10, 10],
      [30, 30, 30],
      [34, 33, 33],
    ]);
  });

  test('is fixed by the seed, and another with another seed', () => {
    const samples = (seed: bigint) => [
      ...(split(labelled(sorted), { valFraction: 0.2, split: 'stratified', seed }).validation?.samples ?? []),
    ];
    expect(samples(3n)).toEqual(samples(3n));
    expect(samples(3n)).not.toEqual(samples(4n));
    // Never to change: runs are resumed on it.
    const first = split(labelled([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]), { valFraction: 0.4, split: 'stratified', seed: 1n });
    expect([...(first.validation?.samples ?? [])]).toEqual([1, 3, 5, 8]);
  });

  test('of any set: every sample in one part, in order, with its image; shares to the nearest whole number', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 250 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (labels, valFraction) => {
          const whole = labelled(labels, 6);
          const { train, validation } = split(whole, { valFraction, split: 'stratified', seed: 7n });
          expect(validation?.size ?? 0).toBe(Math.floor(labels.length * valFraction));
          const parts = [train, ...(validation ? [validation] : [])];
          for (const part of parts) {
            expect(contents(part)).toEqual([...part.samples]);
            expect([...part.labels]).toEqual([...part.samples].map((sample) => labels[sample]));
            expect([...part.samples]).toEqual([...part.samples].sort((a, b) => a - b));
          }
          expect(parts.flatMap(({ samples }) => [...samples]).sort((a, b) => a - b)).toEqual(labels.map((_, i) => i));
          if (!validation) return;
          const [all, held] = [countOf(whole, 6), countOf(validation, 6)];
          const present = all.filter((n) => n > 0).length;
          for (const [label, n] of all.entries()) {
            // Nearest, but for the classes that are too small to be shared.
            if (all.every((count) => count === 0 || count * Math.min(valFraction, 1 - valFraction) > 2))
              expect(Math.abs(held[label] - (n * validation.size) / labels.length)).toBeLessThan(1 + 1e-9);
            if (n > 0 && validation.size <= labels.length - present) expect(held[label]).toBeLessThan(n);
          }
        },
      ),
    );
  });

  test('a part of it goes on being one', () => {
    const { train } = split(labelled(sorted), { valFraction: 0.5, split: 'stratified' });
    const inner = split(firstSamples(train, 20), { valFraction: 0.5, split: 'stratified' }).train;
    expect(contents(inner)).toEqual([...inner.samples]);
  });

  test('what a part lacks is told', () => {
    const parts = partsOf({ train: labelled(sorted), test: labelled([0, 0, 1], 3) }, { valFraction: 0.1, split: 'first' });
    expect(missingClasses(parts)).toEqual([
      'There is no validation image of 2 of 3 classes ("c1", "c2"): its loss and accuracy say nothing of them.',
      'There is no test image of class "c2": its loss and accuracy say nothing of it.',
    ]);
    expect(missingClasses({ train: labelled([0, 2]), validation: null, test: null })).toEqual([
      'There is no training image of class "c1": the model cannot learn it.',
    ]);
  });
});

describe('limits', () => {
  test('held-out sets keep a fifth of the limit, but not below 100', () => {
    expect([1, 499, 504, 505, 1_000].map(heldOutLimit)).toEqual([100, 100, 100, 101, 200]);
  });

  test('a limit takes the first samples of each part', () => {
    const source = { train: numbered(2_000), test: numbered(700, 'test') };
    const { train, validation, test } = partsOf(source, { valFraction: 0.1, limit: 600, split: 'first' });
    expect([train.size, validation?.size, test?.size]).toEqual([600, 120, 120]);
    expect(samplesOf(train)[0]).toBe(200);
    expect(train.name).toBe('numbers, images 200 to 799 of 2000');
    expect(test?.name).toBe('test, images 0 to 119 of 700');
  });

  test('a limit above the size changes nothing, and parts that are not there stay so', () => {
    const parts = limitParts({ train: numbered(50), validation: null, test: null }, 60);
    expect([parts.train.size, parts.train.name, parts.validation, parts.test]).toEqual([50, 'numbers', null, null]);
    expect(partsOf({ train: numbered(50), test: null }, { valFraction: 0 }).train.size).toBe(50);
  });

  test.each([0, -1, 1.5, Number.NaN])('refuses the limit %s', (limit) => {
    expect(() => limitParts({ train: numbered(9), validation: null, test: null }, limit)).toThrow(
      expect.objectContaining({ code: 'E_USAGE' }),
    );
  });

  test('a part of a part reads the right images; so does a part of a subset made elsewhere', () => {
    const { train } = split(numbered(100), { valFraction: 0.5 });
    const inner = split(firstSamples(train, 20), { valFraction: 0.5 }).train;
    expect(contents(inner)).toEqual([60, 61, 62, 63, 64, 65, 66, 67, 68, 69]);
    expect([...inner.samples]).toEqual(contents(inner));
    const whole = numbered(10);
    const reversed: Subset = { ...whole, samples: Int32Array.from([9, 8, 7, 6, 5, 4, 3, 2, 1, 0]) };
    expect([...firstSamples(reversed, 3).samples]).toEqual([9, 8, 7]);
  });
});
