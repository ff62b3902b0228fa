import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RunFolder } from '../../app/run/run-folder.ts';
import { checkGraph, readWeights } from '../../app/saved-weights.ts';
import { writeSafetensors } from '../../runtime/formats/safetensors.ts';
import { graphDigest } from '../../runtime/ir/serialize.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import type { Model } from '../../runtime/model/model.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { tempFolder } from '../support/temp-folder.ts';

const narrow = (arch: string): Model => buildModel(arch, { input: [32, 32, 3], classes: 10, width: 1 / 64 });
const digestOf = (model: Model): string => graphDigest(trainingGraphs(model).predict);
const tensorsOf = (model: Model) => {
  const values = initialize(model, 1n);
  return new Map(model.variables.map(({ name, shape }) => [name, { shape, data: values.get(name) as Float32Array }]));
};

function fileWith(metadata: Record<string, string>, model = narrow('convmixer-256-8')): string {
  const path = join(tempFolder(), 'model.safetensors');
  writeFileSync(path, writeSafetensors(tensorsOf(model), new Map(Object.entries(metadata))));
  return path;
}

describe('weights from a file', () => {
  test('of this program know their graph and configuration', async () => {
    const saved = await readWeights(fileWith({ format: 'hybrid', graph: 'abc', config: '{"arch":"x"}' }));
    expect(saved).toMatchObject({ graph: 'abc', config: { arch: 'x' } });
    expect(saved.weights).toEqual(initialize(narrow('convmixer-256-8'), 1n));
  });

  test.each([{}, { format: 'pt', graph: 'abc', config: '{}' }])('of another program know neither', async (metadata) => {
    const saved = await readWeights(fileWith(metadata as Record<string, string>));
    expect(saved.graph).toBeUndefined();
    expect(saved.config).toBeUndefined();
    expect(() => checkGraph(saved, narrow('convmixer-256-8'))).not.toThrow();
  });

  test.each(['', '{', 'null', '3'])('with the configuration %j have none', async (config) => {
    expect((await readWeights(fileWith({ format: 'hybrid', graph: 'abc', config }))).config).toBeUndefined();
  });
});

test('two architectures of the same names and shapes are told apart by their graph', async () => {
  const [mixer, residual] = [narrow('convmixer-256-8'), narrow('convmixer-256-8-block-residual')];
  const shapes = (model: Model) => new Map(model.variables.map(({ name, shape }) => [name, shape]));
  expect(shapes(residual)).toEqual(shapes(mixer));
  const saved = await readWeights(fileWith({ format: 'hybrid', graph: digestOf(mixer), config: '{}' }));
  expect(() => checkGraph(saved, mixer)).not.toThrow();
  expect(() => checkGraph(saved, residual)).toThrow(
    /trained in another graph \([0-9a-f]{12}\) than that of convmixer-256-8-block-residual/,
  );
});

test('of a run are the best, or the last where there is no best yet', async () => {
  const run = await RunFolder.create({ out: tempFolder(), name: 'r', config: { arch: 'convmixer' } });
  await run.close();
  const checkpoint = (value: number) => ({
    weights: new Map([['w', { shape: [1], data: Float32Array.of(value) }]]),
    optimizer: new Map(),
    progress: {},
    graph: { text: '{}', digest: `d${value}` },
  });
  await expect(readWeights(run.location)).rejects.toMatchObject({
    code: 'E_CHECKPOINT',
    message: expect.stringContaining('no checkpoint yet'),
  });
  await run.save('last', checkpoint(1));
  expect(await readWeights(run.location)).toMatchObject({ graph: 'd1', source: expect.stringContaining('(last)') });
  await run.save('best', checkpoint(2));
  await run.save('last', checkpoint(3));
  const saved = await readWeights(run.location);
  expect(saved).toMatchObject({ graph: 'd2', source: expect.stringContaining('(best)'), config: { arch: 'convmixer' } });
  expect(saved.weights).toEqual(new Map([['w', Float32Array.of(2)]]));
});

test('that are not there are E_CHECKPOINT', async () => {
  const folder = tempFolder();
  await expect(readWeights(join(folder, 'none'))).rejects.toMatchObject({ code: 'E_CHECKPOINT' });
  mkdirSync(join(folder, 'empty'));
  await expect(readWeights(join(folder, 'empty'))).rejects.toMatchObject({ code: 'E_CHECKPOINT' });
});

test('a pickle that is not a table of tensors is refused, whatever it asks for', async () => {
  const path = join(tempFolder(), 'weights.pt');
  writeFileSync(path, Buffer.concat([Buffer.from([0x80, 4]), Buffer.from("cos\nsystem\n(S'touch /tmp/never'\ntR.")]));
  await expect(readWeights(path)).rejects.toMatchObject({
    code: 'E_CHECKPOINT',
    message: expect.stringContaining('is a pickle, but not one'),
  });
});

test('safetensors whose header has any length are read as such: its first byte may be that of a pickle', async () => {
  const lengths = new Set<number>();
  // Headers are as long as a multiple of eight.
  for (let pad = 0; pad < 32; pad++) {
    const path = fileWith({ format: 'hybrid', graph: 'g', config: JSON.stringify({ arch: 'x'.repeat(1 + 8 * pad) }) });
    expect(await readWeights(path)).toMatchObject({ graph: 'g' });
    lengths.add(readFileSync(path)[0]);
  }
  expect([...lengths]).toEqual(expect.arrayContaining([0x80, 0x08]));
});
