// Files of weights alone: which network they are of, and whose the state of the optimizer is. The numbers of variables are those that
// Keras 3.15 writes for each optimizer.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readWeights } from '../../app/saved-weights.ts';
import { readHdf5File, writeHdf5 } from '../../runtime/formats/hdf5.ts';
import { readNpz } from '../../runtime/formats/npz.ts';
import type { FileTensor } from '../../runtime/formats/safetensors.ts';
import { writeKeras, writeKerasWeights } from '../../runtime/interop/keras.ts';
import { measure } from '../../runtime/interop/measures.ts';
import { numberedClasses, optimizerVariables } from '../../runtime/interop/trained-model.ts';
import { ARCHITECTURES, buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { cli } from '../support/cli.ts';
import { hybridError } from '../support/expect-error.ts';
import { pythonWith, runPython } from '../support/python.ts';
import { tempFolder } from '../support/temp-folder.ts';

const model = buildModel('convmixer', { input: [28, 28, 1], classes: 3, dim: 8, depth: 1, kernel: 3, patch: 4 });
const weights = initialize(model, 1n);
const parameters = model.variables.filter(({ kind }) => kind === 'parameter');

function put(bytes: Uint8Array): string {
  const path = join(tempFolder(), 'x.weights.h5');
  writeFileSync(path, bytes);
  return path;
}

/** As Keras writes it: `state` variables for each parameter and `more` beside, the optimizer under its name. */
async function kerasFile({ name, each, more = 0, prefix = 'layers/' }: { name?: string; each: number; more?: number; prefix?: string }) {
  const tensors = new Map<string, FileTensor>();
  for (const variable of model.variables)
    tensors.set(variable.name.replace('layers/', prefix), { shape: variable.shape, data: weights.get(variable.name) as Float32Array });
  const shapes = [
    ...Array.from({ length: more }, () => []),
    ...parameters.flatMap(({ shape }) => Array.from({ length: each }, () => shape)),
  ];
  tensors.set('optimizer/vars/0', { shape: [], data: BigInt64Array.of(7n) });
  tensors.set('optimizer/vars/1', { shape: [], data: Float32Array.of(0.001) });
  for (const [i, shape] of shapes.entries())
    tensors.set(`optimizer/vars/${i + 2}`, { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(-1) });
  return put(await writeHdf5(tensors, { attributes: new Map(name === undefined ? [] : [['optimizer/vars@name', name]]) }));
}

const read = async (path: string) => (await readWeights(path, undefined, () => ({ model }))).trained;

describe('the state of the optimizer', () => {
  it.each([
    ['adam_w', { each: 2 }],
    ['adam_w_1', { each: 2 }],
    ['adam', { each: 2 }],
  ])('of %s is taken over', async (name, counts) => {
    const trained = await read(await kerasFile({ name, ...counts }));
    expect(trained?.optimizer?.get('optimizer/vars/0')).toEqual(Float32Array.of(7));
    expect(trained?.notices).toEqual([]);
  });

  it.each([
    ['adamax', { each: 2 }, 'it is that of "adamax"'],
    ['adadelta', { each: 2 }, 'it is that of "adadelta"'],
    ['ftrl', { each: 2 }, 'it is that of "ftrl"'],
    ['lamb', { each: 2 }, 'it is that of "lamb"'],
    ['nadam', { each: 2, more: 1 }, 'it is that of "nadam"'],
    ['sgd', { each: 1 }, 'it is that of "sgd"'],
    ['rm_sprop', { each: 1 }, 'it is that of "rm_sprop"'],
    ['lion', { each: 1 }, 'it is that of "lion"'],
    ['loss_scale_optimizer', { each: 2, more: 2 }, 'it is that of "loss_scale_optimizer"'],
    ['adam_w', { each: 3 }, 'it has 44 variables, and that of the optimizer 30 (a moving average'], // also accumulated gradients, amsgrad
    [undefined, { each: 2 }, 'the file does not say whose it is'],
  ])('of %s, %o is left out, and that is told; the weights are read', async (name, counts, reason) => {
    const trained = await read(await kerasFile({ name, ...counts }));
    expect(trained?.weights).toEqual(new Map([...weights].map(([key, data]) => [key, Float32Array.from(data)])));
    expect(trained?.optimizer).toBeUndefined();
    expect(trained?.notices).toEqual([expect.stringContaining(`The state of the optimizer is left out: ${reason}`)]);
  });

  it('that there is none of is no news', async () => {
    expect((await read(await kerasFile({ name: 'sgd', each: 0 })))?.notices).toEqual([]);
  });

  it('that is AdamW’s still tells two models of the same weights apart', async () => {
    const other = buildModel('convmixer', { input: [28, 28, 1], classes: 3, dim: 8, depth: 1, kernel: 3, patch: 4 });
    const path = await kerasFile({ name: 'adam_w', each: 2 });
    const swapped = { ...other, variables: [...other.variables].reverse() };
    await hybridError(
      'E_CHECKPOINT',
      readWeights(path, undefined, () => ({ model: swapped })),
    );
  });
});

/** Whose state is taken over from a `.keras` file, and from one of weights alone: the others are told. */
const ADAM = ['adam', 'adamw', 'clipped', 'clipped-each', 'clipped-values'];
const TAKEN = { keras: [...ADAM, 'lion', 'sgd', 'sgd-momentum'], h5: ADAM };

const python = pythonWith('files of every optimizer of Keras', 'keras', 'numpy', 'h5py');

describe.skipIf(!python)('as Keras itself writes it', { timeout: 900_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'hybrid-keras-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const start = buildModel('convmixer', { input: [8, 8, 3], classes: 3, dim: 4, depth: 1, kernel: 3, patch: 2 });
  let names: string[] = [];
  let clip = 0;
  beforeAll(async () => {
    writeFileSync(
      join(folder, 'start.keras'),
      await writeKeras({ model: start, weights: initialize(start, 1n), classes: ['a', 'b', 'c'] }),
    );
    const optimizerSettings = { learningRate: 1e-3, weightDecay: 1e-4, clipNorm: 0.25 };
    const trained = { model: start, weights: initialize(start, 1n), classes: ['a', 'b', 'c'], optimizerSettings };
    writeFileSync(join(folder, 'clipping.keras'), await writeKeras(trained));
    ({ names, clip } = (await runPython(python as string, 'keras_optimizers.py', folder)) as { names: string[]; clip: number });
  }, 900_000);

  it('is taken over of the optimizers that are here, and of no others; the weights are read whatever it was', async () => {
    expect(names).toHaveLength(21);
    for (const name of names) {
      const saved = readNpz(readFileSync(join(folder, `${name}.npz`)), { source: name, code: 'E_DATA' });
      for (const format of ['keras', 'h5'] as const) {
        const path = join(folder, `${name}.${format === 'h5' ? 'weights.h5' : format}`);
        const { trained } = await readWeights(path, undefined, () => ({ model: start }));
        const all = start.variables.flatMap((variable) => [...(trained?.weights.get(variable.name) ?? [])]);
        expect([path, all]).toEqual([path, [...(saved.get('weights')?.data ?? [])]]);
        const isTaken = TAKEN[format].includes(name);
        expect([path, trained?.optimizer !== undefined]).toEqual([path, isTaken]);
        if (isTaken) {
          const state = Array.from(
            { length: trained?.optimizer?.size ?? 0 },
            (_, i) => trained?.optimizer?.get(`optimizer/vars/${i}`) ?? [],
          );
          expect([path, state.flatMap((data) => [...data])]).toEqual([path, [...(saved.get('state')?.data ?? [])]]);
        } else if (name !== 'sgd') {
          expect([path, trained?.notices?.join()]).toEqual([path, expect.stringContaining('The state of the optimizer is left out: ')]);
        }
      }
    }
  });

  it('global_clipnorm is read and written, and a run that is imported goes on with it', async () => {
    expect(clip).toBe(0.25);
    const path = join(folder, 'clipped.keras');
    expect((await readWeights(path)).trained?.optimizerSettings?.clipNorm).toBe(0.5);
    expect((await readWeights(join(folder, 'adamw.keras'))).trained?.optimizerSettings).not.toHaveProperty('clipNorm');
    expect(await cli(['import', path, '--name', 'taken'], { cwd: folder })).toMatchObject({ status: 0 });
    expect(JSON.parse(readFileSync(join(folder, 'runs/taken/config.json'), 'utf8'))).toMatchObject({ 'clip-norm': 0.5 });
    expect((await readWeights(join(folder, 'runs/taken'))).trained?.optimizerSettings?.clipNorm).toBe(0.5);
  });

  it.each([
    ['clipped-each', 'clipnorm 0.5: the length of each gradient'],
    ['clipped-values', 'clipvalue 0.125: the size of the elements of gradients'],
  ])('of %s, that training here does not clip so is told', async (name, said) => {
    const { trained } = await readWeights(join(folder, `${name}.keras`));
    expect(trained?.notices).toEqual([
      `The model was compiled with ${said} is not limited here; --clip-norm limits all gradients together`,
    ]);
  });

  it('the older form of a whole model is read; the state of its optimizer is told to be left out', async () => {
    const { trained } = await readWeights(join(folder, 'older.h5'));
    const last = readNpz(readFileSync(join(folder, `${names.at(-1)}.npz`)), { source: 'last', code: 'E_DATA' });
    const all = start.variables.flatMap(({ name }) => [...(trained?.weights.get(name) ?? [])]);
    expect(all).toEqual([...(last.get('weights')?.data ?? [])]);
    expect(trained?.optimizer).toBeUndefined();
    expect(trained?.notices?.join()).toContain('The state of the optimizer is left out');
  });
});

it("Keras' older forms of a file are refused by their name, with what to save instead", async () => {
  for (const name of ['model_weights/conv2d/conv2d/kernel', 'conv2d/conv2d/kernel:0']) {
    const path = put(await writeHdf5(new Map([[name, { shape: [1], data: Float32Array.of(1) }]])));
    const error = await hybridError(
      'E_CHECKPOINT',
      readWeights(path, undefined, () => ({ model })),
    );
    expect(error.message).toBe(`${path} is Keras' older form of a file of weights alone (it has ${name}), which is not read`);
    expect(error.remedy).toContain('.keras');
  }
});

it('Keras 2 has the layers at another place', async () => {
  const trained = await read(await kerasFile({ each: 2, prefix: '_layer_checkpoint_dependencies/' }));
  expect(trained?.weights.size).toBe(weights.size);
});

it('a file of this program says itself what it is: model, classes, licence, whose state', async () => {
  const optimizer = new Map(optimizerVariables(model).map(({ name, shape }) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1))]));
  const bytes = await writeKerasWeights({ model, weights, optimizer, classes: ['a', 'b', 'c'], license: 'MIT' });
  expect((await readHdf5File(bytes)).texts).toContain('adamw');
  const { trained } = await readWeights(put(bytes));
  expect(trained?.model.config).toEqual(model.config);
  expect(trained).toMatchObject({ classes: ['a', 'b', 'c'], license: 'MIT', notices: [] });
  expect(trained?.optimizer?.size).toBe(30);
});

describe('the network of weights', () => {
  it.each(ARCHITECTURES)('%s: its sizes are those of the weights', (arch) => {
    const sizes = arch === 'convmixer' ? { dim: 6, depth: 3, kernel: 4, patch: 3 } : { width: 1 / 32 };
    for (const [side, channels, classes] of [
      [32, 3, 10],
      [24, 1, 4],
      [64, 4, 7],
    ]) {
      const built = buildModel(arch, { input: [side, side, channels], classes, ...sizes });
      const shapes = new Map(built.variables.map(({ name, shape }) => [name, shape]));
      const found = measure(arch, shapes);
      const flat = arch === 'conv-pooling' || arch === 'convmixer-2stage-flatten';
      expect(found?.knowsSize).toBe(flat);
      const size = flat ? side : 32; // nothing else depends on it
      expect(buildModel(arch, found?.options as never).config).toEqual({ ...built.config, input: [size, size, channels] });
      // What is given counts.
      expect(measure(arch, shapes, { input: [side, side + 8, 9] })).toMatchObject({
        knowsSize: true,
        options: { input: [side, side + 8, channels] },
      });
    }
  });

  it('is unknown where names are not those of Keras', () => {
    expect(measure('convmixer', new Map([['fc.weight', [10, 20]]]))).toBeUndefined();
    expect(numberedClasses(model)).toHaveLength(3);
  });
});
