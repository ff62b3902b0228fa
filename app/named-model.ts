// The model that a name stands for: a run folder, or a file. In a page, named-model.browser.ts.

import type { TrainedModel } from '../runtime/interop/trained-model.ts';

/** Undefined: the place does not say which model it is of. Throws E_CHECKPOINT. */
export async function namedModel(name: string): Promise<TrainedModel | undefined> {
  // Loaded here: what stands for another file in a page is joined with nothing (scripts/join.mjs), nor is what it begins with.
  const { readWeights } = await import('./saved-weights.ts');
  return (await readWeights(name)).trained;
}
