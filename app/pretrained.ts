// Models that come with the package, each with a card (a Markdown file of the same name) that tells its data, recipe and accuracy.

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Names of the models in the package. */
export const PRETRAINED = ['convmixer-2stage-cifar10', 'airbench-cifar10'] as const;
/** A model in the package. */
export type PretrainedName = (typeof PRETRAINED)[number];

/** Path of the weights (safetensors), for `readWeights`. */
export function pretrainedPath(name: PretrainedName): string {
  return join(dirname(createRequire(import.meta.url).resolve('@hybrid-train/hybrid/package.json')), 'models', `${name}.safetensors`);
}
