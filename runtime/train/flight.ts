// The steps on the device: keeps it supplied with the batches that come, and hands the steps back in their order as they end. Neither
// wait holds up the other: a batch goes to the device while results are waited for, results are told while a batch is.

import { abortError } from '../base/errors.ts';
import { clock } from '../base/trace.ts';
import type { LoadedBatch } from '../data/epoch.ts';

/** A step whose gradient was given to the device. */
export interface FlyingStep<Gradient> {
  readonly gradient: Promise<Gradient>;
}

export interface FlightOptions<Step, Rest> {
  readonly batches: AsyncIterator<LoadedBatch, undefined>;
  /** Steps that the device is given without waiting for results. 0: the next one follows when the gradient of the one before is there. */
  readonly ahead: number;
  readonly signal: AbortSignal;
  /** Gives the gradient of a step to the device. */
  begin(batch: LoadedBatch): Step;
  /** Gives it the rest: at once, or when the gradient is there. */
  finish(step: Step): Promise<Rest>;
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
interface Tracked<Step, Rest> {
  readonly step: Step;
  /** Settles when its gradient has, and the rest was given to the device. */
  readonly computed: Promise<void>;
  readonly rest: Promise<Rest>;
  /** Resolves when all of it is over, whatever came of it. */
  readonly settled: Promise<void>;
  isComputed: boolean;
  /** Whether there is nothing more to wait for in `computed`: it was computed, or failed. */
  isDecided: boolean;
  isOver: boolean;
}

/** Takes batches to their end. Whoever leaves the loop lets what flies go down by itself: nothing more is given to the device. */
export class Flight<Gradient, Step extends FlyingStep<Gradient>, Rest> {
  readonly waits: Waits = { data: 0, device: 0 };
  readonly #options: FlightOptions<Step, Rest>;
  /** Oldest first. */
  readonly #flying: Tracked<Step, Rest>[] = [];
  #arrival: Arrival | undefined;
  #coming: Promise<void>;
  /** Since when the device has had nothing to do. */
  #idleSince: number | undefined = clock();
  #isLeft = false;

  constructor(options: FlightOptions<Step, Rest>) {
    this.#options = options;
    this.#coming = this.#ask();
  }

  /**
   * The steps in their order, each with its outcome. Throws what a step rejects with; and what asking for batches threw, or an
   * AbortError, once all that flies has ended: every step before it has been told.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<[Step, Gradient, Rest], void> {
    try {
      for (;;) {
        if (this.#arrival?.batch && this.#hasRoom) this.#take(this.#arrival.batch, this.#arrival.time);
        const oldest = this.#flying.at(0);
        if (oldest?.isOver) {
          const rest = await oldest.rest;
          yield [oldest.step, await oldest.step.gradient, rest];
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
    } finally {
      this.#isLeft = true;
    }
  }

  /** What changes what is to be done next. */
  #awaited(): Promise<void>[] {
    const [oldest, newest] = [this.#flying.at(0), this.#flying.at(-1)];
    const awaited = this.#arrival ? [] : [this.#coming];
    if (oldest) awaited.push(oldest.settled);
    // Not what has failed while an older step is under way: a race that is over at once would go round for ever, and nothing else would run.
    if (newest && !newest.isDecided && this.#options.ahead === 0) awaited.push(newest.computed);
    return awaited;
  }

  get #hasRoom(): boolean {
    const { ahead } = this.#options;
    return ahead > 0 ? this.#flying.length < ahead : this.#flying.every(({ isComputed }) => isComputed);
  }

  #take(batch: LoadedBatch, arrived: number): void {
    const { ahead, signal, begin, finish, onIdle } = this.#options;
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
    const step = begin(batch);
    const early = ahead > 0 ? finish(step) : undefined;
    early?.catch(() => {}); // the gradient may fail before anybody comes to await it
    let rest = early;
    const computed = step.gradient.then(() => {
      if (this.#isLeft) throw abortError();
      rest ??= finish(step);
      tracked.isComputed = true;
    });
    const over = () => {
      tracked.isOver = true;
      if (this.#flying.at(-1) === tracked) this.#idleSince = clock();
    };
    const whole = computed.then(() => rest as Promise<Rest>);
    const decided = () => {
      tracked.isDecided = true;
    };
    const tracked: Tracked<Step, Rest> = {
      step,
      computed: computed.then(decided, decided),
      rest: whole,
      settled: whole.then(over, over),
      isComputed: false,
      isDecided: false,
      isOver: false,
    };
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
