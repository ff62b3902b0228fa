// A gang: resident threads over one shared memory that run programs together. The host's half of the protocol; the threads'
// half, with the barrier, is thread.worker.ts.
//
// The host never blocks. To start a run it writes which program, raises RUN and wakes the threads; at the end thread 0
// sends one message. A gang runs one program at a time. It is over when any thread fails or ends: the others would wait at
// the barrier for ever, and what the failed call left in memory is worthless. Where there can be no threads, the calling one stands
// for a gang (calling-thread.ts).

import { HybridError, invariant } from '../../runtime/base/errors.ts';
import { unlessForbidden } from '../../runtime/base/restrictions.ts';
import type { Thread } from '../../runtime/host.ts';
import { host } from '../../runtime/hosts/index.ts';
import { SCRATCH_BYTES } from './abi.ts';
import { ABORT, CALLS, COMMIT, COMPLETE, PROGRAM, RUN, type ThreadData, type ThreadMessage, TIMES } from './protocol.ts';

/** A program in the shared memory. */
export interface Program {
  readonly address: number;
  readonly calls: number;
  /** Calls before the update phase: a run that has come to the later ones is not stopped. */
  readonly commit: number;
  /** What the i-th call is, for people. */
  describe(call: number): string;
}

export interface GangOptions {
  readonly threads: number;
  /** Time within which all threads must have reported. */
  readonly startLimitMs?: number;
  /** Body of the threads. */
  readonly script?: 'gang' | URL;
}

/** What a gang works with. */
export interface Equipment {
  readonly modules: readonly WebAssembly.Module[];
  /** Names of the kernels; programs name them by index. */
  readonly kernels: readonly string[];
  readonly memory: WebAssembly.Memory;
  /** Address of the scratch areas, one after the other. */
  readonly scratch: number;
  /** How often a waiting thread looks at the barrier before it sleeps. */
  readonly spins: number;
}

/** Under a heavy load a thread may take seconds to start; one that has not after this long never will. */
const START_LIMIT_MS = 30_000;

interface Run {
  readonly program: Program;
  readonly resolve: (outcome: 'done' | 'stopped') => void;
  readonly reject: (error: Error) => void;
}

/** The roll call at the start. */
interface Roll {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class Gang {
  readonly #workers: Thread[];
  readonly #startLimitMs: number;
  readonly #ready = new Set<number>();
  #roll: Roll | null = null;
  #words: Int32Array = new Int32Array();
  #run: Run | null = null;
  #failure: Error | null = null;
  #closing: Promise<void> | null = null;

  static async start(options: GangOptions & Equipment): Promise<Gang> {
    const gang = new Gang(options);
    await gang.equip(options);
    return gang;
  }

  /** Starts the threads: they come up while the caller prepares what they work with. */
  constructor({ threads, startLimitMs = START_LIMIT_MS, script = 'gang' }: GangOptions) {
    this.#startLimitMs = startLimitMs;
    this.#workers = Array.from({ length: threads }, (_, thread) => {
      const fail = (what: string, cause?: Error) => this.#fail(`thread ${thread} of ${threads} ${what}`, cause);
      const start = () =>
        host.thread(script, {
          name: `hybrid-gang-${thread}`,
          onMessage: (message) => {
            const told = message as ThreadMessage;
            if (told.type === 'done') this.#settle(told.stopped);
            else if (this.#ready.add(thread).size === threads) this.#roll?.resolve();
          },
          onError: (error) => fail(`failed${this.#place()}: ${error.message}`, error),
          onExit: (status) => fail(`ended with status ${status}${this.#place()}`),
        });
      return unlessForbidden('the wasm device computes in worker threads, and this process may not have any', start);
    });
  }

  /**
   * Hands the threads what they work with, once, and calls the roll. Throws E_INTERNAL where not all of them report in time;
   * the gang is over then.
   */
  async equip({ memory, modules, kernels, scratch, spins }: Equipment): Promise<void> {
    this.#words = new Int32Array(memory.buffer);
    const threads = this.#workers.length;
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      if (this.#failure) throw this.#failure;
      invariant(!this.#closing, 'the gang is closed');
      await new Promise<void>((resolve, reject) => {
        this.#roll = { resolve, reject };
        const late = () => reject(new Error(`${this.#ready.size} of ${threads} threads reported within ${this.#startLimitMs} ms`));
        timer = setTimeout(late, this.#startLimitMs);
        for (const [thread, worker] of this.#workers.entries()) {
          const data: ThreadData = { memory, modules, kernels, threads, thread, scratch: scratch + thread * SCRATCH_BYTES, spins };
          worker.postMessage(data);
        }
      });
    } catch (error) {
      await this.close();
      throw startError(error as Error);
    } finally {
      clearTimeout(timer);
      this.#roll = null;
    }
    // From now on an idle gang does not keep the process alive; a run does.
    for (const worker of this.#workers) worker.unref();
  }

  get threads(): number {
    return this.#workers.length;
  }

  /** Why the gang is over, if it is. */
  get failure(): Error | null {
    return this.#failure;
  }

  /**
   * Runs a program. `times`: address of the tables where the threads note when they were through with its calls. Rejects with E_INTERNAL where a
   * kernel traps or a thread ends; the gang is over then.
   */
  run(program: Program, { times = 0 }: { readonly times?: number } = {}): Promise<'done' | 'stopped'> {
    if (this.#failure) return Promise.reject(this.#failure);
    invariant(!this.#closing, 'the gang is closed');
    invariant(!this.#run, 'the gang is running');
    return new Promise((resolve, reject) => {
      this.#run = { program, resolve, reject };
      // One referenced thread keeps the process alive until the run is over.
      this.#workers[0].ref();
      const words = this.#words;
      Atomics.store(words, ABORT, 0);
      Atomics.store(words, COMPLETE, 0);
      Atomics.store(words, PROGRAM, program.address);
      Atomics.store(words, CALLS, program.calls);
      Atomics.store(words, COMMIT, program.commit);
      Atomics.store(words, TIMES, times);
      Atomics.add(words, RUN, 1);
      Atomics.notify(words, RUN);
    });
  }

  /** Asks the run to stop after the current call. It resolves with `stopped`, or with `done` where it was too late. */
  abort(): void {
    Atomics.store(this.#words, ABORT, 1);
  }

  /** Ends the threads. A run in flight rejects. */
  close(): Promise<void> {
    this.#closing ??= Promise.all(this.#workers.map((worker) => worker.terminate())).then(() => {});
    this.#roll?.reject(new HybridError('E_INTERNAL', 'the gang was closed'));
    this.#reject(new HybridError('E_INTERNAL', 'the gang was closed during a run'));
    return this.#closing;
  }

  #settle(stopped: boolean): void {
    const run = this.#run;
    this.#run = null;
    this.#workers[0].unref();
    run?.resolve(stopped ? 'stopped' : 'done');
  }

  #reject(error: Error): void {
    const run = this.#run;
    this.#run = null;
    run?.reject(error);
  }

  /** Ends the gang because of the first failure of a thread; later ones are its consequences. */
  #fail(what: string, cause?: Error): void {
    if (this.#failure || this.#closing) return;
    this.#failure = gangError(what, cause);
    this.#roll?.reject(this.#failure);
    this.#reject(this.#failure);
    void this.close();
  }

  /** Where the current run is, for messages: the first call that is not complete. */
  #place(): string {
    const run = this.#run;
    if (!run) return '';
    const call = Atomics.load(this.#words, COMPLETE);
    return call < run.program.calls ? ` in kernel ${run.program.describe(call)}` : ' after the last kernel';
  }
}

/** Of a gang that is over. */
export const gangError = (what: string, cause?: Error): HybridError =>
  new HybridError('E_INTERNAL', `internal error: ${what}`, 'Please report it together with the command that caused it.', { cause });

const startError = (cause: Error): HybridError =>
  new HybridError(
    'E_INTERNAL',
    `the threads of the wasm device did not start: ${cause.message}`,
    'Try fewer `threads`; if that fails too, please report it.',
    { cause },
  );
