// What variables begin with: Keras' initialisers by their names, or with settings of their own. The numbers are drawn in model/init.ts.

import { type Kind, snakeCase } from './kinds.ts';

/** √(scale / fan) as standard deviation, or as limit √(3·scale / fan) of a uniform distribution. */
export interface VarianceScaling {
  readonly scale: number;
  readonly mode: 'fan_in' | 'fan_out' | 'fan_avg';
  readonly distribution: 'uniform' | 'truncated_normal' | 'untruncated_normal';
}

/** Initialisers that are variance scaling under a name of their own. */
export const SCALINGS = {
  glorot_uniform: { scale: 1, mode: 'fan_avg', distribution: 'uniform' },
  glorot_normal: { scale: 1, mode: 'fan_avg', distribution: 'truncated_normal' },
  he_uniform: { scale: 2, mode: 'fan_in', distribution: 'uniform' },
  he_normal: { scale: 2, mode: 'fan_in', distribution: 'truncated_normal' },
  lecun_uniform: { scale: 1, mode: 'fan_in', distribution: 'uniform' },
  lecun_normal: { scale: 1, mode: 'fan_in', distribution: 'truncated_normal' },
} as const satisfies Record<string, VarianceScaling>;

/**
 * Initialisers that Keras does not have. `dirac`, PyTorch's: filter o of the first min(inputs, filters) passes channel o on as it is, the others are
 * uniform up to 1/√fan_in. `whitening`: measured of the training images, and not trained; uniform like these until it is measured.
 */
const OWN = ['dirac', 'whitening'] as const;
const NAMES = [...(Object.keys(SCALINGS) as (keyof typeof SCALINGS)[]), 'zeros', 'ones', ...OWN] as const;

/** Whether it follows from the training images, and stays as it is in training. */
export const isMeasured = (initializer: Initializer): boolean => initializer === 'whitening';

/** A name as Keras has it, or a class of Keras' with its settings. */
export type Initializer = (typeof NAMES)[number] | { readonly type: string; readonly settings: Readonly<Record<string, unknown>> };

const write = (value: Initializer) =>
  typeof value === 'string'
    ? value
    : { module: 'keras.initializers', class_name: value.type, config: { ...value.settings, seed: null }, registered_name: null };

/** Any initialiser can be read, for weights may come from elsewhere; one that is not known is refused where it would have to be drawn. */
export const initializer: Kind<Initializer, Initializer, false> = {
  expected: `${NAMES.join(', ')}, or { type, settings } of a class of Keras'`,
  part: 'training',
  read: (given) => {
    if (typeof given === 'string') return NAMES.find((name) => name === snakeCase(given));
    if (typeof given !== 'object' || given === null) return undefined;
    const { class_name, config, type = class_name, settings = config } = given as Readonly<Record<string, unknown>>;
    if (typeof type !== 'string' || !(typeof settings === 'object' || settings === undefined)) return undefined;
    const { seed: _, ...rest } = (settings ?? {}) as Record<string, unknown>;
    return NAMES.find((name) => name === snakeCase(type)) ?? { type, settings: rest };
  },
  write,
  // Nothing is drawn with it again: the weights are there.
  foreign: (value) => (OWN.some((name) => name === value) ? 'glorot_uniform' : write(value)),
};
