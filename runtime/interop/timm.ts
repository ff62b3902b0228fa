// ConvMixers as timm (PyTorch Image Models) names and lays them out: `stem`, `blocks`, `head`, channels first.

import { HybridError } from '../base/errors.ts';
import type { Layer } from '../layers/index.ts';
import type { Shape } from '../layers/layer.ts';
import { buildModel, type MixerActivation, type ModelOptions } from '../model/architectures.ts';
import type { Model } from '../model/model.ts';
import { fromTorch } from './torch.ts';
import { numberedClasses, type SavedTensor, type TrainedModel } from './trained-model.ts';

/** What a file of such weights does not say. */
export interface TimmOptions {
  /** That of timm's model of these measures by default: ReLU of convmixer_768_32, GELU of all others. */
  readonly activation?: MixerActivation;
  /** [height, width] of the images; 224 × 224 by default. */
  readonly imageSize?: readonly [number, number];
}

/** What timm subtracts from pixels from 0 to 1, and divides by: mean and deviation of ImageNet's. */
const MEAN = [0.485, 0.456, 0.406];
const DEVIATION = [0.229, 0.224, 0.225];
const EPSILON = 1e-5;
const IMAGE_SIZE = [224, 224] as const;

/** Whether the names are those of such a file. */
export const isTimmConvmixer = (names: { has(name: string): boolean }): boolean =>
  ['stem.0.weight', 'stem.2.running_mean', 'blocks.0.0.fn.0.weight', 'blocks.0.1.weight', 'head.weight'].every((name) => names.has(name));

/**
 * The model of such a file. Mean and deviation of the pixels are folded into the first layer, which does not pad: the model takes bytes.
 *
 * @throws HybridError E_CHECKPOINT where a tensor is missing, of another shape, or not of such a model.
 */
export function readTimmConvmixer(
  tensors: ReadonlyMap<string, SavedTensor>,
  source: string,
  { activation: given, imageSize = IMAGE_SIZE }: TimmOptions = {},
): TrainedModel {
  const shapeOf = (name: string): Shape => tensors.get(name)?.shape ?? [];
  const [dim, channels, patch] = shapeOf('stem.0.weight');
  const [, , kernel] = shapeOf('blocks.0.0.fn.0.weight');
  const [classes] = shapeOf('head.weight');
  let depth = 0;
  while (tensors.has(`blocks.${depth}.0.fn.0.weight`)) depth++;
  // The one with another activation, which nothing in a file tells.
  const activation = given ?? (dim === 768 && depth === 32 && kernel === 7 ? 'relu' : 'gelu');
  const options: ModelOptions = {
    ...{ input: [...imageSize, channels], classes, dim, depth, kernel, patch, activation, epsilon: EPSILON, dropout: 0 },
  };
  const model = modelOfSizes(options, source);
  const blocks = Array.from({ length: depth }, (_, i) => [`blocks.${i}.0.fn.0`, `blocks.${i}.0.fn.2`, `blocks.${i}.1`, `blocks.${i}.3`]);
  const weights = fromTorch(model, ['stem.0', 'stem.2', ...blocks.flat(), 'head'], tensors, source);
  const isColour = channels === MEAN.length;
  if (isColour) foldNormalization(weights, model);
  const folded = isColour ? "; ImageNet's mean and deviation are folded into its first layer" : '';
  const taken = given ? '' : `, and its activation is taken to be ${activation}: name it with \`activation\` otherwise`;
  return {
    model,
    weights,
    classes: numberedClasses(model),
    preprocessing: { crop: 0.96, interpolation: 'cubic' },
    notices: [`${source} is read as a ConvMixer of timm${folded}${taken}.`],
  };
}

/** The model, where the sizes that a file claims are those of one. */
function modelOfSizes(options: ModelOptions, source: string): Model {
  const { dim = 0, depth = 0, classes } = options;
  const fits = [...options.input, classes, dim, options.kernel, options.patch].every((n) => Number.isInteger(n) && Number(n) <= LARGEST);
  if (fits && depth <= DEEPEST) {
    try {
      return buildModel('convmixer', options);
    } catch (cause) {
      if (!(cause instanceof HybridError)) throw cause;
      throw new HybridError('E_CHECKPOINT', `${source} is not a ConvMixer that can be built: ${cause.message}`, cause.remedy, { cause });
    }
  }
  throw new HybridError('E_CHECKPOINT', `${source} claims a ConvMixer of impossible sizes`, 'It is damaged, or of another network.');
}

/** Far beyond any model: a number from a file must not decide how long this takes. */
const LARGEST = 65_536;
const DEEPEST = 1000;

/** (x − mean)/deviation, then the first layer: the same as a first layer with other weights, where no zeros are put around the image. */
function foldNormalization(weights: Map<string, Float32Array>, { layers }: Model): void {
  const { variables } = layers.find(({ variables }) => variables.length > 0) as Layer;
  const [kernel, bias] = variables.map(({ name }) => weights.get(name) as Float32Array);
  const filters = bias.length;
  const sums = Float64Array.from(bias);
  for (let i = 0; i < kernel.length; i++) {
    const channel = Math.floor(i / filters) % MEAN.length;
    const scaled = kernel[i] / DEVIATION[channel];
    kernel[i] = scaled;
    sums[i % filters] -= scaled * MEAN[channel];
  }
  bias.set(sums);
}
