// hybrid summary ARCH: the layer table of an architecture on images as CIFAR-10 has them, or of the model of a run or file.

import type { Command } from 'commander';
import { formatSummary, summarize } from '../../runtime/index.ts';
import type { CliIo } from '../io.ts';
import { namedModel } from '../model.ts';

export async function summaryCommand(given: string, command: Command, io: CliIo): Promise<number> {
  const summary = summarize(await namedModel(given, command, io));
  io.stdout.write(command.opts().json ? `${JSON.stringify(summary)}\n` : `${formatSummary(summary).trimEnd()}\n`);
  return 0;
}
