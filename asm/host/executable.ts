// An executable of the wasm device: one shared memory, one gang, the programs, and a queue that keeps the order of calls.

import { copyBytes } from '../../runtime/base/copy-bytes.ts';
import { abortError, HybridError, invariant } from '../../runtime/base/errors.ts';
import type { Trace } from '../../runtime/base/trace.ts';
import { type CompiledGraphs, inputsOf, PROGRAMS, type ProgramName } from '../../runtime/compile/programs.ts';
import {
  type Batch,
  type BatchMetrics,
  type CompileOptions,
  type Exchange,
  type Executable,
  GRADIENTS,
  type Hyperparameters,
  type KernelTime,
  type ModelGraphs,
  type RunOptions,
  STATISTICS,
  type StateEntry,
} from '../../runtime/device.ts';
import { elementCount, type Graph, type Node } from '../../runtime/ir/graph.ts';
import { NO_SCALARS, type StepScalars } from '../../runtime/ir/step.ts';
import { ARENA, writeStep } from './abi.ts';
import type { Gang, Program } from './gang.ts';
import { type Layout, partOf, type WrittenProgram } from './program.ts';

/** A call of the executable that waits for its turn. */
interface Job {
  /** Absent: there is nothing to run, only memory to read or write. */
  readonly program?: WrittenProgram;
  readonly signal?: AbortSignal;
  /** At its turn: writes inputs and step block. */
  prepare(): void;
  /** After the run. */
  finish(): void;
  /** Instead of `finish` where the run did not come to its end. */
  reject(error: unknown): void;
}

/** A timeline that held every kernel of a long run could not be opened. */
const TRACED_RUNS = 64;

/** What threads have noted of a run: `threads`: each when it was through; `done`: when all were. Element i + 1 is of call i, 0 the start. */
function timesOf(
  buffer: SharedArrayBuffer,
  address: number,
  calls: number,
  count: number,
): { threads: Float64Array[]; done: Float64Array } {
  const threads = Array.from({ length: count }, (_, thread) => new Float64Array(buffer, address + thread * 8 * (calls + 1), calls + 1));
  const done = Float64Array.from({ length: calls + 1 }, (_, i) => Math.max(...threads.map((times) => times[i])));
  return { threads, done };
}

const GRADIENT_PREFIX = 'gradients/';

export interface ExecutableParts {
  readonly graphs: CompiledGraphs;
  readonly layout: Layout;
  readonly memory: WebAssembly.Memory;
  readonly programs: ReadonlyMap<ProgramName, WrittenProgram>;
  readonly gang: Gang;
  readonly capacity: number;
  readonly seed: bigint;
  readonly exchange?: Exchange;
  readonly onGradients?: CompileOptions['onGradients'];
  readonly trace?: Trace;
  /** Called once, when the executable is closed. */
  readonly onClose: () => void;
}

export class WasmExecutable implements Executable {
  readonly capacity: number;
  readonly state: readonly StateEntry[];
  readonly memoryBytes: number;
  readonly #parts: ExecutableParts;
  readonly #buffer: SharedArrayBuffer;
  readonly #queue: Job[] = [];
  #active: Job | null = null;
  #closed: Promise<void> | null = null;
  /** Whether runs note the times of their calls. */
  #timed = false;
  /** Runs whose calls are still to go to the timeline. */
  #toTrace: number;
  /** Step of the last gradient, if that came to its end; else why there is none to update with. */
  #gradient: StepScalars | (() => Error) = () => new HybridError('E_INTERNAL', 'update was called before any gradient');

  constructor(parts: ExecutableParts) {
    this.#parts = parts;
    this.#buffer = parts.memory.buffer;
    this.capacity = parts.capacity;
    this.#toTrace = parts.trace ? TRACED_RUNS : 0;
    this.memoryBytes = this.#buffer.byteLength;
    this.state = [...parts.layout.plan.state].map(([name, { spec, kind }]) => ({ name, shape: spec.shape, kind }));
  }

  async gradient(batch: Batch, options: RunOptions = {}): Promise<BatchMetrics> {
    const step = this.#step(batch);
    return this.#run('gradient', batch, step, options, {
      before: () => {
        this.#gradient = () => abortError(options.signal);
      },
      after: () => {
        this.#gradient = step;
        return this.#metrics('train');
      },
    });
  }

  async update(hyper: Hyperparameters): Promise<{ applied: boolean }> {
    const program = this.#program('update');
    return this.#submit({
      program,
      prepare: () => {
        if (typeof this.#gradient === 'function') throw this.#gradient();
        writeStep(this.#buffer, { ...this.#gradient, ...hyper });
      },
      finish: () => ({ applied: new Int32Array(this.#buffer, this.#parts.layout.output('train', 'applied'), 1)[0] === 1 }),
    });
  }

  async calibrate(batch: Batch, bnMomentum: number, options: RunOptions = {}): Promise<void> {
    return this.#run('calibrate', batch, { ...this.#step(batch), bnMomentum }, options, { after: () => {} });
  }

  async evaluate(batch: Batch, options: RunOptions = {}): Promise<BatchMetrics & { logits: Float32Array }> {
    const after = () => ({ ...this.#metrics('evaluate'), logits: this.#logits('evaluate', batch.rows) });
    return this.#run('evaluate', batch, this.#step(batch), options, { after });
  }

  async predict(batch: Batch, options: RunOptions = {}): Promise<Float32Array> {
    return this.#run('predict', batch, this.#step(batch), options, { after: () => this.#logits('predict', batch.rows) });
  }

  async profile(batch: Batch, hyper: Hyperparameters): Promise<KernelTime[]> {
    const { layout, graphs, gang } = this.#parts;
    invariant(this.#idle, 'profiling waits for an idle device');
    invariant(!this.#parts.exchange && !this.#parts.onGradients, 'programs with stops are not profiled');
    this.#timed = true;
    const taken: KernelTime[] = [];
    const take = (name: ProgramName): void => {
      const calls = layout.programs.find((program) => program.name === name)?.calls ?? [];
      const { done } = timesOf(this.#buffer, layout.times, calls.length, gang.threads);
      const specs = (ids: Node['inputs']) => ids.map((id) => (graphs.train as Graph).values[id].spec);
      for (const [i, { kernel, node }] of calls.entries()) {
        taken.push({ kernel, node, inputs: specs(node.inputs), outputs: specs(node.outputs), ms: done[i + 1] - done[i] });
      }
    };
    try {
      await this.gradient(batch);
      take('gradient');
      await this.update(hyper);
      take('update');
    } finally {
      this.#timed = false;
    }
    return taken;
  }

  async read(name: string): Promise<Float32Array> {
    const tensor = this.#tensor(name);
    return this.#submit({ prepare: () => {}, finish: () => Float32Array.from(tensor) });
  }

  async write(name: string, data: ArrayLike<number>): Promise<void> {
    if (name.startsWith(GRADIENT_PREFIX)) throw new HybridError('E_INTERNAL', `${name} is not state: it cannot be written`);
    const tensor = this.#tensor(name);
    if (data.length !== tensor.length) throw new HybridError('E_INTERNAL', `${name} has ${tensor.length} elements, not ${data.length}`);
    const copy = this.#idle ? data : Float64Array.from(data);
    return this.#submit({ prepare: () => tensor.set(copy), finish: () => {} });
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = this.#parts.gang.close();
      this.#parts.onClose();
      for (const job of this.#queue.splice(0)) job.reject(abortError());
    }
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #idle(): boolean {
    return !this.#active && this.#queue.length === 0;
  }

  #program(name: ProgramName): WrittenProgram {
    const program = this.#parts.programs.get(name);
    if (!program) throw new HybridError('E_INTERNAL', `the program ${name} was not compiled`);
    return program;
  }

  /** The place in memory of a state tensor, of a parameter's gradient, or of a whole range. */
  #tensor(name: string): Float32Array | Int32Array {
    const { state, ranges } = this.#parts.layout.plan;
    if (name === GRADIENTS || name === STATISTICS) {
      const { offset, bytes } = ranges[name];
      return new Float32Array(this.#buffer, ARENA + offset, bytes / 4);
    }
    const isGradient = name.startsWith(GRADIENT_PREFIX);
    const place = state.get(isGradient ? name.slice(GRADIENT_PREFIX.length) : name);
    if (!place || (isGradient && (place.kind !== 'parameter' || !this.#parts.graphs.train))) {
      throw new HybridError('E_INTERNAL', `no state or gradient is called ${name}`);
    }
    const offset = isGradient ? place.offset - ranges.parameters.offset + ranges.gradients.offset : place.offset;
    const count = elementCount(place.spec);
    return place.spec.dtype === 'i32'
      ? new Int32Array(this.#buffer, ARENA + offset, count)
      : new Float32Array(this.#buffer, ARENA + offset, count);
  }

  #metrics(graph: keyof ModelGraphs): BatchMetrics {
    const read = (name: string) => new Float32Array(this.#buffer, this.#parts.layout.output(graph, name), 1)[0];
    return { loss: read('loss'), correct: read('correct') };
  }

  #logits(graph: keyof ModelGraphs, rows: number): Float32Array {
    const { values, outputs } = this.#parts.graphs[graph] as Graph;
    const count = rows * elementCount(values[outputs.logits].spec);
    return Float32Array.from(new Float32Array(this.#buffer, this.#parts.layout.output(graph, 'logits'), count));
  }

  #step({ rows, epoch = 0 }: Batch): StepScalars {
    invariant(Number.isInteger(rows) && rows >= 1 && rows <= this.capacity, `${rows} rows, capacity ${this.capacity}`);
    return { rows, epoch, seed: this.#parts.seed, ...NO_SCALARS };
  }

  /** Queues a run over a batch. What the caller may overwrite after the call is copied before this returns. */
  #run<T>(
    name: ProgramName,
    batch: Batch,
    step: StepScalars,
    { signal }: RunOptions,
    { before, after }: { before?(): void; after(): T },
  ): Promise<T> {
    const program = this.#program(name);
    const graph = this.#parts.graphs[PROGRAMS[name].graph] as Graph;
    const inputs: { place: Uint8Array | Int32Array; data: Uint8Array | Int32Array }[] = [];
    for (const { name: input, data } of inputsOf(graph, batch, name)) {
      const offset = ARENA + (this.#parts.layout.plan.inputs.get(input)?.offset as number);
      const [buffer, length] = [this.#buffer, data.length];
      const place = data instanceof Uint8Array ? new Uint8Array(buffer, offset, length) : new Int32Array(buffer, offset, length);
      // An idle gang starts at once, so that the copy into its memory is the only one.
      inputs.push({ place, data: this.#idle ? data : data.slice() });
    }
    return this.#submit({
      program,
      signal,
      prepare: () => {
        before?.();
        for (const { place, data } of inputs) copyBytes(place, data);
        writeStep(this.#buffer, step);
      },
      finish: after,
    });
  }

  #submit<T>({ finish, ...job }: Omit<Job, 'finish' | 'reject'> & { finish(): T }): Promise<T> {
    const { signal } = job;
    return new Promise<T>((resolve, reject) => {
      const { failure } = this.#parts.gang;
      if (failure) throw failure;
      invariant(!this.#closed, 'the executable is closed');
      if (signal?.aborted) throw abortError(signal);
      const abort = () => this.#abort(queued);
      const settle = () => signal?.removeEventListener('abort', abort);
      const queued: Job = {
        ...job,
        finish() {
          settle();
          resolve(finish());
        },
        reject(error) {
          settle();
          reject(error);
        },
      };
      signal?.addEventListener('abort', abort);
      this.#queue.push(queued);
      this.#pump();
    });
  }

  /** A job that waits is taken out of the queue; one that runs is asked to stop, and rejects when it has. */
  #abort(job: Job): void {
    const at = this.#queue.indexOf(job);
    if (at >= 0) {
      this.#queue.splice(at, 1);
      job.reject(abortError(job.signal));
    } else if (job === this.#active) {
      this.#parts.gang.abort();
    }
  }

  /** Starts the next jobs, as long as there is nothing to wait for. */
  #pump(): void {
    while (!this.#active) {
      const job = this.#queue.shift();
      if (!job) return;
      try {
        job.prepare();
        if (job.program) this.#start(job, job.program);
        else job.finish();
      } catch (error) {
        job.reject(error);
      }
    }
  }

  /** Runs a program, in one go or from stop to stop: held during an exchange, and going on while final gradients are told. */
  async #execute(program: WrittenProgram, signal?: AbortSignal): Promise<'done' | 'stopped'> {
    const { exchange, onGradients, layout } = this.#parts;
    const stops = program.stops.filter((stop) => (exchange && stop.exchange) || (onGradients && stop.gradients));
    if (stops.length === 0) return this.#timedRun(program);
    let run = this.#timedRun(partOf(program, 0, stops[0].after));
    for (const [i, stop] of stops.entries()) {
      if ((await run) === 'stopped' || signal?.aborted) return 'stopped';
      if (exchange && stop.exchange) {
        const { kind, first, second, length } = stop.exchange;
        await exchange(kind, new Float32Array(this.#buffer, first, length), new Float32Array(this.#buffer, second, length));
      }
      run = this.#timedRun(partOf(program, stop.after, stops[i + 1]?.after ?? program.calls));
      if (onGradients && stop.gradients) {
        const { begin, end } = stop.gradients;
        onGradients(begin / 4, new Float32Array(this.#buffer, ARENA + layout.plan.ranges.gradients.offset + begin, (end - begin) / 4));
      }
    }
    return run;
  }

  async #timedRun(program: Program): Promise<'done' | 'stopped'> {
    const { gang, layout, trace } = this.#parts;
    const traced = trace && this.#toTrace > 0;
    const outcome = await gang.run(program, { times: traced || this.#timed ? layout.times : 0 });
    if (traced && outcome === 'done') {
      this.#toTrace--;
      const { threads, done } = timesOf(this.#buffer, layout.times, program.calls, gang.threads);
      for (const [thread, own] of threads.entries())
        for (let call = 0; call < program.calls; call++) {
          // It began when the slowest was through with the call before. What is left white is waiting for others.
          trace.span(`compute thread ${thread + 1}`, program.describe(call), call === 0 ? own[0] : done[call], own[call + 1]);
        }
    }
    return outcome;
  }

  #start(job: Job, program: WrittenProgram): void {
    this.#active = job;
    this.#execute(program, job.signal).then(
      (outcome) => {
        this.#active = null;
        if (outcome === 'done') job.finish();
        else job.reject(abortError(job.signal));
        this.#pump();
      },
      (error) => {
        this.#active = null;
        job.reject(this.#closed ? abortError() : error);
        for (const waiting of this.#queue.splice(0)) waiting.reject(this.#closed ? abortError() : error);
      },
    );
  }
}
