// The checkpoints of one run on disk, and how they get there whole.
//
// A checkpoint is written into `<kind>.new`, every file synced, COMPLETE (the SHA-256 of each file) last. Then `<kind>` moves
// to `<kind>.old`, `<kind>.new` to `<kind>`, and the old one goes. A crash between any two calls leaves at least one complete
// folder; `load` looks in all three places and believes only what COMPLETE confirms.

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { HybridError } from '../../runtime/base/errors.ts';
import { diskError, type Files, makeFolder, writeAll } from '../../runtime/base/files.ts';
import type { Checkpoint, CheckpointKind } from '../../runtime/train/checkpoint.ts';
import { CHECKPOINT_FILES, checkpointFiles, checkpointOf, failCheckpoint } from '../../runtime/train/checkpoint-files.ts';
import { encode, parseObject, readdirOr, readOr, statOr } from './read-json.ts';

const MARKER = 'COMPLETE';
/** Where `save` may leave a complete checkpoint of a kind, the best place first. */
const PLACES = ['', '.new', '.old'];
const KEPT = /^epoch-\d+$/;

/** What a run folder has to go on from. */
export interface NewestCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly path: string;
  /** Newer ones that could not be used, and why. */
  readonly damaged: readonly string[];
}

export class CheckpointFolder {
  readonly location: string;
  readonly #files: Files;

  constructor(location: string, files: Files) {
    this.location = location;
    this.#files = files;
  }

  /** See `CheckpointStore`. `config` goes with the weights, for whoever reads them alone. Throws E_DISK. */
  async save(kind: CheckpointKind, checkpoint: Checkpoint, config: object): Promise<string> {
    // Before the first await: whatever happens to the arrays later, the files hold the state at the call.
    const contents = serialise(checkpoint, config);
    const bytes = [...contents.values()].reduce((sum, { length }) => sum + length, 0);
    const files = this.#files;
    const parent = this.location;
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
      const folder = join(this.location, kind + suffix);
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
    const parent = this.location;
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

  /** Folders of checkpoints that were being written when the process before ended. */
  async orphans(): Promise<string[]> {
    const files = this.#files;
    const orphans: string[] = [];
    for (const name of (await files.stat(this.location)) ? await files.readdir(this.location) : []) {
      // A complete one may be the newest there is: it goes with the next save.
      const aside = name.endsWith('.new') && !(await files.stat(join(this.location, name, MARKER)));
      if (aside) orphans.push(join(this.location, name));
    }
    return orphans;
  }
}

/** The files of a checkpoint in the order in which they are written: COMPLETE last. */
function serialise(checkpoint: Checkpoint, config: object): Map<string, Uint8Array> {
  const contents = checkpointFiles(checkpoint, config, { node: process.version });
  const digests = Object.fromEntries([...contents].map(([name, bytes]) => [name, sha256(bytes)]));
  return contents.set(MARKER, encode(`${JSON.stringify(digests, null, 2)}\n`));
}

async function readCheckpoint(files: Files, folder: string): Promise<Checkpoint> {
  const fail = failCheckpoint(folder);
  if (!(await statOr(files, join(folder, MARKER)))) fail(`it is incomplete, ${MARKER} is missing`);
  const digests = parseObject(await readOr(files, join(folder, MARKER)), join(folder, MARKER));
  const contents = new Map<string, Uint8Array>();
  for (const name of CHECKPOINT_FILES) {
    const bytes = await readOr(files, join(folder, name));
    if (!Object.hasOwn(digests, name) || sha256(bytes) !== digests[name]) fail(`${name} has changed since it was written`);
    contents.set(name, bytes);
  }
  return checkpointOf(contents, fail, (name) => join(folder, name));
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

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
