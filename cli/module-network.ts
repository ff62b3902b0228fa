// A network that somebody wrote in TypeScript or JavaScript: what a module exports by default, made again here from what it says of itself, so
// that the module may use a copy of the library of its own, and the run needs the module no more.

import { pathToFileURL } from 'node:url';
import { modelOf } from '../runtime/entries/internal.ts';
import { HybridError, type Model } from '../runtime/index.ts';
import { type CliIo, shown } from './io.ts';

/** Whether a path is that of a module, by its ending. */
export const isModule = (path: string): boolean => /\.[cm]?[jt]s$/.test(path);

/** The network that a module exports by default. Throws E_USAGE where it throws, or exports something else. */
export async function moduleNetwork(path: string, io: CliIo): Promise<Model> {
  const name = shown(path, io);
  let exported: unknown;
  try {
    exported = ((await import(pathToFileURL(path).href)) as { default?: unknown }).default;
  } catch (error) {
    const { code, message = String(error), remedy } = Object(error) as Partial<Record<'code' | 'message' | 'remedy', string>>;
    if (code === 'ERR_UNKNOWN_FILE_EXTENSION')
      throw new HybridError(
        'E_USAGE',
        `this Node does not run TypeScript: ${name}`,
        'Use Node 22.18 or later, or name a module in JavaScript.',
        {
          cause: error,
        },
      );
    throw new HybridError('E_USAGE', `${name} throws: ${message}`, remedy ?? `Correct it: \`node ${name}\` says where.`, { cause: error });
  }
  const given = await exported;
  const { config, forward, layers } = Object(given) as Partial<Record<'config' | 'forward' | 'layers', unknown>>;
  if (typeof forward === 'function')
    throw new HybridError(
      'E_USAGE',
      `${name} exports a model that is a graph, which a run cannot keep`,
      'Build it of layers (functionalModel or sequentialModel), or train it in a program: examples/own-model.mjs.',
    );
  const model = Array.isArray(layers) ? modelOf(JSON.parse(JSON.stringify(config ?? null))) : undefined;
  if (model) return model;
  const what =
    exported === undefined
      ? 'exports nothing by default'
      : `exports ${given === null ? 'null' : `a ${typeof given}`} that is not a network`;
  throw new HybridError(
    'E_USAGE',
    `${name} ${what}`,
    'End it with `export default functionalModel({ name, input, output })`: examples/networks/resnet-20.mjs is one.',
  );
}
