// The wasm device as a whole: small models against the reference, the same bits for any number of threads, and the
// guarantees of the contract: order, abort, refusal of what does not fit, steps that are not finite.

import { afterAll, describe, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Batch, Device, Executable, ModelGraphs } from '../../runtime/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import type { Model } from '../../runtime/model/model.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { expectClose } from '../support/close.ts';
import { randomBatch, smallModels } from '../support/models.ts';

const HYPER = { learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 };
const SEED = 42n;

const open: Device[] = [];
async function device(threads: number, v8Flags = false): Promise<Device> {
  const opened = await openWasmDevice({ threads, v8Flags });
  open.push(opened);
  return opened;
}
afterAll(() => Promise.all(open.map((each) => each.close())));

async function executable(model: Model, on: Device, options: { capacity: number; withoutRules?: string[] }): Promise<Executable> {
  const compiled = await on.compile(trainingGraphs(model), { seed: SEED, ...options });
  for (const [name, data] of initialize(model, SEED)) await compiled.write(name, data);
  return compiled;
}

/** Everything that a step may change, by name. */
async function stateOf(compiled: Executable): Promise<Map<string, Float32Array>> {
  const state = new Map<string, Float32Array>();
  for (const { name } of compiled.state) state.set(name, await compiled.read(name));
  return state;
}

/** An architecture with dropout, batch normalisation, both convolutions, pooling or not. */
const model = buildModel('convmixer', { input: [12, 12, 3], classes: 5, dim: 20, depth: 3, kernel: 5, patch: 2 });

describe.each([
  ['as the engine is', false],
  ['with V8 flags', true],
])('against the reference, %s', (_, v8Flags) => {
  it.each(smallModels().map((small) => [small.arch, small] as const))(
    '%s: loss, gradients, update, moving statistics, logits',
    async (_arch, small) => {
      const capacity = 5;
      const reference = await executable(small, openReferenceDevice(), { capacity });
      for (const withoutRules of [[], ['all']]) {
        const wasm = await executable(small, await device(2, v8Flags), { capacity, withoutRules });
        for (const [name] of initialize(small, SEED)) await wasm.write(name, await reference.read(name));
        for (const rows of [capacity, capacity - 2]) {
          // Both start each step from the same values: differences do not add up.
          for (const { name } of reference.state) await wasm.write(name, await reference.read(name));
          const batch = randomBatch(small, rows, rows);
          const expected = await reference.gradient(batch);
          const actual = await wasm.gradient(batch);
          expectClose([actual.loss], [expected.loss], { relative: 2e-5 }, 'loss');
          expect(actual.correct).toBe(expected.correct);
          for (const { name, kind } of reference.state) {
            if (kind !== 'parameter') continue;
            const gradient = await reference.read(`gradients/${name}`);
            const scale = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0) / gradient.length);
            expectClose(
              await wasm.read(`gradients/${name}`),
              gradient,
              { absolute: 1e-3 * scale + 2e-6, relative: 2e-3 },
              `gradient of ${name}`,
            );
          }
          expect(await wasm.update(HYPER)).toEqual({ applied: true });
          expect(await reference.update(HYPER)).toEqual({ applied: true });
          for (const { name, kind } of reference.state) {
            // Adam's first steps are the signs of the gradients: parameters may differ by a step where those are noise.
            const tolerance = kind === 'parameter' ? { absolute: 2.1 * HYPER.learningRate } : { absolute: 2e-4, relative: 2e-3 };
            expectClose(await wasm.read(name), await reference.read(name), tolerance, name);
          }
        }
        for (const { name } of reference.state) await wasm.write(name, await reference.read(name));
        const batch = randomBatch(small, 3, 7);
        await wasm.calibrate(batch, 0.5);
        await reference.calibrate(batch, 0.5);
        for (const { name, kind } of reference.state) {
          if (kind === 'statistic')
            expectClose(await wasm.read(name), await reference.read(name), { absolute: 1e-5, relative: 1e-4 }, name);
        }
        const expected = await reference.evaluate(batch);
        const actual = await wasm.evaluate(batch);
        expectClose([actual.loss], [expected.loss], { relative: 2e-5 }, 'evaluation loss');
        expectClose(actual.logits, expected.logits, { absolute: 2e-5, relative: 1e-4 }, 'logits');
        expect(await wasm.predict(batch)).toEqual(actual.logits);
        // The reference goes back to where it was, for the second round.
        for (const [name, data] of initialize(small, SEED)) await reference.write(name, data);
        for (const { name, shape, kind } of reference.state) {
          if (kind !== 'parameter' && kind !== 'statistic') await reference.write(name, new Float32Array(shape.reduce((a, b) => a * b, 1)));
        }
        await wasm.close();
      }
    },
  );
});
