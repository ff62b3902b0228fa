// Which of the kernels with the same bits are the fastest on GPUs that this user has had: what is known, and measuring it anew.

import { join } from 'node:path';
import type { TuneRecord } from '../gpu/host/tune-file.ts';
import { HybridError } from '../runtime/base/errors.ts';
import { type Files, makeFolder, nodeFiles, writeAtomically } from '../runtime/base/files.ts';
import { describeMachine } from '../runtime/base/machine.ts';
import type { Precision } from '../runtime/device.ts';
import type { TuneStore } from '../runtime/device-settings.ts';
import type { Model } from '../runtime/model/model.ts';
import { trainingGraphs } from '../runtime/train/graphs.ts';

/** Keeps it in a folder of a cache. */
export const tuneStore = (cacheDir: string, files: Files = nodeFiles): TuneStore => {
  const folder = tuneFolder(cacheDir);
  return {
    version: describeMachine().hybrid,
    read: (name) => files.readFile(join(folder, name)),
    async write(name, contents) {
      await makeFolder(files, folder);
      await writeAtomically(files, join(folder, name), [contents]);
    },
  };
};

const tuneFolder = (cacheDir: string): string => join(cacheDir, 'tune');

/** What is known of all GPUs, drivers and tiers of precision. */
export async function readTuned(cacheDir: string, files: Files = nodeFiles): Promise<TuneRecord[]> {
  const { parseTuneFile } = await import('../gpu/host/tune-file.ts');
  const folder = tuneFolder(cacheDir);
  const names = await files.readdir(folder).catch(() => []);
  const records = await Promise.all(
    names.filter((name) => name.endsWith('.json')).map(async (name) => files.readFile(join(folder, name)).then(parseTuneFile, () => null)),
  );
  return records.filter((record) => record !== null);
}

/** Milliseconds for somebody who waits for it: every product is raced to its end. */
const BUDGET_MS = 10_000;

/** What is raced, and where it is kept. */
export interface TuneGpuOptions {
  readonly store: TuneStore;
  readonly model: Model;
  readonly batch: number;
  readonly precision: Precision;
  readonly onNotice: (text: string) => void;
}

/**
 * Races the products of a network's training step anew and keeps what won. Throws E_ENVIRONMENT where there is no GPU that is one, E_DEVICE where it
 * fails its self-test.
 */
export async function tuneGpu({ store, model, batch, precision, onNotice }: TuneGpuOptions): Promise<void> {
  const { openGpu } = await import('../gpu/host/auto.ts');
  const { device } = await openGpu({ precision, onNotice, tune: { store, renew: true, budgetMs: BUDGET_MS } });
  try {
    if (device.adapter.software)
      throw new HybridError(
        'E_ENVIRONMENT',
        `the only GPU of this machine is ${device.adapter.name}, which is software: its kernels are not raced`,
        'Look at `hybrid doctor`.',
      );
    await (await device.compile(trainingGraphs(model), { capacity: batch, seed: 0n, programs: ['train'] })).close();
  } finally {
    await device.close();
  }
}
