// The graph builder that layers are built with: it knows what a model has besides ops, the images and the difference between training and
// inference.

import { PURPOSE } from '../base/philox.ts';
import { GraphBuilder, type ValueId } from '../ir/graph.ts';
import { ops } from '../ops/index.ts';
import type { Shape } from './layer.ts';

/** What a forward pass is for. */
export type Mode = 'train' | 'inference';

/** Paths of layers, such as `layers/conv2d`, whose parameters stay as they are. */
export type FrozenLayers = ReadonlySet<string>;

export class LayerBuilder extends GraphBuilder {
  /** In training batch normalisation uses the statistics of the batch, unless it is frozen, and dropout drops. */
  readonly mode: Mode;
  /** Whether the layer that is being built is in inference mode whatever the pass is for. */
  inference = false;
  /** Of the last layer: the activation that is left to the loss. */
  end: 'softmax' | 'sigmoid' | undefined;
  readonly #frozen: FrozenLayers | undefined;
  #images: ValueId | undefined;
  #floats: ValueId | undefined;
  #samples: ValueId | undefined;
  #dropouts = 0;

  constructor(name: string, mode: Mode, frozen?: FrozenLayers) {
    super(name, ops);
    this.mode = mode;
    this.#frozen = frozen;
  }

  /** Whether a layer is one that is trained, in a pass for training. */
  trains(path: string): boolean {
    return this.mode === 'train' && !this.inference && !this.#frozen?.has(path);
  }

  /** The input `images`, bytes; declared by the first call. */
  images(shape: Shape): ValueId {
    this.#images ??= this.input('images', { dtype: 'u8', shape, perSample: true });
    return this.#images;
  }

  /** The input `samples`, which random numbers are a function of; declared by the first call. */
  samples(): ValueId {
    this.#samples ??= this.input('samples', { dtype: 'i32', shape: [], perSample: true });
    return this.#samples;
  }

  /** x as floats: the bytes of images keep their value. */
  floats(x: ValueId): ValueId {
    if (this.spec(x).dtype === 'f32') return x;
    this.#floats ??= this.one('rescale', [x], { scale: 1 });
    return this.#floats;
  }

  /**
   * In training, zeros with probability `rate` in [0, 1), and the rest scaled up; nothing in inference. Elements along an axis of `shared` that is 1
   * have one fate.
   */
  dropout(x: ValueId, rate: number, shared?: Shape): ValueId {
    const purpose = PURPOSE.dropout + this.#dropouts++;
    if (this.mode === 'inference' || this.inference || rate === 0) return x;
    const { shape } = this.spec(x);
    if (!shared || `${shared}` === `${shape}`) return this.one('dropout', [x, this.samples()], { rate, purpose });
    const ones = this.one('fill', {}, { shape: shared, value: 1 });
    const mask = this.one('dropout', [ones, this.samples()], { rate, purpose });
    return this.one('mul', { a: x, b: this.repeated(mask, shape) });
  }

  /** x, whose axes are those of `shape` or 1, in that shape. Up to three axes. */
  repeated(x: ValueId, shape: Shape): ValueId {
    const own = this.spec(x).shape;
    if (`${own}` === `${shape}`) return x;
    const front = Array.from({ length: 3 - shape.length }, () => 1);
    const image = own.length === 3 ? x : this.one('reshape', { x }, { shape: [...front, ...own] });
    const times = [...front, ...shape.map((n, axis) => n / own[axis])];
    const y = this.one('repeat', { x: image }, { times });
    return shape.length === 3 ? y : this.one('reshape', { x: y }, { shape });
  }
}
