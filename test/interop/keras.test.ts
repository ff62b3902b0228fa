// Both ways through real Keras: models trained here are loaded, measured and trained on there; what Keras saves then is loaded and
// trained on here. With HYBRID_INTEROP_FULL=1 the models are as large as they are; the largest differences are printed.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readWeights } from '../../app/saved-weights.ts';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { writeNpz } from '../../runtime/formats/npz.ts';
import { exportModel } from '../../runtime/interop/export.ts';
import { pythonWith, runPython } from '../support/python.ts';
import { batchOf, difference, interopModels, ROWS, Trainer } from '../support/trained.ts';

interface PeerResult {
  readonly layers: readonly string[];
  readonly iterations: number;
  readonly rate: number;
  readonly predicted: readonly number[];
  readonly evaluated: readonly [number, number];
  readonly losses: readonly number[];
  readonly predictedAfter: readonly number[];
  readonly lossesLater: readonly number[];
  readonly predictedLater: readonly number[];
  readonly weightsEqual: boolean;
}

/** What was measured, with room; after steps more, because Adam makes a step of ±rate of a gradient near zero. */
const EQUAL = 2e-5;
const TRAINED = 2e-2;

const python = pythonWith('the exchange with Keras', 'keras', 'numpy', 'h5py');
const MODELS = interopModels();
const folder = mkdtempSync(join(tmpdir(), 'hybrid-keras-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let peers: { readonly keras: string; readonly backend: string; readonly models: Readonly<Record<string, PeerResult>> };
const here = new Map<string, { evaluated: { loss: number; accuracy: number }; logits: Float32Array[]; losses: number[] }>();
let device: Device;
const largest = new Map<string, number>();
const note = (what: string, value: number): number => {
  largest.set(what, Math.max(largest.get(what) ?? 0, value));
  return value;
};

describe.skipIf(!python)('Keras', { timeout: 900_000 }, () => {
  beforeAll(async () => {
    device = await openWasmDevice({ v8Flags: true });
    for (const model of MODELS) {
      const trainer = await Trainer.start(device, model);
      await trainer.steps(4, 5, 6);
      const trained = await trainer.trained();
      const file = (ending: string) => join(folder, model.arch + ending);
      writeFileSync(file('.keras'), await exportModel(trained, 'keras'));
      writeFileSync(file('.weights.h5'), await exportModel(trained, 'h5'));
      const batches = [0, 1, 2, 3].map((k) => batchOf(model, k));
      const arrays = new Map([
        ['images', { shape: [4, ROWS, ...model.input], data: Uint8Array.from(batches.flatMap(({ images }) => [...images])) }],
        ['labels', { shape: [4, ROWS], data: Int32Array.from(batches.flatMap(({ labels }) => [...labels])) }],
      ]);
      writeFileSync(file('.data.npz'), writeNpz(arrays));

      const logits = [await trainer.logits(0)];
      const evaluated = await trainer.evaluate(0);
      const losses = await trainer.steps(1, 2);
      logits.push(await trainer.logits(0));
      losses.push(...(await trainer.steps(3)));
      logits.push(await trainer.logits(0));
      here.set(model.arch, { evaluated, logits, losses });
      await trainer.close();
    }
    peers = (await runPython(python as string, 'keras_peer.py', folder)) as typeof peers;
    return async () => {
      await device.close();
      const differences = [...largest].map(([what, value]) => `${what} ${value.toExponential(1)}`).join(', ');
      process.stderr.write(`Keras ${peers.keras} on ${peers.backend}, largest differences: ${differences}\n`);
    };
  }, 900_000);

  test.each(MODELS.map((model) => [model.arch, model] as const))('%s', async (arch, model) => {
    const peer = peers.models[arch];
    const own = here.get(arch);
    if (!own) throw new Error(`${arch} was not trained`);

    // A file from here.
    expect(peer.layers).toEqual(model.layers.map(({ name }) => name));
    expect(peer.iterations).toBe(3);
    expect(peer.rate).toBeCloseTo(1e-3, 9);
    expect(peer.weightsEqual).toBe(true);
    expect(note('logits', difference(peer.predicted, own.logits[0]))).toBeLessThan(EQUAL);
    expect(note('loss', Math.abs(peer.evaluated[0] - own.evaluated.loss))).toBeLessThan(EQUAL);
    expect(peer.evaluated[1]).toBeCloseTo(own.evaluated.accuracy, 6);
    // Going on with it, beside going on here.
    expect(note('first loss of going on', Math.abs(peer.losses[0] - own.losses[0]))).toBeLessThan(EQUAL);
    expect(note('logits after two steps', difference(peer.predictedAfter, own.logits[1]))).toBeLessThan(TRAINED);

    // The file from there.
    const back = (await readWeights(join(folder, `${arch}.back.keras`))).trained;
    if (!back) throw new Error(`${arch} was not recognised`);
    expect(back.model).toEqual(model);
    expect(back.optimizerSettings?.learningRate).toBeCloseTo(1e-3, 9);
    expect(back.optimizerSettings?.weightDecay).toBe(1e-4);
    expect(back.bnMomentum).toBe(0.99);
    expect(back.optimizer?.get('optimizer/vars/0')).toEqual(Float32Array.of(5));
    const alone = await readWeights(join(folder, `${arch}.back.weights.h5`), undefined, () => ({ model }));
    expect(alone.trained?.weights).toEqual(back.weights);
    expect(alone.trained?.optimizer).toEqual(back.optimizer);

    const trainer = await Trainer.start(device, model, back);
    expect(note('logits of the file back', difference(await trainer.logits(0), peer.predictedAfter))).toBeLessThan(EQUAL);
    const [loss] = await trainer.steps(3);
    expect(note('loss of going on here', Math.abs(loss - peer.lossesLater[0]))).toBeLessThan(EQUAL);
    expect(note('logits after a step here', difference(await trainer.logits(0), peer.predictedLater))).toBeLessThan(TRAINED);
    await trainer.close();
  });
});
