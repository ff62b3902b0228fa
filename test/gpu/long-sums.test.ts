// Sums over large images keep their digits on the webgpu device, and layers with as many inputs as a large image has numbers run.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import { checkDispatches } from '../support/check-dispatches.ts';
import { expectClose } from '../support/close.ts';
import { DispatchRunner } from '../support/dispatch-runner.ts';
import { errorOfSums, hasVariance, longSums, SUM_TOLERANCE, VARIANCE_TOLERANCE } from '../support/long-sums.ts';
import type { OpCase } from '../support/op-case.ts';
import { runReference } from '../support/reference.ts';
import { hasSwiftShader } from '../support/swiftshader.ts';
import { fixed, samples, type TestTensor, uniform } from '../support/tensors.ts';

describe.runIf(hasSwiftShader)('on SwiftShader', () => {
  let runner: DispatchRunner;
  beforeAll(async () => {
    runner = await DispatchRunner.open();
  });
  afterAll(() => runner?.close());
  const run = async (op: KernelOpName, one: OpCase) => (await runner.run(op, one)).outputs as readonly ArrayLike<number>[];

  describe.each([224, 512])('%i²', (side) => {
    it.each(longSums(side).map((long) => [long.one.name, long] as const))('%s', async (_name, long) => {
      expect(await errorOfSums(long, run)).toBeLessThan(hasVariance(long) ? VARIANCE_TOLERANCE : SUM_TOLERANCE);
    });
  });

  // The sums of a gradient and of what it is the gradient of, which another kernel makes on the way.
  describe.each([224, 512])('merged with the statistics of a batch normalisation, %i²', (side) => {
    const image = (seed: number) => samples(1, [side, side, 4], uniform(seed, 0, 1));
    const vector = (value: number) => fixed([4], [value, value, value, value]);
    const vectors = { mean: vector(0), variance: vector(1), gamma: vector(1) };
    const fold = { epsilon: 1e-3, pixels: side * side };
    const [dy, x] = [image(1), image(2)];
    const w = { conv: fixed([1, 1, 4, 4], uniform(3, 0, 1)), depthwise: fixed([3, 3, 4, 1], uniform(3, 0, 1)) };
    const plain = { stride: 1, padding: 'same', inputShape: [side, side, 4] };
    const check = async (op: 'convGradInputStats' | 'depthwiseGradMerged', dx: TestTensor, one: Pick<OpCase, 'inputs' | 'attrs'>) => {
      const [dySum, dyxSum] = runReference('bnGradStats', { dy: dx, x, mean: vectors.mean });
      const expected = runReference('bnGradFold', { dySum, dyxSum, ...vectors }, fold, { rows: 1 }).slice(-2);
      const { outputs } = await runner.run(op, { name: op, rows: 1, ...one });
      for (const [i, { data }] of expected.entries())
        expectClose(outputs.at(i - 2) as ArrayLike<number>, data, { relative: SUM_TOLERANCE }, ['dgamma', 'dbeta'][i]);
    };

    it('convGradInput', async () => {
      const [dx] = runReference('convGradInput', { dy, w: w.conv }, plain);
      await check('convGradInputStats', dx, { inputs: { dy, w: w.conv, x, ...vectors }, attrs: { ...plain, ...fold } });
    });

    it('depthwiseGrad', async () => {
      const inputs = { dy, x, w: w.depthwise };
      const [dx] = runReference('depthwiseGrad', inputs, {});
      await check('depthwiseGradMerged', dx, { inputs: { ...inputs, ...vectors }, attrs: fold });
    });
  });

  it('a dense layer on images of 512×512×3, forward and backward', async () => {
    const inputs = 512 * 512 * 3;
    const [x, w] = [samples(2, [inputs], uniform(1)), fixed([inputs, 10], uniform(2, -1e-3, 1e-3))];
    const plain = { stride: 1, padding: 'valid' };
    const dy = samples(2, [10], uniform(3));
    await checkDispatches(runner, 'conv', { name: '', rows: 2, inputs: [x, w], attrs: plain }, {});
    await checkDispatches(runner, 'convGradInput', { name: '', rows: 2, inputs: [dy, w], attrs: { ...plain, inputShape: [inputs] } }, {});
    await checkDispatches(
      runner,
      'convGradWeight',
      { name: '', rows: 2, inputs: [x, dy], attrs: { ...plain, weightShape: [inputs, 10] } },
      {},
    );
  });
});
