// Runs by the names that people give them.

import { isAbsolute, join, resolve } from 'node:path';
import { nodeFiles } from '../runtime/index.ts';
import type { CliIo } from './io.ts';

/** A run by its path, or by its name among the others in the folder `out`. */
export async function findRun(given: string, out: string, io: CliIo): Promise<string> {
  const files = io.files ?? nodeFiles;
  const path = resolve(io.cwd, given);
  if (isAbsolute(given) || (await files.stat(path))) return path;
  const named = join(resolve(io.cwd, out), given);
  return (await files.stat(named)) ? named : path;
}
