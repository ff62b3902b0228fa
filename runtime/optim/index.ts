// The optimizers that there are, and which one a caller means.

import { type Constants, completeConstants, named, type ValuesOf } from '../base/constants.ts';
import { adamw } from './adamw.ts';
import { lion } from './lion.ts';
import type { OptimizerRule } from './rule.ts';
import { sgd } from './sgd.ts';

/** The optimizers by name: what they keep, their constants, and their formula in doubles. */
export const OPTIMIZERS = { adamw, sgd, lion } as const satisfies Record<string, { readonly name: string }>;

/** Name of an optimizer. */
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
  const { name, given } = named(options, optimizerNames, 'optimizer');
  const rule = ruleOf(name);
  const constants = completeConstants(rule.constants, given, name);
  return { rule, constants, slots: slotsOf(rule, constants) };
}

/** As people write it: the name, and behind colons the constants that are not the usual ones, such as `adamw:beta2=0.95`. */
export function describeOptimizer(options: OptimizerName | OptimizerOptions): string {
  const { rule, constants } = optimizerOf(options);
  const changed = Object.entries(constants).filter(([key, value]) => value !== rule.constants[key].usual);
  return [rule.name, ...changed.map(([key, value]) => `${key}=${value}`)].join(':');
}

/** What people write; undefined where it is not an optimizer. */
export function parseOptimizer(text: string): OptimizerOptions | undefined {
  const [name, ...parts] = text.split(':');
  const rule = Object.hasOwn(OPTIMIZERS, name) ? ruleOf(name as OptimizerName) : undefined;
  const entries = parts.map((part) => {
    const [key, value = 'true'] = part.split(/=(.*)/s);
    const kind = rule && Object.hasOwn(rule.constants, key) ? rule.constants[key].kind : undefined;
    return [key, kind?.parse(value)] as const;
  });
  if (!rule || entries.some(([, value]) => value === undefined)) return undefined;
  return { name, ...Object.fromEntries(entries) } as OptimizerOptions;
}
