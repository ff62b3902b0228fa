// Who carries out tasks: a pool of worker threads, or nobody but the calling thread.
//
// Whose threads they are is hands.ts; in a page, hands.browser.ts. Here is what is to be done about them: workers that cannot be
// loaded, tasks that never end, and a dead worker's tasks, which are done again.

import { type ErrorCode, HybridError } from '../base/errors.ts';
import { remedyOfRestriction } from '../base/restrictions.ts';
import { inBackground, inForeground } from '../base/timers.ts';
import type { Trace } from '../base/trace.ts';
import { host } from '../hosts/index.ts';
import { openHands } from './hands.ts';
import { Preparer, type Task } from './preparer.ts';
import { type Hands, type HandsEvents, READY, type WorkerSetup } from './protocol.ts';
import type { TaskWords } from './ring.ts';

export interface Crew {
  /** 0: the calling thread. */
  readonly workers: number;
  readonly stats: CrewStats;
  /** Resolves when the rows of the task are prepared, or it was called off. `words`: where it tells how far it is. */
  run(task: Task, words: TaskWords): Promise<void>;
  /** Ends the workers. Tasks in flight reject. */
  close(): Promise<void>;
}

/** What the workers of a pipeline have done so far. */
export interface CrewStats {
  tasks: number;
  /** Tasks that were done again because a worker had thrown or died. */
  retries: number;
  /** Workers that were replaced. */
  restarts: number;
  /** Time that tasks took in all, in ms. */
  busyMs: number;
}

export interface CrewOptions extends WorkerSetup {
  /** 0: the calling thread. */
  readonly workers: number;
  readonly trace?: Trace;
  /** Time without a sign of life after which a task counts as hung, in ms. */
  readonly taskLimitMs?: number;
  /** Time within which all workers must be ready, in ms. */
  readonly startLimitMs?: number;
  /** Body of the workers. */
  readonly script?: URL;
}

const TASK_LIMIT_MS = 10_000;
/** A worker is ready after some 50 ms; under a heavy load it may take seconds. */
const START_LIMIT_MS = 30_000;
/** How often a task is tried. */
const ATTEMPTS = 3;
/** Looks at the running tasks per limit. They are counted, not timed: a machine that was asleep has looked once. */
const LOOKS = 10;
/** How long closing waits for tasks that were called off. */
const CLOSE_LIMIT_MS = 1000;

/** Throws E_WORKER_BOOT where the workers do not come up. */
export async function openCrew(options: CrewOptions): Promise<Crew> {
  return options.workers === 0 ? new CallingThread(await Preparer.open(options.kernels, options.feeds), options.trace) : Pool.open(options);
}

const newStats = (): CrewStats => ({ tasks: 0, retries: 0, restarts: 0, busyMs: 0 });

function note(stats: CrewStats, trace: Trace | undefined, worker: number, { epoch, first, rows }: Task, { times }: TaskWords): void {
  stats.tasks++;
  stats.busyMs += times[1] - times[0];
  trace?.span(`data worker ${worker}`, 'prepare', times[0], times[1], { epoch, first, rows });
}

class CallingThread implements Crew {
  readonly workers = 0;
  readonly stats = newStats();
  readonly #preparer: Preparer;
  readonly #trace: Trace | undefined;

  constructor(preparer: Preparer, trace?: Trace) {
    this.#preparer = preparer;
    this.#trace = trace;
  }

  async run(task: Task, words: TaskWords): Promise<void> {
    // The consumer goes first: this batch is for later.
    await host.turn();
    await this.#preparer.run(task);
    note(this.stats, this.#trace, 0, task, words);
  }

  async close(): Promise<void> {}
}

/** A task in flight, as the watch sees it. */
interface Watched {
  readonly task: Task;
  readonly words: TaskWords;
  seen: number;
  /** Looks since it last moved. */
  still: number;
}

class Pool implements Crew {
  readonly workers: number;
  readonly stats = newStats();
  readonly #hands: Hands;
  readonly #trace: Trace | undefined;
  readonly #limitMs: number;
  readonly #watched = new Set<Watched>();
  readonly #watch: ReturnType<typeof setInterval>;
  readonly #running = new Set<Promise<void>>();
  /** Ids of the workers' threads, in the order in which they were first seen: people number workers from 1. */
  readonly #threads: number[] = [];
  #failure: HybridError | null = null;
  #closing: Promise<void> | null = null;

  static async open(options: CrewOptions): Promise<Pool> {
    const { workers, kernels, feeds, startLimitMs = START_LIMIT_MS, script } = options;
    let pool: Pool | undefined;
    let ready = 0;
    let hands: Hands | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        const events: HandsEvents = {
          onMessage: (message) => {
            if (message === READY && ++ready === workers) resolve();
          },
          onError: (error) => (pool ? pool.#lost(error) : reject(error)),
          onRestart: () => {
            if (pool) pool.#restarted();
          },
        };
        // It also keeps the process alive, which workers do not.
        timer = setTimeout(() => reject(new Error(`${ready} of ${workers} were ready after ${startLimitMs} ms`)), startLimitMs);
        openHands(workers, { kernels, feeds }, events, script).then((opened) => {
          hands = opened;
        }, reject);
      });
    } catch (error) {
      await hands?.end();
      const { message } = error as Error;
      throw new HybridError(
        'E_WORKER_BOOT',
        `the data workers did not start: ${message}`,
        `${remedyOfRestriction(error) ?? 'Reinstall the package.'} \`workers: 0\` disables the workers.`,
        { cause: error, field: 'workers', suggested: 0 },
      );
    } finally {
      clearTimeout(timer);
    }
    pool = new Pool(hands as Hands, options);
    return pool;
  }

  private constructor(hands: Hands, { workers, trace, taskLimitMs = TASK_LIMIT_MS }: CrewOptions) {
    this.workers = workers;
    this.#hands = hands;
    this.#trace = trace;
    this.#limitMs = taskLimitMs;
    this.#watch = setInterval(() => this.#look(), taskLimitMs / LOOKS);
    inBackground(this.#watch);
  }

  #restarted(): void {
    if (!this.#closing) this.stats.restarts++;
  }

  /** Of a worker that dies without a task, or whose replacement cannot be loaded: no other one is started then. */
  #lost(error: Error): void {
    if (this.#hands.alive === 0) this.#fail(`all data workers have ended: ${error.message}`, error);
  }

  run(task: Task, words: TaskWords): Promise<void> {
    const run = this.#attempt(task, words);
    this.#running.add(run);
    const settled = () => void this.#running.delete(run);
    run.then(settled, settled);
    return run;
  }

  async #attempt(task: Task, words: TaskWords): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      if (this.#failure) throw this.#failure;
      if (this.#closing) throw closed();
      words.progress.fill(0);
      const watched = { task, words, seen: 0, still: 0 };
      // As long as a task is in flight the watch keeps the process alive: idle workers and their messages do not.
      if (this.#watched.add(watched).size === 1) inForeground(this.#watch);
      const failure = await this.#hands.run(task).catch((error: Error) => ({ code: null, remedy: '', stack: '', message: error.message }));
      this.#watched.delete(watched);
      if (this.#watched.size === 0) inBackground(this.#watch);

      if (!failure) {
        note(this.stats, this.#trace, this.#worker(words), task, words);
        return;
      }
      if (this.#failure) throw this.#failure;
      if (this.#closing) throw closed();
      // What the reader of a dataset has found wrong with its data will be wrong again.
      if (failure.code) throw new HybridError(failure.code as ErrorCode, failure.message, failure.remedy);
      if (attempt === ATTEMPTS) throw this.#fail(`${describe(task)} failed ${ATTEMPTS} times: ${failure.message}`, failure.stack);
      this.stats.retries++;
    }
  }

  /** Number of the worker that has a task, from 1. */
  #worker({ progress: [, thread] }: TaskWords): number {
    if (!this.#threads.includes(thread)) this.#threads.push(thread);
    return this.#threads.indexOf(thread) + 1;
  }

  /**
   * Looks whether the tasks in flight move. Those that no worker has begun wait for those that run, and their time does not count
   * until nothing has run: between two tasks of a worker there is a moment in which none is begun.
   */
  #look(): void {
    let begun = false;
    for (const watched of this.#watched) {
      const [blocks, thread] = watched.words.progress;
      const seen = blocks + Math.min(1, thread);
      watched.still = seen === watched.seen ? watched.still + 1 : 0;
      watched.seen = seen;
      begun ||= seen > 0;
    }
    for (const watched of this.#watched) {
      const { task, words, seen } = watched;
      if (begun && seen === 0) watched.still = 0;
      if (watched.still < LOOKS) continue;
      const who = seen > 0 ? `data worker ${this.#worker(words)} hangs in` : 'no data worker takes';
      this.#fail(`${who} ${describe(task)}: it has not moved for ${this.#limitMs / 1000} s`);
      return;
    }
  }

  /** The pool is over: what hangs may still write to its slot, which is never used again. */
  #fail(what: string, cause?: unknown): HybridError {
    this.#failure ??= new HybridError(
      'E_WORKER',
      what,
      'If the dataset uses a custom reader, check it; otherwise please report this. `workers: 0` disables the workers.',
      { cause },
    );
    // Ends the threads and, by that, rejects what is in flight.
    void this.#end();
    return this.#failure;
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      if (!this.#failure) {
        let timer: ReturnType<typeof setTimeout> | undefined;
        const late = new Promise<void>((resolve) => {
          timer = setTimeout(resolve, CLOSE_LIMIT_MS);
        });
        await Promise.race([Promise.allSettled(this.#running), late]);
        clearTimeout(timer);
      }
      await this.#end();
    })();
    return this.#closing;
  }

  async #end(): Promise<void> {
    clearInterval(this.#watch);
    await this.#hands.end();
  }
}

const describe = ({ slot, epoch, first, rows }: Task): string => `rows ${first} to ${first + rows - 1} of slot ${slot}, epoch ${epoch}`;
const closed = (): HybridError => new HybridError('E_INTERNAL', 'the data pipeline was closed');
