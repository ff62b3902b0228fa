// The slots of a feed: whole batches in shared memory, allocated once. A slot says which images its batch has and takes the
// prepared images; its control words let both sides see how far each task is. The same class reads and writes on both sides.
//
// A slot is FREE, then being filled by tasks, then ready, then in use by the consumer, then FREE again. Who may do what is known
// on the consumer's thread alone (loader.ts); workers only ever look at the generation, which the consumer changes to call a fill off.

import { shared as sharedMemory } from '../base/shared.ts';
import { ceilTo } from '../base/units.ts';
import type { Shared } from './dataset.ts';

export interface RingOptions {
  readonly slots: number;
  /** Rows of a slot. */
  readonly capacity: number;
  readonly imageBytes: number;
  /** Rows of a task: each slot has a line of control words for each. */
  readonly chunk: number;
  /** Whether there is a float32 form beside the bytes. */
  readonly floats: boolean;
  /** Whether slots have a place for images that the consumer's thread reads itself. */
  readonly raw: boolean;
  /** Whether another image is mixed into some rows. */
  readonly pairs: boolean;
}

export interface Slot {
  /** Index in the source of each row's image; where the consumer's thread reads, that of its place in `raw`. */
  readonly indices: Int32Array;
  /** Index in the whole set of each row, which keys its draws. */
  readonly samples: Int32Array;
  /** Both of the image that is mixed into a row, where one is. */
  readonly partners: Int32Array;
  readonly partnerSamples: Int32Array;
  /** The batch: rows × image bytes. */
  readonly images: Uint8Array & Shared;
  readonly floats: (Float32Array & Shared) | null;
  /** Images as they were read, before any kernel. */
  readonly raw: (Uint8Array & Shared) | null;
  /** Word 0 of the slot: its generation. A task of another one is called off. */
  readonly generation: Int32Array;
  /** One a task. */
  readonly tasks: readonly TaskWords[];
}

/** What a task tells while it runs. */
export interface TaskWords {
  /** [blocks done, id of the worker's thread; 0: not started] */
  readonly progress: Int32Array;
  /** Begin and end of the last run, in milliseconds of the machine's monotonic clock. */
  readonly times: Float64Array;
}

/** Nobody's writes share a cache line, or the pair of lines that is fetched together, with another's. */
const LINE = 128;
const align = (bytes: number): number => ceilTo(bytes, LINE);

/** Rows of a task and how many there are in a batch of so many rows. */
export const tasksOf = (rows: number, chunk: number): number => Math.ceil(rows / chunk);

export class Ring {
  /** All that the other side needs to see the same slots. */
  readonly buffer: SharedArrayBuffer;
  readonly options: RingOptions;
  readonly slots: readonly Slot[];

  constructor(options: RingOptions, buffer?: SharedArrayBuffer) {
    const { slots, capacity, imageBytes, chunk, floats, raw, pairs } = options;
    const paired = pairs ? capacity : 0;
    const tasks = tasksOf(capacity, chunk);
    const lines = (1 + tasks) * LINE;
    const sizes = [
      lines,
      4 * capacity,
      4 * capacity,
      capacity * imageBytes,
      floats ? 4 * capacity * imageBytes : 0,
      raw ? (capacity + paired) * imageBytes : 0,
      4 * paired,
      4 * paired,
    ];
    const slotBytes = sizes.reduce((sum, bytes) => sum + align(bytes), 0);
    const shared = buffer ?? sharedMemory(slots * slotBytes);
    this.buffer = shared;
    this.options = options;
    this.slots = Array.from({ length: slots }, (_, slot) => {
      const at = sizes.map((__, i) => sizes.slice(0, i).reduce((sum, bytes) => sum + align(bytes), slot * slotBytes));
      return {
        indices: new Int32Array(shared, at[1], capacity),
        samples: new Int32Array(shared, at[2], capacity),
        images: new Uint8Array(shared, at[3], capacity * imageBytes),
        floats: floats ? new Float32Array(shared, at[4], capacity * imageBytes) : null,
        raw: raw ? new Uint8Array(shared, at[5], (capacity + paired) * imageBytes) : null,
        partners: new Int32Array(shared, at[6], paired),
        partnerSamples: new Int32Array(shared, at[7], paired),
        generation: new Int32Array(shared, at[0], 1),
        tasks: Array.from({ length: tasks }, (__, task) => ({
          progress: new Int32Array(shared, at[0] + (1 + task) * LINE, 2),
          times: new Float64Array(shared, at[0] + (1 + task) * LINE + 8, 2),
        })),
      };
    });
  }
}
