// A model as an ONNX graph for inference: raw image bytes in, logits out. Every layer becomes the standard operators of set
// 17; images go through it channels first, as ONNX has them, between one transposition at the start and, where a head
// flattens them, one at the end.

import { type OnnxNode, type OnnxTensor, writeOnnx } from '../formats/onnx.ts';
import type { Layer } from '../model/layers.ts';
import type { Model } from '../model/model.ts';
import { channelsFirst } from './layouts.ts';
import { cardOf, type TrainedModel } from './trained-model.ts';

const OPSET = 17;

export interface OnnxOptions {
  /**
   * Batch normalisation as one multiplication and one addition instead of the operator of that name, or not at all where the
   * next convolution or dense layer can take it up exactly: where nothing else reads it and no zero padding follows.
   */
  readonly foldBatchNorm?: boolean;
  /** Of this program, for the file's own record. */
  readonly version?: string;
}

/**
 * An ONNX file. Input `images`: uint8 [batch, height, width, channels], pixels from 0 to 255 as a decoder gives them. Output
 * `logits`: float32 [batch, classes].
 */
export function toOnnx(trained: TrainedModel, { foldBatchNorm = false, version = '' }: OnnxOptions = {}): Uint8Array {
  const { model } = trained;
  const card = cardOf(trained);
  const emitter = new Emitter(trained, foldBatchNorm);
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

/** y = x·scale + shift, by channel. */
interface Affine {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

class Emitter {
  readonly nodes: OnnxNode[] = [];
  readonly constants = new Map<string, OnnxTensor>();
  readonly #model: Model;
  readonly #weights: TrainedModel['weights'];
  readonly #fold: boolean;
  /** Name of the value that each layer computes, by its index. */
  readonly #values: string[] = [];
  /** Normalisations that a later layer takes up, by the index of that layer. */
  readonly #absorbed = new Map<number, Affine>();

  constructor({ model, weights }: TrainedModel, fold: boolean) {
    this.#model = model;
    this.#weights = weights;
    this.#fold = fold;
  }

  run(): void {
    for (const layer of this.#model.layers)
      this.#values.push(
        this.#layer(
          layer,
          layer.inputs.map((index) => this.#values[index]),
        ),
      );
    this.#node('Identity', 'logits', [this.#values[this.#values.length - 1]], {}, 'logits');
  }

  #layer(layer: Layer, inputs: readonly string[]): string {
    const { name } = layer;
    const [x] = inputs;
    switch (layer.type) {
      case 'InputLayer':
        return 'images';
      case 'Rescaling': {
        const floats = this.#node('Cast', `${name}/cast`, [x], { to: 1 });
        const scaled = this.#node('Mul', name, [floats, this.#scalar(`${name}/scale`, layer.scale)]);
        return this.#node('Transpose', `${name}/channels_first`, [scaled], { perm: [0, 3, 1, 2] });
      }
      case 'Conv2D':
        return this.#activate(this.#convolution(layer, x), layer.activation, name);
      case 'DepthwiseConv2D':
        return this.#convolution(layer, x);
      case 'Dense': {
        const { kernel, bias } = this.#absorb(layer);
        const inputs = [
          x,
          this.#constant(`${name}/kernel`, layer.variables[0].shape, kernel),
          this.#constant(`${name}/bias`, [layer.units], bias),
        ];
        return this.#activate(this.#node('Gemm', name, inputs), layer.activation, name);
      }
      case 'Activation':
        return this.#activate(x, layer.activation, name);
      case 'BatchNormalization':
        return this.#normalization(layer, x);
      case 'Add':
        return this.#node('Add', name, inputs);
      case 'MaxPooling2D':
        return this.#node('MaxPool', name, [x], { kernel_shape: [2, 2], strides: [2, 2] });
      case 'GlobalAveragePooling2D': {
        const pooled = this.#node('GlobalAveragePool', `${name}/pool`, [x]);
        return this.#node('Flatten', name, [pooled], { axis: 1 });
      }
      case 'Flatten': {
        const channelsLast = this.#node('Transpose', `${name}/channels_last`, [x], { perm: [0, 2, 3, 1] });
        return this.#node('Flatten', name, [channelsLast], { axis: 1 });
      }
      case 'Dropout':
        return x;
    }
  }

  #convolution(layer: Extract<Layer, { type: 'Conv2D' | 'DepthwiseConv2D' }>, x: string): string {
    const { name, kernel: size, inputShape } = layer;
    const { stride, padding } = layer.type === 'Conv2D' ? layer : { stride: 1, padding: 'same' };
    const { kernel, bias } = this.#absorb(layer);
    const first = channelsFirst(layer.variables[0].shape, kernel, layer.type);
    const pads = (axis: 0 | 1): [number, number] => {
      if (padding === 'valid') return [0, 0];
      const n = inputShape[axis];
      const total = Math.max((Math.ceil(n / stride) - 1) * stride + size - n, 0);
      return [total >> 1, total - (total >> 1)];
    };
    const [[top, bottom], [left, right]] = [pads(0), pads(1)];
    return this.#node(
      'Conv',
      name,
      [x, this.#constant(`${name}/kernel`, first.shape, first.data), this.#constant(`${name}/bias`, [bias.length], bias)],
      {
        kernel_shape: [size, size],
        strides: [stride, stride],
        pads: [top, left, bottom, right],
        group: layer.type === 'DepthwiseConv2D' ? inputShape[2] : 1,
      },
    );
  }

  #normalization(layer: Extract<Layer, { type: 'BatchNormalization' }>, x: string): string {
    const { name, epsilon, inputShape } = layer;
    const [gamma, beta, mean, variance] = layer.variables.map((variable) => this.#weights.get(variable.name) as Float32Array);
    const channels = inputShape[2];
    if (!this.#fold) {
      const inputs = Object.entries({ gamma, beta, mean, variance }).map(([what, data]) =>
        this.#constant(`${name}/${what}`, [channels], data),
      );
      return this.#node('BatchNormalization', name, [x, ...inputs], { epsilon: { float: epsilon } });
    }
    const scale = Float64Array.from(gamma, (g, c) => g / Math.sqrt(variance[c] + epsilon));
    const shift = Float64Array.from(beta, (b, c) => b - mean[c] * scale[c]);
    const taker = this.#taker(layer);
    if (taker) {
      this.#absorbed.set(taker.index, { scale, shift });
      return x;
    }
    const constant = (what: string, values: Float64Array) => this.#constant(`${name}/${what}`, [channels, 1, 1], Float32Array.from(values));
    return this.#node('Add', name, [this.#node('Mul', `${name}/mul`, [x, constant('scale', scale)]), constant('shift', shift)]);
  }

  /** The convolution or dense layer that can take up a normalisation exactly; layers that only move or average values may lie between. */
  #taker({ index }: Layer): Layer | null {
    const readers = this.#model.layers.filter(({ inputs }) => inputs.includes(index));
    if (readers.length !== 1) return null;
    const [reader] = readers;
    switch (reader.type) {
      case 'Dense':
        return reader;
      case 'Conv2D':
        return reader.padding === 'valid' || reader.kernel === 1 ? reader : null;
      case 'GlobalAveragePooling2D':
      case 'Flatten':
      case 'Dropout':
        return this.#taker(reader);
      default:
        return null;
    }
  }

  /** Kernel and bias of a layer, with the normalisation before it if there is one to take up: W·(s·x + t) + b = (W·s)·x + (W·t + b). */
  #absorb(layer: Layer): { kernel: Float32Array; bias: Float32Array } {
    const [kernel, bias] = layer.variables.map(({ name }) => this.#weights.get(name) as Float32Array);
    const affine = this.#absorbed.get(layer.index);
    if (!affine) return { kernel, bias };
    const { scale, shift } = affine;
    const outputs = bias.length;
    const sums = Float64Array.from(bias);
    // The last axis but one is the input's channels; after flattening they repeat, the channel fastest.
    const folded = kernel.map((w, i) => {
      const channel = Math.floor(i / outputs) % scale.length;
      sums[i % outputs] += w * shift[channel];
      return w * scale[channel];
    });
    return { kernel: folded, bias: Float32Array.from(sums) };
  }

  #activate(x: string, activation: 'gelu' | 'relu' | undefined, name: string): string {
    if (activation === undefined) return x;
    if (activation === 'relu') return this.#node('Relu', `${name}/relu`, [x]);
    // x/√2, erf, + 1, · x, · 1/2 in this order is the form that ONNX Runtime knows and replaces by one kernel.
    const divided = this.#node('Div', `${name}/gelu/div`, [x, this.#scalar('gelu/sqrt2', Math.SQRT2)]);
    const erf = this.#node('Erf', `${name}/gelu/erf`, [divided]);
    const plusOne = this.#node('Add', `${name}/gelu/add`, [erf, this.#scalar('gelu/one', 1)]);
    const product = this.#node('Mul', `${name}/gelu/mul`, [x, plusOne]);
    return this.#node('Mul', `${name}/gelu`, [product, this.#scalar('gelu/half', 0.5)]);
  }

  #node(op: string, name: string, inputs: readonly string[], attributes: OnnxNode['attributes'] = {}, output = `${name}:0`): string {
    this.nodes.push({ op, name, inputs, output, attributes });
    return output;
  }

  #constant(name: string, shape: readonly number[], data: Float32Array): string {
    this.constants.set(name, { shape, data });
    return name;
  }

  #scalar(name: string, value: number): string {
    return this.#constant(name, [], Float32Array.of(value));
  }
}
