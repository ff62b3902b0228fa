// Runs and models by the names that people give them.

import { isAbsolute, join, resolve } from 'node:path';
import { nodeFiles, PRETRAINED, pretrainedPath } from '../runtime/index.ts';
import type { CliIo } from './io.ts';

/** A run by its path, or by its name among the others in the folder `out`. */
export async function findRun(given: string, out: string, io: CliIo): Promise<string> {
  const files = io.files ?? nodeFiles;
  const path = resolve(io.cwd, given);
  if (isAbsolute(given) || (await files.stat(path))) return path;
  const named = join(resolve(io.cwd, out), given);
  return (await files.stat(named)) ? named : path;
}

/** A run as above, a file of weights, or a model that comes with the package: what people have made themselves goes first. */
export async function findModel(given: string, out: string, io: CliIo): Promise<string> {
  const path = await findRun(given, out, io);
  const pretrained = PRETRAINED.find((name) => name === given);
  return pretrained && !(await (io.files ?? nodeFiles).stat(path)) ? pretrainedPath(pretrained) : path;
}
