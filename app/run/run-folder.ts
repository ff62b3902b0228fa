// The folder of one run on disk, and how checkpoints get into it whole.
//
//   <out>/<name>/config.json                   the resolved configuration, usable with -c
//                metrics.jsonl                 one event a line
//                environment.json              machine, versions and device, one entry for each time it was begun or gone on with
//                crash.json                    of a run that failed: the error and the last events before it
//                lock.json                     names the process that is at work here (run-lock.ts)
//                checkpoints/best, last/       model.safetensors  optimizer.safetensors  graph.json  state.json  COMPLETE
//                checkpoints/epoch-0010/ …     the same, of epochs that are kept for good
//
// A checkpoint is written into `<kind>.new`, every file synced, COMPLETE (the SHA-256 of each file) last. Then `<kind>` moves
// to `<kind>.old`, `<kind>.new` to `<kind>`, and the old one goes. A crash between any two calls leaves at least one complete
// folder; `load` looks in all three places and believes only what COMPLETE confirms.

import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { HybridError } from '../../runtime/base/errors.ts';
import {
  diskError,
  type FileStat,
  type Files,
  makeFolder,
  nodeFiles,
  type OpenFile,
  systemCode,
  writeAll,
  writeAtomically,
} from '../../runtime/base/files.ts';
import { own } from '../../runtime/base/own.ts';
import { type FileTensor, readSafetensors, writeSafetensors } from '../../runtime/formats/safetensors.ts';
import type { Checkpoint, CheckpointKind, CheckpointStore } from '../../runtime/train/checkpoint.ts';
import { crashReport } from './environment.ts';
import { type Joint, parseLines, trimMetrics } from './metrics-file.ts';
import { RunLock } from './run-lock.ts';

/** Of state.json; a reader refuses newer ones. */
const FORMAT_VERSION = 1;
const FILES = { model: 'model.safetensors', optimizer: 'optimizer.safetensors', graph: 'graph.json', state: 'state.json' } as const;
const MARKER = 'COMPLETE';
const CONFIG = 'config.json';
const METRICS = 'metrics.jsonl';
const ENVIRONMENT = 'environment.json';
const CRASH = 'crash.json';
const RECENT_EVENTS = 50;
/** Where `save` may leave a complete checkpoint of a kind, the best place first. */
const PLACES = ['', '.new', '.old'];
const KEPT = /^epoch-\d+$/;
/** Keras' `iterations`: an integer in files, one float in a Checkpoint. */
const STEP_COUNT = 'optimizer/vars/0';

/** The resolved configuration of a run: plain JSON. */
export type RunConfig = Readonly<Record<string, unknown>>;

/** Where a run folder is made. */
export interface CreateRunOptions {
  /** Folder that holds the runs; made if it is missing. */
  readonly out: string;
  /** One path component. Default: architecture, date and time. If it is taken, `-2`, `-3`… is added. */
  readonly name?: string;
  /** JSON of the resolved configuration. Its `arch` gives the default name. */
  readonly config: RunConfig;
  readonly files?: Files;
}

/** What a run folder has to go on from. */
export interface NewestCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly path: string;
  /** Newer ones that could not be used, and why. */
  readonly damaged: readonly string[];
}

/** A run on the disk: configuration, metrics, checkpoints, each written whole or not at all; locked by the process that trains in it. */
export class RunFolder implements CheckpointStore, AsyncDisposable {
  /** Absolute path. */
  readonly location: string;
  #config: RunConfig;
  readonly #files: Files;
  /** Of a run in progress; absent in one that was opened to be read. */
  readonly #lock?: RunLock;
  #metrics?: OpenFile;
  /** The last events, for a report of a crash. */
  readonly #recent: object[] = [];

  private constructor(location: string, config: RunConfig, files: Files, lock?: RunLock, metrics?: OpenFile) {
    this.location = location;
    this.#config = config;
    this.#files = files;
    this.#lock = lock;
    this.#metrics = metrics;
  }

  get config(): RunConfig {
    return this.#config;
  }

  /** Makes a folder that was not there before, with its configuration: an unwritable disk shows here, before any training. Throws E_DISK. */
  static async create(options: CreateRunOptions): Promise<RunFolder> {
    const { out, name, config, files = nodeFiles } = own(options);
    if (name !== undefined) checkRunName(name);
    const base = name ?? `${config.arch ?? 'run'}-${timestamp(new Date())}`;
    for (let count = 1; ; count++) {
      const location = resolve(out, count === 1 ? base : `${base}-${count}`);
      const metrics = await claim(files, location);
      if (!metrics) continue;
      try {
        const lock = await RunLock.take(files, location);
        await writeAtomically(files, join(location, CONFIG), [encode(`${JSON.stringify(config, null, 2)}\n`)]);
        return new RunFolder(location, config, files, lock, metrics);
      } catch (error) {
        await metrics.close().catch(() => {});
        await files.remove(location).catch(() => {}); // the first error is the one to report
        throw error;
      }
    }
  }

  /** Opens the folder of an earlier run to read its checkpoints. Throws E_CHECKPOINT where it is none. */
  static async open(path: string, files: Files = nodeFiles): Promise<RunFolder> {
    return new RunFolder(resolve(path), await readConfig(path, files), files);
  }

  /**
   * Opens the folder of an earlier run to go on with it: takes its lock, and removes what a crash has left behind. `begin` must be
   * called before `log`. Throws E_CHECKPOINT where it is no run folder, or where a link in it could lead elsewhere, E_LOCKED where
   * another process is at work there, E_DISK where it cannot be written.
   */
  static async reopen(path: string, files: Files = nodeFiles): Promise<RunFolder> {
    const location = resolve(path);
    const config = await readConfig(path, files);
    const lock = await RunLock.take(files, location);
    try {
      await refuseLinks(files, location);
      await refuseLinks(files, join(location, 'checkpoints'));
      await sweep(files, location);
      return new RunFolder(location, config, files, lock);
    } catch (error) {
      await lock.release();
      throw error instanceof HybridError ? error : unreadable(path, error);
    }
  }

  /** Goes on with the metrics after the joint: lines about what came later go, for the run does it again. Throws E_DISK. */
  async begin(joint: Joint, config: RunConfig): Promise<void> {
    const path = join(this.location, METRICS);
    const text = (await statOr(this.#files, path)) ? new TextDecoder().decode(await readOr(this.#files, path)) : '';
    await writeAtomically(this.#files, path, [encode(trimMetrics(text, joint))]);
    if (JSON.stringify(config) !== JSON.stringify(this.#config)) {
      await writeAtomically(this.#files, join(this.location, CONFIG), [encode(`${JSON.stringify(config, null, 2)}\n`)]);
      this.#config = config;
    }
    try {
      this.#metrics = await this.#files.open(path, 'a');
    } catch (error) {
      throw diskError(path, error);
    }
  }

  /** The lines of metrics.jsonl so far that can be read. Throws E_CHECKPOINT. */
  async events(): Promise<unknown[]> {
    const path = join(this.location, METRICS);
    return (await statOr(this.#files, path)) ? parseLines(new TextDecoder().decode(await readOr(this.#files, path))) : [];
  }

  /** Adds what `describeEnvironment` tells to environment.json. Throws E_DISK. */
  async addEnvironment(environment: object): Promise<void> {
    await this.#writeEnvironments([...(await this.environments()), environment]);
  }

  /** Adds to what was added last. Throws E_DISK. */
  async amendEnvironment(more: object): Promise<void> {
    const all = await this.environments();
    await this.#writeEnvironments([...all.slice(0, -1), { ...(all.at(-1) as object | undefined), ...more }]);
  }

  async #writeEnvironments(environments: readonly unknown[]): Promise<void> {
    await writeAtomically(this.#files, join(this.location, ENVIRONMENT), [encode(`${JSON.stringify(environments, null, 2)}\n`)]);
  }

  /** Whether a process is at work here now. */
  isRunning(): Promise<boolean> {
    return RunLock.isHeld(this.#files, this.location);
  }

  /** What `addEnvironment` was told, the newest last. */
  async environments(): Promise<unknown[]> {
    const path = join(this.location, ENVIRONMENT);
    return (await statOr(this.#files, path)) ? parseList(new TextDecoder().decode(await readOr(this.#files, path))) : [];
  }

  /** Writes crash.json, if the disk lets it: the error itself is more important than its report. */
  async reportCrash(error: unknown): Promise<void> {
    const report = JSON.stringify(crashReport(error, this.#recent), null, 2);
    await writeAtomically(this.#files, join(this.location, CRASH), [encode(`${report}\n`)]).catch(() => {});
  }

  /** What `reportCrash` wrote last. Null: nothing, or nothing that can be read. */
  async crash(): Promise<Readonly<Record<string, unknown>> | null> {
    const path = join(this.location, CRASH);
    return this.#files.readFile(path).then(
      (bytes) => Object(parseJson(new TextDecoder().decode(bytes))) as Record<string, unknown>,
      () => null,
    );
  }

  /** Adds a line to metrics.jsonl. Throws E_DISK; the last line of a run that ended so may be incomplete. */
  async log(event: object): Promise<void> {
    this.#recent.push(event);
    if (this.#recent.length > RECENT_EVENTS) this.#recent.shift();
    if (this.#metrics) await writeAll(this.#metrics, encode(`${JSON.stringify(event)}\n`));
  }

  /** Removes the folder of a run that never began. */
  async discard(): Promise<void> {
    await this.#metrics?.close().catch(() => {});
    await this.#files.remove(this.location).catch(() => {}); // the reason for not beginning is the one to report
  }

  /** Ends the metrics and gives the lock back. The checkpoints stay usable. Throws E_DISK: some file systems report only here that a write has failed. */
  async close(): Promise<void> {
    try {
      await this.#metrics?.close();
    } catch (error) {
      throw diskError(join(this.location, METRICS), error);
    } finally {
      await this.#lock?.release();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** See `CheckpointStore`. Throws E_DISK. */
  async save(kind: CheckpointKind, checkpoint: Checkpoint): Promise<string> {
    // Before the first await: whatever happens to the arrays later, the files hold the state at the call.
    const contents = serialise(checkpoint, this.config);
    const bytes = [...contents.values()].reduce((sum, { length }) => sum + length, 0);
    const files = this.#files;
    const parent = join(this.location, 'checkpoints');
    const place = join(parent, kind);
    const [aside, old] = [`${place}.new`, `${place}.old`];
    let moved: 'nothing' | 'old' | 'both' = 'nothing';
    try {
      await makeFolder(files, parent);
      await files.remove(aside);
      await files.mkdir(aside);
      for (const [name, data] of contents) await writeSynced(files, join(aside, name), data, bytes);
      await files.syncFolder(aside);
      if (await files.stat(place)) {
        await files.remove(old);
        await files.rename(place, old);
      }
      moved = 'old';
      await files.rename(aside, place);
      moved = 'both';
      await files.syncFolder(parent);
    } catch (error) {
      // Back to what was there. Each step may fail as well: the previous checkpoint then stays loadable as `.old`.
      if (moved === 'both') await files.remove(place).catch(() => {});
      if (moved !== 'nothing' && (await files.stat(old).catch(() => null))) await files.rename(old, place).catch(() => {});
      await files.remove(aside).catch(() => {});
      throw error instanceof HybridError ? error : diskError(place, error, bytes);
    }
    await files.remove(old).catch(() => {}); // a leftover harms nothing and goes with the next save
    return place;
  }

  /** The newest complete checkpoint of a kind; null where there never was one. Throws E_CHECKPOINT where all there is is damaged. */
  async load(kind: CheckpointKind): Promise<Checkpoint | null> {
    let damage: unknown;
    for (const suffix of PLACES) {
      const folder = join(this.location, 'checkpoints', kind + suffix);
      try {
        if (await statOr(this.#files, folder)) return await readCheckpoint(this.#files, folder);
      } catch (error) {
        damage ??= error;
      }
    }
    if (damage) throw damage;
    return null;
  }

  /**
   * The state that a run goes on from: `last`, or the newest older one that is whole. Null where there never was one. Throws
   * E_CHECKPOINT where all there is is damaged.
   */
  async newest(): Promise<NewestCheckpoint | null> {
    const parent = join(this.location, 'checkpoints');
    const kept = (await statOr(this.#files, parent))
      ? (await readdirOr(this.#files, parent)).filter((name) => KEPT.test(name)).reverse()
      : [];
    const damaged: string[] = [];
    let first: unknown;
    for (const name of [...PLACES.map((suffix) => `last${suffix}`), ...PLACES.map((suffix) => `best${suffix}`), ...kept]) {
      const path = join(parent, name);
      try {
        if (await statOr(this.#files, path)) return { checkpoint: await readCheckpoint(this.#files, path), path, damaged };
      } catch (error) {
        first ??= error;
        damaged.push(error instanceof Error ? error.message : String(error));
      }
    }
    if (first) throw first;
    return null;
  }
}

async function readConfig(path: string, files: Files): Promise<RunConfig> {
  const file = join(resolve(path), CONFIG);
  if ((await statOr(files, file))?.kind === 'file') return parseObject(await readOr(files, file), join(path, CONFIG));
  throw new HybridError('E_CHECKPOINT', `${path} is not a run folder: it has no ${CONFIG}`, 'Name the folder that `hybrid train` printed.');
}

/** A link in a run folder would have the run write elsewhere. */
async function refuseLinks(files: Files, folder: string): Promise<void> {
  const names = (await files.stat(folder)) ? await files.readdir(folder) : [];
  for (const path of names.map((name) => join(folder, name))) {
    if (!(await files.isLink(path))) continue;
    throw new HybridError(
      'E_CHECKPOINT',
      `${path} is a symbolic link`,
      'Put what it points to in its place: a run writes into its own folder only.',
    );
  }
}

/** Removes files and checkpoints that were being written when the process before ended. Only who holds the lock may. */
async function sweep(files: Files, location: string): Promise<void> {
  const orphans = (await files.readdir(location)).filter((name) => name.endsWith('.tmp')).map((name) => join(location, name));
  const parent = join(location, 'checkpoints');
  for (const name of (await files.stat(parent)) ? await files.readdir(parent) : []) {
    // A complete one may be the newest there is: it goes with the next save.
    const aside = name.endsWith('.new') && !(await files.stat(join(parent, name, MARKER)));
    if (aside) orphans.push(join(parent, name));
  }
  for (const path of orphans) await files.remove(path).catch(() => {}); // leftovers are harmless
}

/** Makes the folder and in it the empty metrics file, which two runs cannot both make. Null: the folder is taken. */
async function claim(files: Files, location: string): Promise<OpenFile | null> {
  try {
    if (await files.stat(location)) return null;
    await makeFolder(files, location);
    return await files.open(join(location, METRICS), 'wx');
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return null;
    throw diskError(location, error);
  }
}

const NAME_RULES: readonly (readonly [broken: RegExp, why: string])[] = [
  [/^$/, 'it is empty'],
  [/^\.\.?$/, 'it stands for another folder'],
  [/[/\\]/, 'it has a slash or backslash'],
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  [/[\u0000-\u001f]/, 'it has a control character'],
  [/^.{201}/s, 'it is longer than 200 characters'],
];

/** Refuses what cannot be the `name` of `RunFolder.create`. Throws E_USAGE with the rule that it breaks. */
export function checkRunName(name: string): void {
  const broken = NAME_RULES.find(([pattern]) => pattern.test(name));
  if (!broken) return;
  const shown = JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name);
  throw new HybridError(
    'E_USAGE',
    `${shown} cannot be the name of a run: ${broken[1]}`,
    'Use a name without slashes, at most 200 characters long; `out` names the folder that it is made in.',
    { field: 'name' },
  );
}

/** Local time, as in `2031-05-09-174501`. */
function timestamp(date: Date): string {
  const two = (n: number) => String(n).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day}-${two(date.getHours())}${two(date.getMinutes())}${two(date.getSeconds())}`;
}

/** The files of a checkpoint in the order in which they are written: COMPLETE last. */
function serialise({ weights, optimizer, progress, graph, card }: Checkpoint, config: RunConfig): Map<string, Uint8Array> {
  const optimizerTensors = new Map<string, FileTensor>(optimizer);
  const count = optimizer.get(STEP_COUNT);
  if (count) optimizerTensors.set(STEP_COUNT, { shape: count.shape, data: BigInt64Array.from(count.data, BigInt) });
  const metadata = new Map([
    ['format', 'hybrid'],
    ['graph', graph.digest],
    ['config', JSON.stringify(config)],
    ...(card ? [['hybrid', JSON.stringify(card)] as const] : []),
  ]);
  const state = { versions: { format: FORMAT_VERSION, node: process.version }, graph: graph.digest, progress };
  const contents = new Map<string, Uint8Array>([
    [FILES.model, writeSafetensors(weights, metadata)],
    [FILES.optimizer, writeSafetensors(optimizerTensors)],
    [FILES.graph, encode(graph.text)],
    [FILES.state, encode(`${JSON.stringify(state, null, 2)}\n`)],
  ]);
  const digests = Object.fromEntries([...contents].map(([name, bytes]) => [name, sha256(bytes)]));
  return contents.set(MARKER, encode(`${JSON.stringify(digests, null, 2)}\n`));
}

async function readCheckpoint(files: Files, folder: string): Promise<Checkpoint> {
  const fail = (what: string): never => {
    throw new HybridError('E_CHECKPOINT', `the checkpoint ${folder} cannot be used: ${what}`, 'Use another checkpoint, or train again.');
  };
  if (!(await statOr(files, join(folder, MARKER)))) fail(`it is incomplete, ${MARKER} is missing`);
  const digests = parseObject(await readOr(files, join(folder, MARKER)), join(folder, MARKER));
  const read = async (name: string): Promise<Uint8Array> => {
    const bytes = await readOr(files, join(folder, name));
    if (!Object.hasOwn(digests, name) || sha256(bytes) !== digests[name]) fail(`${name} has changed since it was written`);
    return bytes;
  };
  const state = parseObject(await read(FILES.state), join(folder, FILES.state));
  const version = Object(state.versions).format;
  if (version !== FORMAT_VERSION) fail(`its format is version ${version}, and this program reads version ${FORMAT_VERSION}`);
  const text = new TextDecoder().decode(await read(FILES.graph));
  const { tensors, metadata } = readSafetensors(await read(FILES.model), join(folder, FILES.model));
  const card = metadata.get('hybrid');
  return {
    weights: floats(tensors),
    optimizer: floats(readSafetensors(await read(FILES.optimizer), join(folder, FILES.optimizer)).tensors),
    progress: Object(state.progress),
    graph: { text, digest: String(state.graph) },
    ...(card === undefined ? {} : { card: JSON.parse(card) }),
  };
}

/** Tensors of a file as the floats that devices take. */
export function floats(tensors: ReadonlyMap<string, FileTensor>): Map<string, { shape: readonly number[]; data: Float32Array }> {
  const entries = [...tensors].map(([name, { shape, data }]) => {
    return [name, { shape, data: data instanceof Float32Array ? data : Float32Array.from(data as ArrayLike<number>, Number) }] as const;
  });
  return new Map(entries);
}

async function writeSynced(files: Files, path: string, bytes: Uint8Array, needed: number): Promise<void> {
  const file = await files.open(path, 'wx');
  try {
    await writeAll(file, bytes, needed);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function readOr(files: Files, path: string): Promise<Uint8Array> {
  return files.readFile(path).catch((error) => {
    throw unreadable(path, error);
  });
}

async function readdirOr(files: Files, path: string): Promise<string[]> {
  return files.readdir(path).catch((error) => {
    throw unreadable(path, error);
  });
}

async function statOr(files: Files, path: string): Promise<FileStat | null> {
  return files.stat(path).catch((error) => {
    throw unreadable(path, error);
  });
}

function unreadable(path: string, cause: unknown): HybridError {
  const reason = systemCode(cause) === 'ENOENT' ? 'it does not exist' : (cause as Error).message;
  return new HybridError('E_CHECKPOINT', `cannot read ${path}: ${reason}`, 'Use another checkpoint, or train again.', { cause });
}

function parseObject(bytes: Uint8Array, path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // told below
  }
  throw new HybridError('E_CHECKPOINT', `${path} is not a JSON object`, 'Use another checkpoint, or train again.');
}

/** What is no list, because somebody has changed it, counts as an empty one. */
function parseList(text: string): unknown[] {
  const value = parseJson(text);
  return Array.isArray(value) ? value : [];
}

/** Undefined where it is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
