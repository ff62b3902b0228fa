// What an optimizer is: one definition, from which its op, the flat ranges of the plan, argument blocks of kernels, reading and writing
// of Keras' files and the tests of all of that follow. Only its two kernels are written elsewhere: asm/kernels/optimizer.ts and
// gpu/kernels/optimizer.ts; and of one that knows matrices the op for those, which has its name.

import type { ConstantTable, ValuesOf } from '../base/constants.ts';
import type { Scalars } from '../ir/step.ts';

/** An element of a parameter, its gradient, and of each slot the element that belongs to it. */
export type Element<Slot extends string> = { w: number; readonly g: number } & { [S in Slot]: number };

export interface OptimizerRule<Slot extends string = string, T extends ConstantTable = ConstantTable> {
  readonly name: string;
  /** What it keeps of each parameter, in the order of Keras' variables. */
  readonly slots: readonly Slot[];
  /** Whether with these constants it needs no slots after all. */
  isStateless?(constants: ValuesOf<T>): boolean;
  readonly constants: T;
  /**
   * The t-th step (from 1 on), of an element, in doubles: what every kernel is held to. `learningRate` and `weightDecay` are those of the
   * parameter's group.
   */
  step(scalars: Pick<Scalars, 'learningRate' | 'weightDecay'>, constants: ValuesOf<T>, t: number): (at: Element<Slot>) => void;
  /** Operations for an element. */
  readonly flops: number;
  /**
   * Of an optimizer that takes some parameters for matrices, each of which its op updates by itself: what it keeps of these, and those of its constants
   * that they go by. All other parameters get the step of `others`, by its op, with the constants that it has the names of: that is `step`.
   */
  readonly matrices?: { readonly slots: readonly Slot[]; readonly constants: ConstantTable; readonly others: OptimizerRule };
  readonly keras: {
    /** Its class, then others whose files mean the same. */
    readonly classes: readonly [string, ...string[]];
    /** Keras' names of the constants. */
    readonly keys: { readonly [K in keyof T]: string };
    /** What else its configuration says: another value there is another optimizer. */
    readonly fixed?: Readonly<Record<string, unknown>>;
  };
}

/** A rule with the types of its slots and constants. */
export const defineOptimizer = <const Slot extends string, T extends ConstantTable>(rule: OptimizerRule<Slot, T>): OptimizerRule<Slot, T> =>
  rule;
