// Notices that a run makes no progress and says what it was waiting for: a hung thread, driver or file system shows no other sign.

import { inBackground } from '../base/timers.ts';

export interface WatchdogOptions {
  /** Milliseconds without progress after which it speaks; what has once taken longer is given ten times as long. */
  readonly limitMs: number;
  readonly onStall: (text: string) => void;
}

/** What took so long once may take so again: only several times as long is strange. */
const PATIENCE = 10;

export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #timer: ReturnType<typeof setInterval>;
  /** Longest time that each kind of work has taken. */
  readonly #longest = new Map<string, number>();
  #doing = 'the start';
  #where = 'of device and data';
  #since = performance.now();
  #told = false;

  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(), options.limitMs / 4);
    inBackground(this.#timer); // it watches a process, it does not keep one alive
  }

  /** Work of a kind begins, which ends what was done before. `where` is added in messages. */
  begin(doing: string, where: string): void {
    const now = performance.now();
    const took = now - this.#since;
    this.#longest.set(this.#doing, Math.max(took, this.#longest.get(this.#doing) ?? 0));
    if (this.#told) this.#options.onStall(`The run continues: ${this.#doing} (${this.#where}) took ${seconds(took)}.`);
    this.#doing = doing;
    this.#where = where;
    this.#since = now;
    this.#told = false;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const waited = performance.now() - this.#since;
    const limit = Math.max(this.#options.limitMs, PATIENCE * (this.#longest.get(this.#doing) ?? 0));
    if (this.#told || waited < limit) return;
    this.#told = true;
    this.#options.onStall(`No progress for ${seconds(waited)}: waiting for ${this.#doing} (${this.#where}).`);
  }
}

const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`;
