// What the nodes of an ONNX graph make: constants, and values that follow from the images. Both are spoken of in ONNX's axes, without that of the
// samples; how a value lies here is its `order`, so that transpositions move nothing until somebody needs another order.

import type { OnnxFileTensor } from '../../formats/onnx-file.ts';
import type { LayerTensor } from '../../layers/functional.ts';
import { type Shape, sizeOf } from '../../layers/layer.ts';

/** Numbers that are known before any image is seen. One that depends on the number of samples is NaN. */
export class Constant {
  readonly shape: Shape;
  readonly isFloat: boolean;
  /** Where it came from, to name layers by it. */
  readonly name: string;
  readonly #values: () => ArrayLike<number>;
  #made: ArrayLike<number> | undefined;

  constructor(shape: Shape, values: ArrayLike<number> | (() => ArrayLike<number>), isFloat: boolean, name = '') {
    this.shape = shape;
    this.#values = typeof values === 'function' ? values : () => values;
    this.isFloat = isFloat;
    this.name = name;
  }

  static of(tensor: OnnxFileTensor): Constant {
    return new Constant(tensor.shape, () => tensor.values(), tensor.isFloat, tensor.name);
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  get values(): ArrayLike<number> {
    this.#made ??= this.#values();
    return this.#made;
  }
}

/** A number for all, or one for each place along the last axis here. */
export type Numbers = number | Float64Array;

/** What a value is, for the patterns that several nodes make together. */
export type Made =
  /** of·scale + offset. */
  | { readonly kind: 'affine'; readonly of: Value; readonly scale: Numbers; readonly offset: Numbers }
  | { readonly kind: 'sigmoid' | 'hardSigmoid' | 'softplus' | 'tanhOfSoftplus' | 'erf' | 'softmax'; readonly of: Value }
  /** A layer without a bias, which can have one. */
  | { readonly kind: 'unbiased'; with(bias: Float32Array): Value }
  /** Steps to a layer normalisation over one axis. */
  | { readonly kind: 'mean' | 'centered' | 'squared' | 'variance'; readonly of: Value; readonly axis: number }
  | { readonly kind: 'deviation'; readonly of: Value; readonly axis: number; readonly epsilon: number }
  /** A normalisation that lacks a factor or an addend for each channel. */
  | { readonly kind: 'normalized'; with(more: { readonly gamma?: Float32Array; readonly beta?: Float32Array }): Value | undefined };

/** A vector that was flattened as it lies here: which number of it is which of ONNX's. */
export interface Flat {
  /** Sizes here, before, and their axes in ONNX. */
  readonly sizes: Shape;
  readonly order: readonly number[];
  /** The same in ONNX's order. */
  inOrder(): LayerTensor;
}

interface Facts {
  readonly made?: Made;
  /** Whether no number of it can be below 0. */
  readonly notNegative?: boolean;
  /** Whether it is the images, with arithmetic at most; `bytes`: the file takes pixels from 0 to 255. */
  readonly isImage?: boolean | 'bytes';
  readonly flat?: Flat;
}

/** Elements of one sample: far beyond any network. */
export const MOST_ELEMENTS = 2 ** 31;

/** What follows from the images. */
export class Value {
  /** Without the samples. */
  readonly shape: Shape;
  /** The axis that is the k-th here. */
  readonly order: readonly number[];
  readonly facts: Facts;
  readonly #tensor: () => LayerTensor;
  #made: LayerTensor | undefined;

  /** @param tensor May be made when it is needed: what patterns take up needs no layer. */
  constructor(shape: Shape, order: readonly number[], tensor: LayerTensor | (() => LayerTensor), facts: Facts = {}) {
    this.shape = shape;
    this.order = order;
    this.facts = facts;
    this.#tensor = typeof tensor === 'function' ? tensor : () => tensor;
  }

  /** As it lies here: of `flat` values in the order of here. */
  get tensor(): LayerTensor {
    this.#made ??= this.#tensor();
    return this.#made;
  }

  get made(): Made | undefined {
    return this.facts.made;
  }

  /** The axis that is the last one here, which layers take for channels. */
  get last(): number {
    return this.order[this.order.length - 1];
  }

  /** With another tensor of the same shape, made of this one alone and element by element or by the last axis. */
  map(f: (x: LayerTensor) => LayerTensor, facts: Omit<Facts, 'flat'> = {}, isLazy = false): Value {
    const { flat } = this.facts;
    const make = () => f(this.tensor);
    return new Value(this.shape, this.order, isLazy ? make : make(), {
      ...facts,
      ...(flat && { flat: { ...flat, inOrder: () => f(flat.inOrder()) } }),
    });
  }
}

/** For each place of a flattened vector here, its place in ONNX's. */
export function placesOf({ sizes, order }: Flat): Int32Array {
  const shape = order.map((_, axis) => sizes[order.indexOf(axis)]);
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  return Int32Array.from({ length: sizeOf(sizes) }, (_, at) => {
    let place = 0;
    for (let k = sizes.length - 1, rest = at; k >= 0; k--) {
      place += (rest % sizes[k]) * strides[order[k]];
      rest = Math.floor(rest / sizes[k]);
    }
    return place;
  });
}
