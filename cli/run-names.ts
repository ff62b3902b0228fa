// Runs by the names that people give them.

import { join, resolve } from 'node:path';
import { nodeFiles } from '../runtime/index.ts';
import type { CliIo } from './io.ts';

/** A run by its path, or by its name among the others in the folder `out`. */
export async function findRun(given: string, out: string, io: CliIo): Promise<string> {
  const files = io.files ?? nodeFiles;
  const path = resolve(io.cwd, given);
  return (await files.stat(path)) || !(await files.stat(join(out, given))) ? path : join(out, given);
}
