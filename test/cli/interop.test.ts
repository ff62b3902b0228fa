// Models in and out by the command line, and what it says of pictures.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readNpz, readSafetensors, writeNpz } from '../../runtime/entries/formats.ts';
import { nodeFiles } from '../../runtime/entries/internal.ts';
import { readHdf5File, writeHdf5 } from '../../runtime/formats/hdf5.ts';
import { writeCifar10 } from '../support/cifar10-folder.ts';
import { cli } from '../support/cli.ts';

const cwd = mkdtempSync(join(tmpdir(), 'hybrid-interop-'));
const data = join(cwd, 'cifar');
const MODEL = ['--arch', 'convmixer', '--dim', '4', '--depth', '1', '--kernel', '3', '--patch', '8'];
const SMALL = ['--data', data, '--limit', '60', '--batch', '16', '--device', 'reference', '--bn-momentum', '0.5'];
const inFolder = (...argv: string[]) => cli(argv, { cwd });
const weightsOf = (run: string, kind = 'last') =>
  readSafetensors(readFileSync(join(cwd, 'runs', run, 'checkpoints', kind, 'model.safetensors'))).tensors;

/** 80 images for training and 20 for the test in CIFAR-10's format, a run of one epoch on them, and two pictures. */
beforeAll(async () => {
  mkdirSync(data);
  writeCifar10(data);
  expect(await inFolder('train', ...MODEL, ...SMALL, '--epochs', '1', '--name', 'r', '--quiet', '--no-figures')).toMatchObject({
    status: 0,
  });
  mkdirSync(join(cwd, 'pictures', 'deep'), { recursive: true });
  const picture = (r: number) => sharp({ create: { width: 90, height: 50, channels: 3, background: { r, g: 80, b: 20 } } });
  await picture(255)
    .png()
    .toFile(join(cwd, 'pictures', 'a, "quoted".png'));
  await picture(0)
    .jpeg()
    .toFile(join(cwd, 'pictures', 'deep', 'b.jpg'));
  writeFileSync(join(cwd, 'pictures', 'notes.txt'), 'no picture');
  writeFileSync(join(cwd, 'r.onnx'), new Uint8Array(64));
}, 120_000);
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

describe('export and import', () => {
  test('safetensors of 16 bits is half the file, and says the same', async () => {
    await inFolder('export', 'r', '--format', 'safetensors', '-o', 'whole.safetensors');
    await inFolder('export', 'r', '--format', 'safetensors', '--half', '-o', 'half.safetensors');
    const [whole, half] = ['whole', 'half'].map((name) => readSafetensors(readFileSync(join(cwd, `${name}.safetensors`))).tensors);
    for (const [name, { data }] of whole) {
      expect(half.get(name)?.half).toBe(true);
      for (const [i, value] of data.entries())
        expect(Math.abs(Number(half.get(name)?.data[i]) - Number(value))).toBeLessThanOrEqual(
          Math.abs(Number(value)) * 2 ** -11 + 2 ** -25,
        );
    }
    const [a, b] = await Promise.all(
      ['whole', 'half'].map((name) => inFolder('eval', `${name}.safetensors`, '--data', data, '--device', 'reference', '--json')),
    );
    expect(JSON.parse(b.stdout).loss).toBeCloseTo(JSON.parse(a.stdout).loss, 2);
  });

  test.each(['keras', 'h5', 'safetensors', 'npz'])('through %s the weights come back bit for bit, and training goes on', async (format) => {
    const name = `out-${format}`;
    const ending = { keras: '.keras', h5: '.weights.h5', safetensors: '.safetensors', npz: '.npz' }[format];
    const exported = await inFolder('export', 'r', '--format', format, '-o', name + ending, '--license', 'CC0-1.0', '--json');
    expect(exported).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(exported.stdout)).toMatchObject({ format, arch: 'convmixer', optimizer: format === 'keras' || format === 'h5' });

    const imported = await inFolder('import', name + ending, ...(format === 'h5' ? MODEL : []), ...SMALL, '--json');
    expect(imported).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(imported.stdout)).toMatchObject({
      arch: 'convmixer',
      classes: 10,
      steps: format === 'keras' || format === 'h5' ? 4 : null,
    });
    expect(weightsOf(name)).toEqual(weightsOf('r', 'best'));

    const [before, after] = await Promise.all(
      ['r', name].map((run) => inFolder('eval', join('runs', run), '--data', data, '--device', 'reference', '--json')),
    );
    const { weights: _, ...result } = JSON.parse(before.stdout);
    expect(JSON.parse(after.stdout)).toMatchObject(result);

    const resumed = await inFolder('train', '--resume', join('runs', name), '--epochs', '1', '--quiet', '--no-figures');
    expect(resumed).toMatchObject({ status: 0, stderr: '' });
    const steps = readSafetensors(readFileSync(join(cwd, 'runs', name, 'checkpoints', 'last', 'optimizer.safetensors')));
    expect(Number(steps.tensors.get('optimizer/vars/0')?.data[0])).toBe(format === 'keras' || format === 'h5' ? 8 : 4);
  });

  test('grey images of another size: .weights.h5 is read back as what it is, predicts the same to the bit, and training resumes', async () => {
    const pixels = (n: number, k: number) => Uint8Array.from({ length: n * 28 * 28 }, (_, i) => Math.imul(i + k, 0x9e3779b1) >>> 24);
    const labels = (n: number) => Int32Array.from({ length: n }, (_, i) => i % 3);
    const parts = { x_train: { shape: [24, 28, 28], data: pixels(24, 1) }, y_train: { shape: [24], data: labels(24) } };
    const tests = { x_test: { shape: [9, 28, 28], data: pixels(9, 7) }, y_test: { shape: [9], data: labels(9) } };
    writeFileSync(join(cwd, 'grey.npz'), writeNpz(new Map(Object.entries({ ...parts, ...tests }))));
    const grey = ['--data', 'grey.npz', '--device', 'reference'];
    const trained = ['--batch', '8', '--epochs', '1', '--bn-momentum', '0.5', '--quiet', '--no-figures', '--name', 'grey'];
    expect(
      await inFolder('train', '--arch', 'convmixer', '--dim', '6', '--depth', '2', '--kernel', '3', '--patch', '4', ...grey, ...trained),
    ).toMatchObject({ status: 0 });
    const evaluated = async (model: string, ...more: string[]) => {
      const { weights: _, arch: __, ...result } = JSON.parse((await inFolder('eval', model, ...grey, '--json', ...more)).stdout);
      return result;
    };
    const predicted = async (model: string, ...more: string[]) =>
      (await inFolder('predict', model, 'pictures', '--device', 'reference', '--json', ...more)).stdout;
    const [result, answers] = [await evaluated('runs/grey'), await predicted('runs/grey')];
    expect(await inFolder('export', 'grey', '--format', 'h5', '-o', 'grey.weights.h5')).toMatchObject({ status: 0 });
    expect(await evaluated('grey.weights.h5')).toEqual(result);
    expect(await predicted('grey.weights.h5')).toBe(answers);

    expect(await inFolder('import', 'grey.weights.h5', '--name', 'back', ...grey)).toMatchObject({ status: 0, stderr: '' });
    expect(await evaluated('runs/back')).toEqual(result);
    expect(await inFolder('train', '--resume', 'runs/back', '--epochs', '1', '--quiet', '--no-figures')).toMatchObject({
      status: 0,
      stderr: '',
    });

    // Without the card, as Keras writes it: the sizes are those of the weights; the image size nobody knows.
    const { tensors } = await readHdf5File(readFileSync(join(cwd, 'grey.weights.h5')));
    writeFileSync(join(cwd, 'bare.weights.h5'), await writeHdf5(tensors, { attributes: new Map([['optimizer/vars@name', 'adam_w']]) }));
    const arch = ['--arch', 'convmixer'];
    expect(await evaluated('bare.weights.h5', ...arch)).toMatchObject({ loss: result.loss, accuracy: result.accuracy });
    const values = (text: string) =>
      JSON.parse(text).map(({ top }: { top: { probability: number }[] }) => top.map(({ probability }) => probability));
    expect(values(await predicted('bare.weights.h5', ...arch, '--image-size', '28'))).toEqual(values(answers));
    const assumed = await inFolder('import', 'bare.weights.h5', ...arch, '--name', 'assumed');
    expect(assumed.status).toBe(0);
    expect(assumed.stderr).toMatch(
      /warning: bare\.weights\.h5 does not say for which image size it was trained: 32×32 is assumed\. Give --image-size/,
    );
    const known = await inFolder('import', 'bare.weights.h5', ...arch, '--image-size', '28', '--name', 'known', ...grey);
    expect(known).toMatchObject({ status: 0, stderr: '' });
    expect(await inFolder('train', '--resume', 'runs/known', '--epochs', '1', '--quiet', '--no-figures')).toMatchObject({
      status: 0,
      stderr: '',
    });
  });

  test('after a schedule, which ends with the rate 0, the preset has the rate to go on with', async () => {
    const cycle = ['--recipe', 'fast', '--epochs', '1', '--name', 'cycle', '--quiet', '--no-figures'];
    expect(await inFolder('train', ...MODEL, ...SMALL, ...cycle)).toMatchObject({ status: 0 });
    expect(await inFolder('export', 'cycle', '--format', 'keras')).toMatchObject({ status: 0 });
    expect(await inFolder('import', 'cycle.keras', '--name', 'back')).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(readFileSync(join(cwd, 'runs', 'back', 'config.json'), 'utf8'))).toMatchObject({ lr: 0.002 });
  });

  test('the card travels: names of classes and licence', async () => {
    await inFolder('export', 'r', '--format', 'npz', '-o', 'card.npz', '--class-names', 'a,b,c,d,e,f,g,h,i,j', '--license', 'MIT');
    expect(readNpz(readFileSync(join(cwd, 'card.npz'))).size).toBeGreaterThan(10);
    await inFolder('export', 'card.npz', '--format', 'safetensors', '-o', 'card.safetensors');
    const card = JSON.parse(readSafetensors(readFileSync(join(cwd, 'card.safetensors'))).metadata.get('hybrid') ?? '');
    expect(card).toMatchObject({ labels: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'], license: 'MIT', input: { height: 32 } });
  });

  test.each([
    [['export', 'r'], 2, /needs a format/],
    [['export', 'r', '--format', 'pickle'], 2, /no format "pickle"/],
    [['export', 'r', '--format', 'npz', '--fold-bn'], 2, /--fold-bn is for --format onnx/],
    [['export', 'r', '--format', 'onnx', '-o', 'cifar/test_batch.bin'], 2, /already/],
    [['export', 'r', '--format', 'onnx', '-o', 'none/x.onnx'], 10, /the folder does not exist/],
    [['export', 'r', '--format', 'onnx', '--class-names', 'a,b'], 2, /gives 2 names, and the model has 10 classes/],
    [['export', 'missing', '--format', 'onnx'], 5, /there is neither missing nor runs.missing/],
    [['import', 'r.onnx'], 5, /r\.onnx is not an ONNX file that can be used: .*\nhelp: .*download it again/],
    [['import', 'cifar/test_batch.bin'], 5, /not a valid safetensors file/],
    [['import', 'runs/r'], 2, /a run of this program already/],
  ])('%j is refused', async (argv, status, message) => {
    const result = await inFolder(...argv);
    expect(result.status).toBe(status);
    expect(result.stderr).toMatch(message);
    expect(result.stderr).toMatch(/\nhelp: .+\n$/);
  });
});

describe('predict', () => {
  test('answers for files and folders, in the order of their names', async () => {
    const table = await inFolder('predict', 'r', 'pictures', '--device', 'reference', '-k', '1');
    expect(table).toMatchObject({ status: 0, stderr: '' });
    expect(table.stdout).toMatch(/^pictures.a, "quoted"\.png {2}\w+ \d+\.\d %\npictures.deep.b\.jpg {2}\w+ \d+\.\d %\n$/);
    const json = JSON.parse((await inFolder('predict', 'r', 'pictures', '--device', 'reference', '-k', '10', '--json')).stdout);
    expect(json).toHaveLength(2);
    for (const { top } of json) {
      expect(top).toHaveLength(10);
      expect(top.reduce((sum: number, { probability }: { probability: number }) => sum + probability, 0)).toBeCloseTo(1, 9);
      expect(top[0].probability).toBeGreaterThanOrEqual(top[1].probability);
    }
    expect(json[0].top.map(({ label }: { label: string }) => label)).toContain('airplane');
  });

  test('CSV quotes what needs it; standard input is an image like any other', async () => {
    const path = join(cwd, 'pictures', 'a, "quoted".png');
    const csv = await inFolder('predict', 'r', path, '--device', 'reference', '--format', 'csv', '-k', '2');
    expect(csv.stdout).toMatch(/^image,rank,label,probability\n".*a, ""quoted""\.png",1,\w+,0\.\d{6}\n.*,2,\w+,0\.\d{6}\n$/);
    const stdin = (async function* () {
      const bytes = readFileSync(path);
      yield bytes.subarray(0, 20);
      yield bytes.subarray(20);
    })();
    const piped = await cli(['predict', 'r', '-', '--device', 'reference', '--format', 'csv', '-k', '2'], { cwd, stdin });
    const answers = (text: string) => text.split('\n').map((line) => line.split(',').slice(-3));
    expect(answers(piped.stdout).slice(1)).toEqual(answers(csv.stdout).slice(1));
  });

  test('what can be read is answered, what cannot is an error', async () => {
    const result = await inFolder(
      'predict',
      'r',
      join('pictures', 'notes.txt'),
      join('pictures', 'deep', 'b.jpg'),
      '--device',
      'reference',
    );
    expect(result.status).toBe(4);
    expect(result.stdout).toMatch(/^pictures.deep.b\.jpg {2}/);
    expect(result.stderr).toMatch(
      /^error\[E_DATA\]: 1 of 2 images could not be read: .*notes\.txt is no PNG, JPEG, .* or BMP image\nhelp: /,
    );
  });

  test.each([
    [['r', 'nowhere.png'], 4, /there is no nowhere\.png/],
    [['r', 'cifar'], 4, /no images there/],
    [['r', 'pictures', '--top-k', '0'], 2, /--top-k is "0"/],
    [['r', 'pictures', '--format', 'xml'], 2, /no format "xml"/],
    [['r', 'pictures', '--arch', 'conv-pooling'], 2, /holds the architecture convmixer, not conv-pooling/],
  ])('%j is refused', async (argv, status, message) => {
    const result = await inFolder('predict', ...argv, '--device', 'reference');
    expect(result.status).toBe(status);
    expect(result.stderr).toMatch(message);
  });
});

test('eval tells the confusion, the most confused pairs and the largest losses', async () => {
  const argv = ['eval', 'runs/r', '--data', data, '--device', 'reference'];
  const { confusion, confused, largestLosses, loss } = JSON.parse((await inFolder(...argv, '--json')).stdout);
  expect(confused.reduce((sum: number, { count }: { count: number }) => sum + count, 0)).toBe(
    confusion.flatMap((row: number[], i: number) => row.filter((_, j) => i !== j)).reduce((a: number, b: number) => a + b),
  );
  // All twenty are among the largest twenty-five: their mean is the loss.
  expect(largestLosses).toHaveLength(20);
  expect(largestLosses.reduce((sum: number, entry: { loss: number }) => sum + entry.loss, 0) / 20).toBeCloseTo(loss, 6);
  expect(largestLosses[0].loss).toBeGreaterThanOrEqual(largestLosses[1].loss);
  const { stdout } = await inFolder(...argv);
  expect(stdout).toMatch(/confusion: .*\n(.*\n)+most confused\n(.*\n)+largest losses\n {2}image \d+: \w+ taken for \w+ with/);
});

describe('train --arch all', () => {
  const tiny = () => ['--data', data, '--limit', '8', '--batch', '8', '--epochs', '1', '--no-figures', '--device', 'wasm'];

  test('trains the five models one after the other and ends with one table', async () => {
    writeFileSync(join(cwd, 'all.yaml'), 'arch: all'); // as `--arch all`, which the test below has
    const { status, stdout } = await inFolder('train', '-c', 'all.yaml', '--name', 'five', ...tiny());
    expect(status).toBe(0);
    const table = stdout.split('\n').slice(-7, -1);
    expect(table[0]).toMatch(/^architecture +test accuracy +loss +best epoch +time +parameters +size +run folder$/);
    const names = ['convmixer-256-8', 'conv-pooling', 'convmixer-2stage-flatten', 'convmixer-2stage', 'convmixer-256-8-block-residual'];
    expect(table.slice(1).map((line) => line.split(/ +/)[0])).toEqual(names);
    expect(table[1]).toMatch(/ \d+\.\d\d % +\d+\.\d{4} +1 of 1 +\d+:\d\d +602,890 +2\.30 MB +runs.five-convmixer-256-8$/);
    for (const name of names) expect(existsSync(join(cwd, 'runs', `five-${name}`, 'checkpoints', 'best', 'COMPLETE'))).toBe(true);
  }, 600_000);

  test('has its table also where a later model ends with an error', async () => {
    const mkdir = (path: string) => (path.endsWith('two-conv-pooling') ? Promise.reject(new Error('no more')) : nodeFiles.mkdir(path));
    const { status, stdout, stderr } = await cli(['train', '--arch', 'all', '--name', 'two', ...tiny()], {
      cwd,
      files: { ...nodeFiles, mkdir },
    });
    expect(status).toBe(10);
    expect(stderr).toMatch(/error\[E_DISK\]: .*two-conv-pooling/);
    const table = stdout.split('\n').slice(-3, -1);
    expect(table.map((line) => line.split(/ +/)[0])).toEqual(['architecture', 'convmixer-256-8']);
  }, 600_000);

  test.each([['--resume'], ['--dim', '8']])('and %s exclude each other', async (...flags) => {
    const result = await inFolder('train', '--arch', 'all', ...flags);
    expect(result.status).toBe(2);
    expect(result.stderr).toMatch(/--arch all and --.* exclude each other/);
  });
});

describe('a network that Keras saved', () => {
  const NETWORK = new URL('../golden/keras/sequential.keras', import.meta.url).pathname;
  const own = ['--data', join(cwd, 'own.npz'), '--batch', '16', '--device', 'reference', '--no-figures', '--quiet', '--augment', 'none'];
  beforeAll(() => {
    const images = (count: number) => ({
      shape: [count, 12, 10, 3],
      data: Uint8Array.from({ length: count * 360 }, (_, i) => (i * 7919) % 251),
    });
    const labels = (count: number) => ({ shape: [count], data: Int32Array.from({ length: count }, (_, i) => i % 5) });
    const arrays = { x_train: images(40), y_train: labels(40), x_test: images(10), y_test: labels(10) };
    writeFileSync(join(cwd, 'own.npz'), writeNpz(new Map(Object.entries(arrays))));
  });

  test('trains with its weights, goes on, and is summarised, evaluated, exported and trained as the run that it has become', async () => {
    expect((await inFolder('summary', NETWORK)).stdout).toContain('stem (Conv2D)');
    expect(await inFolder('train', '--model', NETWORK, ...own, '--epochs', '1', '--name', 'own')).toMatchObject({ status: 0 });
    expect(JSON.parse(readFileSync(join(cwd, 'runs', 'own', 'config.json'), 'utf8'))).toMatchObject({ model: NETWORK });
    expect((await inFolder('train', '--resume', 'own', '--epochs', '2', '--no-figures')).stdout).toContain('of 2: validation loss');
    const [there, here] = await Promise.all([NETWORK, 'own'].map((model) => inFolder('summary', model)));
    expect(here.stdout).toBe(there.stdout);
    const { stdout } = await inFolder('eval', 'own', '--data', join(cwd, 'own.npz'), '--device', 'reference', '--json');
    expect(await inFolder('export', 'own', '--format', 'keras', '-o', 'own.keras')).toMatchObject({ status: 0 });
    const again = await inFolder('eval', 'own.keras', '--data', join(cwd, 'own.npz'), '--device', 'reference', '--json');
    expect(JSON.parse(again.stdout).loss).toBe(JSON.parse(stdout).loss);
    expect(await inFolder('import', NETWORK, '--name', 'imported', '--data', join(cwd, 'own.npz'), '--batch', '16')).toMatchObject({
      status: 0,
    });
    expect(await inFolder('train', '--resume', 'imported', '--epochs', '1', '--no-figures', '--quiet')).toMatchObject({ status: 0 });
  });

  test('its weights count, unless it begins anew', async () => {
    const first = async (...argv: string[]) => {
      const { stdout } = await inFolder(
        'train',
        '--model',
        NETWORK,
        ...own.filter((flag) => flag !== '--quiet'),
        '--epochs',
        '1',
        '--json',
        ...argv,
      );
      return JSON.parse(stdout.split('\n').find((line) => line.includes('"type":"step"')) as string).loss as number;
    };
    expect(Math.abs((await first()) - (await first('--init', 'none')))).toBeGreaterThan(1e-3);
  });

  test('is refused with an architecture beside it, and for images or classes that it does not take', async () => {
    const both = await inFolder('train', '--model', NETWORK, '--arch', 'convmixer', ...own);
    expect([both.status, both.stderr]).toEqual([2, expect.stringContaining('--model and --arch exclude each other')]);
    const other = await inFolder('train', '--model', NETWORK, ...SMALL);
    expect([other.status, other.stderr]).toEqual([2, expect.stringMatching(/12×10×3 images of 5 classes.*12×10×3 of 10 classes/)]);
    expect((await inFolder('train', '--arch', 'convmixer', '--init', 'none', ...SMALL)).stderr).toContain('--init none is for --model');
  });
});
