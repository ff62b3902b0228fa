// The calls of an executable, of any device that computes while its caller goes on: they are made in order, some are under way at a
// time, and each may be aborted. What a call does is the device's; that its promise settles, whatever throws, is this file's.

import { abortError, HybridError } from '../base/errors.ts';

/** What `start` gives for a call that was asked to stop, and did. */
export const STOPPED = Symbol('stopped');

export interface Call<R, T> {
  readonly signal?: AbortSignal;
  /** At its turn: writes inputs and step block. */
  prepare(): void;
  /**
   * Starts what takes time. Absent: there was only memory to write. A rejection is a failure of the device, with which all calls that
   * wait are rejected, too.
   */
  start?(): Promise<R | typeof STOPPED>;
  /** With what `start` gave: makes the result. */
  finish(result: R): T;
  /**
   * In place of all this where the call was aborted before its turn. It has a turn all the same: what is called after it may depend on its
   * not having happened.
   */
  skip?(): void;
  /**
   * A call under way is aborted. True: it counts as not having happened, and rejects at once; the default. False: it goes on to its end,
   * which may be `STOPPED`.
   */
  abandon?(): boolean;
}

export interface CallsOptions {
  /** Number of calls that may be under way. */
  readonly limit: number;
  /** Why the device can no longer be used, if that is so. */
  failure(): Error | null;
}

/** A call and its promise. */
interface Entry {
  readonly call: Call<unknown, unknown>;
  isWaiting: boolean;
  isAborted: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class Calls {
  readonly #options: CallsOptions;
  readonly #waiting: Entry[] = [];
  #underWay = 0;
  #isClosed = false;

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  /** Whether nothing is under way. */
  get areOver(): boolean {
    return this.#underWay === 0 && this.#waiting.length === 0;
  }

  /** Whether a call that is made now starts before `make` returns: what it needs of its caller's memory need not be copied. */
  get startAtOnce(): boolean {
    return this.#underWay < this.#options.limit && this.#waiting.length === 0;
  }

  /** Queues a call. Its promise settles as the call does; with an AbortError where it is aborted, or the executable closed. */
  make<R, T>(call: Call<R, T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#isClosed) throw new HybridError('E_USAGE', 'the executable is closed', 'Compile again.');
      const failure = this.#options.failure();
      if (failure) throw failure;
      const { signal } = call;
      const abort = (): void => {
        if (!entry.isWaiting && !(call.abandon?.() ?? true)) return;
        entry.isAborted = true;
        entry.reject(abortError(signal));
      };
      const settle = (): void => signal?.removeEventListener('abort', abort);
      const entry: Entry = {
        call: call as Call<unknown, unknown>,
        isWaiting: true,
        isAborted: false,
        resolve(value) {
          settle();
          resolve(value as T);
        },
        reject(error) {
          settle();
          reject(error);
        },
      };
      this.#waiting.push(entry);
      if (signal?.aborted) abort();
      else signal?.addEventListener('abort', abort);
      this.#startNext();
    });
  }

  /** Rejects what waits, and what is under way when it ends. */
  close(): void {
    this.#isClosed = true;
    this.#rejectWaiting(abortError());
  }

  /** Starts calls for as long as there is room. */
  #startNext(): void {
    while (this.#underWay < this.#options.limit) {
      const entry = this.#waiting.shift();
      if (!entry) return;
      const { call } = entry;
      if (entry.isAborted) {
        call.skip?.();
        continue;
      }
      entry.isWaiting = false;
      try {
        call.prepare();
        if (call.start) this.#follow(entry, call.start());
        else entry.resolve(call.finish(undefined));
      } catch (error) {
        entry.reject(error);
      }
    }
  }

  #follow(entry: Entry, started: Promise<unknown>): void {
    this.#underWay++;
    started.then(
      (result) => {
        this.#underWay--;
        this.#end(entry, result);
        this.#startNext();
      },
      (error) => {
        this.#underWay--;
        const reason = this.#isClosed ? abortError() : error;
        entry.reject(reason);
        this.#rejectWaiting(reason);
      },
    );
  }

  #end({ call, isAborted, resolve, reject }: Entry, result: unknown): void {
    if (isAborted) return;
    try {
      if (this.#isClosed) throw abortError();
      if (result === STOPPED) throw abortError(call.signal);
      resolve(call.finish(result));
    } catch (error) {
      reject(error);
    }
  }

  #rejectWaiting(reason: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(reason);
  }
}
