// Stands for a gang where there can be no threads: the calling thread walks the programs, and lets what waits in its event loop have
// its turn every few milliseconds.

import { HybridError, invariant } from '../../runtime/base/errors.ts';
import { clock } from '../../runtime/base/trace.ts';
import { host } from '../../runtime/hosts/index.ts';
import { TASKS } from './abi.ts';
import { type Equipment, Gang, type GangOptions, gangError, type Program } from './gang.ts';
import { instantiate, type Kernel } from './instances.ts';
import { ABORT, COMPLETE } from './protocol.ts';

/** What walks programs. */
export type Walkers = Pick<Gang, 'threads' | 'failure' | 'equip' | 'run' | 'abort' | 'close'>;

/** A gang of so many threads, or what stands for it. */
export const newGang = (options: GangOptions): Walkers => (host.unshared === null ? new Gang(options) : new CallingThread());

/** Milliseconds after which others have their turn: half the time of a picture on a screen. A kernel call is never divided. */
const SLICE_MS = 8;

export class CallingThread implements Walkers {
  readonly threads = 1;
  #words: Int32Array = new Int32Array();
  #doubles: Float64Array = new Float64Array();
  #kernels: readonly Kernel[] = [];
  #failure: HybridError | null = null;
  #closed = false;
  #running = false;

  get failure(): Error | null {
    return this.#failure;
  }

  async equip({ memory, modules, kernels, scratch }: Equipment): Promise<void> {
    invariant(!this.#closed, 'the gang is closed');
    this.#words = new Int32Array(memory.buffer);
    this.#doubles = new Float64Array(memory.buffer);
    this.#kernels = instantiate({ memory, modules, kernels, scratch });
  }

  async run(program: Program, { times = 0 }: { readonly times?: number } = {}): Promise<'done' | 'stopped'> {
    if (this.#failure) throw this.#failure;
    invariant(!this.#closed, 'the gang is closed');
    invariant(!this.#running, 'the gang is running');
    this.#running = true;
    this.#words[ABORT] = 0;
    try {
      return await this.#walk(program, times >>> 3);
    } finally {
      this.#running = false;
    }
  }

  abort(): void {
    this.#words[ABORT] = 1;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  async #walk({ address, calls, commit, describe }: Program, times: number): Promise<'done' | 'stopped'> {
    // Whoever has started the run has something else to do first.
    await host.turn();
    const words = this.#words;
    const doubles = this.#doubles;
    let since = performance.now();
    if (times) doubles[times] = clock();
    for (let call = 0, at = address >>> 2; call < calls; call++, at += 2) {
      if (performance.now() - since > SLICE_MS) {
        await host.turn();
        since = performance.now();
      }
      if (this.#closed) throw new HybridError('E_INTERNAL', 'the gang was closed during a run');
      words[TASKS / 4] = 0;
      try {
        this.#kernels[words[at]](words[at + 1]);
      } catch (error) {
        const { message } = error as Error;
        this.#failure = gangError(`the calling thread failed in kernel ${describe(call)}: ${message}`, error as Error);
        throw this.#failure;
      }
      if (times) doubles[times + call + 1] = clock();
      words[COMPLETE] = call + 1;
      if (call < commit && words[ABORT] === 1) return 'stopped';
    }
    return 'done';
  }
}
