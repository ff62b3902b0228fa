// The batches of one feed, an epoch at a time: which images they have, and who prepares them.

import { HybridError } from '../base/errors.ts';
import { drawsOf } from './augment/augmentations.ts';
import { type Mix, mixOf } from './augment/mix.ts';
import { balancedPositions, repeatsIn, sampleAgain } from './balance.ts';
import type { Dataset, Subset } from './dataset.ts';
import { Epoch, type EpochOptions, type LoadedBatch } from './epoch.ts';
import { type FeedOptions, mixingOf } from './feed.ts';
import type { KernelModule } from './kernels.ts';
import type { Crew } from './pool.ts';
import type { FeedSetup } from './preparer.ts';
import { Ring, tasksOf } from './ring.ts';
import { Sampler } from './sampler.ts';
import { samplesOf } from './split.ts';
import { drawnEpoch } from './variants.ts';

export const batchesPerEpoch = (samples: number, batch: number): number => Math.ceil(samples / batch);

interface LoaderParts {
  readonly feed: FeedOptions;
  readonly setup: FeedSetup;
  /** Of the feed, for the workers. */
  readonly index: number;
  readonly crew: Crew;
  /** Makes one call after the other, over all loaders of a pipeline. */
  readonly turn: <T>(call: () => T | Promise<T>) => Promise<T>;
  readonly kernels: KernelModule;
}

/** What an epoch, or a batch of it, has. */
interface EpochOrder {
  readonly order: Int32Array;
  /** Of what comes several times. */
  readonly repeats?: Int32Array;
}

/** Makes the batches of one feed, an epoch at a time. */
export class Loader {
  readonly dataset: Dataset | Subset;
  /** Batches of an epoch. */
  readonly batches: number;
  readonly #parts: LoaderParts;
  readonly #samples: Int32Array;
  /** Above all numbers of samples. */
  readonly #numbers: number;
  readonly #sampler: Sampler;
  readonly #ring: Ring;
  /** Slots that nobody uses. */
  readonly #free: number[];
  #current: Epoch | null = null;

  constructor(parts: LoaderParts) {
    const { feed, setup } = parts;
    this.dataset = feed.dataset;
    this.#parts = parts;
    this.batches = batchesPerEpoch(feed.dataset.size, feed.batch);
    this.#samples = samplesOf(feed.dataset);
    this.#numbers = this.#samples.reduce((most, sample) => Math.max(most, sample), 0) + 1;
    this.#sampler = new Sampler(parts.kernels, feed.dataset.size, feed);
    this.#ring = new Ring(setup.ring, setup.buffer);
    this.#free = this.#ring.slots.map((_, slot) => slot);
  }

  /**
   * The batches of an epoch, a function of feed, epoch and `from` alone. They are being prepared from this call on. A batch is valid
   * until the next one is asked for. A loader has one epoch at a time: another call ends the one before.
   *
   * Iterating throws what reading threw, E_WORKER where workers fail, an AbortError. Leaving the loop gives the slots back.
   */
  epoch(epoch: number, { from = 0, signal }: EpochOptions = {}): Epoch {
    this.#current?.end(new HybridError('E_INTERNAL', 'this epoch was ended: its loader began another one'));
    const { batch } = this.#parts.feed;
    const { order, repeats } = this.#orderOf(epoch);
    const rowsOf = (all: Int32Array, index: number) => all.subarray(index * batch, (index + 1) * batch);
    const hold = (): number | undefined => this.#free.shift();
    const release = (slot: number): void => {
      this.#free.push(slot);
      this.#current?.fill();
    };
    const prepare = (index: number, slot: number) =>
      this.#prepare(epoch, index, { order: rowsOf(order, index), repeats: repeats && rowsOf(repeats, index) }, slot);
    const callOff = (slot: number): void => void Atomics.add(this.#ring.slots[slot].generation, 0, 1);
    this.#current = new Epoch({ epoch, from, count: this.batches, signal, hold, release, prepare, callOff });
    this.#current.fill();
    return this.#current;
  }

  /** Ends the epoch; the pipeline does it. */
  close(): void {
    this.#current?.end(new HybridError('E_INTERNAL', 'the data pipeline was closed'));
  }

  /** The samples of an epoch, and how often each was there before. */
  #orderOf(epoch: number): EpochOrder {
    const { sampling, dataset, seed, shuffle } = this.#parts.feed;
    const order = this.#sampler.order(epoch);
    if (sampling !== 'balanced') return { order };
    const chosen = balancedPositions(dataset.labels, dataset.size, { seed, epoch });
    const balanced = shuffle ? order.map((place) => chosen[place]) : chosen.sort();
    return { order: balanced, repeats: repeatsIn(balanced, dataset.size) };
  }

  async #prepare(epoch: number, index: number, { order, repeats }: EpochOrder, slotIndex: number): Promise<LoadedBatch> {
    const { feed, setup, index: feedIndex, crew, turn } = this.#parts;
    const { dataset } = feed;
    const slot = this.#ring.slots[slotIndex];
    const rows = order.length;
    const { imageBytes } = setup.ring;
    const bytes = rows * imageBytes;
    // New arrays: they are small, and callers may keep them longer than the images.
    const labels = new Int32Array(rows);
    const samples = new Int32Array(rows);
    for (let row = 0; row < rows; row++) {
      labels[row] = dataset.labels[order[row]];
      const sample = this.#samples[order[row]];
      samples[row] = repeats ? sampleAgain(sample, repeats[row], this.#numbers) : sample;
    }
    if (feed.resident) return { rows, images: slot.images, floats: null, picks: order.slice(), labels, samples, epoch, index };
    const drawn = drawnEpoch(epoch, feed.versions ?? 0);
    const mixes = this.#mixes(drawn, samples);
    const places = setup.source && dataset.images?.places;
    const place = (i: number) => (places ? places[i] : i);
    const { variants } = feed;
    const first = (sample: number) => (variants ? variants.of(epoch, sample) * dataset.size : 0);
    slot.samples.set(samples);
    const direct = !setup.source;
    /** What this thread reads: the images of the batch, then those that are mixed into them. */
    const wanted = Array.from(order, (position, row) => first(samples[row]) + place(position));
    for (let row = 0; row < rows; row++) slot.indices[row] = direct ? row : wanted[row];
    for (const [row, mix] of mixes.entries()) {
      if (!mix) continue;
      slot.partners[row] = direct ? wanted.push(mix.partner) - 1 : place(mix.partner);
      slot.partnerSamples[row] = this.#samples[mix.partner];
      if (mix.swapped) labels[row] = dataset.labels[mix.partner];
    }
    const generation = Atomics.load(slot.generation, 0);
    if (direct) await turn(() => dataset.read(Int32Array.from(wanted), (slot.raw ?? slot.images).subarray(0, wanted.length * imageBytes)));
    if (!direct || slot.raw) {
      const { chunk } = setup.ring;
      const tasks = Array.from({ length: tasksOf(rows, chunk) }, (_, task) => {
        const first = task * chunk;
        return crew.run(
          { feed: feedIndex, slot: slotIndex, generation, epoch: drawn, first, rows: Math.min(chunk, rows - first) },
          slot.tasks[task],
        );
      });
      // The slot is not free before all have ended, whatever became of one.
      for (const { status, ...rest } of await Promise.allSettled(tasks))
        if (status === 'rejected') throw (rest as PromiseRejectedResult).reason;
    }
    const floats = slot.floats?.subarray(0, bytes) ?? null;
    const { buffer, byteOffset } = slot.images;
    const features = feed.features ? new Float32Array(buffer, byteOffset, bytes / 4) : undefined;
    return { rows, images: slot.images.subarray(0, bytes), features, floats, labels, samples, epoch, index };
  }

  /** What is drawn for each row where images are mixed; else nothing. */
  #mixes(epoch: number, samples: Int32Array): readonly (Mix | null)[] {
    const { augment, seed, dataset } = this.#parts.feed;
    const mixing = mixingOf(augment);
    return mixing ? Array.from(samples, (sample) => mixOf(drawsOf(seed, epoch, sample), mixing, dataset.size, dataset.shape)) : [];
  }
}
