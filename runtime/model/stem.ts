// What a network does to pixels before its first convolution, mean and deviation, and how that becomes part of the convolution's weights: for
// inference here, and for files that only compute. Training leaves them apart, so that what is trained has the size it was initialised for.

import type { Layer } from '../layers/index.ts';
import { placeWindow } from '../ops/window.ts';
import { readNetwork } from './layered-model.ts';
import type { Model, NetworkLayer, TrainableModel } from './model.ts';

/** y = x·scale + shift, by channel. */
export interface Affine {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/** The first convolution, and what comes before it. */
export interface Stem extends Affine {
  /** Layers between the images and the convolution, in order; all they do is scale and shift. */
  readonly before: readonly Layer[];
  readonly layer: Layer<'Conv2D'>;
  /** Whether zeros are put around the image: a pixel's zero after the shift is another one than before it. */
  readonly pads: boolean;
}

type Weights = ReadonlyMap<string, Float32Array>;

/** Keras' least deviation. */
const LEAST_DEVIATION = 1e-7;

/** The stem of a model; undefined where it is none, or its weights are used elsewhere too. */
export function stemOf({ layers }: Model, weights: Weights): Stem | undefined {
  const isShared = ({ index, repeats }: Layer): boolean => repeats !== undefined || layers.some((layer) => layer.repeats === index);
  const before: Layer[] = [];
  const channels = layers[0].outputShape.at(-1) ?? 0;
  const scale = new Float64Array(channels).fill(1);
  const shift = new Float64Array(channels);
  let pads = false;
  for (let at: Layer = layers[0]; ; ) {
    const readers = layers.filter(({ inputs }) => inputs.includes(at.index));
    if (readers.length !== 1 || readers[0].inputs.length !== 1 || isShared(readers[0])) return undefined;
    [at] = readers;
    if (at.type === 'Conv2D')
      return before.length > 0 && scale.every((s) => s !== 0 && Number.isFinite(s))
        ? { before, layer: at, pads: pads || isPadded(at), scale, shift }
        : undefined;
    if (at.type === 'ZeroPadding2D') {
      pads = true;
      continue;
    }
    const own = pads ? undefined : affineOf(at, channels, weights);
    if (!own) return undefined;
    before.push(at);
    for (let c = 0; c < channels; c++) {
      scale[c] *= own.scale[c];
      shift[c] = shift[c] * own.scale[c] + own.shift[c];
    }
  }
}

/** Whether zeros are put around what the convolution reads. */
export const isPadded = ({ inputShape: [height, width], config }: Layer<'Conv2D'>): boolean => {
  const { kernelSize, strides, padding, dilationRate } = config;
  const { pads } = placeWindow([height, width], kernelSize, { stride: strides, padding, dilation: dilationRate });
  return Object.values(pads).some((zeros) => zeros > 0);
};

function affineOf(layer: Layer, channels: number, weights: Weights): Affine | undefined {
  const each = (values: number | ArrayLike<number>): Float64Array =>
    Float64Array.from({ length: channels }, (_, c) => (typeof values === 'number' ? values : values[values.length === 1 ? 0 : c]));
  if (layer.type === 'Rescaling') return { scale: each(layer.config.scale), shift: each(layer.config.offset) };
  if (layer.type !== 'Normalization') return undefined;
  const of = (role: 'mean' | 'variance') => {
    const variable = layer.variables.find((variable) => variable.role === role);
    return each((variable ? weights.get(variable.name) : layer.config[role]) ?? Number.NaN);
  };
  const scale = of('variance').map((variance) => 1 / Math.max(Math.sqrt(variance), LEAST_DEVIATION));
  return { scale, shift: of('mean').map((mean, c) => -mean * scale[c]) };
}

/** Weights of a convolution or a dense layer. */
interface KernelAndBias {
  readonly kernel: Float32Array;
  readonly bias: Float32Array | undefined;
}

/**
 * Weights that do to x what the given ones do to x·scale + shift: W·(s·x + t) + b = (W·s)·x + (W·t + b).
 * @param outputs Last axis of the kernel; the one before it is that of the inputs of a group, which repeat after flattening, channel fastest.
 */
export function withAffine({ kernel, bias }: KernelAndBias, { scale, shift }: Affine, outputs: number, groups = 1): KernelAndBias {
  const sums = bias ? Float64Array.from(bias) : new Float64Array(outputs);
  const [inputs, filters] = [scale.length / groups, outputs / groups];
  const folded = kernel.map((w, i) => {
    const output = i % outputs;
    const channel = Math.floor(output / filters) * inputs + (Math.floor(i / outputs) % inputs);
    sums[output] += w * shift[channel];
    return w * scale[channel];
  });
  const isShifted = shift.some((t) => t !== 0);
  return { kernel: folded, bias: bias || isShifted ? Float32Array.from(sums) : undefined };
}

/**
 * The same model for inference alone: mean and deviation of the pixels in the weights of a first convolution that does not pad, which then reads
 * bytes. One factor for all channels is left as it is: devices multiply by it while they read. As it was where nothing is gained.
 */
export function forInference<T extends { readonly model: TrainableModel; readonly weights: Weights }>(
  trained: T,
): Pick<T, 'model' | 'weights'> {
  const { model, weights } = trained;
  if (!('layers' in model) || !model.config.network || model.variables.some(({ name }) => !weights.has(name))) return trained;
  const stem = stemOf(model, weights);
  if (!stem || stem.pads || !isWorth(stem)) return trained;
  const { kernel, bias } = withAffine(
    { kernel: weightOf(stem.layer, 'kernel', weights) as Float32Array, bias: weightOf(stem.layer, 'bias', weights) },
    stem,
    stem.layer.config.filters,
    stem.layer.config.groups,
  );
  const folded = withoutLayers(model, stem, bias !== undefined);
  const layer = folded.layers.find(({ path }) => path === stem.layer.path) as Layer;
  const own = new Map(layer.variables.map(({ name, role }) => [name, role === 'kernel' ? kernel : (bias as Float32Array)]));
  const isKnown = folded.variables.every(({ name }) => own.has(name) || weights.has(name));
  return isKnown ? { model: folded, weights: new Map([...weights, ...own]) } : trained;
}

const weightOf = ({ variables }: Layer, role: 'kernel' | 'bias', weights: Weights): Float32Array | undefined =>
  weights.get(variables.find((variable) => variable.role === role)?.name ?? '');

const isWorth = ({ scale, shift }: Affine): boolean => shift.some((t) => t !== 0) || scale.some((s) => s !== scale[0]);

/** The network without what comes before its first convolution. */
function withoutLayers(model: Model, { before, layer }: Stem, useBias: boolean): Model {
  const network = model.config.network as readonly NetworkLayer[];
  const dropped = before.map(({ index }) => index);
  // What read the last of them reads the images.
  const placeOf = (index: number): number => (dropped.includes(index) ? 0 : index - dropped.filter((other) => other < index).length);
  return readNetwork(
    model.arch,
    network.flatMap((at, index): NetworkLayer[] => {
      if (dropped.includes(index)) return [];
      const inputs = at.inputs.map(placeOf);
      if ('repeats' in at) return [{ ...at, inputs, repeats: placeOf(at.repeats) }];
      return [{ ...at, inputs, ...(index === layer.index && { config: { ...at.config, use_bias: useBias } }) }];
    }),
  );
}
