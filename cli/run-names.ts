// Runs and models by the names that people give them.

import { isAbsolute, join, resolve } from 'node:path';
import { nearest, nodeFiles } from '../runtime/entries/internal.ts';
import { PRETRAINED, pretrainedPath } from '../runtime/entries/runs.ts';
import { HybridError } from '../runtime/index.ts';
import { type CliIo, shown } from './io.ts';

/** A run by its path, or by its name among the others in the folder `out`. Throws E_CHECKPOINT where it is nowhere. */
export async function findRun(given: string, out: string, io: CliIo): Promise<string> {
  const path = await look(given, out, io);
  if (path) return path;
  throw new HybridError('E_CHECKPOINT', nowhere(given, out, io), 'Name a run folder, or a run that `hybrid runs list` has.');
}

async function look(given: string, out: string, io: CliIo): Promise<string | null> {
  const files = io.files ?? nodeFiles;
  const there = (path: string) => files.stat(path).catch(() => true); // who reads it tells what is wrong with it
  const path = resolve(io.cwd, given);
  if (await there(path)) return path;
  const named = join(resolve(io.cwd, out), given);
  return !isAbsolute(given) && (await there(named)) ? named : null;
}

/** A name may be a path, or that of a run: both were looked for. */
function nowhere(given: string, out: string, io: CliIo): string {
  const path = shown(resolve(io.cwd, given), io);
  const named = shown(join(resolve(io.cwd, out), given), io);
  return isAbsolute(given) || named === path ? `there is no ${path}` : `there is neither ${path} nor ${named}`;
}

/** A run as above, a file of weights, or a model that comes with the package: what people have made themselves goes first. Throws E_CHECKPOINT. */
export async function findModel(given: string, out: string, io: CliIo): Promise<string> {
  const path = await look(given, out, io);
  if (path) return path;
  const pretrained = PRETRAINED.find((name) => name === given);
  if (pretrained) return pretrainedPath(pretrained);
  const near = nearest(given, PRETRAINED);
  throw new HybridError(
    'E_CHECKPOINT',
    `${nowhere(given, out, io)}${near ? `; did you mean ${near}?` : ''}`,
    `Name a run folder, a file of weights (.safetensors, .keras, .weights.h5 or .npz), or a model that comes with hybrid: ${PRETRAINED.join(', ')}.`,
  );
}
