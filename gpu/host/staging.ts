// The ring of mappable buffers through which results come back: a run copies into one, and it is read when the run is done.

import { USAGE } from './binding.ts';
import type { Gpu } from './gpu.ts';

/** Losses and flags fit in the least; sizes double from there. */
const LEAST_BYTES = 256;

export interface Download {
  readonly buffer: GPUBuffer;
  /** Where each piece is to be copied to. */
  readonly offsets: readonly number[];
  /** The pieces, once all that was submitted before is done. */
  read(): Promise<ArrayBuffer[]>;
}

export class Staging {
  readonly #gpu: Gpu;
  /** Free buffers by size. */
  readonly #free = new Map<number, GPUBuffer[]>();
  #destroyed = false;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Takes a buffer for pieces of these sizes, whole words each. */
  prepare(sizes: readonly number[]): Download {
    let total = 0;
    const offsets = sizes.map((bytes) => {
      const offset = total;
      total += bytes;
      return offset;
    });
    let size = LEAST_BYTES;
    while (size < total) size *= 2;
    const buffer =
      this.#free.get(size)?.pop() ??
      this.#gpu.device.createBuffer({ label: `staging of ${size} bytes`, size, usage: USAGE.mapRead | USAGE.copyDst });
    return {
      buffer,
      offsets,
      read: async () => {
        const data = await this.#gpu.download(buffer, total);
        if (this.#destroyed) buffer.destroy();
        else this.#free.set(size, [...(this.#free.get(size) ?? []), buffer]);
        return offsets.map((offset, i) => data.slice(offset, offset + sizes[i]));
      },
    };
  }

  destroy(): void {
    this.#destroyed = true;
    for (const buffers of this.#free.values()) for (const buffer of buffers) buffer.destroy();
    this.#free.clear();
  }
}
