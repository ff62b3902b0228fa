// The optimizers that there are, and which one a caller means.

import { HybridError, nearest } from '../base/errors.ts';
import { adamw } from './adamw.ts';
import type { Constants, OptimizerRule, ValuesOf } from './rule.ts';

export const OPTIMIZERS = { adamw } as const satisfies Record<string, { readonly name: string }>;

export type OptimizerName = keyof typeof OPTIMIZERS;
type RuleOf<N extends OptimizerName> = (typeof OPTIMIZERS)[N];
export type SlotOf<N extends OptimizerName> = RuleOf<N>['slots'][number];
export type ConstantsOf<N extends OptimizerName> = ValuesOf<RuleOf<N>['constants']>;

/** An optimizer with those of its constants that are not the usual ones. */
export type OptimizerOptions = { readonly [N in OptimizerName]: { readonly name: N } & Partial<ConstantsOf<N>> }[OptimizerName];

/** An optimizer with all of its constants. */
export interface Optimizer {
  readonly rule: OptimizerRule;
  readonly constants: Constants;
  /** The slots that it needs with these constants. */
  readonly slots: readonly string[];
}

export const ruleOf = (name: OptimizerName): OptimizerRule => OPTIMIZERS[name] as unknown as OptimizerRule;
export const optimizerNames = Object.keys(OPTIMIZERS) as OptimizerName[];

/** A table of what `make` makes of each optimizer. */
export const ofEach = <T>(make: (rule: OptimizerRule) => T) =>
  Object.fromEntries(optimizerNames.map((name) => [name, make(ruleOf(name))])) as Readonly<Record<OptimizerName, T>>;

export const slotsOf = (rule: OptimizerRule, constants: Constants): readonly string[] => (rule.isStateless?.(constants) ? [] : rule.slots);

/** Keras' name of what is kept of the k-th trained parameter in a slot: behind step count and learning rate, slots side by side. */
export const slotVariable = (k: number, slot: number, slots: number): string => `optimizer/vars/${2 + slots * k + slot}`;

/**
 * The optimizer that a name or options mean; AdamW where there are none.
 * @throws HybridError E_USAGE for a name or constant that there is not, and a value that a constant cannot have.
 */
export function optimizerOf(options: OptimizerName | OptimizerOptions = 'adamw'): Optimizer {
  const { name, ...given } = (typeof options === 'string' ? { name: options } : options) as { name: string } & Record<string, unknown>;
  if (!Object.hasOwn(OPTIMIZERS, name)) throw unknown('optimizer', String(name), optimizerNames);
  const rule = ruleOf(name as OptimizerName);
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(rule.constants, key)) throw unknown(`constant of ${name}`, key, Object.keys(rule.constants));
    const { what, isValid } = rule.constants[key];
    if (value !== undefined && !isValid(value)) throw new HybridError('E_USAGE', `${key} of ${name} is ${String(value)}`, `Give ${what}.`);
  }
  const constants = Object.fromEntries(
    Object.entries(rule.constants).map(([key, { usual }]) => [key, (given[key] as number | boolean | undefined) ?? usual]),
  );
  return { rule, constants, slots: slotsOf(rule, constants) };
}

function unknown(what: string, name: string, names: readonly string[]): HybridError {
  const near = nearest(name, names);
  return new HybridError(
    'E_USAGE',
    `no ${what} is called ${name}${near ? `; did you mean ${near}?` : ''}`,
    `Give one of ${names.join(', ')}.`,
  );
}
