// Optimizers in Keras' configurations, both ways, by the Keras form of each definition (runtime/optim/).

import type { Model } from '../model/model.ts';
import { type OptimizerOptions, optimizerNames, optimizerOf, ruleOf } from '../optim/index.ts';
import { muonConfig } from './keras-muon.ts';
import type { OptimizerSettings } from './trained-model.ts';

/** As `model.compile` leaves it in a file, for a model. */
export function optimizerConfig(settings: OptimizerSettings, model: Model) {
  const { optimizer, learningRate, weightDecay, clipNorm } = settings;
  const { rule, constants } = optimizerOf(optimizer);
  const { classes, keys, fixed } = rule.keras;
  const [className] = classes;
  return {
    module: 'keras.optimizers',
    class_name: className,
    config: {
      name: rule.name,
      learning_rate: learningRate,
      weight_decay: weightDecay,
      global_clipnorm: clipNorm || null,
      ...Object.fromEntries(Object.entries(constants).map(([name, value]) => [keys[name], value])),
      ...fixed,
      ...(rule.matrices && muonConfig(model, settings)),
    },
    registered_name: null,
  };
}

/** What a configuration says of an optimizer that there is here; undefined for any other, which leaves nothing to go on with. */
export function readOptimizer(compiled: unknown): OptimizerSettings | undefined {
  const { class_name, config } = Object(compiled) as { class_name?: unknown; config?: unknown };
  const name = optimizerNames.find((one) => ruleOf(one).keras.classes.includes(class_name as string));
  if (!name) return undefined;
  const {
    learning_rate,
    weight_decay,
    global_clipnorm,
    adam_weight_decay = weight_decay,
    ...rest
  } = Object(config) as Record<string, unknown>;
  const { constants, keras } = ruleOf(name);
  const given = Object.keys(constants).map((key) => [key, rest[keras.keys[key]]]);
  const differs = Object.entries(keras.fixed ?? {}).some(([key, value]) => (rest[key] ?? value) !== value);
  // One decay is that of all parameters here.
  if (
    typeof learning_rate !== 'number' ||
    differs ||
    adam_weight_decay !== weight_decay ||
    given.some(([, value]) => value === undefined || value === null)
  )
    return undefined;
  const optimizer = { name, ...Object.fromEntries(given) } as OptimizerOptions;
  try {
    optimizerOf(optimizer);
  } catch {
    return undefined; // a value that this optimizer cannot have here
  }
  return {
    ...{ optimizer, learningRate: learning_rate, weightDecay: typeof weight_decay === 'number' ? weight_decay : 0 },
    ...(typeof global_clipnorm === 'number' && { clipNorm: global_clipnorm }),
  };
}

/** How Keras clips gradients otherwise than training here can, and what it does then. */
const CLIPPING: readonly (readonly [string, string])[] = [
  ['clipnorm', 'the length of each gradient'],
  ['clipvalue', 'the size of the elements of gradients'],
];

/** What a configuration says of an optimizer's steps that training here ignores, as sentences. */
export function optimizerNotices(compiled: unknown): string[] {
  const config = Object(Object(compiled).config) as Record<string, unknown>;
  return CLIPPING.flatMap(([key, what]) => {
    const limit = config[key];
    if (limit === undefined || limit === null) return [];
    return [
      `The model was compiled with ${key} ${JSON.stringify(limit)}: ${what} is not limited here; --clip-norm limits all gradients together`,
    ];
  });
}
