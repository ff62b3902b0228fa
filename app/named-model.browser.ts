// The model that a name stands for in a page: a file of weights at an address.

import { HybridError } from '../runtime/base/errors.ts';
import type { TrainedModel } from '../runtime/interop/trained-model.ts';
import { weightsInFile } from './weights-in-file.ts';

/** Undefined: the file does not say which model it is of. Throws E_NETWORK where it cannot be had, E_CHECKPOINT. */
export async function namedModel(name: string): Promise<TrainedModel | undefined> {
  const fail = (what: string, cause?: unknown): never => {
    throw new HybridError(
      'E_NETWORK',
      `${name} cannot be loaded: ${what}`,
      'Look at the address, and whether its server allows this page.',
      { cause },
    );
  };
  const response = await fetch(name).catch((cause: Error) => fail(cause.message, cause));
  if (!response.ok) fail(`the server answers ${response.status}`);
  return (await weightsInFile(new Uint8Array(await response.arrayBuffer()), name, {})).trained;
}
