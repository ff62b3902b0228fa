// hybrid export MODEL: a trained model as a file for another program.

import { createHash } from 'node:crypto';
import { basename, resolve } from 'node:path';
import type { Command } from 'commander';
import { EXPORT_FORMATS, type ExportFormat } from '../../runtime/entries/formats.ts';
import { diskError, nodeFiles, notForKeras, writeAtomically } from '../../runtime/entries/internal.ts';
import { formatBytes } from '../../runtime/entries/tools.ts';
import { exportModel, HybridError } from '../../runtime/index.ts';
import { type CliIo, shown } from '../io.ts';
import { openModel, tellNotices } from '../model.ts';
import { quote } from '../settings.ts';
import { version } from '../version.ts';

interface Flags {
  readonly format?: string;
  readonly output?: string;
  readonly layout?: string;
  readonly foldBn?: boolean;
  readonly half?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

export async function exportCommand(given: string, command: Command, io: CliIo): Promise<number> {
  const flags = command.opts<Flags>();
  const format = formatOf(flags);
  const layout = flags.layout ?? 'keras';
  if (layout !== 'keras' && layout !== 'torch')
    throw new HybridError('E_USAGE', `--layout is ${quote(layout)}, but must be keras or torch`, 'Give one of them.');
  for (const [flag, used, only] of [
    ['--layout torch', layout === 'torch', 'safetensors'],
    ['--fold-bn', flags.foldBn === true, 'onnx'],
    ['--half', flags.half === true, 'safetensors'],
  ] as const) {
    if (used && format !== only) throw new HybridError('E_USAGE', `${flag} is for --format ${only}, not ${format}`, `Leave ${flag} out.`);
  }
  const { saved, trained } = await openModel(given, command, io);
  const withState = format === 'keras' || format === 'h5';
  const leftOut = withState ? notForKeras(trained) : undefined;
  tellNotices({ notices: [...(trained.notices ?? []), ...(leftOut ? [leftOut] : [])] }, io);
  const ending = EXPORT_FORMATS[format];
  const name =
    flags.output ?? `${basename(given).replace(/(\.weights\.h5|\.keras|\.safetensors|\.npz)$/, '') || trained.model.arch}${ending}`;
  const path = resolve(io.cwd, name);
  const files = io.files ?? nodeFiles;
  if (!flags.force && (await files.stat(path).catch((error) => Promise.reject(diskError(path, error))))) {
    throw new HybridError('E_USAGE', `${name} already exists`, 'Name another file with --output, or replace it with --force.');
  }
  const bytes = await exportModel(trained, format, { layout, half: flags.half, foldBatchNorm: flags.foldBn, version: version() });
  await writeAtomically(files, path, [bytes]);

  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const optimizer = trained.optimizer !== undefined && withState && !leftOut;
  const result = { path, format, bytes: bytes.length, sha256, arch: trained.model.arch, weights: saved.source, optimizer };
  io.stdout.write(
    flags.json
      ? `${JSON.stringify(result)}\n`
      : `${name}  ${formatBytes(bytes.length)}  sha256 ${sha256}\n${trained.model.arch}, weights in ${shown(saved.source, io)}${optimizer ? ', with the state of the optimizer' : ''}\n`,
  );
  return 0;
}

/** By its flag, or by the ending of the file. */
function formatOf({ format, output }: Flags): ExportFormat {
  const formats = Object.keys(EXPORT_FORMATS) as ExportFormat[];
  const found = formats.find((name) => (format === undefined ? output?.endsWith(EXPORT_FORMATS[name]) : name === format));
  if (found) return found;
  throw new HybridError(
    'E_USAGE',
    format === undefined ? 'export needs a format' : `there is no format ${quote(format)}`,
    `Choose one with --format: ${formats.join(', ')}.`,
  );
}
