// hybrid train --seeds N: the same run with N seeds, one after the other, and what they come to: a single run says little of a recipe.

import type { Command } from 'commander';
import type { Communicator } from '../../runtime/entries/distributed.ts';
import { type Spread, spreadOf } from '../../runtime/entries/runs.ts';
import { HybridError, type TrainResult } from '../../runtime/index.ts';
import type { CliIo } from '../io.ts';
import { givenFlags, type Key } from '../options.ts';
import { percent } from '../progress.ts';
import { type FileValues, resolveSettings } from '../settings.ts';
import { ALL } from './all.ts';
import type { Flags, Options } from './flags.ts';
import { trainOne } from './one.ts';

const MOST = 1000;
const EXCLUDED = ['resume', 'trace', 'dryRun'] as const satisfies readonly (keyof Flags)[];

interface SeedOutcome {
  readonly seed: string;
  readonly test: TrainResult['test'];
  readonly run: string;
}

/** A run for each seed from that of the settings on. Returns the exit status. Throws E_USAGE, and what a run fails with. */
export async function trainSeeds(
  command: Command,
  flags: Flags & { readonly seeds: string },
  file: FileValues | undefined,
  io: CliIo,
  group: Communicator,
): Promise<number> {
  const count = countOf(flags.seeds);
  for (const name of EXCLUDED) {
    if (!flags[name]) continue;
    const spelled = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new HybridError(
      'E_USAGE',
      `--seeds and --${spelled} exclude each other`,
      `Leave --seeds out, and give --seed for one of the runs.`,
    );
  }
  const given = givenFlags(command);
  if ((given.get('arch') ?? file?.values.get('arch')) === ALL)
    throw new HybridError('E_USAGE', '--seeds and --arch all exclude each other', 'Name one architecture with --arch.');
  const { seed: first, name } = resolveSettings(given, file);
  const outcomes: SeedOutcome[] = [];
  let status = 0;
  for (let k = 0n; k < count && status === 0; k++) {
    const seed = `${BigInt.asUintN(64, first + k)}`;
    const named = name === undefined ? [] : ([['name', `${name}-seed-${seed}`]] as const);
    const note = ({ test }: TrainResult, _: Options, run: string): void => void outcomes.push({ seed, test, run });
    status = await trainOne(command, flags, file, io, null, group, { own: new Map<Key, string>([['seed', seed], ...named]), note });
  }
  if (group.rank === 0 && outcomes.length > 0) tell(outcomes, flags, io);
  return status;
}

function countOf(text: string): bigint {
  if (/^[1-9]\d{0,3}$/.test(text) && Number(text) >= 2 && Number(text) <= MOST) return BigInt(text);
  throw new HybridError(
    'E_USAGE',
    `--seeds is ${JSON.stringify(text)}, but must be a whole number from 2 to ${MOST}`,
    'Give a number, such as 3.',
  );
}

function tell(outcomes: readonly SeedOutcome[], flags: Flags, io: CliIo): void {
  const test = spreadOf(outcomes.flatMap(({ test }) => test?.accuracy ?? []));
  io.stdout.write(flags.json ? `${JSON.stringify({ type: 'summary', seeds: outcomes, test })}\n` : `${seedsText(outcomes, test)}\n`);
}

function seedsText(outcomes: readonly SeedOutcome[], test: Spread | null): string {
  const each = outcomes.map(({ seed, test }) => `seed ${seed} ${test ? percent(test.accuracy) : 'not measured'}`).join(', ');
  if (!test) return `test accuracy: ${each}`;
  const { mean, deviation, count } = test;
  return `test accuracy of ${count} seeds: mean ${(100 * mean).toFixed(2)} %, standard deviation ${(100 * deviation).toFixed(2)} points (${each})`;
}
