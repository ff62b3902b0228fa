// Layers whose results have a mean far from zero, for the statistics of batch normalisation that their epilogues sum up: Σy² − (Σy)²/n would
// lose all digits of the variance.

import { moments } from '../../runtime/ops/check.ts';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import { farthest } from './close.ts';
import type { OpCase } from './op-case.ts';
import { fixed, samples, type TestTensor, uniform } from './tensors.ts';

/** Standard deviations from zero to the mean, about. */
const RATIOS = [0, 200, -2300];
const CHANNELS = 20;

const stats = { stats: true };
/** Numbers around zero with that standard deviation. */
const spread = (seed: number, deviation: number) => uniform(seed, -Math.sqrt(3) * deviation, Math.sqrt(3) * deviation);

interface FarMean {
  readonly op: KernelOpName;
  readonly one: OpCase;
  readonly pixels: number;
  /** Of the variance, relative: the means of tiles are stored as floats, whose last digit is so much of a deviation. */
  readonly tolerance: number;
}

/** Values of deviation 1 by convolutions of several geometries, and by `normalize`; bias or shift is the mean. */
export const FAR_MEANS: readonly FarMean[] = RATIOS.flatMap((ratio) => {
  const mean = fixed([CHANNELS], (i) => ratio + i / CHANNELS);
  const biased = { stride: 1, padding: 'same', epilogue: stats };
  const named = (rows: number, [h, w]: readonly number[], how: string) => ({ name: `${how}, ${rows} × ${h}×${w}, mean ${ratio}`, rows });
  const tolerance = Math.max(1e-5, Math.abs(ratio) * 2 ** -24);
  const cases: Omit<FarMean, 'tolerance'>[] = [
    ...[[100, [1, 1]] as const, [3, [8, 8]] as const, [2, [21, 19]] as const].map(([rows, image]) => ({
      op: 'conv' as const,
      pixels: image[0] * image[1],
      one: {
        ...named(rows, image, '1×1'),
        inputs: [samples(rows, [...image, 16], spread(1, 1 / 4)), fixed([1, 1, 16, CHANNELS], spread(2, 1)), mean],
        attrs: biased,
      },
    })),
    {
      op: 'conv' as const,
      pixels: 21 * 50,
      one: {
        ...named(2, [21, 50], '3×3'),
        inputs: [samples(2, [21, 50, 16], spread(1, 1 / 12)), fixed([3, 3, 16, CHANNELS], spread(2, 1)), mean],
        attrs: biased,
      },
    },
    ...[[3, [9, 7]] as const, [2, [16, 40]] as const].map(([rows, image]) => ({
      op: 'depthwise' as const,
      pixels: image[0] * image[1],
      one: {
        ...named(rows, image, 'depthwise'),
        inputs: [samples(rows, [...image, CHANNELS], spread(1, 1 / 5)), fixed([5, 5, CHANNELS, 1], spread(2, 1)), mean],
        attrs: { epilogue: stats },
      },
    })),
    {
      op: 'normalize' as const,
      pixels: 20 * 20,
      one: {
        ...named(2, [20, 20], 'normalize'),
        inputs: [samples(2, [20, 20, CHANNELS], spread(1, 1)), fixed([CHANNELS], () => 1), mean],
        attrs: { epilogue: stats },
      },
    },
  ];
  return cases.map((one) => ({ ...one, tolerance }));
});

type Run = (op: KernelOpName, one: OpCase) => Promise<readonly ArrayLike<number>[]>;

/** The largest error of the variances, relative, beside those of what the device itself made. Throws where a mean is wrong. */
export async function errorOfStatistics({ op, one, pixels }: FarMean, run: Run): Promise<number> {
  const [y, data] = await run(op, one);
  const partials: TestTensor = samples(one.rows, [2, CHANNELS], (i) => data[i]);
  const merged = { name: one.name, rows: one.rows, inputs: [partials], attrs: { from: 'partials', pixels } };
  const [mean, variance] = await run('bnStats', merged);
  const expected = moments(y, CHANNELS);
  const variances = expected.squares.map((sum) => (sum * CHANNELS) / y.length);
  const far = farthest(mean, expected.mean, { absolute: 1e-5, relative: 2e-7 });
  if (far) throw new Error(`the mean of channel ${far.index} is ${mean[far.index]} and not ${expected.mean[far.index]}`);
  return Math.max(...variances.map((value, c) => Math.abs(variance[c] - value) / value));
}
