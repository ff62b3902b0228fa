// Hostile input in quantity: valid input with a few changes, thousands of times. Whatever happens must be an answer: accepted, or an error of
// this program with a code and a remedy; soon, and within memory that the size of the input bounds. Used with small numbers by the normal
// tests and with large ones by the soak.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { unpackArchive } from '../../app/sources/archive.ts';
import { decodeImage } from '../../app/sources/image-file.ts';
import { KEYS, OPTIONS, spelling } from '../../cli/options.ts';
import { EXIT_STATUS, HybridError } from '../../runtime/base/errors.ts';
import { type Files, nodeFiles } from '../../runtime/base/files.ts';
import { readNpz, writeNpz } from '../../runtime/formats/npz.ts';
import { readOnnx } from '../../runtime/formats/onnx-file.ts';
import { readPickle } from '../../runtime/formats/pickle.ts';
import { NUMPY_CONSTRUCTORS, PYTHON_CONSTRUCTORS } from '../../runtime/formats/pickle-numpy.ts';
import { readSafetensors, writeSafetensors } from '../../runtime/formats/safetensors.ts';
import { readTorch } from '../../runtime/formats/torch-file.ts';
import { readZip, writeZip } from '../../runtime/formats/zip.ts';
import { fromOnnx } from '../../runtime/interop/onnx-import.ts';
import { records } from './cifar10-records.ts';
import { cli } from './cli.ts';
import { CrashDisk } from './crash-disk.ts';
import { imageFile } from './images.ts';
import { Random } from './random.ts';
import { SMALL_CONTENTS, SMALL_ENTRIES, tarGz } from './tar.ts';

/** How often input was accepted and refused: a mutation that is never accepted, or always, tests little. */
export interface Tally {
  accepted: number;
  refused: number;
  /** Milliseconds of CPU time of the slowest one. */
  slowest: number;
}

/** CPU time that one piece of input may take. What hangs without computing meets the time limit of the test. */
const TIME_LIMIT_MS = 3000;
/** Of a file of weights. */
const WEIGHTS_LIMIT_MS = 1000;

async function attack(
  count: number,
  seed: number,
  code: string | null,
  each: (random: Random) => unknown,
  limit = TIME_LIMIT_MS,
): Promise<Tally> {
  const tally: Tally = { accepted: 0, refused: 0, slowest: 0 };
  const random = new Random(seed);
  for (let i = 0; i < count; i++) {
    const start = process.cpuUsage();
    try {
      const answer = each(random);
      if (answer instanceof Promise) await answer;
      tally.accepted++;
    } catch (error) {
      tally.refused++;
      if (!(error instanceof HybridError) || error.remedy === '' || (code !== null && error.code !== code)) {
        throw new Error(`input ${i} of seed ${seed}: ${error instanceof Error ? error.stack : error}`, { cause: error });
      }
    }
    const { user, system } = process.cpuUsage(start);
    const took = (user + system) / 1000;
    if (took > limit) throw new Error(`input ${i} of seed ${seed} took ${took} ms`);
    tally.slowest = Math.max(tally.slowest, took);
  }
  expectCleanPrototype();
  return tally;
}

function expectCleanPrototype(): void {
  expect(Reflect.ownKeys(Object.prototype)).toHaveLength(12);
  expect(Object.keys(Object.prototype)).toEqual([]);
}

const FILE = writeSafetensors(
  new Map([
    ['layers/conv2d/vars/0', { shape: [2, 3], data: new Float32Array(6) }],
    ['count', { shape: [1], data: new BigInt64Array(1) }],
    ['scalar', { shape: [], data: new Int32Array(1) }],
  ]),
  new Map([
    ['format', 'hybrid'],
    ['config', '{"arch":"convmixer"}'],
  ]),
);
const HEADER = Buffer.from(FILE.subarray(8, 8 + Number(new DataView(FILE.buffer).getBigUint64(0, true))))
  .toString()
  .trimEnd();
const DATA = FILE.subarray(8 + Number(new DataView(FILE.buffer).getBigUint64(0, true)));

export const attackSafetensors = (count: number, seed: number): Promise<Tally> =>
  attack(count, seed, 'E_CHECKPOINT', (random) => {
    if (random.chance(0.2)) return readSafetensors(random.mutate(FILE));
    // Changes to the header alone, whose length is then right: they get further.
    const header = Buffer.from(random.mutate(Buffer.from(HEADER)));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(random.chance(0.02) ? BigInt(random.below(2 ** 32)) << BigInt(random.below(32)) : BigInt(header.length));
    return readSafetensors(Buffer.concat([length, header, DATA]));
  });

export const attackNpz = (count: number, seed: number): Promise<Tally> => {
  const file = writeNpz(
    new Map([
      ['x', { shape: [2, 3], data: new Float32Array(6) }],
      ['y', { shape: [2], data: new Uint8Array(2) }],
    ]),
  );
  return attack(count, seed, 'E_DATA', (random) => readNpz(random.mutate(file)));
};

const golden = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(`../golden/pickles/${name}`, import.meta.url)));

/** Pickles of every protocol. */
export const attackPickles = (count: number, seed: number): Promise<Tally> => {
  const values = [0, 1, 2, 3, 4, 5].map((protocol) => golden(`values-${protocol}.pkl`));
  const options = {
    constructors: new Map([...NUMPY_CONSTRUCTORS, ...PYTHON_CONSTRUCTORS]),
    remedy: () => 'none',
    source: 'a pickle',
    code: 'E_CHECKPOINT',
  } as const;
  return attack(count, seed, 'E_CHECKPOINT', (random) => readPickle(random.mutate(random.pick(values)), options), WEIGHTS_LIMIT_MS);
};

/**
 * Files of PyTorch's of both kinds, of a table of weights and of a checkpoint of training. Of an archive mostly its pickle alone is changed, so that
 * checksums hold.
 */
export const attackTorch = (count: number, seed: number): Promise<Tally> => {
  const legacy = golden('table-legacy.pth');
  const archives = ['table.pth', 'checkpoint.pth', 'whole-model.pth'].map(golden);
  const opened = archives.map((archive) =>
    readZip(archive, (what) => {
      throw new Error(what);
    }),
  );
  const each = (random: Random) => {
    if (random.chance(0.5)) return readTorch(random.mutate(legacy));
    if (random.chance(0.2)) return readTorch(random.mutate(random.pick(archives)));
    const members = random.pick(opened);
    return readTorch(writeZip(new Map([...members].map(([name, data]) => [name, name.endsWith('.pkl') ? random.mutate(data) : data]))));
  };
  return attack(count, seed, 'E_CHECKPOINT', each, WEIGHTS_LIMIT_MS);
};

/** Networks as PyTorch's exporters write them, small enough to be made into layers some thousand times. */
export const attackOnnx = (count: number, seed: number): Promise<Tally> => {
  const files = ['shuffle', 'joined-dynamo', 'next-parts', 'residual-folded'].map(
    (name) => new Uint8Array(readFileSync(new URL(`../golden/onnx/${name}.onnx`, import.meta.url))),
  );
  const each = (random: Random) => fromOnnx(readOnnx(random.mutate(random.pick(files))), 'a file', { mean: [0], std: [1] });
  return attack(count, seed, 'E_CHECKPOINT', each, WEIGHTS_LIMIT_MS);
};

export async function attackArchives(count: number, seed: number): Promise<Tally> {
  const root = mkdtempSync(join(tmpdir(), 'hybrid-test-'));
  const whole = tarGz(SMALL_ENTRIES);
  const names = [...Object.keys(SMALL_CONTENTS), '../evil', '/tmp/evil', '__proto__', 'cifar-10-batches-bin/../../x', 'a'.repeat(150)];
  try {
    return await attack(count, seed, 'E_DATA', async (random) => {
      const entries = SMALL_ENTRIES.map((entry) => {
        if (!random.chance(0.1)) return entry;
        const size = random.pick([undefined, 0, 1, 2 ** 33 - 1, '77777777777', 'xx', '-1']);
        return {
          ...entry,
          size,
          type: random.pick(['0', '1', '2', '3', '5', 'x', 'L', '\0']),
          name: random.chance(0.5) ? random.pick(names) : entry.name,
        };
      });
      if (random.chance(0.2)) entries.splice(random.below(entries.length), random.below(3), random.pick(entries));
      writeFileSync(join(root, 'archive'), random.chance(0.4) ? random.mutate(whole) : tarGz(entries));
      const folder = join(root, 'unpacked');
      try {
        await unpackArchive({ files: nodeFiles, archive: join(root, 'archive'), folder, contents: SMALL_CONTENTS });
        expect(readdirSync(folder).sort()).toEqual(Object.keys(SMALL_CONTENTS).sort());
        rmSync(folder, { recursive: true });
      } finally {
        expect(readdirSync(root)).toEqual(['archive']);
      }
    });
  } finally {
    rmSync(root, { recursive: true });
  }
}

export async function attackImages(count: number, seed: number): Promise<Tally> {
  const files = await Promise.all((['png', 'jpeg', 'webp'] as const).map((format) => imageFile(format, 24, 32)));
  return attack(count, seed, 'E_DATA', async (random) => {
    const pixels = await decodeImage(random.mutate(random.pick(files)), { shape: [8, 8, 3], maxPixels: 2 ** 20 });
    expect(pixels.length).toBe(8 * 8 * 3);
  });
}

const STATUSES = new Set<number>([0, ...Object.values(EXIT_STATUS)]);
const HOME = '/hostile';
const CWD = `${HOME}/work`;

/** A command in a world of its own: all files are in memory, whoever would train is stopped at once. */
async function command(argv: readonly string[], files: Files): Promise<number> {
  const { status, stderr } = await cli(argv, { cwd: CWD, files, signal: AbortSignal.abort('SIGINT') });
  const what = `${JSON.stringify(argv)}: ${stderr}`;
  if (!STATUSES.has(status) || status === 1) throw new Error(`status ${status} of ${what}`);
  if (/\n\s+at \S+ \(/.test(stderr)) throw new Error(`a stack for ${what}`);
  if (![0, 130].includes(status) && !/^error\[E_[A-Z]+\]: /m.test(stderr)) throw new Error(`no error for ${what}`);
  return status;
}

async function world(): Promise<CrashDisk> {
  const disk = new CrashDisk();
  await disk.mkdir(`${CWD}/runs`);
  await disk.mkdir(`${HOME}/images`);
  for (const [name, count] of [
    ['data_batch_1.bin', 40],
    ['test_batch.bin', 10],
  ] as const) {
    const file = await disk.open(`${HOME}/images/${name}`, 'w');
    await file.write(records(count));
  }
  return disk;
}

/** Where the options decide what is opened, these come last and win: no network, no threads. */
const SAFE = ['--data', `${HOME}/images`, '--device', 'reference'];

const FLAGS = KEYS.map((key) => ({ flag: `--${spelling(key)}`, example: OPTIONS[key].example }));
const STRAY = [
  '--',
  '-',
  '-c',
  'none.yaml',
  '--json',
  '--quiet',
  '--help',
  '-h',
  '-V',
  '--dry-run=1',
  '--__proto__',
  '--constructor=1',
  '__proto__',
];

function mutatedArgv(random: Random): string[] {
  const name = random.pick(['train', 'train', 'train', 'eval', 'summary', 'inspect', random.mutateText('train')]);
  const argv: string[] = [name];
  if (['summary', 'inspect', 'eval'].includes(name) && random.chance(0.8))
    argv.push(random.pick(['convmixer', 'runs', random.mutateText('conv-pooling')]));
  for (let words = random.below(5); words > 0; words--) {
    const { flag, example } = random.pick(FLAGS);
    const value = random.chance(0.5) ? example : random.mutateText(example);
    argv.push(
      ...(random.chance(0.1)
        ? [random.pick(STRAY)]
        : random.chance(0.2)
          ? [`${flag}=${value}`]
          : [random.chance(0.1) ? random.mutateText(flag) : flag, value]),
    );
  }
  if (random.chance(0.05)) argv.push('--resume', ...(random.chance(0.5) ? [random.mutateText('runs')] : []));
  return [...argv, ...(['train', 'eval'].includes(name) ? SAFE : [])];
}

export async function attackCommandLines(count: number, seed: number): Promise<Tally> {
  const disk = await world();
  const tally = await attack(count, seed, null, async (random) => {
    const status = await command(mutatedArgv(random), disk);
    if (![0, 130].includes(status)) throw new HybridError('E_USAGE', 'counted as refused', 'none');
  });
  // Nothing but the folder of runs was written to, and what never began was taken away.
  expect(await disk.readdir('/')).toEqual(['hostile']);
  expect(await disk.readdir(HOME)).toEqual(['images', 'work']);
  return tally;
}

const CONFIG = [
  'arch: convmixer',
  'lr: 0.002',
  'epochs: 3',
  'seed: "42"',
  'augment: crop,flip',
  'shuffle: false',
  'schedule: one-cycle',
].join('\n');
const CONFIG_JSON = JSON.stringify({ arch: 'convmixer', lr: 0.002, epochs: 3, seed: '42', augment: 'flip', shuffle: true, dim: 8 });

export async function attackConfigurations(count: number, seed: number): Promise<Tally> {
  const disk = await world();
  let content: Uint8Array = new Uint8Array(0);
  const isConfig = (path: string): boolean => path.endsWith('c.yaml');
  const files: Files = {
    readFile: async (path) => (isConfig(path) ? content : disk.readFile(path)),
    readInto: (path, target) => disk.readInto(path, target),
    stat: async (path) => (isConfig(path) ? { kind: 'file', size: content.length, modified: 0 } : disk.stat(path)),
    stream: (path) => disk.stream(path),
    isLink: () => disk.isLink(),
    readdir: (path) => disk.readdir(path),
    open: (path, flags) => disk.open(path, flags),
    rename: (from, to) => disk.rename(from, to),
    unlink: (path) => disk.unlink(path),
    mkdir: (path) => disk.mkdir(path),
    remove: (path) => disk.remove(path),
    syncFolder: (path) => disk.syncFolder(path),
  };
  return attack(count, seed, null, async (random) => {
    content = random.mutate(Buffer.from(random.pick([CONFIG, CONFIG_JSON])));
    const status = await command(['train', '-c', 'c.yaml', ...SAFE], files);
    if (![0, 130].includes(status)) throw new HybridError('E_USAGE', 'counted as refused', 'none');
  });
}

/** What `command` cannot show: that the whole process answers. */
export function hostileArgv(seed: number): string[] {
  const argv = mutatedArgv(new Random(seed));
  return argv[0] === 'train' ? [...argv, '--data', 'nowhere'] : argv;
}

export const checkedStatuses = STATUSES;
