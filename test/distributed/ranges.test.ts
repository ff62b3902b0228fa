// The whole ranges of the contract, gradients and statistics, which ranks exchange: on every device they can be read, written
// and are what the next update uses.

import { afterAll, describe, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { openWebGpuDevice } from '../../gpu/host/device.ts';
import { type Device, GRADIENTS, STATISTICS } from '../../runtime/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { expectClose } from '../support/close.ts';
import { randomBatch } from '../support/models.ts';
import { hasSwiftShader, useSwiftShader } from '../support/swiftshader.ts';

const model = buildModel('convmixer', { input: [8, 8, 3], classes: 3, dim: 5, depth: 1, kernel: 3, patch: 2 });
const batch = randomBatch(model, 3);
const HYPER = { learningRate: 0.1, weightDecay: 0, bnMomentum: 0.5 };

const open: Device[] = [];
afterAll(() => Promise.all(open.map((device) => device.close())));

describe.each([
  ['reference', true, async () => openReferenceDevice()],
  ['wasm', true, () => openWasmDevice({ threads: 2 })],
  [
    'webgpu',
    hasSwiftShader,
    () => {
      useSwiftShader();
      return openWebGpuDevice();
    },
  ],
] as const)('%s', (_, present, openIt) => {
  it.runIf(present)('gradients and statistics as a whole', async () => {
    const device = await openIt();
    open.push(device);
    const executable = await device.compile(trainingGraphs(model), { capacity: 3, seed: 1n });
    for (const [name, data] of initialize(model, 1n)) await executable.write(name, data);
    const parameter = model.variables[0].name;
    const statistic = model.variables.find(({ kind }) => kind === 'statistic')?.name as string;

    await executable.gradient(batch);
    const gradients = await executable.read(GRADIENTS);
    const sum = (values: Float32Array) => values.reduce((total, value) => total + Math.abs(value), 0);
    let expected = 0;
    for (const { name, kind } of model.variables) if (kind === 'parameter') expected += sum(await executable.read(`gradients/${name}`));
    expect(sum(gradients)).toBeGreaterThan(0);
    expect(Math.abs(sum(gradients) - expected)).toBeLessThan(1e-4 * expected); // and between the tensors there is nothing

    // AdamW without decay and with gradients of zero moves nothing.
    const before = await executable.read(parameter);
    await executable.write(GRADIENTS, new Float32Array(gradients.length));
    expect(await executable.update(HYPER)).toMatchObject({ applied: true });
    expectClose(await executable.read(parameter), before, { absolute: 1e-7 }, parameter);

    const statistics = await executable.read(STATISTICS);
    await executable.write(
      STATISTICS,
      statistics.map((_, i) => i),
    );
    const written = [...(await executable.read(statistic))];
    expect(written).toEqual(written.map((_, i) => written[0] + i));
    await executable.write(
      GRADIENTS,
      gradients.map(() => Number.NaN),
    );
    expect(await executable.update(HYPER)).toMatchObject({ applied: false });
    await executable.close();
  });
});
