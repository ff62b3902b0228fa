// What `hybrid train` says at the end: of a run, of several, of one that was stopped, and how to go on.

import { guessOf, isLikeGuessing } from '../../runtime/entries/runs.ts';
import { formatBytes } from '../../runtime/entries/tools.ts';
import { HybridError, type RunFolder, type TrainEvent, type TrainResult } from '../../runtime/index.ts';
import { type CliIo, shown, stoppedStatus } from '../io.ts';
import { count, duration, percent } from '../progress.ts';
import { fittedTo } from '../style.ts';
import { table } from '../table.ts';
import type { Flags, Options } from './flags.ts';

/** A line of the table of `--arch all`. */
export interface Outcome {
  readonly arch: string;
  readonly parameters: number;
  readonly test: TrainResult['test'];
  readonly best: TrainResult['best'];
  readonly epochs: number;
  readonly seconds: number;
  readonly run: string;
}

export function outcomesText(outcomes: readonly Outcome[], io: CliIo): string {
  const rows = outcomes.map(({ arch, parameters, test, best, epochs, seconds, run }) => [
    arch,
    test ? percent(test.accuracy) : '-',
    test ? test.loss.toFixed(4) : '-',
    `${best?.epoch ?? '-'} of ${epochs}`,
    duration(seconds),
    count(parameters),
    formatBytes(4 * parameters),
    shown(run, io),
  ]);
  const head = ['architecture', 'test accuracy', 'loss', 'best epoch', 'time', 'parameters', 'size', 'run folder'];
  return table([head, ...rows], [head.length - 1]);
}

/** Of a rank that was lost: the command to go on with, for any number of ranks. */
export function withWayOn(error: unknown, location: string): unknown {
  if (!(error instanceof HybridError && error.code === 'E_RANK')) return error;
  const command = `hybrid train --resume ${location} --distributed mpi`;
  return error.withMessage(error.message, `The last checkpoint is intact: resume with \`${command}\` under mpiexec.`);
}

export function sayStopped(
  { saved, run, isKept }: { saved?: Extract<TrainEvent, { type: 'checkpoint' }>; run: string; isKept: boolean },
  io: CliIo,
  flags: Flags,
): number {
  const folder = shown(run, io);
  const nothing = isKept ? 'no further step was completed, nothing was saved' : `no step was completed; ${folder} was removed`;
  const where = saved ? `the state after the last completed step is in ${shown(saved.path ?? 'memory', io)}` : nothing;
  const wayOn = isKept ? `resume with: hybrid train --resume ${quoted(folder)}\n` : '';
  if (!flags.quiet && io.signal?.reason !== 'EPIPE') {
    io.stderr.write(fittedTo(io.stderr, `stopped by ${io.signal?.reason ?? 'its user'}: ${where}\n${wayOn}`));
  }
  return stoppedStatus(io);
}

/** As shells take it for one word. */
const quoted = (word: string): string => (/^[\w@%+=:,./\\-]+$/.test(word) ? word : `"${word}"`);

export function resultText({ test, best, reason, epochs }: TrainResult, options: Options, folder: RunFolder, io: CliIo): string {
  const lines = [
    test
      ? `test accuracy ${percent(test.accuracy)}, loss ${test.loss.toFixed(4)} (${options.test?.name}, ${count(options.test?.size ?? 0, 'image')})`
      : 'test accuracy not measured: the data has no test images',
    best
      ? `best weights of epoch ${best.epoch} of ${epochs}${reason === 'early-stopped' ? ', stopped early' : ''}: ` +
        `${options.validation ? 'validation' : 'training'} loss ${best.loss.toFixed(4)}`
      : `no epoch of ${epochs} had a finite loss`,
    `run folder ${shown(folder.location, io)}`,
  ];
  return `${lines.join('\n')}\n`;
}

/** A warning where guessing may explain the result. Null: nothing to warn of. */
export function verdict({ test }: Pick<TrainResult, 'test'>, { test: images }: Pick<Options, 'test'>): string | null {
  const guess = images && guessOf(images);
  if (!test || !guess || !isLikeGuessing(test.accuracy, guess)) return null;
  return (
    `${percent(test.accuracy)} is no better than guessing: answering "${guess.className}" for every image gives ${percent(guess.share)}. ` +
    'More images of each class, more epochs or trained initial weights (--init) may help'
  );
}
