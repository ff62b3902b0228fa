// Which parameters Keras' Muon takes for matrices, beside those that it takes here: kernels of dense layers alone, with two axes, but for layers whose
// paths are excluded by expressions. Where the two sets are one, its state means the same.

import { type Model, trainedVariables } from '../model/model.ts';
import { optimizerOf } from '../optim/index.ts';
import { matricesOf, type OptimizerSettings, type TrainedModel } from './trained-model.ts';

/** A parameter with its path in Keras: `dense/kernel`. */
interface Named {
  readonly path: string;
  readonly axes: number;
  readonly isMatrix: boolean;
}

/** Trained parameters; `nameOf` a layer is what Keras calls it, with the model that it is in. */
function namedVariables(model: Model, options: OptimizerSettings['optimizer'], nameOf: (index: number) => string): Named[] {
  const matrices = matricesOf(model, optimizerOf(options));
  const trained = new Set(trainedVariables(model).map(({ name }) => name));
  return model.layers.flatMap(({ index, repeats, variables }) =>
    repeats === undefined
      ? variables
          .filter(({ name }) => trained.has(name))
          .map(({ name, role, shape }) => ({ path: `${nameOf(index)}/${role}`, axes: shape.length, isMatrix: matrices.has(name) }))
      : [],
  );
}

/** What a configuration of Keras' Muon says besides constants, for this model; all that Keras can exclude is excluded. */
export function muonConfig(model: Model, { optimizer, weightDecay }: OptimizerSettings) {
  const variables = namedVariables(model, optimizer, (index) => model.layers[index].name);
  return {
    adam_weight_decay: weightDecay,
    exclude_embeddings: false,
    exclude_layers: variables.flatMap(({ path, axes, isMatrix }) => (axes === 2 && !isMatrix ? [`^${escaped(path)}$`] : [])),
  };
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Why Keras cannot go on with the state of a model's optimizer, in a sentence; undefined: it can, or there is none. */
export function notForKeras({ model, optimizer, optimizerSettings }: TrainedModel): string | undefined {
  if (!optimizer || !optimizerOf(optimizerSettings?.optimizer).rule.matrices) return undefined;
  const others = namedVariables(model, optimizerSettings?.optimizer, (index) => model.layers[index].name).filter(
    ({ isMatrix, axes }) => isMatrix && axes !== 2,
  );
  if (others.length === 0) return undefined;
  const [{ path }] = others;
  return `The state of the optimizer is left out of the file: Keras' Muon takes kernels of dense layers alone for matrices, and ${others.length} of these are others (${path}${others.length > 1 ? ' …' : ''}). Training in Keras begins with a new one.`;
}

/** Text that an expression looks for, at the beginning or the end where it says so: what expressions of a file are tried as no further. */
const PLAIN = /^(\^?)([\w/ -]+)(\$?)$/;

/**
 * Why the state of Keras' Muon is not that of the one here, as the end of a sentence; undefined: it is. `nameOf` a layer is what the file calls it, with the
 * model that it is in.
 */
export function otherMatrices(model: Model, compiled: unknown, settings: OptimizerSettings | undefined, nameOf: (index: number) => string) {
  if (!settings || !optimizerOf(settings.optimizer).rule.matrices) return undefined;
  const { config } = Object(compiled) as { config?: unknown };
  const { exclude_layers, exclude_embeddings = true } = Object(config) as Record<string, unknown>;
  const expressions = Array.isArray(exclude_layers) ? exclude_layers : [];
  const parts = expressions.map((one) => (typeof one === 'string' ? PLAIN.exec(one) : null));
  const unread = parts.indexOf(null);
  if (unread >= 0) return `it leaves out layers by ${JSON.stringify(String(expressions[unread]).slice(0, 40))}, which is no plain name`;
  const isExcluded = (path: string): boolean =>
    (exclude_embeddings !== false && path.toLowerCase().includes('embedding')) ||
    (parts as RegExpExecArray[]).some(([, begin, text, end]) => {
      if (begin && end) return path === text;
      return begin ? path.startsWith(text) : end ? path.endsWith(text) : path.includes(text);
    });
  const differing = namedVariables(model, settings.optimizer, nameOf).filter(
    ({ path, axes, isMatrix }) => isMatrix !== (axes === 2 && !isExcluded(path)),
  );
  if (differing.length === 0) return undefined;
  const [{ path, isMatrix }] = differing;
  return `Keras' Muon takes ${path} ${isMatrix ? 'for no matrix, which it is' : 'for a matrix, which it is not'} here`;
}
