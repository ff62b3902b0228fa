// A trained model as a file for another program, by the name of a format. Formats are loaded when they are asked for.

import { type OptionNames, refuseUnknown, refuseUnknownOptions } from '../base/kinds.ts';
import { writeNpz } from '../formats/npz.ts';
import { writeSafetensors } from '../formats/safetensors.ts';
import { cardOf, NPZ_CARD, type TrainedModel } from './trained-model.ts';

/** File endings by format. */
export const EXPORT_FORMATS = {
  keras: '.keras',
  h5: '.weights.h5',
  onnx: '.onnx',
  safetensors: '.safetensors',
  npz: '.npz',
} as const;
/** A format that `exportModel` writes. */
export type ExportFormat = keyof typeof EXPORT_FORMATS;

/** Options for `exportModel`. */
export interface ExportOptions {
  /** ONNX only: see `OnnxOptions`. */
  readonly foldBatchNorm?: boolean;
  /** safetensors only: `torch` for PyTorch's names and layouts instead of Keras'. */
  readonly layout?: 'keras' | 'torch';
  /** safetensors only: weights of 16 bits, half the size. */
  readonly half?: boolean;
  /** Version of this program, for formats with metadata. */
  readonly version?: string;
}

const OPTIONS: OptionNames<ExportOptions> = { foldBatchNorm: true, layout: true, half: true, version: true };

/**
 * The contents of the file. The weights are the same in all formats (but for `half`); the state of the optimizer goes into Keras' own two. Throws E_USAGE for an unknown format or option.
 *
 * @category Weights and files
 */
export async function exportModel(trained: TrainedModel, format: ExportFormat, options: ExportOptions = {}): Promise<Uint8Array> {
  refuseUnknown([format], Object.keys(EXPORT_FORMATS), 'exportModel');
  refuseUnknownOptions(options, OPTIONS, 'exportModel');
  switch (format) {
    case 'keras':
      return (await import('./keras.ts')).writeKeras(trained);
    case 'h5':
      return (await import('./keras.ts')).writeKerasWeights(trained);
    case 'onnx':
      return (await import('./onnx.ts')).toOnnx(trained, options);
    case 'safetensors': {
      const torch = options.layout === 'torch';
      const tensors = torch ? (await import('./torch.ts')).torchTensors(trained) : kerasTensors(trained);
      const metadata = new Map([
        ['format', torch ? 'pt' : 'keras'],
        // A card names the model of weights in Keras' layouts; these are in others.
        [torch ? 'about' : 'hybrid', JSON.stringify(cardOf(trained))],
      ]);
      return writeSafetensors(new Map([...tensors].map(([name, tensor]) => [name, { ...tensor, half: options.half }])), metadata);
    }
    case 'npz':
      return writeNpz(kerasTensors(trained), new Map([[NPZ_CARD, new TextEncoder().encode(JSON.stringify(cardOf(trained)))]]));
  }
}

function kerasTensors({ model, weights }: TrainedModel) {
  return new Map(model.variables.map(({ name, shape }) => [name, { shape, data: weights.get(name) as Float32Array }]));
}
