// Argument blocks: what tsc refuses, how they are laid down, and that kernels are those of the table. (The classes that kernels read them by are
// held to it by the kernels' own tests.)

import { expect, it } from 'vitest';
import { loadKernels } from '../../asm/host/modules.ts';
import { batchnormKernels } from '../../asm/lowering/batchnorm.ts';
import { KERNELS } from '../../asm/lowering/index.ts';
import { callsOf } from '../../asm/lowering/lowering.ts';
import { optimizerKernels } from '../../asm/lowering/optimizer.ts';
import { poolKernels } from '../../asm/lowering/pool.ts';
import { NO_SCALARS, SCALARS, STEP_WORDS, writeStep } from '../../runtime/ir/step.ts';

const call = callsOf({ ...poolKernels, ...batchnormKernels, ...optimizerKernels });
const size = { height: 4, width: 6, channels: 5 };

it('a kernel that there is not, a field that is missing or misspelt, and a value of another kind do not compile', () => {
  const calls = [
    // @ts-expect-error: no such kernel
    () => call('maxpool', { x: 64, y: 128, ...size }),
    // @ts-expect-error: `channels` is missing
    () => call('maxPool', { x: 64, y: 128, height: 4, width: 6 }),
    // @ts-expect-error: `chanels`
    () => call('maxPool', { x: 64, y: 128, height: 4, width: 6, chanels: 5 }),
    // @ts-expect-error: a flag is true or false
    () => call('bnStatsMerge', { tiles: 64, mean: 128, variance: 192, pixels: 1, channels: 5, samples: 64, sums: 1 }),
  ];
  expect(calls).toHaveLength(4);
});

it('lays fields down in the order of the table: absent tensors as 0, an f64 at an even word, a list behind its length', () => {
  expect(call('maxPool', { x: 64, y: 128, ...size })).toEqual({ kernel: 'maxPool', args: [64, 128, 4, 6, 5] });
  const group = { elements: 8, rate: 0.5, decay: 2 };
  const constants = { momentum: 1, nesterov: true };
  const { args } = call('sgd', {
    ok: 64,
    counter: 128,
    gradients: 192,
    scale: undefined,
    parameters: 256,
    velocity: undefined,
    ...constants,
    groups: [group],
  });
  expect(args).toEqual([64, 128, 192, 0, 256, 0, 0, 0x3ff00000, 1, 1, 8, { f32: 0.5 }, { f32: 2 }]);
});

it('every kernel is in the table, and every entry of the table is a kernel', async () => {
  const { kernels } = await loadKernels({ fma: false });
  expect([...kernels]).toEqual(Object.keys(KERNELS).sort());
});

it('the step block has a word for each scalar, in order', () => {
  const block = new ArrayBuffer(64);
  const scalars = Object.fromEntries(SCALARS.map((name, i) => [name, i + 0.5])) as unknown as typeof NO_SCALARS;
  writeStep(block, 16, { rows: 3, epoch: 4, seed: 2n ** 40n + 5n, ...scalars });
  expect([...new Uint32Array(block, 16, 4)]).toEqual([3, 4, 5, 256]);
  expect([...new Float32Array(block, 32, SCALARS.length)]).toEqual(SCALARS.map((_, i) => i + 0.5));
  expect(STEP_WORDS).toBe(4 + SCALARS.length);
  expect(Object.values(NO_SCALARS)).toEqual(SCALARS.map(() => 0));
});
