// The losses that there are, and which one a caller means.

import { type Constants, completeConstants, named, type ValuesOf } from '../base/constants.ts';
import { crossEntropy } from './cross-entropy.ts';
import type { LossDefinition } from './loss.ts';

/** The losses by name: their attributes, their ops, and their formula in doubles. */
export const LOSSES = { crossEntropy } as const satisfies Record<string, { readonly name: string }>;

/** Name of a loss. */
export type LossName = keyof typeof LOSSES;

/** A loss with those of its attributes that are not the usual ones, and factors of the classes on the losses of their rows. */
export type LossOptions = {
  readonly [N in LossName]: { readonly name: N; readonly classWeights?: readonly number[] } & Partial<
    ValuesOf<(typeof LOSSES)[N]['attrs']>
  >;
}[LossName];

/** A loss with all of its attributes. */
export interface Loss {
  readonly definition: LossDefinition;
  readonly attrs: Constants;
  readonly classWeights?: readonly number[];
}

/** The loss that a name or options mean; cross-entropy where there are none. Throws E_USAGE for what there is not, and cannot be. */
export function lossOf(options: LossName | LossOptions = 'crossEntropy'): Loss {
  const {
    name,
    given: { classWeights, ...given },
  } = named(options, Object.keys(LOSSES) as LossName[], 'loss');
  const definition = LOSSES[name] as unknown as LossDefinition;
  return { definition, attrs: completeConstants(definition.attrs, given, name), classWeights: classWeights as Loss['classWeights'] };
}
