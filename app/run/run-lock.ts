// The lock of a run folder: a file that names the process at work there. It dies with its process: a lock whose process is gone,
// or whose process number another process has by now, counts for nothing.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { HybridError } from '../../runtime/base/errors.ts';
import { diskError, type Files, systemCode, writeAll } from '../../runtime/base/files.ts';

const LOCK = 'lock.json';
/** Others may clear the same stale lock at the same moment: how often to look again, and how long after they began. */
const ATTEMPTS = 10;
const CLEARING_MS = 20;
/** A lock without a process number is one whose owner died over it, unless it is so young that it may still be about to write. */
const UNKNOWN = 0;
const YOUNG_MS = 2000;

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** What the system says about when the process began; empty where it does not. */
  readonly began: string;
  /** Tells two locks of one process apart. */
  readonly token: string;
}

export class RunLock {
  readonly #files: Files;
  readonly #path: string;
  readonly #token: string;

  private constructor(files: Files, path: string, token: string) {
    this.#files = files;
    this.#path = path;
    this.#token = token;
  }

  /** Takes the lock of a folder. Throws E_LOCKED where a live process has it, E_DISK where it cannot be written. */
  static async take(files: Files, folder: string): Promise<RunLock> {
    const path = join(folder, LOCK);
    const owner: Owner = { pid: process.pid, host: hostname(), began: startOf(process.pid), token: randomBytes(8).toString('hex') };
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (await create(files, path, owner)) return new RunLock(files, path, owner.token);
      const other = await read(files, path);
      if (other === null) continue; // it has just been released
      if (isAlive(other) || (other.pid === UNKNOWN && (await isYoung(files, path)))) throw locked(folder, path, other);
      await clear(files, path, other);
    }
    throw locked(folder, path, await read(files, path));
  }

  /** Whether a live process has the lock of a folder. */
  static async isHeld(files: Files, folder: string): Promise<boolean> {
    const owner = await read(files, join(folder, LOCK)).catch(() => null);
    return owner !== null && isAlive(owner);
  }

  /** Gives the lock back, unless somebody has taken it away. Never throws: a lock that stays is stale once the process has ended. */
  async release(): Promise<void> {
    const owner = await read(this.#files, this.#path).catch(() => null);
    if (owner?.token === this.#token) await this.#files.unlink(this.#path).catch(() => {});
  }
}

async function create(files: Files, path: string, owner: Owner): Promise<boolean> {
  try {
    const file = await files.open(path, 'wx');
    try {
      await writeAll(file, new TextEncoder().encode(`${JSON.stringify(owner)}\n`));
    } catch (error) {
      await files.unlink(path).catch(() => {});
      throw error;
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error instanceof HybridError ? error : diskError(path, error);
  }
}

async function isYoung(files: Files, path: string): Promise<boolean> {
  const stat = await files.stat(path).catch(() => null);
  return stat !== null && Date.now() - stat.modified < YOUNG_MS;
}

/** Null: there is no lock. */
async function read(files: Files, path: string): Promise<Owner | null> {
  let text: string;
  try {
    text = new TextDecoder().decode(await files.readFile(path));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw diskError(path, error);
  }
  try {
    const value: unknown = JSON.parse(text);
    const own = (key: keyof Owner): unknown => (Object.hasOwn(value as object, key) ? (value as Owner)[key] : undefined);
    const pid = own('pid');
    if (typeof pid === 'number') return { pid, host: String(own('host')), began: String(own('began')), token: String(own('token')) };
  } catch {
    // half written
  }
  return { pid: UNKNOWN, host: hostname(), began: '', token: text };
}

/**
 * Removes a stale lock, and no other. One process at a time may look and remove, whoever has the guard: a stale lock is in the way of a
 * new one until then, so what was looked at is what is removed.
 */
async function clear(files: Files, path: string, stale: Owner): Promise<void> {
  const guard = `${path}.clearing.tmp`;
  try {
    await (await files.open(guard, 'wx')).close();
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw diskError(path, error);
    // Of a process that died over it, or of one that will be done at once.
    if (!(await isYoung(files, guard))) await files.unlink(guard).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, CLEARING_MS));
    return;
  }
  try {
    const present = await read(files, path);
    if (present?.token === stale.token) await files.unlink(path);
  } catch (error) {
    throw error instanceof HybridError ? error : diskError(path, error);
  } finally {
    await files.unlink(guard).catch(() => {});
  }
}

/** Of another machine nothing can be known: its locks count as live. */
function isAlive({ pid, host, began }: Owner): boolean {
  if (host !== hostname()) return true;
  if (!Number.isInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (systemCode(error) !== 'EPERM') return false;
  }
  const now = startOf(pid);
  return began === '' || now === '' || began === now;
}

/** When a process began, as Linux counts it (ticks since the machine started); empty elsewhere. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name of the program, in brackets, may contain anything; field 22 is the 20th after it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function locked(folder: string, path: string, owner: Owner | null): HybridError {
  const who = owner?.pid ? `process ${owner.pid}${owner.host === hostname() ? '' : ` on ${owner.host}`}` : 'another process';
  return new HybridError(
    'E_LOCKED',
    `${who} is using the run folder ${folder}`,
    `Wait for it or stop it; if it no longer exists, remove ${path}.`,
  );
}
