// The optimizers that there are, and which one a caller means.

import { type Constants, type ConstantTable, completeConstants, named, type ValuesOf } from '../base/constants.ts';
import { adamw } from './adamw.ts';
import { lion } from './lion.ts';
import { muon } from './muon.ts';
import type { OptimizerRule } from './rule.ts';
import { sgd } from './sgd.ts';

/** Those that treat all parameters alike, element by element: each has an op for flat ranges. */
const FLAT = { adamw, sgd, lion } as const satisfies Record<string, { readonly name: string }>;

/** The optimizers by name: what they keep, their constants, and their formula in doubles. */
export const OPTIMIZERS = { ...FLAT, muon } as const satisfies Record<string, { readonly name: string }>;

/** Name of an optimizer. */
export type OptimizerName = keyof typeof OPTIMIZERS;
/** Name of one that treats all parameters alike. */
export type FlatName = keyof typeof FLAT;
type RuleOf<N extends OptimizerName> = (typeof OPTIMIZERS)[N];
export type SlotOf<N extends OptimizerName> = RuleOf<N>['slots'][number];
export type ConstantsOf<N extends OptimizerName> = ValuesOf<RuleOf<N>['constants']>;

/** An optimizer with those of its constants that are not the usual ones. */
export type OptimizerOptions = { readonly [N in OptimizerName]: { readonly name: N } & Partial<ConstantsOf<N>> }[OptimizerName];

/** An optimizer with all of its constants. */
export interface Optimizer {
  readonly rule: OptimizerRule;
  readonly constants: Constants;
  /** The slots that it needs with these constants; of matrices those of its rule. */
  readonly slots: readonly string[];
}

/** What an optimizer keeps of a parameter. */
export const slotsFor = ({ rule: { matrices }, slots }: Optimizer, isMatrix: boolean): readonly string[] =>
  (isMatrix && matrices?.slots) || slots;

/** Those of a table, of all that an optimizer has. */
export const constantsOf = (table: ConstantTable, constants: Constants): Constants =>
  Object.fromEntries(Object.keys(table).map((name) => [name, constants[name]]));

export const ruleOf = (name: OptimizerName): OptimizerRule => OPTIMIZERS[name] as unknown as OptimizerRule;
export const optimizerNames = Object.keys(OPTIMIZERS) as OptimizerName[];

/** As sentences list them: each with the names of its constants. */
export const optimizerForms = optimizerNames.map((name) => `${name} (${Object.keys(ruleOf(name).constants).join(', ')})`).join(', ');

export const flatNames = Object.keys(FLAT) as FlatName[];

/** A table of what `make` makes of each optimizer that treats all parameters alike. */
export const ofEach = <T>(make: (rule: OptimizerRule) => T) =>
  Object.fromEntries(flatNames.map((name) => [name, make(ruleOf(name))])) as Readonly<Record<FlatName, T>>;

export const slotsOf = (rule: OptimizerRule, constants: Constants): readonly string[] => (rule.isStateless?.(constants) ? [] : rule.slots);

/** Keras' names of what is kept of trained parameters that have these slots: behind step count and learning rate, those of a parameter side by side. */
export function slotVariables(slots: readonly (readonly string[])[]): string[][] {
  let next = 2;
  return slots.map((each) => each.map(() => `optimizer/vars/${next++}`));
}

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
