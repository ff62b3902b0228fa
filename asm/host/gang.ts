// A gang: resident threads over one shared memory that run programs together. The host's half of the protocol; the threads'
// half, with the barrier, is thread.worker.ts.
//
// The host never blocks. To start a run it writes which program, raises RUN and wakes the threads; at the end thread 0
// sends one message. A gang runs one program at a time. It is over when any thread fails or ends: the others would wait at
// the barrier for ever, and what the failed call left in memory is worthless.

import { Worker } from 'node:worker_threads';
import { HybridError, invariant } from '../../runtime/base/errors.ts';
import { SCRATCH_BYTES } from './abi.ts';
import { THREAD_SCRIPT } from './assets.ts';
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
  readonly modules: readonly WebAssembly.Module[];
  /** Names of the kernels; programs name them by index. */
  readonly kernels: readonly string[];
  readonly memory: WebAssembly.Memory;
  readonly threads: number;
  /** Address of the scratch areas, one after the other. */
  readonly scratch: number;
  /** How often a waiting thread looks at the barrier before it sleeps. */
  readonly spins: number;
  /** Time within which all threads must have reported. */
  readonly startLimitMs?: number;
  /** Body of the threads. */
  readonly script?: URL;
}

/** Under a heavy load a thread may take seconds to start; one that has not after this long never will. */
const START_LIMIT_MS = 30_000;

interface Run {
  readonly program: Program;
  readonly resolve: (outcome: 'done' | 'stopped') => void;
  readonly reject: (error: Error) => void;
}

export class Gang {
  readonly #words: Int32Array;
  readonly #workers: Worker[];
  #run: Run | null = null;
  #failure: Error | null = null;
  #closing: Promise<void> | null = null;

  /** Starts the threads and calls the roll. Throws E_INTERNAL where not all of them report in time. */
  static async start(options: GangOptions): Promise<Gang> {
    const { threads, startLimitMs = START_LIMIT_MS } = options;
    const ready = new Set<number>();
    let timer: NodeJS.Timeout | undefined;
    let gang: Gang | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        const late = () => reject(startError(`${ready.size} of ${threads} threads reported within ${startLimitMs} ms`));
        timer = setTimeout(late, startLimitMs);
        gang = new Gang(options, {
          ready: (thread) => ready.add(thread).size === threads && resolve(),
          failed: (error) => reject(startError(error.message, error)),
        });
      });
    } catch (error) {
      await gang?.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    invariant(gang, 'the gang did not start');
    // From now on an idle gang does not keep the process alive; a run does.
    for (const worker of gang.#workers) worker.unref();
    return gang;
  }

  private constructor(options: GangOptions, roll: { ready(thread: number): void; failed(error: Error): void }) {
    const { memory, modules, kernels, threads, scratch, spins, script = THREAD_SCRIPT } = options;
    this.#words = new Int32Array(memory.buffer);
    this.#workers = Array.from({ length: threads }, (_, thread) => {
      const workerData: ThreadData = { memory, modules, kernels, threads, thread, scratch: scratch + thread * SCRATCH_BYTES, spins };
      // No flags of the host process: a loader for TypeScript, say, has no business in a thread.
      const worker = new Worker(script, { name: `hybrid-gang-${thread}`, workerData, execArgv: [] });
      const fail = (what: string, cause?: Error) => {
        const error = this.#fail(`thread ${thread} of ${threads} ${what}`, cause);
        if (error) roll.failed(error);
      };
      worker.on('message', (message: ThreadMessage) => {
        if (message.type === 'ready') roll.ready(thread);
        else this.#settle(message.stopped);
      });
      worker.on('error', (error) => fail(`failed${this.#place()}: ${error.message}`, error));
      worker.on('exit', (status) => fail(`ended with status ${status}${this.#place()}`));
      return worker;
    });
  }

  /** Why the gang is over, if it is. */
  get failure(): Error | null {
    return this.#failure;
  }

  /**
   * Runs a program. `times`: address of a table for the moments when its calls were complete. Rejects with E_INTERNAL where a
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
  #fail(what: string, cause?: Error): Error | undefined {
    if (this.#failure || this.#closing) return undefined;
    this.#failure = new HybridError('E_INTERNAL', `internal error: ${what}`, 'Please report it together with the command that caused it.', {
      cause,
    });
    this.#reject(this.#failure);
    void this.close();
    return this.#failure;
  }

  /** Where the current run is, for messages: the first call that is not complete. */
  #place(): string {
    const run = this.#run;
    if (!run) return '';
    const call = Atomics.load(this.#words, COMPLETE);
    return call < run.program.calls ? ` in ${run.program.describe(call)}` : ' after the last kernel';
  }
}

const startError = (what: string, cause?: Error): HybridError =>
  new HybridError(
    'E_INTERNAL',
    `the threads of the wasm device did not start: ${what}`,
    'Try fewer with --threads; if that fails too, please report it.',
    {
      cause,
    },
  );
