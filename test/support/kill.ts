// Kills a process that saves checkpoints, at random moments, and looks at what it left.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { RunFolder } from '../../app/run/run-folder.ts';
import { markOf } from './checkpoints.ts';

const SCRIPT = fileURLToPath(new URL('./save-endlessly.mjs', import.meta.url));

export interface KillTally {
  kills: number;
  /** Saves that were told, over all processes. */
  saves: number;
  /** Kills that left a half-written checkpoint behind. */
  orphans: number;
  /** Kills after which a newer state was found than the last one that was told. */
  newer: number;
}

/** Needs dist. All processes work in one folder, one after the other: each takes over the lock of a dead one. */
export async function killWhileSaving(kills: number, folder: string, random: () => number): Promise<KillTally> {
  const tally: KillTally = { kills, saves: 0, orphans: 0, newer: 0 };
  const path = join(folder, 'r');
  let known = 0;
  for (let kill = 0; kill < kills; kill++) {
    const child = spawn(process.execPath, [SCRIPT, path, `${known + 1}`], { stdio: ['ignore', 'pipe', 'pipe'] });
    let told = '';
    let complaints = '';
    const ended = new Promise((resolve) => child.on('close', resolve));
    child.stderr.setEncoding('utf8').on('data', (text) => {
      complaints += text;
    });
    await new Promise<void>((resolve, reject) => {
      child.stdout.setEncoding('utf8').on('data', (text) => {
        told += text;
        resolve();
      });
      ended.then(() => reject(new Error(`it ended by itself: ${complaints}`)));
    });
    await new Promise((resolve) => setTimeout(resolve, 200 * random()));
    child.kill('SIGKILL');
    await ended;
    const marks = told.split('\n').filter(Boolean).map(Number);
    tally.saves += marks.length;
    const last = marks.at(-1) as number;
    // Digests are checked by `load`, and that all parts are of one state by `markOf`.
    const checkpoint = await (await RunFolder.open(path)).load('last');
    const found = checkpoint && markOf(checkpoint);
    expect(found).toBeGreaterThanOrEqual(last);
    expect(found).toBeLessThanOrEqual(last + 1);
    if (found !== last) tally.newer++;
    if (readdirSync(join(path, 'checkpoints')).some((name) => name !== 'last')) tally.orphans++;
    known = found as number;
  }
  return tally;
}
