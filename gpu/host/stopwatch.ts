// Times of the dispatches of a run, for profiles: a pass each, with timestamps. (Timestamps exist only at the ends of passes.)

import { HybridError } from '../../runtime/base/errors.ts';
import { USAGE } from './binding.ts';
import type { Gpu } from './gpu.ts';

export const tellsTime = ({ device }: Gpu): boolean => device.features.has('timestamp-query');

export class Stopwatch {
  readonly #gpu: Gpu;
  readonly #count: number;
  readonly #stamps: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #staging: GPUBuffer;

  /** Throws E_ENVIRONMENT where the GPU does not support timestamp queries. */
  constructor(gpu: Gpu, count: number) {
    if (!tellsTime(gpu)) {
      throw new HybridError(
        'E_ENVIRONMENT',
        `${gpu.adapter.name} does not support timestamp queries (timestamp-query)`,
        'Measure whole steps: `hybrid bench train`.',
      );
    }
    this.#gpu = gpu;
    this.#count = count;
    const { device } = gpu;
    const size = 16 * count;
    this.#stamps = device.createQuerySet({ type: 'timestamp', count: 2 * count });
    this.#resolved = device.createBuffer({ label: 'stamps', size, usage: USAGE.queryResolve | USAGE.copySrc });
    this.#staging = device.createBuffer({ label: 'stamps to read', size, usage: USAGE.mapRead | USAGE.copyDst });
  }

  ofPass(index: number): GPUComputePassTimestampWrites {
    return { querySet: this.#stamps, beginningOfPassWriteIndex: 2 * index, endOfPassWriteIndex: 2 * index + 1 };
  }

  resolve(encoder: GPUCommandEncoder): void {
    encoder.resolveQuerySet(this.#stamps, 0, 2 * this.#count, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#staging, 0, 16 * this.#count);
  }

  /**
   * Milliseconds of the GPU's clock: the begin of the first dispatch, then the end of each. (A pass may be stamped as begun before the
   * barrier that it waits at.)
   */
  async times(): Promise<number[]> {
    const stamps = new BigUint64Array(await this.#gpu.download(this.#staging, 16 * this.#count));
    return [0, ...Array.from({ length: this.#count }, (_, i) => 2 * i + 1)].map((at) => Number(stamps[at]) / 1e6);
  }

  /** Milliseconds of each dispatch, from the end of the one before to its own. */
  async read(): Promise<number[]> {
    const times = await this.times();
    return times.slice(1).map((end, i) => end - times[i]);
  }

  destroy(): void {
    this.#stamps.destroy();
    this.#resolved.destroy();
    this.#staging.destroy();
  }
}
