// What forward graphs of models of layers and of models that are graphs end with.

import type { GraphBuilder, ValueId } from '../ir/graph.ts';
import { type LossOptions, lossOf } from '../losses/index.ts';

/** Whether a forward graph ends in a loss, and in which: `true` is the usual one. */
export type WithLoss = boolean | LossOptions;

/** The outputs: `logits`; with labels also `loss` and `correct`. */
export function addOutputs(g: GraphBuilder, logits: ValueId, labels: ValueId | null, loss: WithLoss): void {
  g.output('logits', logits);
  if (labels === null) return;
  g.label = 'loss';
  const { definition, attrs, classWeights } = lossOf(typeof loss === 'object' ? loss : undefined);
  const made = definition.build(g, logits, labels, attrs, classWeights);
  g.output('loss', made.loss);
  g.output('correct', made.correct);
}
