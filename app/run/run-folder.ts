// The folder of one run on disk.
//
//   <out>/<name>/config.json                   the resolved configuration, usable with -c
//                metrics.jsonl                 one event a line
//                environment.json              machine, versions and device, one entry for each time it was begun or gone on with
//                crash.json                    of a run that failed: the error and the last events before it
//                lock.json                     names the process that is at work here (run-lock.ts)
//                checkpoints/best, last/       model.safetensors  optimizer.safetensors  graph.json  state.json  COMPLETE (checkpoint-folder.ts)
//                checkpoints/epoch-0010/ …     the same, of epochs that are kept for good

import { join, resolve } from 'node:path';
import { HybridError } from '../../runtime/base/errors.ts';
import {
  diskError,
  type Files,
  makeFolder,
  nodeFiles,
  type OpenFile,
  systemCode,
  writeAll,
  writeAtomically,
} from '../../runtime/base/files.ts';
import { type OptionNames, refuseUnknownOptions } from '../../runtime/base/kinds.ts';
import { own } from '../../runtime/base/own.ts';
import type { Checkpoint, CheckpointKind, CheckpointStore } from '../../runtime/train/checkpoint.ts';
import { CheckpointFolder, type NewestCheckpoint } from './checkpoint-folder.ts';
import { crashReport } from './environment.ts';
import { type Joint, parseLines, trimMetrics } from './metrics-file.ts';
import { encode, parseJson, parseList, parseObject, readOr, statOr, unreadable } from './read-json.ts';
import { RunLock } from './run-lock.ts';
import { checkRunName, timestamp } from './run-name.ts';

const CONFIG = 'config.json';
const METRICS = 'metrics.jsonl';
const ENVIRONMENT = 'environment.json';
const CRASH = 'crash.json';
const RECENT_EVENTS = 50;
const CHECKPOINTS = 'checkpoints';

/** The resolved configuration of a run: plain JSON. */
export type RunConfig = Readonly<Record<string, unknown>>;

/** Options for `RunFolder.create`. */
export interface CreateRunOptions {
  /** Folder that holds the runs; made if it is missing. */
  readonly out: string;
  /** One path component. Default: architecture, date and time. If it is taken, `-2`, `-3`… is added. */
  readonly name?: string;
  /** JSON of the resolved configuration. Its `arch` gives the default name. */
  readonly config: RunConfig;
  readonly files?: Files;
}

const OPTIONS: OptionNames<CreateRunOptions> = { out: true, name: true, config: true, files: true };

/**
 * A run on the disk: configuration, metrics, checkpoints, each written whole or not at all; locked by the process that trains in it.
 *
 * @category Training
 */
export class RunFolder implements CheckpointStore, AsyncDisposable {
  /** Absolute path. */
  readonly location: string;
  #config: RunConfig;
  readonly #files: Files;
  readonly #checkpoints: CheckpointFolder;
  /** Of a run in progress; absent in one that was opened to be read. */
  readonly #lock?: RunLock;
  #metrics?: OpenFile;
  /** The last events, for a report of a crash. */
  readonly #recent: object[] = [];

  private constructor(location: string, config: RunConfig, files: Files, lock?: RunLock, metrics?: OpenFile) {
    this.location = location;
    this.#config = config;
    this.#files = files;
    this.#checkpoints = new CheckpointFolder(join(location, CHECKPOINTS), files);
    this.#lock = lock;
    this.#metrics = metrics;
  }

  get config(): RunConfig {
    return this.#config;
  }

  /** Makes a folder that was not there before, with its configuration: an unwritable disk shows here, before any training. Throws E_DISK. */
  static async create(options: CreateRunOptions): Promise<RunFolder> {
    refuseUnknownOptions(options, OPTIONS, 'RunFolder.create');
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
      await refuseLinks(files, join(location, CHECKPOINTS));
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

  /**
   * Deletes a run for good: its folder with all that is in it. Throws E_CHECKPOINT where it is no run folder, or a link to one, E_LOCKED
   * where a process is at work in it, E_DISK where it cannot be deleted.
   */
  static async delete(path: string, files: Files = nodeFiles): Promise<void> {
    const location = resolve(path);
    if (await files.isLink(location).catch(() => false)) {
      throw new HybridError('E_CHECKPOINT', `${path} is a symbolic link`, 'Name the folder that it points to.');
    }
    await readConfig(path, files);
    // Many programs call a file config.json.
    const parts = await Promise.all([METRICS, CHECKPOINTS].map((name) => statOr(files, join(location, name))));
    if (!parts.some(Boolean)) {
      throw new HybridError(
        'E_CHECKPOINT',
        `${path} is not a run folder: it has neither ${METRICS} nor ${CHECKPOINTS}`,
        'Name a run that `hybrid runs list` has.',
      );
    }
    const lock = await RunLock.take(files, location);
    try {
      await files.remove(location);
    } catch (error) {
      await lock.release().catch(() => {}); // the first error is the one to report
      throw diskError(location, error);
    }
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
  save(kind: CheckpointKind, checkpoint: Checkpoint): Promise<string> {
    return this.#checkpoints.save(kind, checkpoint, this.config);
  }

  /** The newest complete checkpoint of a kind; null where there never was one. Throws E_CHECKPOINT where all there is is damaged. */
  load(kind: CheckpointKind): Promise<Checkpoint | null> {
    return this.#checkpoints.load(kind);
  }

  /**
   * The state that a run goes on from: `last`, or the newest older one that is whole. Null where there never was one. Throws
   * E_CHECKPOINT where all there is is damaged.
   */
  newest(): Promise<NewestCheckpoint | null> {
    return this.#checkpoints.newest();
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
  const torn = (await files.readdir(location)).filter((name) => name.endsWith('.tmp')).map((name) => join(location, name));
  const orphans = [...torn, ...(await new CheckpointFolder(join(location, CHECKPOINTS), files).orphans())];
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
