// Builds an ONNX graph layer by layer. What a layer becomes is told by the rules beside this file; what they share is here: values by layer,
// nodes, constants, and normalisations that later layers take up.

import type { OnnxNode, OnnxTensor } from '../../formats/onnx.ts';
import type { Layer, LayerType } from '../../layers/index.ts';
import type { Place, VariableRole } from '../../layers/layer.ts';
import type { Model } from '../../model/model.ts';
import { type Affine, type Stem, stemOf, withAffine } from '../../model/stem.ts';
import type { TrainedModel } from '../trained-model.ts';

/** What a layer becomes. Images go from layer to layer channels first. */
export interface OnnxRule<L extends Layer = Layer> {
  /** Adds nodes for the layer and returns the name of its value. `inputs` are names of values. */
  emit(e: Emitter, layer: L, inputs: readonly string[]): string;
  /**
   * Of a layer after a normalisation y = x·scale + shift: `takes` it into its weights exactly, or `passes` it on to the next layer, because
   * moving or averaging values commutes with it.
   */
  readonly affine?: 'takes' | 'passes' | ((layer: L) => 'takes' | 'passes' | undefined);
  /** Whether it reads the images as the bytes that they are, channels last. */
  readonly bytes?: true;
}

export type OnnxRules = { readonly [T in LayerType]: OnnxRule<Layer<T>> };

/** What a layer reads, with channels last where it is an image. */
export const channelsLast = (e: Emitter, { name, inputShape }: Pick<Place, 'name' | 'inputShape'>, x: string): string =>
  inputShape.length === 3 ? e.node('Transpose', `${name}/channels_last`, [x], { perm: [0, 2, 3, 1] }) : x;

/** What a layer made with channels last, as later layers expect it. */
export const channelsFirst = (e: Emitter, { name, outputShape }: Pick<Place, 'name' | 'outputShape'>, y: string): string =>
  outputShape.length === 3 ? e.node('Transpose', `${name}/channels_first`, [y], { perm: [0, 3, 1, 2] }) : y;

export class Emitter {
  readonly nodes: OnnxNode[] = [];
  readonly constants = new Map<string, OnnxTensor>();
  /** See `OnnxOptions.foldBatchNorm`. */
  readonly fold: boolean;
  readonly #rules: Readonly<Record<LayerType, OnnxRule>>;
  readonly #model: Model;
  readonly #weights: TrainedModel['weights'];
  /** Name of the value that each layer computes, by its index. */
  readonly #values: string[] = [];
  /** Normalisations that a later layer takes up, by the index of that layer. */
  readonly #absorbed = new Map<number, Affine>();
  /** Of the last layer: the activation that is left out. */
  end: 'softmax' | 'sigmoid' | undefined;
  #floats: string | undefined;

  constructor({ model, weights }: TrainedModel, rules: OnnxRules, fold: boolean) {
    this.#model = model;
    this.#weights = weights;
    this.#rules = rules as Readonly<Record<LayerType, OnnxRule>>;
    this.fold = fold;
  }

  run(): void {
    const { layers } = this.#model;
    const isOneUnit = layers[layers.length - 1].outputShape[0] === 1;
    const stem = stemOf(this.#model, this.#weights);
    for (const layer of layers) {
      if (stem?.before.includes(layer)) {
        this.#values.push(layer === stem.before[stem.before.length - 1] ? this.#pixelsFor(stem) : 'images');
        continue;
      }
      if (layer.index === layers.length - 1) this.end = isOneUnit ? 'sigmoid' : 'softmax';
      const rule = this.#rules[layer.type];
      const inputs = layer.inputs.map((index) =>
        rule.bytes || this.#model.layers[index].type !== 'InputLayer' ? this.#values[index] : this.#imageFloats(),
      );
      // Values of a further call have names of their own.
      const name = layer.repeats === undefined ? layer.name : `${layer.name}~${layer.index}`;
      this.#values.push(rule.emit(this, { ...layer, name } as Layer, inputs));
    }
    // A layer may be called that, and no two nodes may.
    let name = 'logits';
    while (this.nodes.some((node) => node.name === name)) name += '~';
    const result = this.#values[this.#values.length - 1];
    // One unit is the logit of the second of two classes.
    if (isOneUnit) this.node('Pad', name, [result, this.integers(`${name}/pads`, [0, 1, 0, 0])], {}, 'logits');
    else this.node('Identity', name, [result], {}, 'logits');
  }

  /** The value of a tensor of the layer. */
  weight(layer: Layer, role: VariableRole): Float32Array | undefined {
    const variable = layer.variables.find((variable) => variable.role === role);
    return variable && this.#weights.get(variable.name);
  }

  /** Shape of a tensor of the layer. */
  shapeOf = (layer: Layer, role: VariableRole): readonly number[] =>
    layer.variables.find((variable) => variable.role === role)?.shape ?? [];

  /**
   * Hands y = x·scale + shift after `layer` on to the layer that can take it up exactly: where nothing else reads it. Layers that only move or
   * average values may lie between. False: there is none.
   */
  absorb(layer: Layer, affine: Affine): boolean {
    const taker = this.#taker(layer);
    if (taker) this.#absorbed.set(taker.index, affine);
    return taker !== null;
  }

  #taker({ index }: Layer): Layer | null {
    const readers = this.#model.layers.filter(({ inputs }) => inputs.includes(index));
    // Weights that are used twice can take up one normalisation only, if that.
    if (readers.length !== 1 || this.#isShared(readers[0])) return null;
    const [reader] = readers;
    const { affine } = this.#rules[reader.type];
    const does = typeof affine === 'function' ? affine(reader) : affine;
    if (does === 'takes') return reader;
    return does === 'passes' ? this.#taker(reader) : null;
  }

  #isShared = ({ index, repeats }: Layer): boolean => repeats !== undefined || this.#model.layers.some((layer) => layer.repeats === index);

  /** Kernel and bias of a layer, with the normalisation before it if there is one to take up. */
  absorbed(layer: Layer): { readonly kernel: Float32Array; readonly bias: Float32Array | undefined } {
    const kernel = this.weight(layer, 'kernel') as Float32Array;
    const bias = this.weight(layer, 'bias');
    const affine = this.#absorbed.get(layer.index);
    if (!affine) return { kernel, bias };
    const groups = layer.type === 'Conv2D' ? layer.config.groups : 1;
    return withAffine({ kernel, bias }, affine, this.shapeOf(layer, 'kernel').at(-1) ?? 1, groups);
  }

  node(op: string, name: string, inputs: readonly string[], attributes: OnnxNode['attributes'] = {}, output = `${name}:0`): string {
    this.nodes.push({ op, name, inputs, output, attributes });
    return output;
  }

  constant(name: string, shape: readonly number[], data: Float32Array): string {
    this.constants.set(name, { shape, data });
    return name;
  }

  /** A list of whole numbers, such as a shape. */
  integers(name: string, values: readonly number[]): string {
    this.constants.set(name, { shape: [values.length], data: BigInt64Array.from(values, BigInt) });
    return name;
  }

  scalar(name: string, value: number): string {
    return this.constant(name, [], Float32Array.of(value));
  }

  /** A number, or a list of them by channel as what an image of that shape broadcasts with; `last`: whose channels come last. */
  byChannel(name: string, values: number | ArrayLike<number>, inputShape: readonly number[], last = false): string {
    if (typeof values === 'number') return this.scalar(name, values);
    const data = Float32Array.from(values);
    return this.constant(name, inputShape.length === 3 && !last ? [data.length, 1, 1] : [data.length], data);
  }

  /** The images as a stem reads them that takes up their mean and deviation. Where it pads, its zeros are those of pixels less their mean. */
  #pixelsFor({ layer, pads, scale, shift }: Stem): string {
    this.#absorbed.set(layer.index, pads ? { scale, shift: new Float64Array(scale.length) } : { scale, shift });
    if (!pads || shift.every((t) => t === 0)) return this.#imageFloats();
    const floats = this.node('Cast', 'images/cast', ['images'], { to: 1 });
    const addend = this.byChannel(
      'images/addend',
      shift.map((t, c) => t / scale[c]),
      this.#model.input,
      true,
    );
    return this.node('Transpose', 'images/channels_first', [this.node('Add', 'images/add', [floats, addend])], { perm: [0, 3, 1, 2] });
  }

  /** The images as floats, channels first, for layers that do not read bytes. */
  #imageFloats(): string {
    this.#floats ??= this.node('Transpose', 'images/channels_first', [this.node('Cast', 'images/cast', ['images'], { to: 1 })], {
      perm: [0, 3, 1, 2],
    });
    return this.#floats;
  }
}
