// Opens the data that the settings name, telling a person what happens meanwhile.

import { resolve } from 'node:path';
import { DATA_NAMES, type DataProgress, type DataSource, type Dataset, openData } from '../runtime/index.ts';
import type { CliIo } from './io.ts';
import type { Settings } from './options.ts';
import { count, type Progress } from './progress.ts';
import { CIFAR10 } from './settings.ts';

/** CIFAR-10 by its numbers only, for a dry run: nothing is read, and above all nothing fetched. */
export function assumedData({ data }: Settings): DataSource | null {
  if (data !== 'auto' && data !== 'cifar10') return null;
  return { train: assumed('training', 50_000), test: assumed('test', 10_000) };
}

function assumed(part: string, size: number): Dataset {
  return { ...CIFAR10, name: `CIFAR-10 ${part} set`, size, labels: new Uint8Array(size), read: () => {} };
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

function progressText({ stage, done, total }: DataProgress): string {
  const amount = stage === 'decode' ? `${count(done)} of ${count(total)} images` : `${megabytes(done)} of ${megabytes(total)} MB`;
  return `${stage}  ${amount}  ${Math.floor((100 * done) / total)}%`;
}

/** @param talk Whether anything but warnings is told. */
export async function openSettingsData(settings: Settings, io: CliIo, progress: Progress, talk: boolean): Promise<DataSource> {
  const { data, dataUrl } = settings;
  const isName = DATA_NAMES.some((name) => name === data);
  try {
    // A path stays as it was given where that means the same: messages then speak the user's words.
    return await openData(isName || io.cwd === process.cwd() ? data : resolve(io.cwd, data), {
      files: io.files,
      url: dataUrl,
      localDir: resolve(io.cwd, 'data'),
      signal: io.signal,
      onProgress(step) {
        if (talk) progress.status(progressText(step));
      },
      onNotice({ level, text }) {
        if (level === 'warning') progress.warn(text);
        else if (talk) progress.line(text);
      },
    });
  } finally {
    progress.clear();
  }
}
