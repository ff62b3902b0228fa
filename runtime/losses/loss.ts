// What a loss is: one definition, from which its op's attributes, settings, kernels of every device, training graphs and tests follow.

import type { Constant, ConstantTable, ValuesOf } from '../base/constants.ts';
import type { TextKind } from '../base/kinds.ts';
import { derivative, type Expression, named } from '../ir/expression.ts';
import type { GraphBuilder, ValueId } from '../ir/graph.ts';

/** How a person gives an attribute to a training run. */
export interface LossSetting<Name extends string = string, Flag extends string = string> {
  /** The setting in code. */
  readonly name: Name;
  readonly flag: Flag;
  readonly help: string;
  readonly example: string;
}

/** What a formula may speak of: of a row with logits z, whose label has the probability p. */
export const ROW = {
  /** −log p. */
  nll: named('nll'),
  /** log(1 − p). */
  logMiss: named('logMiss'),
  /** log Σ exp z. */
  logSum: named('logSum'),
} as const;
export const ROW_NAMES = Object.keys(ROW) as readonly (keyof typeof ROW)[];

/** What 1 − p counts for where it is smaller: its logarithm stays a number, as an f32, too. */
export const LEAST_MISS = 1e-30;

/** A number that a loss can be told; 0: it is as if there were no such thing. */
export interface LossAttribute<Name extends string = string, Flag extends string = string> extends Constant<number> {
  readonly setting: LossSetting<Name, Flag>;
  /** What it adds to the loss of a row, as a formula: kernels and gradient follow. Absent: `truth` has it. */
  readonly adds?: (value: Expression, row: typeof ROW) => Expression;
}
export type LossAttributes = Readonly<Record<string, LossAttribute>>;

/** An attribute with the types of its names. */
export const attribute = <const Name extends string, const Flag extends string>(one: {
  readonly kind: TextKind<number>;
  readonly setting: LossSetting<Name, Flag>;
  readonly adds?: LossAttribute['adds'];
}): LossAttribute<Name, Flag> => ({ ...one, usual: 0 });

/** An attribute that adds something to the loss: the formula, and its derivatives by what it speaks of. */
export interface LossTerm {
  readonly name: string;
  readonly loss: Expression;
  readonly slopes: Readonly<Record<keyof typeof ROW, Expression>>;
}

/** The terms of a table of attributes, in order; the attribute's value has its name in the formulas. */
export const termsOf = (attrs: LossAttributes): readonly LossTerm[] =>
  Object.entries(attrs).flatMap(([name, { adds }]) => {
    if (!adds) return [];
    const loss = adds(named(name), ROW);
    const slopes = Object.fromEntries(ROW_NAMES.map((of) => [of, derivative(loss, of)])) as LossTerm['slopes'];
    return [{ name, loss, slopes }];
  });

export interface LossDefinition<T extends ConstantTable = ConstantTable> {
  readonly name: string;
  /** Attributes, with what they are where nobody says: then the graph's text is as if there were none. */
  readonly attrs: T;
  /**
   * Adds its ops: of logits f32 [n, K] and labels i32 [n] the mean over the rows, each times the factor of its label's class where there are
   * `classWeights`, and the number of rows that are right.
   */
  build(
    g: GraphBuilder,
    logits: ValueId,
    labels: ValueId,
    attrs: ValuesOf<T>,
    classWeights?: readonly number[],
  ): { readonly loss: ValueId; readonly correct: ValueId };
  /** Of one row, in doubles and by the book: what the ops are held to. */
  reference(logits: ArrayLike<number>, label: number, attrs: ValuesOf<T>): number;
}

/** A definition with the types of its attributes. */
export const defineLoss = <T extends ConstantTable>(loss: LossDefinition<T>): LossDefinition<T> => loss;
