// hybrid train --resume: the run to go on with.

import { basename, dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Communicator } from '../../runtime/entries/distributed.ts';
import { completeProgress, modelOf, nodeFiles, readCard } from '../../runtime/entries/internal.ts';
import type { RunConfig } from '../../runtime/entries/runs.ts';
import { type Checkpoint, HybridError, type Model, RunFolder } from '../../runtime/index.ts';
import { type CliIo, shown } from '../io.ts';
import { MEASURES } from '../options.ts';
import type { Progress } from '../progress.ts';
import { findRun } from '../run-names.ts';
import { type FileValues, resolveSettings, type toConfig, trainSettings } from '../settings.ts';
import type { Flags } from './flags.ts';

/** A run to go on with. */
export interface Earlier {
  /** Of rank 0 only. */
  readonly folder: RunFolder | null;
  /** Its configuration, as if it were given with -c. */
  readonly values: FileValues;
  /** The network that it trains, where that is no architecture. */
  readonly network?: Model;
}

export async function openEarlier(flags: Flags, command: Command, io: CliIo): Promise<Earlier> {
  for (const [given, name] of [
    [flags.config, '--config'],
    [flags.dryRun, '--dry-run'],
    [command.getOptionValueSource('name'), '--name'],
  ] as const) {
    if (given === undefined) continue;
    throw new HybridError('E_USAGE', `--resume and ${name} exclude each other`, 'A resumed run keeps its folder and its configuration.');
  }
  const out = resolve(io.cwd, command.opts<{ out?: string }>().out ?? 'runs');
  const path = flags.resume === true ? await newestRun(out, io) : await runOf(await findRun(flags.resume as string, out, io), io);
  const folder = await RunFolder.reopen(path, io.files);
  return {
    folder,
    network: folder.config.model === undefined ? undefined : readCard(JSON.stringify((await folder.load('last'))?.card ?? null)).model,
    values: { path: `the configuration of ${shown(path, io)}`, values: partsKept(folder.config) },
  };
}

/** The run that a folder of a checkpoint is in, or the folder itself. A run goes on from its last checkpoint: another one is refused. */
async function runOf(path: string, io: CliIo): Promise<string> {
  const isIn = basename(path) === 'checkpoints' ? path : basename(dirname(path)) === 'checkpoints' ? dirname(path) : null;
  if (isIn === null || !(await (io.files ?? nodeFiles).stat(join(dirname(isIn), 'config.json')))) return path;
  if (isIn === path || basename(path) === 'last') return dirname(isIn);
  throw new HybridError(
    'E_USAGE',
    `${shown(path, io)} is not the last checkpoint of its run, and runs resume from that one`,
    `Resume with \`--resume ${shown(dirname(isIn), io)}\`, or start a new run with these weights: \`--init ${shown(join(path, 'model.safetensors'), io)}\`.`,
  );
}

/** The configuration as a file has it. Runs from before there was a choice have the first images as validation. */
const partsKept = (config: RunConfig): Map<unknown, unknown> => new Map<unknown, unknown>(Object.entries({ split: 'first', ...config }));

/** In the words of the options: the loop knows models by their graphs only. */
export function refuseOtherModel({ values }: FileValues, config: ReturnType<typeof toConfig>): void {
  const differing = ['arch', ...MEASURES].filter((key) => values.has(key) && `${values.get(key)}` !== `${config[key]}`);
  if (differing.length === 0) return;
  throw new HybridError(
    'E_CHECKPOINT',
    `the run was started with another model: ${differing.map((key) => `${key} is ${config[key]}, but was ${values.get(key)}`).join('; ')}`,
    'Resume with the same model, or start a new run with these weights: --init.',
  );
}

/** What rank 0 has opened, on all ranks; the folder stays with it. */
export async function shareEarlier(group: Communicator, earlier: Earlier | null): Promise<Earlier> {
  const own = earlier && { path: earlier.values.path, values: [...earlier.values.values], network: earlier.network?.config };
  const text = await group.broadcast(own && new TextEncoder().encode(JSON.stringify(own)));
  if (earlier) return earlier;
  const { path, values, network } = JSON.parse(new TextDecoder().decode(text)) as {
    path: string;
    values: [unknown, unknown][];
    network?: unknown;
  };
  return { folder: null, values: { path, values: new Map(values) }, network: modelOf(network) };
}

/** The run in which something was saved last. */
async function newestRun(out: string, io: CliIo): Promise<string> {
  const files = io.files ?? nodeFiles;
  let newest: { path: string; modified: number } | undefined;
  for (const name of (await files.stat(out)) ? await files.readdir(out) : []) {
    const path = join(out, name);
    const saved = await files.stat(join(path, 'checkpoints'));
    if (saved && (await files.stat(join(path, 'config.json'))) && saved.modified > (newest?.modified ?? 0)) newest = { path, ...saved };
  }
  if (newest) return newest.path;
  throw new HybridError('E_CHECKPOINT', `there is no run with a checkpoint in ${shown(out, io)}`, 'Name the run folder: --resume RUN.');
}

/** The state to go on from, completed where an older version wrote it. */
export async function checkpointOf(folder: RunFolder, values: FileValues, progress: Progress): Promise<Checkpoint> {
  const newest = await folder.newest();
  if (!newest) {
    throw new HybridError(
      'E_CHECKPOINT',
      `the run ${folder.location} has no checkpoint to resume from`,
      'Start it again from its configuration: -c.',
    );
  }
  for (const problem of newest.damaged) progress.warn(problem);
  if (newest.damaged.length > 0) progress.warn(`resuming from ${newest.path}, an older checkpoint that is intact`);
  const events = await folder.events();
  return completeProgress(newest.checkpoint, { options: trainSettings(resolveSettings(new Map(), values)), events });
}
