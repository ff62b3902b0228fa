// The steps on the device: keeps it supplied with the batches that come, and hands the steps back in their order as they end. Neither
// wait holds up the other: a batch goes to the device while results are waited for, results are told while a batch is.

import { abortError } from '../base/errors.ts';
import { clock } from '../base/trace.ts';
import type { LoadedBatch } from '../data/loader.ts';

/** A step that was given to the device. */
export interface FlyingStep<Outcome> {
  /** Settles when the device may have the next one, if it takes them one by one. */
  readonly computed: Promise<unknown>;
  readonly outcome: Promise<Outcome>;
}

export interface FlightOptions<Step> {
  readonly batches: AsyncIterator<LoadedBatch, undefined>;
  /** Steps that the device is given without waiting for results. 0: the next one follows when the gradient of the one before is there. */
  readonly ahead: number;
  readonly signal: AbortSignal;
  queue(batch: LoadedBatch): Step;
  /** Before each wait: for the oldest step, whose gradient may be there already; without one, for the next batch alone. */
  onWait(oldest: Step | undefined, isComputed: boolean): void;
  /** The device had nothing to do between two times of `clock`. */
  onIdle(begin: number, end: number): void;
}

/** Milliseconds since the flight began. */
export interface Waits {
  /** In which the device had nothing to do: nothing but data was missing. */
  data: number;
  /** In which the next batch was there, or none was left, and nothing but the device was missing. */
  device: number;
}

/** What came when the next batch was asked for; neither: there is none. */
interface Arrival {
  readonly batch?: LoadedBatch;
  readonly error?: unknown;
  readonly time: number;
}

/** What is known of a flying step. */
interface Tracked<Step> {
  readonly step: Step;
  readonly computed: Promise<void>;
  readonly settled: Promise<void>;
  isComputed: boolean;
  isOver: boolean;
}

/** Takes batches to their end. Disposable of by leaving the loop: what flies then goes down by itself. */
export class Flight<Outcome, Step extends FlyingStep<Outcome>> {
  readonly waits: Waits = { data: 0, device: 0 };
  readonly #options: FlightOptions<Step>;
  /** Oldest first. */
  readonly #flying: Tracked<Step>[] = [];
  #arrival: Arrival | undefined;
  #coming: Promise<void>;
  /** Since when the device has had nothing to do. */
  #idleSince: number | undefined = clock();

  constructor(options: FlightOptions<Step>) {
    this.#options = options;
    this.#coming = this.#ask();
  }

  /**
   * The steps in their order, each with its outcome. Throws what an outcome rejects with; and what asking for batches threw, or an
   * AbortError, once all that flies has ended: every step before it has been told.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<[Step, Outcome], void> {
    for (;;) {
      if (this.#arrival?.batch && this.#hasRoom) this.#take(this.#arrival.batch, this.#arrival.time);
      const oldest = this.#flying.at(0);
      if (oldest?.isOver) {
        yield [oldest.step, await oldest.step.outcome];
        this.#flying.shift();
      } else if (!oldest && this.#arrival && !this.#arrival.batch) {
        this.waits.device += clock() - this.#arrival.time;
        if (this.#arrival.error) throw this.#arrival.error;
        return;
      } else {
        this.#options.onWait(oldest?.step, oldest?.isComputed === true);
        await Promise.race(this.#awaited());
      }
    }
  }

  /** What changes what is to be done next. */
  #awaited(): Promise<void>[] {
    const [oldest, newest] = [this.#flying.at(0), this.#flying.at(-1)];
    const awaited = this.#arrival ? [] : [this.#coming];
    if (oldest) awaited.push(oldest.settled);
    if (newest && !newest.isComputed && this.#options.ahead === 0) awaited.push(newest.computed);
    return awaited;
  }

  get #hasRoom(): boolean {
    const { ahead } = this.#options;
    return ahead > 0 ? this.#flying.length < ahead : this.#flying.every(({ isComputed }) => isComputed);
  }

  #take(batch: LoadedBatch, arrived: number): void {
    const { signal, queue, onIdle } = this.#options;
    const now = clock();
    if (signal.aborted) {
      this.#arrival = { error: abortError(signal), time: now };
      return;
    }
    if (this.#idleSince !== undefined) {
      this.waits.data += now - this.#idleSince;
      onIdle(this.#idleSince, now);
      this.#idleSince = undefined;
    } else {
      this.waits.device += now - arrived;
    }
    const step = queue(batch);
    const computed = step.computed.then(
      () => void (tracked.isComputed = true),
      () => {}, // so does the outcome
    );
    const over = () => {
      tracked.isOver = true;
      if (this.#flying.at(-1) === tracked) this.#idleSince = clock();
    };
    const settled = step.outcome.then(over, over);
    const tracked: Tracked<Step> = { step, computed, settled, isComputed: false, isOver: false };
    this.#flying.push(tracked);
    // The device has copied the batch, so that its place may be filled again. The next one arrives while the device computes.
    this.#arrival = undefined;
    this.#coming = this.#ask();
  }

  #ask(): Promise<void> {
    return this.#options.batches.next().then(
      ({ value }) => {
        this.#arrival = { batch: value, time: clock() };
      },
      (error: unknown) => {
        this.#arrival = { error, time: clock() };
      },
    );
  }
}
