// Sums over large images keep their digits on the wasm device, and their bits at any capacity.

import { describe, expect, test } from 'vitest';
import { lowerings } from '../../asm/lowering/index.ts';
import { KernelMachine } from '../support/kernels.ts';
import { errorOfSums, hasVariance, longSums, SUM_TOLERANCE, VARIANCE_TOLERANCE } from '../support/long-sums.ts';
import { samples, uniform } from '../support/tensors.ts';

const machine = await KernelMachine.load('plain', 192);

describe.each([224, 512])('%i²', (side) => {
  test.each(longSums(side).map((long) => [long.one.name, long] as const))('%s', async (_name, long) => {
    const run = async () => machine.run({ op: long.op, ...long.one }, lowerings[long.op]);
    expect(await errorOfSums(long, run)).toBeLessThan(hasVariance(long) ? VARIANCE_TOLERANCE : SUM_TOLERANCE);
  });
});

test('weight gradients of depthwise convolutions have the same bits however images are cut into bands', () => {
  for (const [rows, h, w, c, k] of [
    [1, 90, 33, 160, 5],
    [2, 40, 12, 300, 7],
    [3, 21, 24, 1000, 5],
  ]) {
    const [x, dy] = [1, 2].map((seed) => samples(rows, [h, w, c], uniform(seed)));
    const run = { op: 'depthwiseGradWeight', inputs: [x, dy], attrs: { weightShape: [k, k, c, 1] }, rows } as const;
    const [expected] = machine.run(run, lowerings.depthwiseGradWeight);
    for (const capacity of [7, 30]) expect(machine.run({ ...run, capacity }, lowerings.depthwiseGradWeight)[0]).toEqual(expected);
  }
});
