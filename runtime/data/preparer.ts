// Carries out tasks: some rows of a slot, from the source of the images to the prepared batch. Runs in each data worker, and on the
// calling thread where there are no workers.
//
// A task writes only its own rows, and what it writes is a function of the task alone: it can be run again, anywhere, with the
// same result.

import { threadId } from 'node:worker_threads';
import { bytesOf, copyBytes } from '../base/copy-bytes.ts';
import { HybridError, invariant } from '../base/errors.ts';
import { clock } from '../base/trace.ts';
import type { ImageShape } from './augment/augmentation.ts';
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

  static async open(module: KernelModule, setups: readonly FeedSetup[]): Promise<Preparer> {
    return new Preparer(await Promise.all(setups.map((setup) => Feed.open(module, setup))));
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
  readonly #imageBytes: number;
  readonly #ring: Ring;
  /** Null: images are taken as they are. */
  readonly #kernels: ImageKernels | null;
  readonly #reader: ImageReader | null;

  static async open(module: KernelModule, setup: FeedSetup): Promise<Feed> {
    return new Feed(module, setup, await openReader(setup));
  }

  private constructor(module: KernelModule, setup: FeedSetup, reader: ImageReader | null) {
    const { calls, normalize, ring, buffer } = setup;
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
    Atomics.store(progress, 1, threadId + 1);
    const block = this.#kernels?.rows ?? 64;
    for (let row = first; row < first + rows; row += block) {
      if (Atomics.load(slot.generation, 0) !== generation) break; // called off
      const pending = this.#block(slot, row, Math.min(block, first + rows - row), epoch);
      if (pending) await pending;
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
    if (!this.#reader) {
      copyBytes(target, (slot.raw as Uint8Array).subarray(from, from + bytes));
      return finish();
    }
    const reading = this.#reader.read(slot.indices.subarray(row, row + rows), target);
    return reading ? reading.then(finish) : finish();
  }
}

async function openReader({ source, ring }: FeedSetup): Promise<ImageReader | null> {
  if (!source) return null;
  if (source.kind === 'shared') {
    const { bytes, offset, stride } = source;
    const { imageBytes } = ring;
    // `copy` of a Buffer makes no view for each image.
    const images = bytesOf(bytes);
    return {
      read(indices, out) {
        touch(bytes, indices, source, imageBytes);
        for (let i = 0; i < indices.length; i++) {
          const from = offset + indices[i] * stride;
          images.copy(out, i * imageBytes, from, from + imageBytes);
        }
      },
    };
  }
  const { module, data, first } = source;
  const { openReader: open } = (await import(module)) as { openReader?: OpenReader };
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
