// hybrid tune: which kernels this machine's GPU takes where several give the same bits, as measured; --renew measures anew.

import { homedir } from 'node:os';
import type { Command } from 'commander';
import { readTuned, type TuneRecord, tuneGpu, tuneStore, userCacheDir } from '../../runtime/entries/internal.ts';
import type { CliIo } from '../io.ts';
import { Progress } from '../progress.ts';
import { settingsOf } from '../settings.ts';
import { table } from '../table.ts';
import { measuredModel } from './bench.ts';

export async function tuneCommand(command: Command, io: CliIo): Promise<number> {
  const { renew, json } = command.opts<{ renew?: boolean; json?: boolean }>();
  const cacheDir = userCacheDir(process.platform, io.env, homedir());
  if (renew) {
    const settings = settingsOf(command);
    const { batch, precision } = settings;
    const progress = new Progress(io);
    await tuneGpu({
      ...{ store: tuneStore(cacheDir, io.files), model: await measuredModel(command, settings, io), batch },
      precision: precision === 'auto' ? 'f32' : precision,
      onNotice: (text) => progress.line(text),
    });
  }
  const records = await readTuned(cacheDir, io.files);
  io.stdout.write(json ? `${JSON.stringify(records)}\n` : formatTuned(records));
  return 0;
}

function formatTuned(records: readonly TuneRecord[]): string {
  if (records.length === 0) return 'No kernel has been measured: training on a GPU does it once, and so does hybrid tune --renew.\n';
  return records
    .map(({ gpu, sites }) => {
      const { device, description, precision, hybrid } = gpu;
      const name = device && description && !description.includes(device) ? `${device} (${description})` : description || device;
      const rows = Object.entries(sites).map(([site, { choice, milliseconds }]) => {
        const times = Object.entries(milliseconds);
        const [usual] = times[0] ?? [];
        const found =
          usual === undefined
            ? 'not measured: the half second was over'
            : times.map(([candidate, ms]) => `${candidate === choice ? '→ ' : ''}${candidate}: ${ms.toPrecision(3)} ms`).join('; ');
        return [`  ${site}`, choice, found];
      });
      return `${name}, ${precision}, hybrid ${hybrid}\n${table(rows, [1, 2])}`;
    })
    .join('\n');
}
