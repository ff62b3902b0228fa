// A model as an ONNX graph for inference: raw image bytes in, logits out. Every layer becomes the standard operators of set
// 17, by the rules in onnx/; images go through it channels first, as ONNX has them, between one transposition at the start and, where a head
// flattens them, one at the end.

import { writeOnnx } from '../formats/onnx.ts';
import { arranging } from './onnx/arranging.ts';
import { attention } from './onnx/attention.ts';
import { convolution } from './onnx/convolution.ts';
import { core } from './onnx/core.ts';
import { Emitter, type OnnxRules } from './onnx/emitter.ts';
import { framing } from './onnx/framing.ts';
import { merging } from './onnx/merging.ts';
import { normalization } from './onnx/normalization.ts';
import { pooling } from './onnx/pooling.ts';
import { cardOf, type TrainedModel } from './trained-model.ts';

const OPSET = 17;

export interface OnnxOptions {
  /**
   * Batch normalisation as one multiplication and one addition instead of the operator of that name, or not at all where the
   * next convolution or dense layer can take it up exactly: where nothing else reads it and no zero padding follows.
   */
  readonly foldBatchNorm?: boolean;
  /** Version of this program, for the metadata of the file. */
  readonly version?: string;
}

/**
 * An ONNX file. Input `images`: uint8 [batch, height, width, channels], pixels from 0 to 255 as a decoder gives them. Output
 * `logits`: float32 [batch, classes].
 */
export function toOnnx(trained: TrainedModel, { foldBatchNorm = false, version = '' }: OnnxOptions = {}): Uint8Array {
  const { model } = trained;
  const card = cardOf(trained);
  const emitter = new Emitter(trained, RULES, foldBatchNorm);
  emitter.run();
  return writeOnnx({
    name: model.arch,
    doc: `${model.arch}, an image classifier trained with hybrid. Input: image bytes; ${card.normalization}.`,
    opset: OPSET,
    producer: { name: 'hybrid', version },
    nodes: emitter.nodes,
    constants: emitter.constants,
    inputs: [{ name: 'images', type: 'uint8', shape: ['batch', ...model.input], doc: 'pixels from 0 to 255: row, column, channel' }],
    outputs: [{ name: 'logits', type: 'float', shape: ['batch', model.classes] }],
    metadata: new Map(Object.entries(card).map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)])),
  });
}

const RULES: OnnxRules = { ...core, ...convolution, ...pooling, ...normalization, ...merging, ...framing, ...arranging, ...attention };
