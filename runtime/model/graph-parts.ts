// What forward graphs of models of layers and of models that are graphs end with.

import type { GraphBuilder, ValueId } from '../ir/graph.ts';

/** The outputs: `logits`; with labels also `loss` and `correct`. */
export function addOutputs(g: GraphBuilder, logits: ValueId, labels: ValueId | null): void {
  g.output('logits', logits);
  if (labels === null) return;
  g.label = 'loss';
  const [mean, correct] = g.add('softmaxCrossEntropy', [logits, labels]);
  g.output('loss', mean);
  g.output('correct', correct);
}
