// Carries out tasks: some rows of a slot, from the source of the images to the prepared batch. Runs in each data worker, and on the
// calling thread where there are no workers.
//
// A task writes only its own rows, and what it writes is a function of the task alone: it can be run again, anywhere, with the
// same result.

import { copier, copyBytes } from '../base/bytes.ts';
import { HybridError, invariant } from '../base/errors.ts';
import { clock } from '../base/trace.ts';
import type { ImageShape } from './augment/augmentation.ts';
import { drawsOf } from './augment/augmentations.ts';
import { type MixOptions, mixImage, mixOf } from './augment/mix.ts';
import type { ImageReader, ImageSource, OpenReader, SharedImages } from './dataset.ts';
import { ImageKernels, type KernelCall, type KernelModule, type Normalization } from './kernels.ts';
import { Ring, type RingOptions, type Slot } from './ring.ts';

/** A feed, as it is sent to workers. */
export interface FeedSetup {
  readonly shape: ImageShape;
  readonly seed: bigint;
  /** Absent: the consumer's thread has read the images into the slot. */
  readonly source: ImageSource | undefined;
  readonly calls: readonly KernelCall[];
  readonly normalize: Normalization | undefined;
  /** How images are mixed with others of the set, which has `size`. */
  readonly mixing: (MixOptions & { readonly size: number }) | undefined;
  readonly ring: RingOptions;
  readonly buffer: SharedArrayBuffer;
}

export interface Task {
  /** Index of the feed. */
  readonly feed: number;
  readonly slot: number;
  readonly generation: number;
  readonly epoch: number;
  readonly first: number;
  readonly rows: number;
}

export class Preparer {
  readonly #feeds: readonly Feed[];
  /** Tasks follow one another, because they share the memory of the kernels, and readers make one call at a time. */
  #turn: Promise<void> = Promise.resolve();

  /** `thread`: a number that no other thread of the crew has. */
  static async open(module: KernelModule, setups: readonly FeedSetup[], thread = 0): Promise<Preparer> {
    return new Preparer(await Promise.all(setups.map((setup) => Feed.open(module, setup, thread))));
  }

  private constructor(feeds: readonly Feed[]) {
    this.#feeds = feeds;
  }

  run(task: Task): Promise<void> {
    const run = this.#turn.then(() => this.#feeds[task.feed].prepare(task));
    this.#turn = run.catch(() => {});
    return run;
  }
}

class Feed {
  readonly #setup: FeedSetup;
  readonly #thread: number;
  readonly #imageBytes: number;
  readonly #ring: Ring;
  /** Null: images are taken as they are. */
  readonly #kernels: ImageKernels | null;
  readonly #reader: ImageReader | null;

  static async open(module: KernelModule, setup: FeedSetup, thread: number): Promise<Feed> {
    return new Feed(module, setup, await openReader(setup), thread);
  }

  private constructor(module: KernelModule, setup: FeedSetup, reader: ImageReader | null, thread: number) {
    const { calls, normalize, ring, buffer } = setup;
    this.#setup = setup;
    this.#thread = thread;
    this.#imageBytes = ring.imageBytes;
    this.#ring = new Ring(ring, buffer);
    this.#kernels = calls.length > 0 || normalize ? new ImageKernels(module, setup) : null;
    this.#reader = reader;
  }

  async prepare({ slot: index, generation, epoch, first, rows }: Task): Promise<void> {
    const slot = this.#ring.slots[index];
    // Descriptors come from this program's own other half, but a wrong one would write over another batch without a word.
    invariant(first >= 0 && rows > 0 && first + rows <= this.#ring.options.capacity, `a task of rows ${first} to ${first + rows}`);
    const { progress, times } = slot.tasks[Math.floor(first / this.#ring.options.chunk)];
    times[0] = clock();
    Atomics.store(progress, 1, this.#thread + 1);
    const block = this.#kernels?.rows ?? 64;
    for (let row = first; row < first + rows; row += block) {
      if (Atomics.load(slot.generation, 0) !== generation) break; // called off
      const count = Math.min(block, first + rows - row);
      const pending = this.#block(slot, row, count, epoch);
      if (pending) await pending;
      const mixed = this.#mix(slot, row, count, epoch);
      if (mixed) await mixed;
      Atomics.add(progress, 0, 1);
    }
    times[1] = clock();
  }

  /** Without a promise where the reader has none: then a block costs no turn of the event loop. */
  #block(slot: Slot, row: number, rows: number, epoch: number): void | Promise<void> {
    const bytes = rows * this.#imageBytes;
    const from = row * this.#imageBytes;
    const images = slot.images.subarray(from, from + bytes);
    const kernels = this.#kernels;
    const target = kernels ? kernels.input.subarray(0, bytes) : images;
    const finish = () => {
      if (!kernels) return;
      copyBytes(images, kernels.run(slot.samples.subarray(row, row + rows), epoch));
      if (slot.floats) copyBytes(slot.floats.subarray(from), kernels.floats(rows));
    };
    const reading = this.#read(slot, slot.indices.subarray(row, row + rows), target);
    return reading ? reading.then(finish) : finish();
  }

  /** Mixes other images of the set into those of the rows, which are as they are without. */
  #mix(slot: Slot, row: number, rows: number, epoch: number): void | Promise<void> {
    const { mixing, seed, shape } = this.#setup;
    if (!mixing) return;
    const size = this.#imageBytes;
    const mixed = Array.from({ length: rows }, (_, i) => row + i).flatMap((at) => {
      const mix = mixOf(drawsOf(seed, epoch, slot.samples[at]), mixing, mixing.size, shape);
      return mix ? [{ at, mix }] : [];
    });
    if (mixed.length === 0) return;
    const indices = Int32Array.from(mixed, ({ at }) => slot.partners[at]);
    const target = this.#kernels?.input.subarray(0, indices.length * size) ?? new Uint8Array(indices.length * size);
    const finish = () => {
      const samples = Int32Array.from(mixed, ({ at }) => slot.partnerSamples[at]);
      const others = this.#kernels?.run(samples, epoch) ?? target;
      for (const [i, { at, mix }] of mixed.entries())
        mixImage(slot.images.subarray(at * size, (at + 1) * size), others.subarray(i * size, (i + 1) * size), shape, mix);
    };
    const reading = this.#read(slot, indices, target);
    return reading ? reading.then(finish) : finish();
  }

  /** Images of the source or, where the consumer's thread has read, of the slot. */
  #read(slot: Slot, indices: Int32Array, target: Uint8Array): void | Promise<void> {
    if (this.#reader) return this.#reader.read(indices, target);
    const raw = slot.raw as Uint8Array;
    const size = this.#imageBytes;
    for (const [i, index] of indices.entries()) copyBytes(target.subarray(i * size), raw.subarray(index * size, (index + 1) * size));
  }
}

async function openReader({ source, ring }: FeedSetup): Promise<ImageReader | null> {
  if (!source) return null;
  if (source.kind === 'shared') {
    const { bytes, offset, stride } = source;
    const { imageBytes } = ring;
    const copy = copier(bytes);
    return {
      read(indices, out) {
        touch(bytes, indices, source, imageBytes);
        for (let i = 0; i < indices.length; i++) {
          const from = offset + indices[i] * stride;
          copy(out, i * imageBytes, from, from + imageBytes);
        }
      },
    };
  }
  const { module, data, first } = source;
  const { openReader: open } = (await import(/* @vite-ignore */ /* webpackIgnore: true */ module)) as { openReader?: OpenReader };
  if (typeof open !== 'function') {
    throw new HybridError('E_DATA', `${module} exports no function openReader`, 'See ModuleImages in the documentation of Dataset.');
  }
  const reader = await open(data);
  if (first === 0) return reader;
  return {
    read: (indices, out) =>
      reader.read(
        indices.map((index) => index + first),
        out,
      ),
  };
}

/** Where `touch` leaves what it has read, so that no compiler finds its reads useless. */
export const touched = { sum: 0 };

/**
 * Reads a byte in a thousand of the images, which lie all over the memory. All these reads are under way at once, where copies wait for
 * memory one image after the other: with them a block is gathered in two thirds of the time.
 */
function touch(bytes: Uint8Array, indices: Int32Array, { offset, stride }: SharedImages, imageBytes: number): void {
  let sum = 0;
  for (let i = 0; i < indices.length; i++) {
    const from = offset + indices[i] * stride;
    for (let at = from; at < from + imageBytes; at += 1024) sum ^= bytes[at];
    sum ^= bytes[from + imageBytes - 1];
  }
  touched.sum = sum;
}
