// Sums over large images keep their digits on the webgpu device, and layers with as many inputs as a large image has numbers run.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import type { OpCase } from '../support/cases.ts';
import { checkDispatches } from '../support/check-dispatches.ts';
import { DispatchRunner } from '../support/dispatch-runner.ts';
import { errorOfSums, hasVariance, longSums, SUM_TOLERANCE, VARIANCE_TOLERANCE } from '../support/long-sums.ts';
import { hasSwiftShader } from '../support/swiftshader.ts';
import { fixed, samples, uniform } from '../support/tensors.ts';

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
