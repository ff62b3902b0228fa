// hybrid train --arch all: the models of the script one after the other, and one table at the end.

import type { Command } from 'commander';
import type { Communicator } from '../../runtime/entries/distributed.ts';
import { ARCHITECTURES, HybridError, type TrainResult } from '../../runtime/index.ts';
import type { CliIo } from '../io.ts';
import { type Key, MEASURES } from '../options.ts';
import { Progress } from '../progress.ts';
import type { FileValues } from '../settings.ts';
import type { Flags, Options } from './flags.ts';
import { trainOne } from './one.ts';
import { type Outcome, outcomesText } from './say.ts';

/** The name that stands for the five models of the script. */
export const ALL = 'all';

/** The script as one experiment: its models one after the other, each with its own preset, and one table at the end. */
export async function trainAll(
  command: Command,
  flags: Flags,
  file: FileValues | undefined,
  io: CliIo,
  group: Communicator,
): Promise<number> {
  for (const name of ['resume', 'model', 'init', ...MEASURES, 'trace']) {
    const spelled = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    if (command.getOptionValueSource(name) !== 'cli' && !file?.values.has(spelled)) continue;
    throw new HybridError('E_USAGE', `--arch all and --${spelled} exclude each other`, 'Name one architecture with --arch.');
  }
  const name = command.opts<{ name?: string }>().name ?? file?.values.get('name');
  const outcomes: Outcome[] = [];
  const tell = () => io.stdout.write(flags.json ? `${JSON.stringify({ type: 'summary', runs: outcomes })}\n` : outcomesText(outcomes, io));
  let status = 0;
  for (const arch of ARCHITECTURES) {
    if (arch === 'convmixer') continue; // a family, not a model of the script
    const start = performance.now();
    const own = new Map<Key, string>([['arch', arch], ...(name === undefined ? [] : ([['name', `${name}-${arch}`]] as const))]);
    if (flags.dryRun && arch !== ARCHITECTURES[0] && !flags.json) io.stdout.write('\n');
    const note = (result: TrainResult, { model }: Options, run: string): void => {
      const parameters = model.variables.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0);
      const { test, best, epochs } = result;
      outcomes.push({ arch, parameters, test, best, epochs, seconds: (performance.now() - start) / 1000, run });
    };
    try {
      const ended = await trainOne(command, flags, file, io, null, group, { own, note });
      if (ended !== 0) {
        status = ended;
        break; // stopped by its user
      }
    } catch (error) {
      // One that diverges does not take the others with it.
      if (!(error instanceof HybridError && error.code === 'E_DIVERGED')) {
        if (outcomes.length > 0) tell();
        throw error;
      }
      status = error.exitStatus;
      new Progress(io).warn(`${arch} failed: ${error.message}`);
    }
  }
  if (!flags.dryRun) tell();
  return status;
}
