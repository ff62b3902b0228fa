import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decode } from 'fast-png';
import { describe, expect, test } from 'vitest';
import { readCifar } from '../../app/sources/cifar.ts';
import { weightsFor } from '../../cli/train/network.ts';
import { nodeFiles } from '../../runtime/base/files.ts';
import { AUGMENT_NAMES } from '../../runtime/data/augment/names.ts';
import { syntheticSource } from '../../runtime/data/synthetic.ts';
import { readNpz, writeNpz } from '../../runtime/formats/npz.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { records } from '../support/cifar10-records.ts';
import { cli } from '../support/cli.ts';
import { imageFile, solid } from '../support/images.ts';
import { tempFolder } from '../support/temp-folder.ts';

const TINY = ['--arch', 'convmixer', '--dim', '8', '--depth', '1', '--kernel', '3', '--epochs', '1', '--batch', '8', '--threads', '2'];

/** A working folder with `pets` in it: five classes of 40 × 48 images, six for training and two for the test each. */
async function petsFolder(): Promise<string> {
  const cwd = tempFolder();
  for (let k = 0; k < 5; k++) {
    for (const [part, count] of [
      ['train', 6],
      ['test', 2],
    ] as const) {
      mkdirSync(join(cwd, 'pets', part, `kind ${k}`), { recursive: true });
      for (let i = 0; i < count; i++)
        writeFileSync(join(cwd, 'pets', part, `kind ${k}`, `${i}.png`), await imageFile('png', 40, 48, 50 * k + i));
    }
  }
  return cwd;
}

describe('other data than CIFAR-10 from the disk to the test accuracy', () => {
  test('a folder of class folders: its size and its number of classes reach the model, and eval finds them again', async () => {
    const cwd = await petsFolder();
    const io = { cwd, env: { XDG_CACHE_HOME: join(cwd, 'cache') } };
    const { status, stdout, stderr } = await cli(['train', '--data', 'pets', '--image-size', '40x48', '--name', 'one', ...TINY], io);
    expect(stderr).toContain('run folder');
    expect([status, stdout]).toEqual([0, expect.stringContaining('pets test set, 10 images')]);
    expect(readdirSync(join(cwd, 'cache', 'hybrid', 'images'))).toHaveLength(1);
    const evaluated = JSON.parse((await cli(['eval', join('runs', 'one'), '--json'], io)).stdout);
    expect(evaluated.images).toBe(10);
    expect(evaluated.perClass.map(({ name, count }: { name: string; count: number }) => [name, count])).toEqual(
      Array.from({ length: 5 }, (_, k) => [`kind ${k}`, 2]),
    );
    // Read from the disk by the workers instead, it is the same training.
    const again = await cli(['train', '--data', 'pets', '--image-size', '40x48', '--name', 'two', '--data-memory', '0', ...TINY], io);
    expect(again.stdout.split('\n').slice(0, 2)).toEqual(stdout.split('\n').slice(0, 2));
  });

  test('a file of weights brings its preparation of pictures along, whichever option names it', async () => {
    const cwd = await petsFolder();
    const io = { cwd, env: { XDG_CACHE_HOME: join(cwd, 'cache') } };
    const file = new URL('../golden/timm/relu.pth', import.meta.url).pathname;
    for (const option of ['--model', '--init']) {
      const argv = ['--data', 'pets', '--image-size', '224', '--epochs', '1', '--batch', '8', '--no-figures', '--quiet'];
      expect(await cli(['train', option, file, '--name', option.slice(2), ...argv], io)).toMatchObject({ status: 0 });
      const config = JSON.parse(readFileSync(join(cwd, 'runs', option.slice(2), 'config.json'), 'utf8'));
      expect(config, option).toMatchObject({ crop: 0.96, interpolation: 'cubic' });
    }
  });

  test('classes of other data are matched by their names, or refused', async () => {
    const cwd = tempFolder();
    const io = { cwd, env: { XDG_CACHE_HOME: join(cwd, 'cache') } };
    const blue = { apple: 10, banana: 120, cherry: 240, dragonfruit: 60 };
    const put = async (data: string, part: string, names: readonly (keyof typeof blue)[], count: number) => {
      for (const name of names) {
        mkdirSync(join(cwd, data, part, name), { recursive: true });
        for (let i = 0; i < count; i++)
          writeFileSync(join(cwd, data, part, name, `${i}.png`), await imageFile('png', 16, 16, blue[name] + i));
      }
    };
    await put('fruit', 'train', ['apple', 'banana', 'cherry'], 12);
    await put('fruit', 'test', ['apple', 'banana', 'cherry'], 3);
    await put('fewer', 'train', ['apple', 'cherry'], 3);
    await put('fewer', 'test', ['apple', 'cherry'], 3);
    await put('other', 'train', ['apple', 'cherry', 'dragonfruit'], 3);
    await put('other', 'test', ['apple', 'cherry', 'dragonfruit'], 3);
    const common = [
      '--image-size',
      '16',
      '--no-figures',
      '--quiet',
      ...TINY,
      '--epochs',
      '12',
      '--bn-momentum',
      '0.5',
      '--augment',
      'none',
    ];
    expect(await cli(['train', '--data', 'fruit', '--name', 'one', ...common], io)).toMatchObject({ status: 0 });
    const evaluated = async (data: string) => JSON.parse((await cli(['eval', 'runs/one', '--data', data, '--json'], io)).stdout);
    const all = await evaluated('fruit');
    const accuracies = ({ perClass }: typeof all) => Object.fromEntries(perClass.map(({ name, accuracy }: typeof all) => [name, accuracy]));
    expect(all.accuracy).toBeGreaterThan(0.6);
    expect((await cli(['eval', 'runs/one', '--data', 'fruit', '--csv', 'all.csv', '--json'], io)).status).toBe(0);
    const [head, ...lines] = readFileSync(join(cwd, 'all.csv'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => line.split(','));
    expect(head).toEqual(['image', 'label', 'predicted', 'label_probability', 'predicted_probability']);
    expect(lines).toHaveLength(9);
    expect(lines.filter(([, label, predicted]) => label === predicted).length / 9).toBeCloseTo(all.accuracy);
    for (const [file, label] of lines) expect(file).toMatch(new RegExp(`^test/${label}/.*\\.`));
    // The mean over an image and its mirror image: said, and of the same images.
    const mirrored = await cli(['eval', 'runs/one', '--data', 'fruit', '--tta', 'mirror', '--json'], io);
    expect(JSON.parse(mirrored.stdout)).toMatchObject({ tta: 'mirror', images: 9 });
    expect(JSON.parse(mirrored.stdout).loss).not.toBe(all.loss);
    expect((await cli(['eval', 'runs/one', '--data', 'fruit', '--tta', 'mirror'], io)).stdout).toMatch(
      /test-time augmentation: mirror\)$/m,
    );
    expect(await cli(['eval', 'runs/one', '--data', 'fruit', '--tta', 'flip'], io)).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/--tta is "flip", but must be one of none, mirror, shift/),
    });
    const picture = join('fruit', 'test', 'apple', '0.png');
    const probabilities = async (...more: string[]) =>
      JSON.parse((await cli(['predict', 'runs/one', picture, '--json', '-k', '3', ...more], io)).stdout)[0].top;
    expect(await probabilities('--tta', 'shift')).not.toEqual(await probabilities());
    const some = await evaluated('fewer');
    expect(some.confusion[1]).toEqual([0, 0, 0]);
    for (const name of ['apple', 'cherry']) expect(accuracies(some)[name]).toBe(accuracies(all)[name]);

    // A class without an image has no accuracy.
    expect((await cli(['eval', 'runs/one', '--data', 'fewer'], io)).stdout).toMatch(/^ {2}banana +none of 0$/m);
    for (const argv of [
      ['eval', 'runs/one', '--data', 'other'],
      ['visualize', 'runs/one', '--data', 'other', '--figures', 'confusion'],
    ]) {
      const { status, stderr } = await cli(argv, io);
      expect([argv[0], status]).toEqual([argv[0], 4]);
      expect(stderr).toMatch(/has the class "dragonfruit", and the model in .*one \(best\) knows "apple", "banana", "cherry"\nhelp: /);
    }
    // A run that begins with its weights has a new last layer, its network, and the size of its images.
    const tuned = await cli(
      ['train', '--data', 'other', '--init', 'runs/one', '--name', 'two', '--no-figures', '--epochs', '2', '--device', 'wasm'],
      io,
    );
    expect(tuned.stderr).toMatch(/weights of convmixer: \d+ of \d+ layers are loaded; initialised randomly: dense \(other classes\)/);
    expect(tuned.status).toBe(0);
    const { arch, dim, recipe, freeze, 'image-size': size } = JSON.parse(readFileSync(join(cwd, 'runs/two/config.json'), 'utf8'));
    expect({ arch, dim, recipe, freeze, size }).toEqual({ arch: 'convmixer', dim: 8, recipe: 'tune', freeze: '1', size: '16x16' });
    expect((await cli(['train', '--resume', 'two', '--epochs', '3', '--no-figures'], io)).status).toBe(0);
    // With --model its weights are taken whole, so classes that it does not know are refused; without its weights they may be any.
    expect((await cli(['export', 'runs/one', '--format', 'keras', '-o', 'one.keras'], io)).status).toBe(0);
    const named = ['train', '--model', 'one.keras', '--data', 'other', '--image-size', '16', '--no-figures', '--epochs', '1'];
    const refused = await cli(named, io);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toMatch(
      /the weights of convmixer are of other classes than those of .*other training set\nhelp: Pass the file as --init /,
    );
    expect((await cli([...named, '--init', 'none'], io)).status).toBe(0);
  });

  test('classes of a network that comes in another order are moved to that of the data', () => {
    const model = buildModel('convmixer', { input: [8, 8, 3], classes: 3, dim: 4, depth: 1, kernel: 3, patch: 2 });
    const weights = initialize(model, 5n);
    const { train } = syntheticSource({ train: 3, test: 0 });
    const data = { ...train, classes: ['c', 'a', 'b'] };
    const head = (from?: ReadonlyMap<string, Float32Array>) => [...(from?.get('layers/dense/vars/0') ?? [])];
    const moved = head(weightsFor({ model, weights, classes: ['a', 'b', 'c'] }, data));
    // Rows of 4 channels, a column for each class.
    expect(moved).toEqual(head(weights).map((_, i, all) => all[i - (i % 3) + [2, 0, 1][i % 3]]));
    expect(weightsFor({ model }, data)).toBeUndefined();
  });

  test('a set that is sorted by class is split with every class in both parts; a run from before keeps its parts', async () => {
    const cwd = tempFolder();
    const arrays = {
      x: { shape: [90, 8, 8, 3], data: Uint8Array.from({ length: 90 * 192 }, (_, i) => Math.floor(i / (30 * 192)) * 100 + (i % 31)) },
      y: { shape: [90], data: Int32Array.from({ length: 90 }, (_, i) => Math.floor(i / 30)) },
    };
    writeFileSync(join(cwd, 'sorted.npz'), writeNpz(new Map(Object.entries(arrays))));
    const train = (name: string, ...argv: string[]) =>
      cli(['train', '--data', 'sorted.npz', '--val-fraction', '0.2', '--no-figures', '--name', name, ...TINY, ...argv], { cwd });
    const fair = await train('fair');
    expect(fair.status).toBe(0);
    expect(fair.stderr).not.toContain('There is no');
    const config = (name: string) => join(cwd, 'runs', name, 'config.json');
    expect(JSON.parse(readFileSync(config('fair'), 'utf8')).split).toBe('stratified');

    const plain = await train('plain', '--split', 'first');
    expect(plain.stderr).toContain('There is no validation image of 2 of 3 classes ("class 1", "class 2")');
    // As versions without the setting wrote it.
    const { split: _, ...before } = JSON.parse(readFileSync(config('plain'), 'utf8'));
    writeFileSync(config('plain'), JSON.stringify(before));
    const resume = (name: string, ...argv: string[]) =>
      cli(['train', '--no-figures', '--resume', join('runs', name), '--epochs', '2', ...argv], { cwd });
    for (const name of ['plain', 'fair']) expect(await resume(name)).toMatchObject({ status: 0 });
    expect((await resume('plain', '--split', 'stratified')).stderr).toMatch(/the run was started with other settings: data is 72 images/);
    const limited = await train('limited', '--limit', '9');
    expect(limited.stderr).toContain('limited to 9 training, 18 validation and 0 test images, in proportion to the classes');
    expect(limited.stderr).not.toContain('There is no');
  });

  test('what a run leaves out with --max-bad is left out for eval and visualize too', async () => {
    const cwd = await petsFolder();
    const io = { cwd, env: { XDG_CACHE_HOME: join(cwd, 'cache') } };
    writeFileSync(join(cwd, 'pets', 'test', 'kind 1', 'broken.png'), 'no picture');
    const given = ['--data', 'pets', '--image-size', '16', '--max-bad', '1', '--name', 'one', '--no-figures', ...TINY];
    expect(await cli(['train', ...given], io)).toMatchObject({ status: 0 });
    const evaluated = await cli(['eval', join('runs', 'one'), '--json'], io);
    expect(evaluated.status).toBe(0);
    expect(JSON.parse(evaluated.stdout).images).toBe(10);
    expect(await cli(['visualize', join('runs', 'one'), '--figures', 'samples', '--json'], io)).toMatchObject({ status: 0 });
  });

  test('a file of arrays with one channel', async () => {
    const cwd = tempFolder();
    const pixels = (n: number) => Uint8Array.from({ length: n * 12 * 10 }, (_, i) => (i * 31) & 255);
    const labels = (n: number) => Int32Array.from({ length: n }, (_, i) => i % 3);
    const arrays = { x_train: { shape: [24, 12, 10], data: pixels(24) }, y_train: { shape: [24], data: labels(24) } };
    const tests = { x_test: { shape: [6, 12, 10], data: pixels(6) }, y_test: { shape: [6], data: labels(6) } };
    writeFileSync(join(cwd, 'grey.npz'), writeNpz(new Map(Object.entries({ ...arrays, ...tests }))));
    const { status, stdout } = await cli(['train', '--data', 'grey.npz', ...TINY], { cwd });
    expect([status, stdout]).toEqual([0, expect.stringContaining('grey.npz test set, 6 images')]);
  });

  test.each([
    [['--image-size', '0'], /--image-size is "0"/],
    [['--image-size', '32x'], /--image-size is "32x"/],
    [['--image-size', '1x2x3'], /height x width/],
    [['--image-size', '5000'], /1 to 4096/],
    [['--max-bad', '-1'], /--max-bad is "-1"/],
    [['--data-memory', '1.5'], /--data-memory is "1.5"/],
  ])('%j is a usage error', async (flags, message) => {
    const { status, stderr } = await cli(['train', '--data', 'synthetic', ...flags]);
    expect([status, stderr]).toEqual([2, expect.stringMatching(message)]);
  });
});

/** A working folder with CIFAR-10 in small in `data`, and with a cache of its own. */
function cifarFolder() {
  const cwd = tempFolder();
  mkdirSync(join(cwd, 'data'));
  writeFileSync(join(cwd, 'data', 'data_batch_1.bin'), records(25));
  writeFileSync(join(cwd, 'data', 'test_batch.bin'), records(11, 3));
  return { cwd, env: { XDG_CACHE_HOME: join(cwd, 'cache') } };
}

describe('what cannot be read', () => {
  test('one bad file of a hundred is left out and listed, in the run too; a run goes on with the same images only', async () => {
    const cwd = tempFolder();
    const io = { cwd, env: { XDG_CACHE_HOME: join(cwd, 'cache') } };
    for (let i = 0; i < 120; i++) {
      mkdirSync(join(cwd, 'pets', `kind ${i % 2}`), { recursive: true });
      writeFileSync(join(cwd, 'pets', `kind ${i % 2}`, `${i}.png`), await solid('png', [2 * i, 100 * (i % 2), 3]));
    }
    const bad = join(cwd, 'pets', 'kind 1', '7.png');
    const good = readFileSync(bad);
    writeFileSync(bad, good.subarray(0, 50));
    const argv = ['train', '--data', 'pets', '--image-size', '8', '--name', 'r', '--no-figures', ...TINY];
    const { status, stderr } = await cli(argv, io);
    expect([status, stderr]).toEqual([0, expect.stringContaining('warning: 1 file is skipped because it cannot be decoded:\n')]);
    const [{ skipped }] = JSON.parse(readFileSync(join(cwd, 'runs', 'r', 'environment.json'), 'utf8'));
    expect(skipped).toEqual([{ path: 'kind 1/7.png', reason: expect.stringContaining('7.png cannot be decoded') }]);
    const verified = await cli(['data', 'verify', 'pets'], io);
    expect([verified.status, verified.stdout]).toEqual([4, expect.stringContaining('7.png cannot be decoded')]);
    // Repaired, it is other data.
    writeFileSync(bad, good);
    const resumed = await cli(['train', '--resume', 'r', '--epochs', '2', '--no-figures', '--quiet'], io);
    expect([resumed.status, resumed.stderr]).toEqual([5, expect.stringMatching(/E_CHECKPOINT.*data is 108 images.*but was 108 images/)]);
    writeFileSync(bad, good.subarray(0, 50));
    expect((await cli(['train', '--resume', 'r', '--epochs', '2', '--no-figures', '--quiet'], io)).status).toBe(0);
  });

  test('pictures of very many pixels are refused, and the limit can be raised', async () => {
    const cwd = tempFolder();
    const io = { cwd, env: { XDG_CACHE_HOME: join(cwd, 'cache') } };
    for (const name of ['a', 'b']) {
      mkdirSync(join(cwd, 'scans', name), { recursive: true });
      writeFileSync(join(cwd, 'scans', name, '1.png'), await solid('png', [9, 9, 9], { height: 1100, width: 1000 }));
    }
    const info = (...argv: string[]) => cli(['data', 'info', 'scans', '--json', ...argv], io);
    const { status, stderr } = await info('--max-megapixels', '1');
    expect([status, stderr]).toEqual([4, expect.stringMatching(/1000 × 1100 pixels, more than the 1,000,000 allowed/)]);
    expect(JSON.parse((await info('--max-megapixels', '2')).stdout).train.size).toBe(2);
    expect((await cli(['data', 'verify', 'scans', '--max-megapixels', '1'], io)).status).toBe(4);
  });

  test.each([
    ['photos.zip', 'PK\x03\x04zip', /is a ZIP archive\nhelp: Unpack it/],
    ['labels.csv', 'id,label\n', /is a table\nhelp: Give the folder of images, and the table with --labels/],
    ['x.npy', '\x93NUMPY', /is one array\nhelp: .*numpy\.savez/],
    ['x.h5', '\x89HDF\r\n', /is an HDF5 file, which is not read/],
    ['x.tfrecord', 'abc', /is of a form that is not read/],
    ['x.arrow', 'ARROW1', /is an Arrow file/],
    ['one.jpg', '\xff\xd8\xff', /is one JPEG image\nhelp: Give a folder of images/],
    ['notes', 'hello', /is not a set of images that is read/],
    ['empty.npz', '', /empty\.npz is not a \.npz file that can be read/],
    ['empty.parquet', '', /is not a Parquet file that can be read: it is too short/],
    ['empty.tar', '', /it holds no sample|cut short/],
  ])('%s given as the data is told as what it is', async (name, contents, message) => {
    const cwd = tempFolder();
    writeFileSync(join(cwd, name), Buffer.from(contents, 'latin1'));
    const { status, stderr } = await cli(['data', 'info', name], { cwd });
    expect([status, stderr]).toEqual([4, expect.stringMatching(message)]);
  });

  test('predict takes images by their contents, each folder once, wherever links lead', async () => {
    const cwd = await petsFolder();
    const io = { cwd, env: { XDG_CACHE_HOME: join(cwd, 'cache') } };
    expect(
      (await cli(['train', '--data', 'pets', '--image-size', '8', '--name', 'r', '--no-figures', '--quiet', ...TINY], io)).status,
    ).toBe(0);
    const folder = join(cwd, 'new');
    mkdirSync(join(folder, 'deep'), { recursive: true });
    writeFileSync(join(folder, 'no-ending'), await solid('png', [1, 2, 3]));
    writeFileSync(join(folder, 'photo.jfif'), await solid('jpeg', [1, 2, 3]));
    writeFileSync(join(folder, 'notes'), 'text');
    writeFileSync(join(folder, '._photo.jpg'), 'x');
    // Each of them doubles the paths that lead on.
    for (const name of ['p', 'q']) symlinkSync('..', join(folder, 'deep', name));
    const { status, stdout } = await cli(['predict', 'r', 'new', '--json'], io);
    expect([status, JSON.parse(stdout).map(({ image }: { image: string }) => image)]).toEqual([0, ['new/no-ending', 'new/photo.jfif']]);
  });
});

describe('hybrid data', () => {
  test('download: what is there is not fetched again', async () => {
    const io = cifarFolder();
    expect(await cli(['data', 'download'], io)).toEqual({ status: 0, stdout: 'data\n', stderr: '' });
    const json = await cli(['data', 'download', 'cifar10', '--json'], io);
    expect(JSON.parse(json.stdout)).toEqual({ set: 'cifar10', path: join(io.cwd, 'data') });
    expect(await cli(['data', 'download', 'synthetic'], io)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('"synthetic" cannot be downloaded'),
    });
  });

  test('download: without a network it says where to put the set', async () => {
    const io = cifarFolder();
    const { status, stdout, stderr } = await cli(['data', 'download', 'cifar100', '--data-url', 'http://127.0.0.1:9/x'], io);
    expect([status, stdout]).toEqual([4, '']);
    expect(stderr).toMatch(/error\[E_NETWORK\].*\nhelp: .*pass its folder/);
  });

  test('remedies suit data that is an argument, as here, and --data', async () => {
    const helps = async (...argv: string[]) => (await cli(['data', ...argv], { cwd: process.cwd() })).stderr.split('\n')[1];
    expect(await helps('info', 'cifar-10')).toBe('help: Did you mean cifar10?');
    for (const command of ['info', 'verify', 'preview'])
      expect(await helps(command, 'nowhere'), command).toMatch(/or cifar10, which is found or downloaded/);
    const { stderr } = await cli(['data', 'info', '--data-url', 'http://127.0.0.1:9/x', 'cifar100'], cifarFolder());
    expect(stderr).toMatch(
      /\nhelp: Download and unpack it by other means and pass its folder as the data, pass a mirror with --data-url, or train on synthetic/,
    );
  });

  test('sets of pixels are brought to another size', async () => {
    const shape = async (...argv: string[]) => {
      const { status, stdout, stderr } = await cli(['data', 'info', 'cifar10', '--json', ...argv], cifarFolder());
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      return JSON.parse(stdout).train.shape;
    };
    expect(await shape('--image-size', '48x40')).toEqual([48, 40, 3]);
    for (const size of ['32', '32x32']) expect(await shape('--image-size', size)).toEqual([32, 32, 3]);
  });

  test('verify: the hash of each file, and whether it is an official one', async () => {
    const io = cifarFolder();
    const { status, stdout } = await cli(['data', 'verify'], io);
    const hash = createHash('sha256').update(records(25)).digest('hex');
    expect([status, stdout.split('\n')]).toEqual([
      0,
      [
        `data/data_batch_1.bin  76,825 bytes  sha256 ${hash}`,
        expect.stringContaining('data/test_batch.bin  33,803 bytes'),
        '10 classes: airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck',
        'cifar: 25 training, 0 validation, 11 test images of 10 classes, files of their own making; nothing is wrong with them',
        '',
      ],
    ]);
    writeFileSync(join(io.cwd, 'data', 'test_batch.bin'), records(11, 3).fill(77, 3073, 3074));
    expect(await cli(['data', 'verify'], io)).toMatchObject({
      status: 4,
      stdout: '',
      stderr: expect.stringContaining('label 77 in record 1'),
    });
  });

  test('verify: every bad file of a folder is listed', async () => {
    const cwd = await petsFolder();
    writeFileSync(join(cwd, 'pets', 'train', 'kind 0', 'bad.png'), 'x');
    writeFileSync(join(cwd, 'pets', 'test', 'kind 4', 'worse.jpg'), '');
    const { status, stdout, stderr } = await cli(['data', 'verify', 'pets', '--json'], { cwd });
    expect([status, stderr]).toEqual([4, expect.stringContaining('2 of 42 files cannot be decoded')]);
    const [result, error] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(result.bad.map(({ path }: { path: string }) => path).sort()).toEqual(['test/kind 4/worse.jpg', 'train/kind 0/bad.png']);
    expect([result.kind, result.classes, result.images, error.code]).toEqual([
      'folder',
      5,
      { train: 31, validation: 0, test: 11 },
      'E_DATA',
    ]);
  });

  test('info: sizes, classes and colours', async () => {
    const cwd = tempFolder();
    // Two channels: one all 51 (a fifth), one half 0 and half 255.
    const data = Uint8Array.from({ length: 4 * 2 * 2 * 2 }, (_, i) => (i % 2 === 0 ? 51 : i % 4 === 1 ? 0 : 255));
    writeFileSync(
      join(cwd, 'a.npz'),
      writeNpz(
        new Map([
          ['x', { shape: [4, 2, 2, 2], data }],
          ['y', { shape: [4], data: Int32Array.of(0, 2, 2, 2) }],
        ]),
      ),
    );
    const { status, stdout } = await cli(['data', 'info', 'a.npz'], { cwd });
    expect([status, stdout]).toEqual([0, expect.stringContaining('training set: 4 images of 2 × 2 × 2')]);
    expect(stdout).toContain('  mean 0.2000 0.5000, deviation 0.0000 0.5000\n2 classes\n  class 0        1\n  class 2        3\n');
    const json = JSON.parse((await cli(['data', 'info', 'a.npz', '--json'], { cwd })).stdout);
    expect(json.train.classes[1]).toEqual({ name: 'class 2', count: 3 });
  });

  test('convert: to a packed file that trains, and to arrays for NumPy', async () => {
    const cwd = await petsFolder();
    const io = { cwd, env: { XDG_CACHE_HOME: join(cwd, 'cache') } };
    const size = ['--image-size', '12x10'];
    expect(await cli(['data', 'convert', 'pets', 'pets.safetensors', ...size], io)).toMatchObject({
      status: 0,
      stdout: 'pets.safetensors\n',
    });
    expect(JSON.parse((await cli(['data', 'convert', 'pets', 'pets.npz', ...size, '--json'], io)).stdout)).toEqual({
      path: join(cwd, 'pets.npz'),
      images: 40,
    });
    const arrays = readNpz(readFileSync(join(cwd, 'pets.npz')));
    expect([...arrays].map(([name, { shape }]) => [name, shape])).toEqual([
      ['x_train', [30, 12, 10, 3]],
      ['y_train', [30]],
      ['x_test', [10, 12, 10, 3]],
      ['y_test', [10]],
    ]);
    // All three are the same set.
    const infos = await Promise.all(
      ['pets', 'pets.npz', 'pets.safetensors'].map(async (data) => {
        const info = JSON.parse((await cli(['data', 'info', data, '--json', ...size], io)).stdout);
        return [info.train.mean, info.test.deviation, info.train.classes.map(({ count }: { count: number }) => count)];
      }),
    );
    expect(infos[1]).toEqual(infos[0]);
    expect(infos[2]).toEqual(infos[0]);
    expect((await cli(['data', 'convert', 'pets', 'pets.npz', ...size], io)).stderr).toContain('pets.npz already exists');
    expect((await cli(['data', 'convert', 'pets', 'pets.zip', ...size], io)).stderr).toContain('neither of the endings');
    const { status, stdout } = await cli(['train', '--data', 'pets.safetensors', ...TINY], io);
    expect([status, stdout]).toEqual([0, expect.stringContaining('pets test set, 10 images')]);
  });

  test('preview: a picture of images as they are stored, and of what an augmentation makes of them', async () => {
    const io = cifarFolder();
    const image = new Uint8Array(3072);
    const { train } = await readCifar(nodeFiles, join(io.cwd, 'data'));
    train.read([3], image);
    const plain = await cli(['data', 'preview', '--rows', '2', '--columns', '3', '--out', 'a.png'], io);
    expect(plain).toEqual({ status: 0, stdout: 'row 1: airplane, automobile, bird\nrow 2: cat, deer, dog\na.png\n', stderr: '' });
    const picture = decode(readFileSync(join(io.cwd, 'a.png')));
    // Cells of 96 pixels (each stored pixel is three wide), 4 between.
    expect([picture.width, picture.height, picture.channels]).toEqual([3 * 100 + 4, 2 * 100 + 4, 3]);
    const at = (x: number, y: number) => [...picture.data.subarray((y * picture.width + x) * 3, (y * picture.width + x) * 3 + 3)];
    expect(at(1, 1)).toEqual([255, 255, 255]);
    expect(at(4, 104)).toEqual([...image.subarray(0, 3)]);
    expect(at(4 + 95, 104 + 95)).toEqual([...image.subarray(3069)]);

    const changed = await cli(
      ['data', 'preview', '--augment', 'alternating-flip', '--rows', '4', '--columns', '3', '--seed', '3', '--json'],
      io,
    );
    expect(JSON.parse(changed.stdout)).toMatchObject({ augment: 'alternating-flip', classes: ['airplane', 'automobile', 'bird', 'cat'] });
    const flips = decode(readFileSync(join(io.cwd, 'preview.png')));
    const cell = (column: number) => [...flips.data.subarray((304 * flips.width + 4 + 100 * column) * 3)].slice(0, 3);
    // One of two epochs is as stored, the other begins with what was the last pixel of the row.
    const both = [cell(1), cell(2)].map(String).sort();
    expect(both).toEqual([String([...image.subarray(0, 3)]), String([...image.subarray(93, 96)])].sort());

    expect(await cli(['data', 'preview', '--rows', '0'], io)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--rows is "0"'),
    });
    expect(await cli(['data', 'preview', '--out', 'a.jpg'], io)).toMatchObject({ status: 2, stderr: expect.stringContaining('.png') });
    expect(await cli(['data', 'preview', '--part', 'tets'], io)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('did you mean test'),
    });
    expect(await cli(['data', 'preview', '--augment', 'flop'], io)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('did you mean flip'),
    });
    expect(await cli(['data', 'preview', '--augment', 'crop-reflect=40'], io)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('at most 31'),
    });
  });

  test('preview: every augmentation draws', async () => {
    const io = cifarFolder();
    for (const name of Object.keys(AUGMENT_NAMES)) {
      const { status, stderr } = await cli(['data', 'preview', '--augment', name, '--rows', '2', '--columns', '3'], io);
      expect([name, status, stderr]).toEqual([name, 0, '']);
    }
  });
});
