// The loss that a model of Keras' was compiled with, beside what it is trained with here: cross-entropy, of the softmax of its logits or of the
// sigmoid of one. Labels are numbers of classes here, whether they are one-hot there or not: it is the same loss.

import { HybridError } from '../base/errors.ts';
import { type Config, endOf } from '../layers/define-layer.ts';
import type { LayerTensor } from '../layers/functional.ts';
import { snakeCase } from '../layers/kinds.ts';

/** Keras' losses that are the cross-entropy of a softmax. */
const CATEGORICAL = ['sparse_categorical_crossentropy', 'categorical_crossentropy'];
const BINARY = 'binary_crossentropy';
/** Reductions that are the mean over a batch. */
const MEANS = ['sum_over_batch_size', 'mean', 'auto', null];

/** Notices of what differs. Throws E_CHECKPOINT where the output of the model is no classifier's. */
export function readLoss(compiled: Config | null | undefined, output: LayerTensor, source: string): string[] {
  const [loss] = [flat(compiled?.loss)].flat();
  if (loss === undefined || loss === null) return [];
  const { name, called, settings } = lossOf(loss);
  const { shape, call } = output;
  const refuse = (what: string, remedy: string): never => {
    throw new HybridError('E_CHECKPOINT', `${source} cannot be used: ${what}`, remedy);
  };
  const isOneUnit = shape.length === 1 && shape[0] === 1;
  const isKnown = isOneUnit ? name === BINARY : CATEGORICAL.includes(name);
  const isBinary = name.startsWith('binary_');
  if (isOneUnit && !isBinary)
    refuse(
      `its one output is compiled with ${called}, and is not a logit of a class`,
      'Classifiers are read; compile it with BinaryCrossentropy if it is one of two classes.',
    );
  if (isBinary && !isOneUnit)
    refuse(
      `${call.layer.name ?? 'its output'} has ${shape[0]} units and is compiled with ${called}, for which any number of classes may be true; here one is`,
      'Compile it with CategoricalCrossentropy if one of its classes is the truth, and end it with a softmax or with logits; or give two classes one unit.',
    );
  const weighted = compiled?.loss_weights ?? null;
  const notices = [
    ...(weighted === null ? [] : ['The model was compiled with loss_weights, which training here does not have']),
    ...told(settings),
  ];
  if (!isKnown)
    return [
      `The model was compiled with ${called}; here it trains with the cross-entropy of its ${isOneUnit ? 'sigmoid' : 'softmax'}`,
      ...notices,
    ];
  const isEnd = endOf(call.layer.definition, call.layer.config) === (isOneUnit ? 'sigmoid' : 'softmax');
  if (!isEnd && settings.from_logits !== true)
    notices.unshift('The model was compiled for probabilities and ends in none; here its outputs are logits');
  return notices;
}

/** Of losses by output: those of the outputs, in a list. */
const flat = (loss: unknown): unknown =>
  typeof loss === 'object' && loss !== null && !('class_name' in loss) ? Object.values(loss) : loss;

/** Keras' name of a loss, how its author calls it, and its settings. A function has its name where a class has settings. */
function lossOf(loss: unknown): { readonly name: string; readonly called: string; readonly settings: Config } {
  const { class_name, config } = (typeof loss === 'object' ? loss : { class_name: loss }) as Config;
  const given = typeof config === 'string' ? config : String(class_name);
  const name = snakeCase(given).replace('cross_entropy', 'crossentropy');
  const settings = (typeof config === 'object' && config !== null ? config : {}) as Config;
  return { name: name === 'bce' ? BINARY : name, called: String(settings.name ?? name), settings };
}

/** What the settings of a loss say and training here does otherwise. */
function told({ label_smoothing, ignore_class = null, reduction = null }: Config): string[] {
  const notices: string[] = [];
  if (typeof label_smoothing === 'number' && label_smoothing > 0)
    notices.push(`The model was compiled with label_smoothing ${label_smoothing}: --label-smoothing ${label_smoothing} does the same`);
  if (ignore_class !== null)
    notices.push(`The model was compiled with ignore_class ${JSON.stringify(ignore_class)}: here no class is left out of the loss`);
  if (!MEANS.includes(reduction as string | null))
    notices.push(`The model was compiled with reduction ${JSON.stringify(reduction)}: here the loss is the mean over a batch`);
  return notices;
}
