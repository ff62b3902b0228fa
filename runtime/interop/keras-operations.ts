// Calls in Keras' configurations of functional models, and operations on tensors, such as `x + 3.0`: the layer that computes the same. Keras 3
// has a class for each operation, Keras 2 a layer TFOpLambda with the name of a function of TensorFlow.

import type { Config } from '../layers/define-layer.ts';

/** Lists in the arguments of calls. */
const DEEPEST = 16;

/** A call as Keras 3 writes it. */
export interface Call {
  readonly args: readonly unknown[];
  readonly kwargs: Config;
}

/** Of Keras 2, in place of a tensor. */
const CONSTANT = '_CONSTANT_VALUE';

/** A call of either form. Keras 2 has a list of [layer, call, output, other arguments], or just one. */
export function callOf(node: unknown): Call {
  if (!Array.isArray(node)) {
    const { args, kwargs } = (node ?? {}) as Partial<Call>;
    return { args: Array.isArray(args) ? args : [], kwargs: (kwargs ?? {}) as Config };
  }
  const tensors = (typeof node[0] === 'string' ? [node] : node).filter(Array.isArray);
  return {
    args: tensors.map((tensor) => (tensor[0] === CONSTANT ? tensor[2] : tensor.slice(0, 3))),
    kwargs: Object.assign({}, ...tensors.map((tensor) => tensor[3])),
  };
}

/** The results that are named anywhere in a value: `<layer>\n<call>`. */
export function referencesIn(value: unknown, depth = 0): string[] {
  if (typeof value !== 'object' || value === null || depth > DEEPEST) return [];
  if (Array.isArray(value) && typeof value[0] === 'string' && Number.isInteger(value[1]) && Number.isInteger(value[2]))
    return [`${value[0]}\n${value[1]}`];
  const { class_name, config } = value as Config;
  if (class_name === '__keras_tensor__') return referencesIn((config as Config | undefined)?.keras_history, depth + 1);
  return Object.values(value).flatMap((part) => referencesIn(part, depth + 1));
}

interface OperationLayer {
  readonly type: string;
  readonly config: Config;
}

/** Names of arguments that are operands, in order. */
const OPERANDS = ['x', 'x1', 'a', 'y', 'x2', 'b', 'values', 'features', 'input', 'inputs'];

/** Keras 3's name of what a function of TensorFlow computes. */
const TENSORFLOW: Readonly<Record<string, string>> = {
  '__operators__.add': 'Add',
  'math.add': 'Add',
  'math.subtract': 'Subtract',
  'math.multiply': 'Multiply',
  'math.truediv': 'TrueDivide',
  'math.divide': 'TrueDivide',
  'math.negative': 'Negative',
  'math.maximum': 'Maximum',
  'math.minimum': 'Minimum',
  'math.reduce_mean': 'Mean',
  'math.reduce_max': 'Max',
  'math.sigmoid': 'Sigmoid',
  'nn.sigmoid': 'Sigmoid',
  'math.tanh': 'Tanh',
  'nn.tanh': 'Tanh',
  'math.softplus': 'Softplus',
  'nn.softplus': 'Softplus',
  'nn.relu': 'Relu',
  'nn.relu6': 'Relu6',
  'nn.silu': 'Silu',
  'nn.swish': 'Silu',
  'nn.elu': 'Elu',
  'nn.selu': 'Selu',
  'nn.softsign': 'Softsign',
  'nn.leaky_relu': 'LeakyRelu',
  'nn.gelu': 'Gelu',
  'nn.softmax': 'Softmax',
  concat: 'Concatenate',
  reshape: 'Reshape',
};

/** Of operations on tensors of equal standing: the layer. */
const MERGING: Readonly<Record<string, string>> = {
  Add: 'Add',
  Subtract: 'Subtract',
  Multiply: 'Multiply',
  Maximum: 'Maximum',
  Minimum: 'Minimum',
};
/** Of activation functions called as operations: Keras' name. */
const FUNCTIONS: Readonly<Record<string, string>> = {
  Relu: 'relu',
  Relu6: 'relu6',
  Sigmoid: 'sigmoid',
  Silu: 'silu',
  Tanh: 'tanh',
  Softplus: 'softplus',
  Softsign: 'softsign',
  HardSigmoid: 'hard_sigmoid',
  HardSilu: 'hard_silu',
  Selu: 'selu',
  Exp: 'exponential',
};

/** The layer that computes what a call of an operation does, and what it reads; undefined: there is none. */
export function operationOf(
  type: string,
  settings: Config,
  node: unknown,
): { readonly layer: OperationLayer; readonly reads: string[] } | undefined {
  const { args, kwargs } = callOf(node);
  const given = [...args, ...OPERANDS.flatMap((name) => (kwargs[name] === undefined ? [] : [kwargs[name]]))];
  const operands = given.flatMap((value): (number | string)[] => (typeof value === 'number' ? [value] : referencesIn(value)));
  const kind = type === 'TFOpLambda' ? TENSORFLOW[String(settings.function)] : type;
  // A function of TensorFlow says nothing of what is at its default.
  const usual = type === 'TFOpLambda' ? { approximate: false } : {};
  const layer = kind && layerOf(kind, { ...usual, ...kwargs, ...settings }, operands);
  return layer ? { layer, reads: operands.filter((operand) => typeof operand === 'string') } : undefined;
}

function layerOf(kind: string, settings: Config, operands: readonly (number | string)[]): OperationLayer | undefined {
  const tensors = operands.filter((operand) => typeof operand === 'string').length;
  if (kind === 'Concatenate' && tensors >= 2 && tensors === operands.length)
    return { type: 'Concatenate', config: { axis: settings.axis ?? -1 } };
  if (tensors === 2 && operands.length === 2 && MERGING[kind]) return { type: MERGING[kind], config: {} };
  if (tensors !== 1) return undefined;
  const rescaling = (scale: number, offset = 0): OperationLayer | undefined =>
    Number.isFinite(scale) && Number.isFinite(offset) ? { type: 'Rescaling', config: { scale, offset } } : undefined;
  const [first, second] = operands;
  if (operands.length === 2) {
    const isFirst = typeof first === 'number';
    const value = Number(isFirst ? first : second);
    if (kind === 'Add') return rescaling(1, value);
    if (kind === 'Multiply') return rescaling(value);
    if (kind === 'Subtract') return isFirst ? rescaling(-1, value) : rescaling(1, -value);
    if ((kind === 'TrueDivide' || kind === 'Divide') && !isFirst) return rescaling(1 / value);
    if (kind === 'Maximum' && value === 0) return { type: 'ReLU', config: {} };
    return undefined;
  }
  if (kind === 'Negative') return rescaling(-1);
  if (kind === 'Softmax') return { type: 'Softmax', config: { axis: settings.axis ?? -1 } };
  if (kind === 'Elu') return { type: 'ELU', config: { alpha: settings.alpha ?? 1 } };
  if (FUNCTIONS[kind]) return { type: 'Activation', config: { activation: FUNCTIONS[kind] } };
  if (kind === 'Gelu' && settings.approximate === false) return { type: 'Activation', config: { activation: 'gelu' } };
  if (kind === 'LeakyRelu') return { type: 'LeakyReLU', config: { negative_slope: settings.negative_slope ?? settings.alpha ?? 0.2 } };
  const shape = settings.newshape ?? settings.shape;
  if (kind === 'Reshape' && Array.isArray(shape) && (shape[0] === -1 || shape[0] === null))
    return { type: 'Reshape', config: { target_shape: shape.slice(1) } };
  const isOverPixels = `${[settings.axis].flat()}` === '1,2';
  // A largest number of the pixels and of another number is none of the pixels alone.
  const isPlain = settings.initial === undefined || settings.initial === null;
  if ((kind === 'Mean' || kind === 'Max') && isOverPixels && isPlain)
    return { type: kind === 'Mean' ? 'GlobalAveragePooling2D' : 'GlobalMaxPooling2D', config: { keepdims: settings.keepdims === true } };
  return undefined;
}
