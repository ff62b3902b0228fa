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

const NAMES = [...(Object.keys(SCALINGS) as (keyof typeof SCALINGS)[]), 'zeros', 'ones'] as const;

/** A name as Keras has it, or a class of Keras' with its settings. */
export type Initializer = (typeof NAMES)[number] | { readonly type: string; readonly settings: Readonly<Record<string, unknown>> };

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
  write: (value) =>
    typeof value === 'string'
      ? value
      : { module: 'keras.initializers', class_name: value.type, config: { ...value.settings, seed: null }, registered_name: null },
};
