// The data kernels (asm/data) on a block of images at a time, in a memory of their own: small enough to stay in the cache, and
// out of reach of whoever else is at work. Workers and, where there are none, the calling thread use the same.

import { invariant } from '../base/errors.ts';
import { philoxKey } from '../base/philox.ts';
import { ceilTo } from '../base/units.ts';
import type { ImageSet, ImageShape } from './augment/augmentation.ts';
import type { AugmentOptions } from './augment/augmentations.ts';
import { activeAugmentations } from './augment/augmentations.ts';
import { HEADER, wordsOf } from './words.ts';

/** A kernel and its own arguments: what is sent to workers. */
export interface KernelCall {
  readonly kernel: string;
  readonly inPlace: boolean;
  readonly args: readonly number[];
}

/** y = f32(x)·scale + shift, a value a channel. */
export interface Normalization {
  readonly scale: readonly number[];
  readonly shift: readonly number[];
}

/** What makes (x / 255 − mean) / std of bytes; both between 0 and 1, a value a channel. */
export function normalization(mean: readonly number[], std: readonly number[]): Normalization {
  return { scale: std.map((s) => 1 / (255 * s)), shift: mean.map((m, c) => -m / std[c]) };
}

/** The calls that turn what a reader gives into what a batch has. */
export function kernelCalls(layout: 'interleaved' | 'planar', augment: AugmentOptions | undefined, set: ImageSet): KernelCall[] {
  const calls: KernelCall[] = layout === 'planar' ? [{ kernel: 'interleave', inPlace: false, args: [] }] : [];
  for (const { kernel, inPlace, args } of activeAugmentations(augment, set.shape)) {
    calls.push({ kernel, inPlace, args: wordsOf(kernel, args(augment as AugmentOptions, set)) });
  }
  return calls;
}

/**
 * A compiled module, `WebAssembly.Module`: a name that is in TypeScript's library for browsers only, and so must not be in the declarations that
 * users of this package read.
 */
export type KernelModule = object;

type Kernel = (rows: number, from: number, to: number, samples: number, args: number) => void;

/** A call with the addresses that it takes. */
interface PlacedCall {
  readonly kernel: Kernel;
  readonly inPlace: boolean;
  readonly args: number;
}

/** What `ImageKernels` are made for: images of one shape, the kernels to run, and the key of their draws. */
export interface ImageKernelsOptions {
  readonly shape: ImageShape;
  readonly seed: bigint;
  readonly calls: readonly KernelCall[];
  /** Absent: no float32 form. */
  readonly normalize?: Normalization;
}

/** About what a core's second-level cache holds of images before and after a kernel, with room for everything else. */
const BLOCK_BYTES = 96 * 1024;
const PAGE_BYTES = 65_536;
/** Index of the epoch among the arguments of a kernel. */
const EPOCH = HEADER.indexOf('epoch');
const align = (address: number): number => ceilTo(address, 64);

/** The data kernels in WebAssembly: they turn images as they are stored into those of a batch, block by block, on the thread that calls. */
export class ImageKernels {
  /** Images of a block at most. */
  readonly rows: number;
  /** Where the images of a block go in, one after the other. */
  readonly input: Uint8Array;
  readonly #calls: readonly PlacedCall[];
  readonly #normalize: PlacedCall | undefined;
  readonly #epochs: readonly Float64Array[];
  readonly #samples: Int32Array;
  readonly #images: readonly [number, number];
  readonly #floats: number;
  readonly #imageBytes: number;
  readonly #buffer: ArrayBuffer;
  /** Which of the two places has the images now. */
  #current = 0;

  constructor(module: KernelModule, { shape, seed, calls, normalize }: ImageKernelsOptions) {
    const [height, width, channels] = shape;
    const rowBytes = width * channels;
    this.#imageBytes = height * rowBytes;
    this.rows = Math.max(1, Math.min(64, Math.floor(BLOCK_BYTES / this.#imageBytes)));

    // | samples | scratch | guard | images | guard | images | guard | floats | arguments |
    let end = 1024;
    const place = (bytes: number): number => {
      const address = end;
      end = align(end + bytes);
      return address;
    };
    const guard = rowBytes + 64;
    const samples = place(this.rows * 4);
    const scratch = place(8 * rowBytes + 2048 + guard);
    const blockBytes = this.rows * this.#imageBytes + guard;
    this.#images = [place(blockBytes), place(blockBytes)];
    this.#floats = place(normalize ? 4 * this.rows * this.#imageBytes : 0);
    const [seedLow, seedHigh] = philoxKey(seed);
    const values = { height, width, channels, seedLow, seedHigh, epoch: 0, scratch };
    const header = HEADER.map((word) => values[word]);
    const all: KernelCall[] = [...calls];
    if (normalize) all.push({ kernel: 'normalize', inPlace: false, args: wordsOf('normalize', { ...normalize }).map(Math.fround) });
    const blocks = all.map(({ args }) => ({ words: [...header, ...args], address: place(8 * (header.length + args.length)) }));

    const pages = Math.ceil(end / PAGE_BYTES);
    const memory = new WebAssembly.Memory<ArrayBuffer>({ initial: pages, maximum: pages, shared: false });
    this.#buffer = memory.buffer;
    const { exports } = new WebAssembly.Instance(module as WebAssembly.Module, { env: { memory } });
    const placed = all.map(({ kernel, inPlace }, i): PlacedCall => {
      const code = exports[kernel];
      invariant(typeof code === 'function', `there is no data kernel ${kernel}`);
      return { kernel: code as Kernel, inPlace, args: blocks[i].address };
    });
    this.#epochs = blocks.map(({ words, address }) => {
      const block = new Float64Array(this.#buffer, address, words.length);
      block.set(words);
      return block.subarray(EPOCH, EPOCH + 1);
    });
    this.#normalize = normalize && placed.pop();
    this.#calls = placed;
    this.#samples = new Int32Array(this.#buffer, samples, this.rows);
    this.input = new Uint8Array(this.#buffer, this.#images[0], this.rows * this.#imageBytes);
  }

  /** Runs the kernels on the first images of `input`, one for each of `samples`. The result is valid until the next run. */
  run(samples: Int32Array, epoch: number): Uint8Array {
    this.#samples.set(samples);
    for (const word of this.#epochs) word[0] = epoch;
    this.#current = 0;
    for (const { kernel, inPlace, args } of this.#calls) {
      const from = this.#images[this.#current];
      if (!inPlace) this.#current = 1 - this.#current;
      kernel(samples.length, from, this.#images[this.#current], this.#samples.byteOffset, args);
    }
    return new Uint8Array(this.#buffer, this.#images[this.#current], samples.length * this.#imageBytes);
  }

  /** The float32 form of the `rows` images of the last run. */
  floats(rows: number): Float32Array {
    invariant(this.#normalize, 'the kernels have no float32 form');
    this.#normalize.kernel(rows, this.#images[this.#current], this.#floats, 0, this.#normalize.args);
    return new Float32Array(this.#buffer, this.#floats, rows * this.#imageBytes);
  }
}
