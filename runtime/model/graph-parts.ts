// Parts of forward graphs that models of layers and models that are graphs share.

import type { GraphBuilder, ValueId } from '../ir/graph.ts';

/** Parameters and moving statistics of batch normalisation, f32 [C]. */
export interface BatchNormalizationVariables {
  readonly gamma: ValueId;
  readonly beta: ValueId;
  readonly movingMean: ValueId;
  readonly movingVariance: ValueId;
}

/**
 * Batch normalisation over rows and pixels. In training mode with the statistics of the batch, which become the outputs `<path>/mean` and
 * `<path>/variance`: by these names the update finds what the moving statistics move towards.
 */
export function addBatchNormalization(
  g: GraphBuilder,
  x: ValueId,
  { gamma, beta, movingMean, movingVariance }: BatchNormalizationVariables,
  { mode, path, epsilon }: { readonly mode: 'train' | 'inference'; readonly path: string; readonly epsilon: number },
): ValueId {
  if (mode === 'inference') {
    const [scale, shift] = g.add('bnFold', [movingMean, movingVariance, gamma, beta], { epsilon });
    return g.one('normalize', [x, scale, shift]);
  }
  const [y, mean, variance] = g.add('batchnorm', [x, gamma, beta], { epsilon });
  g.output(`${path}/mean`, mean);
  g.output(`${path}/variance`, variance);
  return y;
}

/** The outputs: `logits`; with labels also `loss` and `correct`. */
export function addOutputs(g: GraphBuilder, logits: ValueId, labels: ValueId | null): void {
  g.output('logits', logits);
  if (labels === null) return;
  g.label = 'loss';
  const [mean, correct] = g.add('softmaxCrossEntropy', [logits, labels]);
  g.output('loss', mean);
  g.output('correct', correct);
}
