// What is frozen here is frozen as in Keras (`trainable = False`): gradients of a batch, losses of three steps, and the weights after them, batch
// normalisation in inference mode included.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { writeNpz } from '../../runtime/formats/npz.ts';
import { exportModel } from '../../runtime/interop/export.ts';
import type { Model } from '../../runtime/model/model.ts';
import { pathOf, stagesOf } from '../../runtime/train/freeze.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { pythonWith, runPython } from '../support/python.ts';
import { batchOf, interopModels, ROWS, Trainer } from '../support/trained.ts';

interface Result {
  readonly loss: number;
  readonly gradients: number[][];
  readonly losses: number[];
  readonly weights: number[][];
}

const FREEZE = ['none', 'backbone', '*normalization*', 'conv2d*'];
const STEP = { learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.99 };
const python = pythonWith('the comparison of frozen layers with Keras', 'keras', 'tensorflow', 'numpy');
const folder = mkdtempSync(join(tmpdir(), 'hybrid-freeze-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Layers that are frozen, by their names in Keras. */
function frozenLayers({ layers, variables }: Model, graphs: ReturnType<typeof trainingGraphs>): string[] {
  const { gradients, values } = graphs.train;
  const trained = new Set(gradients.map(({ parameter }) => pathOf(values[parameter].name)));
  const paths = new Set(variables.map(({ name }) => pathOf(name)).filter((path) => !trained.has(path)));
  return layers.filter(({ path }) => paths.has(path)).map(({ name }) => name);
}

const largest = (values: ArrayLike<number>) => Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
const apart = (a: ArrayLike<number>, b: ArrayLike<number>) => largest(Array.from(a, (value, i) => value - b[i]));

describe.skipIf(!python)('Keras', { timeout: 900_000 }, () => {
  test('computes the same gradients, losses and weights, whatever is frozen', async () => {
    const device = await openWasmDevice({ v8Flags: true });
    const models = interopModels().filter(({ arch }) => ['convmixer', 'conv-pooling', 'convmixer-256-8-block-residual'].includes(arch));
    const cases = [];
    for (const model of models) {
      const trainer = await Trainer.start(device, model);
      await trainer.steps(4, 5, 6);
      const trained = await trainer.trained();
      await trainer.close();
      writeFileSync(join(folder, `${model.arch}.keras`), await exportModel(trained, 'keras'));
      const batches = [0, 1, 2].map((k) => batchOf(model, k));
      const arrays = new Map([
        ['images', { shape: [3, ROWS, ...model.input], data: Uint8Array.from(batches.flatMap(({ images }) => [...images])) }],
        ['labels', { shape: [3, ROWS], data: Int32Array.from(batches.flatMap(({ labels }) => [...labels])) }],
      ]);
      writeFileSync(join(folder, `${model.arch}.data.npz`), writeNpz(arrays));
      for (const freeze of FREEZE) {
        const graphs = trainingGraphs(model, { groups: stagesOf(model, freeze)[0].groups });
        cases.push({ arch: model.arch, freeze, frozen: frozenLayers(model, graphs), model, trained, graphs });
      }
    }
    writeFileSync(join(folder, 'cases.json'), JSON.stringify(cases.map(({ arch, frozen }) => ({ arch, frozen }))));
    const peer = (await runPython(python as string, 'freeze_peer.py', folder)) as {
      readonly keras: string;
      readonly cases: readonly Result[];
    };
    let [inGradients, inLosses] = [0, 0];
    for (const [k, { arch, freeze, model, trained, graphs }] of cases.entries()) {
      const where = `${arch}, ${freeze} frozen`;
      const expected = peer.cases[k];
      const executable = await device.compile(graphs, { capacity: ROWS, seed: 1n });
      for (const [name, data] of trained.weights) await executable.write(name, data);
      const losses: number[] = [];
      for (let step = 0; step < 3; step++) {
        losses.push((await executable.gradient(batchOf(model, step))).loss);
        if (step === 0) {
          const names = new Set(graphs.train.gradients.map(({ parameter }) => graphs.train.values[parameter].name));
          const ordered = model.variables.filter(({ name }) => names.has(name));
          expect(expected.gradients.length, where).toBe(ordered.length);
          for (const [i, { name }] of ordered.entries()) {
            const gradient = await executable.read(`gradients/${name}`);
            const scale = largest(expected.gradients[i]);
            const difference = apart(gradient, expected.gradients[i]) / (scale + 1e-3);
            inGradients = Math.max(inGradients, difference);
            expect(difference, `${where}: ${name}`).toBeLessThan(1e-3);
          }
        }
        await executable.update(STEP);
      }
      inLosses = Math.max(inLosses, apart(losses, expected.losses));
      expect(apart(losses, expected.losses), where).toBeLessThan(1e-4);
      for (const [i, { name, kind }] of model.variables.entries()) {
        const now = await executable.read(name);
        // What is frozen stays to the bit on both sides.
        const before = trained.weights.get(name) as Float32Array;
        expect(apart(now, before) === 0, `${where}: ${name}`).toBe(apart(expected.weights[i], before) === 0);
        if (kind === 'statistic') expect(apart(now, expected.weights[i]), `${where}: ${name}`).toBeLessThan(1e-4 * (1 + largest(now)));
      }
      await executable.close();
    }
    await device.close();
    process.stderr.write(
      `Keras ${peer.keras}, frozen layers: gradients differ by ${inGradients.toExponential(1)} of their largest, losses by ${inLosses.toExponential(1)}\n`,
    );
  });
});
