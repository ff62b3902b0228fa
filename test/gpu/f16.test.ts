// The tier f16 on the adapter of this machine, where it has f16: every kernel with images stored as f16, the golden runs of the five models, an
// overflow, and training beside f32. Software adapters that CI has do not: there it is skipped. (What needs no adapter is in precision.test.ts.)

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeGpu } from '../../gpu/host/auto.ts';
import { openWebGpuDevice, type WebGpuDevice } from '../../gpu/host/device.ts';
import { LOSS_SCALE } from '../../gpu/lowering/loss-scale.ts';
import { selfTest } from '../../runtime/compile/self-test.ts';
import type { Device } from '../../runtime/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { opCases } from '../support/cases.ts';
import { checkDispatches } from '../support/check-dispatches.ts';
import { DispatchRunner } from '../support/dispatch-runner.ts';
import { GoldenComparison, readGolden } from '../support/golden.ts';
import { type GoldenTolerances, goldenSteps } from '../support/golden-steps.ts';
import { randomBatch } from '../support/models.ts';
import { ofType, runPart, smallOptions } from '../support/runs.ts';
import { tensorsOf } from '../support/test-node.ts';

const adapter = process.env.HYBRID_F16 === 'no' ? null : await describeGpu();
const hasF16 = adapter?.precisions.includes('f16') === true;
if (!hasF16) console.warn(`f16.test.ts: skipped, ${adapter ? `${adapter.description} has no f16` : 'there is no GPU'}`);

const MODELS = ['convmixer-256-8', 'conv-pooling', 'convmixer-2stage-flatten', 'convmixer-2stage', 'convmixer-256-8-block-residual'];
/** Moments are those of gradients of which Adam's first steps have made the most: a step is as long for the smallest gradient as for the largest. */
const TOLERANCES: GoldenTolerances = {
  ...{ forward: 2e-3, gradients: 5e-2, losses: [2e-3, 2e-3, 2e-3] },
  ...{ weights: 7e-2, moments: 2.5e-1, statistics: 2e-3, after: 5e-3 },
};

describe.runIf(hasF16)('kernels', () => {
  let runner: DispatchRunner;
  beforeAll(async () => {
    runner = await DispatchRunner.open({ f16: true });
  });
  afterAll(() => runner?.close());

  it.each(Object.keys(opCases) as KernelOpName[])('%s: all cases that have images', async (op) => {
    for (const one of opCases[op]()) {
      if (tensorsOf(one.inputs).some(({ spec }) => spec.perSample && spec.shape.length === 3))
        await checkDispatches(runner, op, one, { halves: true });
    }
  });
});

describe.runIf(hasF16)('the device', () => {
  let device: WebGpuDevice;
  let f32: WebGpuDevice;
  beforeAll(async () => {
    device = await openWebGpuDevice({ precision: 'f16' });
    f32 = await openWebGpuDevice();
  });
  afterAll(async () => {
    await device?.close();
    await f32?.close();
  });

  it('passes the self-test, and says what it is', async () => {
    expect(await selfTest(device)).toMatchObject({ passed: true });
    expect(device.description).toMatch(/, f16$/);
    expect(device.arithmetic).not.toBe(f32.arithmetic);
  });

  it.each(MODELS)('three steps of %s', async (arch) => {
    const file = readGolden(arch);
    const { image, width } = file.metadata.reduced;
    const model = buildModel(arch, { input: [image, image, 3], classes: 10, dropout: 0, width });
    const state = [...file.tensors].flatMap(([name, { data }]) =>
      name.startsWith('reduced/initial/') ? [[name.slice('reduced/initial/'.length), data] as const] : [],
    );
    const images = file.tensors.get('reduced/images')?.data as Uint8Array;
    const labels = file.tensors.get('reduced/labels')?.data as Int32Array;
    const compared = [...file.tensors].flatMap(([name, { data }]) =>
      name.startsWith('reduced/') && data instanceof Float64Array && !/step\/(outputs|logits)/.test(name) ? [name] : [],
    );
    const golden = new GoldenComparison(file, compared);
    await goldenSteps(device, golden, { model, state, images, labels, withoutRules: [], tolerances: TOLERANCES, section: 'reduced' });
    golden.finish();
  });

  it('finds gradients beyond f16, and halves the scale until they fit; the same bits from run to run', async () => {
    const model = buildModel('convmixer', { input: [8, 8, 3], classes: 5, dim: 12, depth: 1, kernel: 3, patch: 2 });
    const run = async (): Promise<unknown[]> => {
      const executable = await device.compile(trainingGraphs(model), { seed: 1n, capacity: 3, programs: ['train'] });
      for (const [name, data] of initialize(model, 1n)) await executable.write(name, data);
      await executable.write(LOSS_SCALE, [9, 0]); // 2^24: beyond f16 with any gradient worth the name
      const results: unknown[] = [];
      for (let overflow: number | undefined = 1; overflow !== undefined; ) {
        const metrics = await executable.gradient(randomBatch(model, 3));
        const update = await executable.update({ learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 });
        results.push(metrics, update);
        overflow = update.overflow;
        expect(update.applied).toBe(overflow === undefined);
      }
      results.push(await executable.read('layers/conv2d/vars/0'));
      await executable.close();
      return results;
    };
    const results = await run();
    expect(results[1]).toEqual({ applied: false, overflow: 2 ** 24 });
    expect(await run()).toEqual(results);
  });

  it('learns as f32 does', async () => {
    const learn = async (on: Device) => {
      const { events } = await runPart(smallOptions({ device: on, epochs: 6 }));
      return ofType(events, 'epoch').map(({ train }) => train.loss);
    };
    const [half, full] = [await learn(device), await learn(f32)];
    expect(full.at(-1)).toBeLessThan(0.8 * full[0]);
    for (const [epoch, loss] of half.entries())
      expect(Math.abs(loss / full[epoch] - 1), `epoch ${epoch + 1}: ${half} and ${full}`).toBeLessThan(0.1);
  });
});
