// What a loss is: one definition, from which training graphs and the tests of every device follow.

import type { ConstantTable, ValuesOf } from '../base/constants.ts';
import type { GraphBuilder, ValueId } from '../ir/graph.ts';

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
