// Reads the configuration file of -c: YAML, and so JSON, which is part of YAML. What the keys mean is in options.ts.

import { resolve } from 'node:path';
import { grouped } from '../runtime/entries/internal.ts';
import { HybridError } from '../runtime/index.ts';
import type { CliIo } from './io.ts';
import type { FileValues } from './settings.ts';

/** Far more than all options take. */
const MAX_BYTES = 64 * 1024;
/** A configuration has one level. The parser recurses, and a deep file could take the whole process with it. */
const MAX_NESTING_MARKS = 100;

/** Throws E_USAGE where the file cannot be read or is not a map of keys to values. */
export async function readConfigFile(path: string, io: CliIo): Promise<FileValues> {
  const fail = (what: string, cause?: unknown): never => {
    throw new HybridError(
      'E_USAGE',
      `the configuration ${path} ${what}`,
      'Give a YAML or JSON file with a line such as `lr: 0.002` for each option.',
      { cause },
    );
  };
  const { nodeFiles } = await import('../runtime/index.ts');
  const files = io.files ?? nodeFiles;
  const absolute = resolve(io.cwd, path);
  const stat = await files.stat(absolute).catch((error) => fail(`cannot be read: ${error.message}`, error));
  if (!stat) return fail('does not exist');
  if (stat.kind !== 'file') return fail('is not a file');
  if (stat.size > MAX_BYTES) return fail(`has ${grouped(stat.size)} bytes, more than the ${grouped(MAX_BYTES)} allowed`);
  const text = new TextDecoder().decode(await files.readFile(absolute).catch((error) => fail(`cannot be read: ${error.message}`, error)));
  if ((text.match(/[[{]|(?:^|\s)[-?](?=\s)/g)?.length ?? 0) > MAX_NESTING_MARKS)
    return fail('is nested, but a configuration has one level');

  const { parse } = await import('yaml');
  let value: unknown;
  try {
    // As a Map: its keys cannot be taken for properties of an object, whatever they are. And a seed from 2^53 on is not a number of JavaScript.
    value = parse(text, { mapAsMap: true, intAsBigInt: true, maxAliasCount: 0, prettyErrors: true, logLevel: 'error' });
  } catch (error) {
    return fail(`is not valid YAML or JSON: ${(error as Error).message.split('\n')[0].replace(/:$/, '')}`, error);
  }
  if (!(value instanceof Map)) return fail(value === null ? 'is empty' : 'is not a map of keys to values');
  return { path, values: value };
}
