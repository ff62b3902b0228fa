// An executable of the wasm device: one shared memory, one gang, and the programs.

import { copyBytes } from '../../runtime/base/bytes.ts';
import { abortError, invariant } from '../../runtime/base/errors.ts';
import type { Trace } from '../../runtime/base/trace.ts';
import { Calls, STOPPED } from '../../runtime/compile/calls.ts';
import { LastGradient } from '../../runtime/compile/last-gradient.ts';
import {
  type CompiledGraphs,
  checkScalars,
  inputsOf,
  kernelTimes,
  notCompiled,
  PROGRAMS,
  type ProgramName,
  stepOf,
} from '../../runtime/compile/programs.ts';
import { checkLength, checkWritable, parseStateName, unknownName } from '../../runtime/compile/state-names.ts';
import type {
  Batch,
  BatchMetrics,
  CompileOptions,
  Exchange,
  Executable,
  Hyperparameters,
  KernelTime,
  ModelGraphs,
  RunOptions,
  StateEntry,
} from '../../runtime/device.ts';
import { elementCount, type Graph } from '../../runtime/ir/graph.ts';
import type { StepScalars } from '../../runtime/ir/step.ts';
import { opTable } from '../../runtime/ops/index.ts';
import { ARENA, writeStep } from './abi.ts';
import type { Walkers } from './calling-thread.ts';
import type { Program } from './gang.ts';
import { type Layout, partOf, type WrittenProgram } from './program.ts';
import { callTimes, drawTimes, readTimes, type Times } from './times.ts';

/** A timeline that held every kernel of a long run could not be opened. */
const TRACED_RUNS = 64;

export interface ExecutableParts {
  readonly graphs: CompiledGraphs;
  readonly layout: Layout;
  readonly memory: WebAssembly.Memory;
  readonly programs: ReadonlyMap<ProgramName, WrittenProgram>;
  readonly gang: Walkers;
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
  /** One at a time: there is one gang. */
  readonly #calls: Calls;
  readonly #gradient = new LastGradient();
  #closed: Promise<void> | null = null;
  /** Whether runs note the times of their calls: during a profile. */
  #timed = false;
  /** Whether what is made of the weights alone, and kept, is that of the weights that there are. */
  #prepared = false;
  /** Runs whose calls are still to go to the timeline. */
  #toTrace: number;

  constructor(parts: ExecutableParts) {
    this.#parts = parts;
    this.#buffer = parts.memory.buffer;
    this.#calls = new Calls({ limit: 1, failure: () => parts.gang.failure });
    this.capacity = parts.capacity;
    this.#toTrace = parts.trace ? TRACED_RUNS : 0;
    this.memoryBytes = this.#buffer.byteLength;
    this.state = [...parts.layout.plan.state].map(([name, { spec, kind }]) => ({ name, shape: spec.shape, kind }));
  }

  async gradient(batch: Batch, options: RunOptions = {}): Promise<BatchMetrics> {
    const lose = (): void => this.#gradient.lose(() => abortError(options.signal));
    try {
      const step = stepOf(batch, this.#parts);
      return this.#run('gradient', batch, step, options, {
        before: lose,
        skip: lose,
        finish: () => {
          this.#gradient.set(step);
          return this.#metrics('train');
        },
      });
    } catch (error) {
      this.#gradient.refuse(this.#calls, error as Error);
      throw error;
    }
  }

  async update(hyper: Hyperparameters): Promise<{ applied: boolean }> {
    checkScalars(hyper);
    const program = this.#program('update');
    return this.#calls.make({
      prepare: () => writeStep(this.#buffer, { ...this.#gradient.take(), ...hyper }),
      start: () => this.#execute(program),
      finish: () => ({ applied: new Int32Array(this.#buffer, this.#parts.layout.output('train', 'applied'), 1)[0] === 1 }),
    });
  }

  async calibrate(batch: Batch, bnMomentum: number, options: RunOptions = {}): Promise<void> {
    checkScalars({ bnMomentum }, ['bnMomentum']);
    return this.#run('calibrate', batch, { ...stepOf(batch, this.#parts), bnMomentum }, options, { finish: () => {} });
  }

  async evaluate(batch: Batch, options: RunOptions = {}): Promise<BatchMetrics & { logits: Float32Array }> {
    const finish = () => ({ ...this.#metrics('evaluate'), logits: this.#logits('evaluate', batch.rows) });
    return this.#run('evaluate', batch, stepOf(batch, this.#parts), options, { finish });
  }

  async predict(batch: Batch, options: RunOptions = {}): Promise<Float32Array> {
    const { rows } = batch;
    return this.#run('predict', batch, stepOf(batch, this.#parts), options, { finish: () => this.#logits('predict', rows) });
  }

  async profile(batch: Batch, hyper: Hyperparameters): Promise<KernelTime[]> {
    invariant(this.#calls.areOver, 'profiling waits for an idle device');
    invariant(!this.#parts.exchange && !this.#parts.onGradients, 'programs with stops are not profiled');
    const taken = (name: ProgramName): KernelTime[] => {
      const calls = this.#parts.layout.programs.find((program) => program.name === name)?.calls ?? [];
      return kernelTimes(this.#parts.graphs.train as Graph, calls, callTimes(this.#times(calls.length)), opTable, batch.rows);
    };
    this.#timed = true;
    try {
      await this.gradient(batch);
      const gradient = taken('gradient');
      await this.update(hyper);
      return [...gradient, ...taken('update')];
    } finally {
      this.#timed = false;
    }
  }

  async read(name: string): Promise<Float32Array> {
    const tensor = this.#tensor(name);
    return this.#calls.make({ prepare: () => {}, finish: () => Float32Array.from(tensor) });
  }

  async write(name: string, data: ArrayLike<number>): Promise<void> {
    checkWritable(name);
    const tensor = this.#tensor(name);
    checkLength(name, data.length, tensor.length);
    const copy = this.#calls.startAtOnce ? data : Float64Array.from(data);
    const prepare = (): void => {
      tensor.set(copy);
      this.#prepared = false;
    };
    return this.#calls.make({ prepare, finish: () => {} });
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#calls.close();
      this.#closed = this.#parts.gang.close();
      this.#parts.onClose();
    }
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #program(name: ProgramName): WrittenProgram {
    const program = this.#parts.programs.get(name);
    if (!program) throw notCompiled(name);
    return program;
  }

  /** The place in memory of a state tensor, of a parameter's gradient, or of a whole range. */
  #tensor(name: string): Float32Array | Int32Array {
    const { state, ranges } = this.#parts.layout.plan;
    const parsed = parseStateName(name);
    if (parsed.kind === 'range') {
      const { offset, bytes } = ranges[parsed.name];
      return new Float32Array(this.#buffer, ARENA + offset, bytes / 4);
    }
    const place = state.get(parsed.name);
    const isGradient = parsed.kind === 'gradient';
    if (!place || (isGradient && (place.kind !== 'parameter' || !this.#parts.graphs.train))) throw unknownName(name);
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

  #times(calls: number): Times {
    const { layout, gang } = this.#parts;
    return readTimes(this.#buffer, layout.times, calls, gang.threads);
  }

  /** Queues a run over a batch. What the caller may overwrite after the call is copied before this returns. */
  #run<T>(
    name: ProgramName,
    batch: Batch,
    step: StepScalars,
    { signal }: RunOptions,
    { before, skip, finish }: { before?(): void; skip?(): void; finish(): T },
  ): Promise<T> {
    const program = this.#program(name);
    const graph = this.#parts.graphs[PROGRAMS[name].graph] as Graph;
    const inputs: { place: ArrayBufferView; data: ArrayBufferView }[] = [];
    for (const { name: input, data } of inputsOf(graph, batch, name)) {
      const offset = ARENA + (this.#parts.layout.plan.inputs.get(input)?.offset as number);
      const place = new Uint8Array(this.#buffer, offset, data.byteLength);
      // A call that starts at once has it copied into the gang's memory: that copy is the only one.
      inputs.push({ place, data: this.#calls.startAtOnce ? data : data.slice() });
    }
    return this.#calls.make({
      signal,
      prepare: () => {
        before?.();
        for (const { place, data } of inputs) copyBytes(place, data);
        writeStep(this.#buffer, step);
      },
      start: () => this.#execute(program, signal),
      finish,
      skip,
      // The gang is asked to stop, and the call ends when it has: its memory is not free before.
      abandon: () => {
        this.#parts.gang.abort();
        return false;
      },
    });
  }

  /** Runs a program, in one go or from stop to stop: held during an exchange, and going on while final gradients are told. */
  async #execute(program: WrittenProgram, signal?: AbortSignal): Promise<'done' | typeof STOPPED> {
    const { exchange, onGradients, layout } = this.#parts;
    const stops = program.stops.filter((stop) => (exchange && stop.exchange) || (onGradients && stop.gradients));
    if (stops.length === 0) {
      const outcome = await this.#runPart(this.#prepared ? partOf(program, program.prepared, program.calls) : program);
      if (program.prepared > 0 && outcome === 'done') this.#prepared = true;
      return outcome;
    }
    let run = this.#runPart(partOf(program, 0, stops[0].after));
    for (const [i, stop] of stops.entries()) {
      if ((await run) === STOPPED || signal?.aborted) return STOPPED;
      if (exchange && stop.exchange) {
        const { kind, first, second, length } = stop.exchange;
        await exchange(kind, new Float32Array(this.#buffer, first, length), new Float32Array(this.#buffer, second, length));
      }
      run = this.#runPart(partOf(program, stop.after, stops[i + 1]?.after ?? program.calls));
      if (onGradients && stop.gradients) {
        const { begin, end } = stop.gradients;
        onGradients(begin / 4, new Float32Array(this.#buffer, ARENA + layout.plan.ranges.gradients.offset + begin, (end - begin) / 4));
      }
    }
    return run;
  }

  async #runPart(program: Program): Promise<'done' | typeof STOPPED> {
    const { gang, layout, trace } = this.#parts;
    const traced = this.#toTrace > 0 ? trace : undefined;
    const outcome = await gang.run(program, { times: traced || this.#timed ? layout.times : 0 });
    if (outcome === 'stopped') return STOPPED;
    if (traced) {
      this.#toTrace--;
      drawTimes(traced, program, this.#times(program.calls));
    }
    return 'done';
  }
}
