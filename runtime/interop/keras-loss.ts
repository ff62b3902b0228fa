// The loss that a model of Keras' was compiled with, beside what it is trained with here: cross-entropy, of the softmax of its logits or of the
// sigmoid of one. Labels are numbers of classes here, whether they are one-hot there or not: it is the same loss.

import { HybridError } from '../base/errors.ts';
import { type Config, endOf } from '../layers/define-layer.ts';
import type { LayerTensor } from '../layers/functional.ts';
import { snakeCase } from '../layers/kinds.ts';

/** Keras' losses that are the cross-entropy of a softmax. */
const CATEGORICAL = ['sparse_categorical_crossentropy', 'categorical_crossentropy'];
const BINARY = 'binary_crossentropy';

/** Notices of what differs. Throws E_CHECKPOINT where the output of the model is no classifier's. */
export function readLoss(compiled: unknown, { shape, call }: LayerTensor, source: string): string[] {
  const [loss] = [
    typeof compiled === 'object' && compiled !== null && !('class_name' in compiled) ? Object.values(compiled) : compiled,
  ].flat();
  if (loss === undefined || loss === null) return [];
  const { class_name, config } = (typeof loss === 'object' ? loss : { class_name: loss }) as Config;
  const { from_logits = false, label_smoothing = 0, name: own } = (config ?? {}) as Config;
  const name = snakeCase(String(class_name)).replace('cross_entropy', 'crossentropy');
  const isOneUnit = shape.length === 1 && shape[0] === 1;
  const isKnown = isOneUnit ? name === BINARY : CATEGORICAL.includes(name);
  if (isOneUnit && !isKnown)
    throw new HybridError(
      'E_CHECKPOINT',
      `${source} cannot be used: its one output is compiled with ${String(own ?? name)}, and is no logit of a class`,
      `Classifiers are read; compile it with BinaryCrossentropy if it is one of two classes.`,
    );
  if (!isKnown) return [`The model was compiled with ${String(own ?? name)}; here it trains with the cross-entropy of its softmax`];
  const isEnd = endOf(call.layer.definition, call.layer.config) === (isOneUnit ? 'sigmoid' : 'softmax');
  const notices: string[] = [];
  if (!isEnd && from_logits !== true)
    notices.push('The model was compiled for probabilities and ends in none; here its outputs are logits');
  if (typeof label_smoothing === 'number' && label_smoothing > 0)
    notices.push(`The model was compiled with label_smoothing ${label_smoothing}: --label-smoothing ${label_smoothing} does the same`);
  return notices;
}
