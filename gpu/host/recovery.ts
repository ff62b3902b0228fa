// An executable that outlives the loss of its GPU. It keeps a copy of the state from time to time, and since then a journal of the
// calls that changed it. When the GPU is lost (a driver was reset or updated, a cable pulled), the same programs are made on a new
// one, the copy is restored, the journal replayed, and what was under way is started again: bit for bit what would have been.

import { abortError, HybridError } from '../../runtime/base/errors.ts';
import {
  type Batch,
  type BatchMetrics,
  GRADIENTS,
  type Hyperparameters,
  type KernelTime,
  type RunOptions,
  type Update,
} from '../../runtime/device.ts';
import { ForwardingExecutable } from '../../runtime/forwarding.ts';
import type { Snapshot, WebGpuExecutable } from './executable.ts';

/** Updates and bytes of the journal after which a new copy of the state is made. */
const JOURNAL = { updates: 64, bytes: 64 << 20 };
/** Losses without a step in between after which it is given up. */
const TRIES = 3;

/** A call, as it can be made any number of times. */
interface Call {
  run(on: WebGpuExecutable, signal?: AbortSignal): Promise<unknown>;
  readonly signal?: AbortSignal;
  /** Of an update or a read of gradients: the gradient that it uses. Of gradients that are written: those that they replace. */
  readonly after?: Call;
  readonly changesState: boolean;
  /** Its place in the order of calls, which is not that in which they end: a write is over at once. */
  readonly number: number;
  /** Of the copies that it holds. */
  readonly bytes: number;
  /** Why it did not happen, once that is so. */
  failure?: unknown;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

export interface RecoveryOptions {
  /** Makes the executable on the GPU that there is; on a new one, if that of `lost` is lost. */
  create(lost?: WebGpuExecutable): Promise<WebGpuExecutable>;
  /** Told of a loss that was made good. */
  readonly onNotice?: (text: string) => void;
  /** Called once, when the executable is closed. */
  readonly onClose: () => void;
}

export class RecoveringExecutable extends ForwardingExecutable {
  readonly #options: RecoveryOptions;
  #current: WebGpuExecutable;
  /** Calls that have not come to their end, in order. */
  readonly #pending: Call[] = [];
  #snapshot: Snapshot | null = null;
  /** Calls since the snapshot that changed state, in order. */
  #journal: Call[] = [];
  #isCopying = false;
  #calls = 0;
  #lastGradient: Call | undefined;
  #isRecovering = false;
  #losses = 0;
  #closed = false;

  static async create(options: RecoveryOptions): Promise<RecoveringExecutable> {
    return new RecoveringExecutable(await options.create(), options);
  }

  private constructor(first: WebGpuExecutable, options: RecoveryOptions) {
    super();
    this.#current = first;
    this.#options = options;
  }

  protected get target(): WebGpuExecutable {
    return this.#current;
  }

  override async gradient(batch: Batch, { signal }: RunOptions = {}): Promise<BatchMetrics> {
    const copy = copyOf(batch);
    return this.#call<BatchMetrics>({ run: (on, signal) => on.gradient(copy, { signal }), signal, bytes: bytesOf(copy) }, (call) => {
      this.#lastGradient = call;
    });
  }

  override async update(hyper: Hyperparameters): Promise<Update> {
    const after = this.#lastGradient;
    const call = { run: (on: WebGpuExecutable) => on.update(hyper), after, changesState: true, bytes: after?.bytes };
    return this.#call<Update>(call, undefined, () => this.#copyState());
  }

  override async calibrate(batch: Batch, bnMomentum: number, { signal }: RunOptions = {}): Promise<void> {
    const copy = copyOf(batch);
    const run = (on: WebGpuExecutable, signal?: AbortSignal) => on.calibrate(copy, bnMomentum, { signal });
    return this.#call<void>({ run, signal, changesState: true, bytes: bytesOf(copy) }, undefined, () => this.#copyState());
  }

  override async evaluate(batch: Batch, { signal }: RunOptions = {}): Promise<BatchMetrics & { logits: Float32Array }> {
    const copy = copyOf(batch);
    return this.#call<BatchMetrics & { logits: Float32Array }>({ run: (on, signal) => on.evaluate(copy, { signal }), signal });
  }

  override async predict(batch: Batch, { signal }: RunOptions = {}): Promise<Float32Array> {
    const copy = copyOf(batch);
    return this.#call<Float32Array>({ run: (on, signal) => on.predict(copy, { signal }), signal });
  }

  override get profile() {
    return async (batch: Batch, hyper: Hyperparameters): Promise<readonly KernelTime[]> => {
      const copy = copyOf(batch);
      return this.#call<KernelTime[]>({ run: (on) => on.profile(copy, hyper), changesState: true, bytes: bytesOf(copy) });
    };
  }

  override async read(name: string): Promise<Float32Array> {
    // Gradients are not part of the copy of the state: what made them has to be made again.
    const after = name.startsWith(GRADIENTS) ? this.#lastGradient : undefined;
    return this.#call<Float32Array>({ run: (on) => on.read(name), after });
  }

  override async write(name: string, data: ArrayLike<number>): Promise<void> {
    const copy = Float64Array.from(data);
    if (name === GRADIENTS) {
      // What the next update uses: it is not state, but has to be there again before that update is.
      const parts = { run: (on: WebGpuExecutable) => on.write(name, copy), after: this.#lastGradient, bytes: copy.byteLength };
      return this.#call<void>(parts, (call) => {
        this.#lastGradient = call;
      });
    }
    const parts = { run: (on: WebGpuExecutable) => on.write(name, copy), changesState: true, bytes: copy.byteLength };
    return this.#call<void>(parts, undefined, () => this.#copyState());
  }

  override async close(): Promise<void> {
    if (!this.#closed) this.#options.onClose();
    this.#closed = true;
    for (const call of this.#pending.splice(0)) call.reject(abortError());
    this.#journal = [];
    await this.#current.close();
  }

  #call<T>(
    parts: Pick<Call, 'run' | 'signal' | 'after'> & { changesState?: boolean; bytes?: number },
    before?: (call: Call) => void,
    behind?: (call: Call) => void,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const call = {
        changesState: false,
        bytes: 0,
        ...parts,
        number: this.#calls++,
        resolve: resolve as (value: unknown) => void,
        reject,
      } as Call;
      before?.(call);
      this.#pending.push(call);
      if (this.#isRecovering) return;
      this.#start(call);
      behind?.(call);
    });
  }

  #start(call: Call): void {
    const on = this.#current;
    call.run(on, call.signal).then(
      (value) => {
        if (!this.#end(call)) return;
        if (call.changesState) {
          this.#journal.splice(this.#journal.findLastIndex(({ number }) => number < call.number) + 1, 0, call);
          this.#losses = 0;
        }
        call.resolve(value);
      },
      (error) => {
        // What fails because its GPU is lost is not over.
        if (on.gpu.isLost && !this.#closed && this.#pending.includes(call)) this.#recover(on, on.gpu.failure ?? error);
        else if (this.#end(call)) this.#fail(call, error);
      },
    );
  }

  #fail(call: Call, error: unknown): void {
    call.failure = error;
    call.reject(error);
  }

  /** Takes a call off the list; false: it is not on it any more. */
  #end(call: Call): boolean {
    const at = this.#pending.indexOf(call);
    if (at >= 0) this.#pending.splice(at, 1);
    return at >= 0;
  }

  /** Copies the state as it is behind `last`, if the journal is long. */
  #copyState(last = this.#pending.at(-1) as Call): void {
    const bytes = this.#journal.reduce((sum, call) => sum + call.bytes, 0);
    if (this.#isCopying || (this.#journal.length < JOURNAL.updates && bytes < JOURNAL.bytes)) return;
    this.#isCopying = true;
    this.#current
      .snapshot()
      .then((snapshot) => {
        const at = this.#journal.indexOf(last);
        if (at < 0) return; // it failed, or has not been noted yet
        this.#snapshot = snapshot;
        this.#journal.splice(0, at + 1);
      })
      .catch(() => {}) // the calls around it say why
      .finally(() => {
        this.#isCopying = false;
      });
  }

  #recover(lost: WebGpuExecutable, cause: unknown): void {
    if (this.#isRecovering) return;
    this.#isRecovering = true;
    this.#onto(lost, cause).catch((error: unknown) => {
      this.#isRecovering = false;
      for (const call of this.#pending.splice(0)) call.reject(this.#closed ? abortError() : error);
    });
  }

  async #onto(lost: WebGpuExecutable, cause: unknown): Promise<void> {
    for (let dead = lost; ; dead = this.#current) {
      if (++this.#losses > TRIES) {
        const { message, remedy } = cause as HybridError;
        throw new HybridError('E_DEVICE', `${message}, ${TRIES} times in a row`, remedy, { cause });
      }
      await dead.close();
      this.#current = await this.#options.create(dead);
      if (this.#closed) await this.#current.close();
      try {
        if (this.#snapshot) await this.#current.restore(this.#snapshot);
        for (const call of this.#journal) await this.#again(call);
        break;
      } catch (error) {
        if (!this.#current.gpu.isLost || this.#closed) throw error;
      }
    }
    this.#options.onNotice?.(
      `${(cause as Error).message}; continued with a new one from the host's copy: ${this.#journal.length} ${this.#journal.length === 1 ? 'call was' : 'calls were'} repeated`,
    );
    // Not later: who hears that a call has failed may make another one at once.
    this.#isRecovering = false;
    // What is under way, in its order; an update whose gradient is over needs that again.
    for (const call of [...this.#pending]) {
      const broken = before(call).find(({ failure }) => failure !== undefined);
      if (broken) {
        this.#end(call);
        this.#fail(call, broken.failure);
        continue;
      }
      for (const earlier of before(call)) if (!this.#pending.includes(earlier)) earlier.run(this.#current).catch(() => {});
      this.#start(call);
    }
  }

  async #again(call: Call): Promise<void> {
    await Promise.all([...before(call), call].map((each) => each.run(this.#current)));
  }
}

/** What a call needs to have been made before it, in order. */
const before = ({ after }: Call): Call[] => (after ? [...before(after), after] : []);

const copyOf = ({ rows, images, features, picks, labels, samples, epoch }: Batch): Batch => ({
  rows,
  images: images.slice(),
  features: features?.slice(),
  picks: picks?.slice(),
  labels: labels?.slice(),
  samples: samples?.slice(),
  epoch,
});

const bytesOf = ({ images, features }: Batch): number => images.byteLength + (features?.byteLength ?? 0);
