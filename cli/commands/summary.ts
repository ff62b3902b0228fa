// hybrid summary ARCH: the layer table of an architecture on images as CIFAR-10 has them.

import type { Command } from 'commander';
import { buildModel, formatSummary, summarize } from '../../runtime/index.ts';
import type { CliIo } from '../io.ts';
import { CIFAR10, modelOptions, settingsOf } from '../settings.ts';

export async function summaryCommand(arch: string, command: Command, io: CliIo): Promise<number> {
  const settings = settingsOf(command, { arch });
  const summary = summarize(buildModel(settings.arch, modelOptions(settings, CIFAR10)));
  io.stdout.write(command.opts().json ? `${JSON.stringify(summary)}\n` : `${formatSummary(summary).trimEnd()}\n`);
  return 0;
}
