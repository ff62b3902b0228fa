import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Dataset, Subset } from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { firstSamples, heldOutLimit, limitParts, partsOf, samplesOf, split } from '../../runtime/data/split.ts';

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

describe('limits', () => {
  test('held-out sets keep a fifth of the limit, but not below 100', () => {
    expect([1, 499, 504, 505, 1_000].map(heldOutLimit)).toEqual([100, 100, 100, 101, 200]);
  });

  test('a limit takes the first samples of each part', () => {
    const source = { train: numbered(2_000), test: numbered(700, 'test') };
    const { train, validation, test } = partsOf(source, { valFraction: 0.1, limit: 600 });
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
