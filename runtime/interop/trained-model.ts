// What travels between programs: a model with its weights, and what their user must know about them.

import { HybridError } from '../base/errors.ts';
import { matrixParameters } from '../compile/matrices.ts';
import { type Preprocessing, readPreprocessing } from '../data/preprocessing.ts';
import { graphShape, type Shape, sizeOf, type VariableInfo } from '../layers/layer.ts';
import { buildModel } from '../model/architectures.ts';
import { buildForward } from '../model/build-graph.ts';
import { readNetwork } from '../model/layered-model.ts';
import { type Model, type ModelConfig, type TrainableModel, trainedVariables } from '../model/model.ts';
import { type Optimizer, type OptimizerName, type OptimizerOptions, optimizerOf, slotsFor } from '../optim/index.ts';

/** Settings of the optimizer that belong to its state. */
export interface OptimizerSettings {
  /** AdamW by default. */
  readonly optimizer?: OptimizerName | OptimizerOptions;
  readonly learningRate: number;
  readonly weightDecay: number;
  /** Length that all gradients of a step together have at most, Keras' `global_clipnorm`; 0 or absent: any. */
  readonly clipNorm?: number;
}

/**
 * A model made of layers with its weights, and what their user must know: what is exported, imported and asked for predictions.
 *
 * @category Weights and files
 */
export interface TrainedModel {
  readonly model: Model;
  /** Parameters and moving statistics by name, in Keras' layouts. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** `optimizer/vars/…` by name, the step count first; absent: training cannot go on where it was. */
  readonly optimizer?: ReadonlyMap<string, Float32Array>;
  readonly optimizerSettings?: OptimizerSettings;
  /** Momentum of batch normalisation in training, for layers without their own. */
  readonly bnMomentum?: number;
  /** Names of the classes, in the order of the logits. */
  readonly classes: readonly string[];
  /** Licence of the weights, such as an SPDX identifier. */
  readonly license?: string;
  /** Preparation of pictures for the model; absent: the defaults of `decodeImage`. */
  readonly preprocessing?: Preprocessing;
  /** Names of variables in files of weights that Keras writes for this model, by names here, where they differ: of models in models above all. */
  readonly kerasNames?: ReadonlyMap<string, string>;
  /** What layers of Keras' did to pictures in training, as `--augment` has it; the model goes without them. */
  readonly augment?: string;
  /** What the file of another program says that training here does not do, in sentences. */
  readonly notices?: readonly string[];
}

/** Where Keras 2 has the layers of a functional model. */
const KERAS_2_LAYERS = /^_layer_checkpoint_dependencies\//;

/** What it calls the parts of attention. */
const KERAS_2_ATTENTION = /\/_(query|key|value|output)_dense\//;

/** The name that Keras has for a variable now. */
export const kerasName = (name: string): string => name.replace(KERAS_2_LAYERS, 'layers/').replace(KERAS_2_ATTENTION, '/$1_dense/');

/** The card that goes into the metadata of every format: plain JSON. */
export function cardOf({
  model,
  classes,
  license,
  preprocessing,
}: Pick<TrainedModel, 'classes' | 'license' | 'preprocessing'> & { readonly model: TrainableModel }) {
  const [height, width, channels] = model.input;
  return {
    producer: 'hybrid',
    /** Null: a graph that no configuration describes. */
    architecture: 'config' in model ? model.config : null,
    labels: classes,
    input: { height, width, channels, order: 'height, width, channels', range: [0, 255] },
    normalization: 'the model divides by 255 itself: give it pixel values from 0 to 255',
    /** Absent: the picture is made to cover the size, and its middle is kept. */
    ...(preprocessing && { preprocessing }),
    output: 'logits, one a class; softmax makes them probabilities',
    license: license ?? 'unspecified',
  };
}

/** The card as a member of an .npz file. */
export const NPZ_CARD = 'hybrid.json';

export type ModelCard = ReturnType<typeof cardOf>;

/** What a card says, as far as it is well-formed: it may come from anywhere. */
export function readCard(text: string | undefined): {
  readonly model?: Model;
  readonly classes?: readonly string[];
  readonly license?: string;
  readonly preprocessing?: Preprocessing;
} {
  try {
    const card: unknown = JSON.parse(text ?? '');
    if (typeof card !== 'object' || card === null) return {};
    const { architecture, labels, license, preprocessing } = card as { readonly [key in keyof ModelCard]?: unknown };
    return {
      model: modelOf(architecture),
      classes: Array.isArray(labels) && labels.every((label) => typeof label === 'string') ? labels : undefined,
      license: typeof license === 'string' && license !== 'unspecified' ? license : undefined,
      preprocessing: readPreprocessing(preprocessing),
    };
  } catch {
    return {};
  }
}

/** Far beyond any model that could be trained: a number from a file must not decide how long this takes. */
const LARGEST = 65_536;
const DEEPEST = 1000;
const MOST_LAYERS = 10_000;

/** The model of a configuration that came from elsewhere; undefined where there is no such model. */
export function modelOf(config: unknown): Model | undefined {
  if (typeof config !== 'object' || config === null) return undefined;
  const { arch, input, depth = 0, network, activation: _, ...numbers } = config as Partial<ModelConfig>;
  const sizes = [...Object.values(numbers), ...(Array.isArray(input) ? input : [LARGEST + 1])];
  if (!sizes.every((n) => typeof n === 'number' && n <= LARGEST) || !(depth <= DEEPEST)) return undefined;
  try {
    if (network !== undefined) return network.length <= MOST_LAYERS ? readNetwork(String(arch), network) : undefined;
    return buildModel(String(arch), config as ModelConfig);
  } catch {
    return undefined;
  }
}

/** A tensor of a file. */
export interface SavedTensor {
  readonly shape: Shape;
  readonly data: ArrayLike<number | bigint>;
}

/**
 * Takes the tensors of a file for those of `model`: weights whatever they were trained with, the state of an optimizer only where it is AdamW's.
 * @param source Name of the file, for messages.
 * @param optimizer The optimizer whose state the file has, where it says so and it is one of those here.
 * @param called What the file calls it, for messages.
 * @param otherwise Why its state is not that of the optimizer here all the same, as the end of a sentence.
 * @throws HybridError E_CHECKPOINT where one is missing, has another shape, or is not of this model.
 */
export function adopt(
  model: Model,
  tensors: ReadonlyMap<string, SavedTensor>,
  source: string,
  optimizer?: OptimizerName | OptimizerOptions,
  called?: string,
  otherwise?: string,
): Pick<TrainedModel, 'model' | 'weights' | 'optimizer' | 'notices'> {
  const weights = pick(tensors, model.variables, source);
  const surplus = [...tensors.keys()].find((name) => name.startsWith('layers/') && !weights.has(name));
  if (surplus) {
    throw new HybridError('E_CHECKPOINT', `${source} has ${surplus}, which ${model.arch} does not have`, OTHER_MODEL);
  }
  const reason = notTheState(model, tensors, optimizer, called, otherwise);
  if (reason !== undefined) return { model, weights, ...(reason !== null && { notices: [reason] }) };
  // Equal names and shapes of weights do not mean equal models; the slots come in the order of the graph and can tell.
  return { model, weights, optimizer: pick(tensors, optimizerVariables(model, optimizer), source) };
}

/** Whether it is one of Keras' names of the two optimizers that compute as AdamW here does; a second one of a program is `adam_w_1`. */
export const isAdamW = (name: string): boolean => /^adam(_?w)?(_\d+)?$/i.test(name);

/** Undefined: the state is that of the optimizer. Null: there is none. Else the reason why it is left out, in a sentence. */
function notTheState(
  model: Model,
  tensors: ReadonlyMap<string, SavedTensor>,
  optimizer: OptimizerName | OptimizerOptions | undefined,
  called = '',
  otherwise?: string,
): string | null | undefined {
  const found = [...tensors.keys()].filter((name) => name.startsWith('optimizer/')).length;
  const needed = optimizerVariables(model, optimizer).length;
  if (found === 0 || (found <= 2 && found !== needed)) return null; // the count of steps, and the rate
  const why =
    optimizer !== undefined
      ? otherwise !== undefined || found === needed
        ? otherwise
        : `it has ${found} variables, and that of the optimizer ${needed} (a moving average of the weights, accumulated gradients, amsgrad and a schedule change it)`
      : called === ''
        ? 'the file does not say whose it is'
        : `it is that of ${JSON.stringify(called.slice(0, 40))}${isAdamW(called) || called === 'Muon' ? ' with other settings than here' : ''}`;
  return why && `The state of the optimizer is left out: ${why}. Training begins with a new one.`;
}

/** What stands for names that nobody has given. */
export const numberedClasses = ({ classes }: Pick<TrainableModel, 'classes'>): string[] =>
  Array.from({ length: classes }, (_, i) => `class ${i}`);

/** Names of the parameters that an optimizer takes for matrices. */
export const matricesOf = (model: Model, { rule }: Optimizer): ReadonlySet<string> =>
  rule.matrices ? matrixParameters(buildForward(model, 'inference', { loss: false })) : new Set();

/** Trained parameters in the order of the model, and what an optimizer keeps of each. */
export function keptOf(model: Model, optimizer: Optimizer): { readonly variable: VariableInfo; readonly slots: readonly string[] }[] {
  const matrices = matricesOf(model, optimizer);
  return trainedVariables(model).map((variable) => ({ variable, slots: slotsFor(optimizer, matrices.has(variable.name)) }));
}

/** Names and shapes of an optimizer's state in Keras' order: count, learning rate, then what it keeps of each parameter. */
export function optimizerVariables(
  model: Model,
  options?: OptimizerName | OptimizerOptions,
): { readonly name: string; readonly shape: Shape; readonly flat?: true | Shape }[] {
  const kept = keptOf(model, optimizerOf(options)).flatMap(({ variable: { shape, flat }, slots }) => slots.map(() => ({ shape, flat })));
  return [{ shape: [] }, { shape: [] }, ...kept].map((one, i) => ({ ...one, name: `optimizer/vars/${i}` }));
}

const OTHER_MODEL = 'Name the architecture that the weights were trained in.';

function pick(
  tensors: ReadonlyMap<string, SavedTensor>,
  variables: readonly { readonly name: string; readonly shape: Shape; readonly flat?: true | Shape }[],
  source: string,
): Map<string, Float32Array> {
  return new Map(
    variables.map((variable) => {
      const { name, shape } = variable;
      const found = tensors.get(name);
      // A count may be a scalar in one program and a list of one number in another.
      const isOwn = `${found?.shape}` === `${graphShape(variable)}`; // as graphs have some variables, and checkpoints with them
      const isList = found?.shape.length === 1 && shape.length > 1;
      if (found && (`${found.shape}` === `${shape}` || isOwn || isList || sizeOf(shape) === 1) && found.data.length === sizeOf(shape)) {
        const { data } = found;
        return [name, data instanceof Float32Array ? data : Float32Array.from(data as ArrayLike<number>, Number)];
      }
      const has = found ? `has ${name} with shape [${found.shape.join(', ')}]` : `lacks ${name}`;
      throw new HybridError('E_CHECKPOINT', `${source} ${has}; the model needs shape [${shape.join(', ')}]`, OTHER_MODEL);
    }),
  );
}
