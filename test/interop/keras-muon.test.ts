// Muon in Keras' files: its state goes both ways where both take the same parameters for matrices, and elsewhere is told to be left out.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Executable } from '../../runtime/device.ts';
import { writeNpz } from '../../runtime/formats/npz.ts';
import { readKeras, writeKeras } from '../../runtime/interop/keras.ts';
import { notForKeras, otherMatrices } from '../../runtime/interop/keras-muon.ts';
import { optimizerConfig, readOptimizer } from '../../runtime/interop/keras-optimizer.ts';
import { optimizerVariables, type TrainedModel } from '../../runtime/interop/trained-model.ts';
import { input, layers } from '../../runtime/layers/functional.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { functionalModel } from '../../runtime/model/layered-model.ts';
import type { Model } from '../../runtime/model/model.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { randomBatch } from '../support/models.ts';
import { pythonWith, runPython } from '../support/python.ts';

const ROWS = 8;
const optimizerSettings = { optimizer: { name: 'muon', momentum: 0.9 }, learningRate: 2 ** -8, weightDecay: 2 ** -6 } as const;
const SCALARS = { learningRate: optimizerSettings.learningRate, weightDecay: optimizerSettings.weightDecay, bnMomentum: 0.99 };

function denseNetwork(): Model {
  const images = input([4, 4, 3]);
  const first = layers.dense(layers.flatten(layers.rescaling(images, { scale: 1 / 255 })), {
    units: 12,
    activation: 'relu',
    name: 'embedding',
  });
  const second = layers.dense(first, { units: 12, activation: 'gelu', useBias: false, name: 'second' });
  return functionalModel({ name: 'dense', input: images, output: layers.dense(second, { units: 3, name: 'answer' }) });
}
const dense = denseNetwork();
const conv = buildModel('convmixer', { input: [8, 8, 3], classes: 3, dim: 8, depth: 1, kernel: 3, patch: 2 });

const batch = (model: Model, k: number) => randomBatch(model, ROWS, 50 + k);

/** The model after steps with some batches, from a state. */
async function trained(
  model: Model,
  batches: readonly number[],
  from?: TrainedModel,
): Promise<{ readonly model: TrainedModel; readonly losses: number[] }> {
  await using device = await openWasmDevice({ threads: 2 });
  await using executable: Executable = await device.compile(trainingGraphs(model, { optimizer: optimizerSettings.optimizer }), {
    ...{ capacity: ROWS, seed: 1n },
  });
  for (const [name, data] of [...(from?.weights ?? initialize(model, 5n)), ...(from?.optimizer ?? [])])
    if (name !== 'optimizer/vars/1') await executable.write(name, data);
  const losses: number[] = [];
  for (const k of batches) {
    losses.push((await executable.gradient(batch(model, k))).loss);
    await executable.update(SCALARS);
  }
  const read = async ({ name }: { readonly name: string }) =>
    [name, name === 'optimizer/vars/1' ? Float32Array.of(SCALARS.learningRate) : await executable.read(name)] as const;
  return {
    losses,
    model: {
      model,
      weights: new Map(await Promise.all(model.variables.map(read))),
      optimizer: new Map(await Promise.all(optimizerVariables(model, optimizerSettings.optimizer).map(read))),
      optimizerSettings,
      classes: ['a', 'b', 'c'],
    },
  };
}

describe('files', () => {
  it('have the state of a network of dense layers, and settings with what Keras must leave out', async () => {
    const { model: written } = await trained(dense, [0, 1]);
    expect(notForKeras(written)).toBeUndefined();
    expect(optimizerConfig(optimizerSettings, dense).config).toMatchObject({
      ...{ exclude_layers: ['^answer/kernel$'], exclude_embeddings: false, adam_weight_decay: 2 ** -6, ns_steps: 5, rms_rate: 0.2 },
      ...{ momentum: 0.9, adam_beta_1: 0.9, muon_a: 3.4445 },
    });
    const read = await readKeras(await writeKeras(written));
    expect(read.optimizer).toEqual(written.optimizer);
    expect(read.optimizer?.size).toBe(2 + 2 * 5 - 2);
    expect(read.optimizerSettings).toMatchObject({
      learningRate: 2 ** -8,
      weightDecay: 2 ** -6,
      optimizer: { name: 'muon', momentum: 0.9 },
    });
    expect(read.notices).toBeUndefined();
  });

  it('do without it where kernels of convolutions are matrices, and it is told', async () => {
    const { model: written } = await trained(conv, [0]);
    expect(notForKeras(written)).toBe(
      "The state of the optimizer is left out of the file: Keras' Muon takes kernels of dense layers alone for matrices, and 2 of these are others (conv2d/kernel …). Training in Keras begins with a new one.",
    );
    const read = await readKeras(await writeKeras(written));
    expect(read.weights).toEqual(written.weights);
    expect(read.optimizer).toBeUndefined();
    expect(read.optimizerSettings?.optimizer).toMatchObject({ name: 'muon' });
  });

  it('of Keras are the same where they leave out the same kernels', () => {
    const why = (config: object, nameOf = (index: number) => dense.layers[index].name) =>
      otherMatrices(dense, { class_name: 'Muon', config }, optimizerSettings, nameOf);
    expect(why({ exclude_layers: ['answer'], exclude_embeddings: false })).toBeUndefined();
    expect(why({ exclude_layers: ['^answer/'], exclude_embeddings: false })).toBeUndefined();
    expect(why({ exclude_layers: null })).toBe("Keras' Muon takes embedding/kernel for no matrix, which it is here");
    expect(why({ exclude_embeddings: false })).toBe("Keras' Muon takes answer/kernel for a matrix, which it is not here");
    expect(why({ exclude_layers: ['second', 'answer'], exclude_embeddings: false })).toContain('second/kernel for no matrix');
    expect(why({ exclude_layers: ['(a+)+$'], exclude_embeddings: false })).toBe('it leaves out layers by "(a+)+$", which is no plain name');
    expect(
      why({ exclude_layers: ['inner/answer'], exclude_embeddings: false }, (index) => `inner/${dense.layers[index].name}`),
    ).toBeUndefined();
  });

  it('of Keras with other constants are of another optimizer', () => {
    const { config, ...others } = optimizerConfig(optimizerSettings, dense);
    const read = (changes: object) => readOptimizer({ ...others, config: { ...config, ...changes } });
    expect(read({})).toMatchObject(optimizerSettings);
    for (const changes of [{ muon_a: 3 }, { adam_lr_ratio: 0.1 }, { adam_weight_decay: 0 }, { rms_rate: null }, { ns_steps: 0 }])
      expect(read(changes)).toBeUndefined();
  });
});

const python = pythonWith('Muon of Keras', 'keras', 'numpy');

describe.skipIf(!python)('Keras', { timeout: 300_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'hybrid-muon-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('goes on where this program stopped, and this program where Keras did', async () => {
    const { model: start } = await trained(dense, [0, 1]);
    writeFileSync(join(folder, 'dense.keras'), await writeKeras(start));
    writeFileSync(join(folder, 'conv.keras'), await writeKeras((await trained(conv, [0])).model));
    const batches = [0, 1, 2, 3, 4].map((k) => batch(dense, k));
    const tensors = {
      images: { shape: [5, ROWS, 4, 4, 3], data: Float32Array.from(batches.flatMap(({ images }) => [...images])) },
      labels: { shape: [5, ROWS], data: Float32Array.from(batches.flatMap(({ labels }) => [...labels])) },
    };
    writeFileSync(join(folder, 'data.npz'), await writeNpz(new Map(Object.entries(tensors))));
    const theirs = (await runPython(python as string, 'keras_muon.py', folder)) as Record<'losses' | 'later', number[]> &
      Record<'muon' | 'conv', unknown[]>;
    expect(theirs.muon).toEqual(['Muon', 2, 10]);
    // Of a network whose state is left out it is loaded all the same.
    expect(theirs.conv).toEqual(['Muon', 0]);
    const { model: ours, losses } = await trained(dense, [2, 3], start);
    for (const [i, loss] of losses.entries()) expect(Math.abs(loss - theirs.losses[i])).toBeLessThan(1e-5);
    const back = await readKeras(readFileSync(join(folder, 'back.keras')));
    expect(back.optimizer?.get('optimizer/vars/0')?.[0]).toBe(4);
    for (const [name, data] of [...ours.weights, ...(ours.optimizer as Map<string, Float32Array>)]) {
      const other = back.weights.get(name) ?? back.optimizer?.get(name);
      for (const [i, value] of data.entries()) expect(Math.abs(value - (other?.[i] ?? Number.NaN)), name).toBeLessThan(2e-5);
    }
    const { losses: later } = await trained(dense, [4], back);
    expect(Math.abs(later[0] - theirs.later[0])).toBeLessThan(1e-5);

    // Keras leaves out what has "embedding" in its name, and takes the last layer's kernel for a matrix unless it is told.
    for (const name of ['plain', 'named']) {
      const { optimizer, notices } = await readKeras(readFileSync(join(folder, `${name}.keras`)));
      expect(optimizer).toBeUndefined();
      expect(notices?.join()).toContain(
        "The state of the optimizer is left out: Keras' Muon takes embedding/kernel for no matrix, which it is here",
      );
    }
  });
});
