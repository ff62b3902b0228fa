// Runs and models by the names that people give them.

import { isAbsolute, join, resolve } from 'node:path';
import { HybridError, nearest, nodeFiles, PRETRAINED, pretrainedPath } from '../runtime/index.ts';
import { type CliIo, shown } from './io.ts';

/** A run by its path, or by its name among the others in the folder `out`. */
export async function findRun(given: string, out: string, io: CliIo): Promise<string> {
  const files = io.files ?? nodeFiles;
  const path = resolve(io.cwd, given);
  if (isAbsolute(given) || (await files.stat(path))) return path;
  const named = join(resolve(io.cwd, out), given);
  return (await files.stat(named)) ? named : path;
}

/** A run as above, a file of weights, or a model that comes with the package: what people have made themselves goes first. Throws E_CHECKPOINT. */
export async function findModel(given: string, out: string, io: CliIo): Promise<string> {
  const path = await findRun(given, out, io);
  const there = await (io.files ?? nodeFiles).stat(path).catch(() => true); // who reads it tells what is wrong with it
  if (there) return path;
  const pretrained = PRETRAINED.find((name) => name === given);
  if (pretrained) return pretrainedPath(pretrained);
  const near = nearest(given, PRETRAINED);
  throw new HybridError(
    'E_CHECKPOINT',
    `there is no ${shown(path, io)}${near ? `; did you mean ${near}?` : ''}`,
    `Name a run folder, a file of weights (.safetensors, .keras, .weights.h5 or .npz), or a model that comes with hybrid: ${PRETRAINED.join(', ')}.`,
  );
}
