// An executable of the webgpu device: its buffers, programs with pipelines and bind groups made once, and a queue that keeps the
// order of calls.
//
// A run is one encoder with one pass, submitted at once unless IN_FLIGHT others are still under way, and a small copy of its
// results into a mapped buffer, from which they are read when they are there. The GPU keeps the order of what is submitted.

import { abortError, HybridError, invariant } from '../../runtime/base/errors.ts';
import { type CompiledGraphs, inputsOf, PROGRAMS, type ProgramName } from '../../runtime/compile/programs.ts';
import {
  type Batch,
  type BatchMetrics,
  type Executable,
  GRADIENTS,
  type Hyperparameters,
  type KernelTime,
  type ModelGraphs,
  type ResidentImages,
  type RunOptions,
  STATISTICS,
  type StateEntry,
  type Update,
} from '../../runtime/device.ts';
import { elementCount, type Graph, type Node } from '../../runtime/ir/graph.ts';
import { NO_SCALARS, type StepScalars } from '../../runtime/ir/step.ts';
import { LOSS_SCALE } from '../lowering/loss-scale.ts';
import type { Dispatch } from '../lowering/lowering.ts';
import { LOSS_EXPONENT_OFFSET, packStep, STEP_BYTES } from '../lowering/step.ts';
import { USAGE } from './binding.ts';
import { type Gpu, STORAGE } from './gpu.ts';
import type { GpuTrace } from './gpu-trace.ts';
import type { Pipelines } from './pipelines.ts';
import { describeDispatch, type Layout, type PlacedDispatch } from './program.ts';
import { ResidentSet } from './resident.ts';
import type { Region } from './slots.ts';
import { Staging } from './staging.ts';
import { Stopwatch } from './stopwatch.ts';

/** Steps of gradient and update that are submitted ahead. */
const STEPS_AHEAD = 3;
/** Runs that may be under way. */
const IN_FLIGHT = 2 * STEPS_AHEAD;

/** A dispatch that can be encoded. */
interface Command<D extends Dispatch = Dispatch> {
  readonly dispatch: D;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
}

/** A program with the sizes of its dispatches for the rows of the last run: they are the same nearly always. */
class Program<D extends Dispatch = Dispatch> {
  readonly commands: readonly Command<D>[];
  #rows = 0;
  #workgroups: (readonly [number, number, number])[] = [];

  constructor(commands: readonly Command<D>[]) {
    this.commands = commands;
  }

  workgroups(rows: number) {
    if (rows !== this.#rows) this.#workgroups = this.commands.map(({ dispatch }) => dispatch.workgroups(rows));
    this.#rows = rows;
    return this.#workgroups;
  }
}

/** A call of the executable. */
interface Job {
  readonly label: string;
  /** Absent: there is only memory to read or write. */
  readonly program?: Program;
  readonly rows?: number;
  readonly reads: readonly Region[];
  /** Takes the times of its dispatches. */
  readonly stopwatch?: Stopwatch;
  /** At its turn: writes inputs and step block. */
  prepare(): void;
  /** With the bytes of `reads`. */
  finish(results: readonly ArrayBuffer[]): void;
  /** Instead of `prepare` where the call was aborted while it waited. */
  skip?(): void;
  reject(error: unknown): void;
  aborted: boolean;
}

const GRADIENT_PREFIX = 'gradients/';

/** The flat ranges of the state, byte for byte. */
export type Snapshot = readonly ArrayBuffer[];

export interface ExecutableParts {
  readonly gpu: Gpu;
  readonly graphs: CompiledGraphs;
  readonly layout: Layout;
  readonly capacity: number;
  readonly seed: bigint;
  readonly resident?: ResidentImages;
  readonly trace?: GpuTrace;
}

/** Programs that may get their images from a resident set. */
const PICKING = ['gradient', 'calibrate'] as const satisfies readonly ProgramName[];

export class WebGpuExecutable implements Executable {
  readonly capacity: number;
  readonly state: readonly StateEntry[];
  readonly memoryBytes: number;
  /** A software adapter may need minutes for a step: stopping is not to wait for several, and there is no gap between them to fill. */
  readonly stepsAhead: number | undefined;
  readonly #parts: ExecutableParts;
  readonly #gpu: Gpu;
  readonly #buffers: readonly GPUBuffer[];
  readonly #step: GPUBuffer;
  readonly #programs: ReadonlyMap<ProgramName, Program<PlacedDispatch>>;
  readonly #resident: ResidentSet | null;
  /** The same behind the dispatch that makes their images. */
  readonly #picking: ReadonlyMap<ProgramName, Program>;
  readonly #staging: Staging;
  readonly #queue: Job[] = [];
  #inFlight = 0;
  #closed = false;
  #profiling: Stopwatch | undefined;
  /** Step of the last gradient that was submitted and not aborted; else why there is none to update with. */
  #gradient: StepScalars | (() => Error) = () => new HybridError('E_INTERNAL', 'update was called before any gradient');
  /** Steps of the gradients that submitted updates use: too late to abort them. */
  readonly #updating = new WeakSet<StepScalars>();

  /** Allocates and compiles. Throws E_MEMORY where the GPU does not give the memory. */
  static async create(parts: ExecutableParts, pipelines: Pipelines): Promise<WebGpuExecutable> {
    const { gpu, layout, resident: images, capacity } = parts;
    const compiled = new Map<ProgramName, Promise<Pick<Command<PlacedDispatch>, 'dispatch' | 'pipeline'>[]>>();
    for (const { name, dispatches } of layout.programs) {
      const commands = dispatches.map(async (dispatch) => ({
        dispatch,
        pipeline: await pipelines.pipeline(dispatch, describeDispatch(dispatch)),
      }));
      compiled.set(name, Promise.all(commands));
    }
    for (const commands of compiled.values()) commands.catch(() => {}); // awaited below, behind the allocation
    const [step, ...buffers] = await gpu.allocate([
      { label: 'step', bytes: STEP_BYTES, usage: USAGE.uniform | USAGE.copyDst },
      ...layout.plan.buffers.map((buffer) => ({ ...buffer, usage: STORAGE })),
    ]);
    let resident: ResidentSet | null = null;
    try {
      if (images) {
        const { buffer } = layout.plan.inputs.get('images') as Region;
        resident = await ResidentSet.create(images, { gpu, pipelines, step, out: buffers[buffer], capacity });
      }
      const programs = new Map<ProgramName, Program<PlacedDispatch>>();
      for (const [name, commands] of compiled) {
        const withGroups = (await commands).map((command) => ({ ...command, bindGroup: bindGroup(command.dispatch) }));
        programs.set(name, new Program(withGroups));
      }
      return new WebGpuExecutable(parts, step, buffers, programs, resident);
    } catch (error) {
      resident?.destroy();
      for (const buffer of [step, ...buffers]) buffer.destroy();
      throw error;
    }

    function bindGroup(dispatch: PlacedDispatch): GPUBindGroup {
      return gpu.device.createBindGroup({
        label: describeDispatch(dispatch),
        layout: pipelines.layout(dispatch),
        entries: [
          { binding: 0, resource: { buffer: step } },
          ...dispatch.regions.map(({ buffer, offset, bytes }, i) => ({
            binding: 1 + i,
            resource: { buffer: buffers[buffer], offset, size: bytes },
          })),
        ],
      });
    }
  }

  private constructor(
    parts: ExecutableParts,
    step: GPUBuffer,
    buffers: readonly GPUBuffer[],
    programs: ReadonlyMap<ProgramName, Program<PlacedDispatch>>,
    resident: ResidentSet | null,
  ) {
    this.#parts = parts;
    this.#gpu = parts.gpu;
    this.#step = step;
    this.#buffers = buffers;
    this.#programs = programs;
    this.#resident = resident;
    this.#picking = new Map(
      PICKING.flatMap((name) => {
        const commands = programs.get(name)?.commands;
        return resident && commands ? [[name, new Program<Dispatch>([resident, ...commands])]] : [];
      }),
    );
    this.#staging = new Staging(parts.gpu);
    this.capacity = parts.capacity;
    this.stepsAhead = parts.gpu.adapter.software ? undefined : STEPS_AHEAD;
    this.memoryBytes = parts.layout.plan.bytes + (resident?.bytes ?? 0);
    this.state = [...parts.layout.plan.state].map(([name, { spec, kind }]) => ({ name, shape: spec.shape, kind }));
  }

  async gradient(batch: Batch, options: RunOptions = {}): Promise<BatchMetrics> {
    const step = this.#scalars(batch);
    const abort = (): Error => abortError(options.signal);
    return this.#run('gradient', batch, step, options, {
      reads: this.#outputs('train', 'loss', 'correct'),
      finish: metrics,
      before: () => {
        this.#gradient = step;
      },
      skip: () => {
        this.#gradient = abort;
      },
      abortable: () => {
        if (this.#updating.has(step)) return false; // an update with it is under way
        if (this.#gradient === step) this.#gradient = abort;
        return true;
      },
    });
  }

  async update(hyper: Hyperparameters): Promise<Update> {
    const program = this.#program('update');
    return this.#submit({
      label: 'update',
      program,
      rows: 1,
      reads: this.#outputs('train', 'applied', ...(this.#lossScale ? ['overflow'] : [])),
      prepare: () => {
        if (typeof this.#gradient === 'function') throw this.#gradient();
        this.#updating.add(this.#gradient);
        this.#writeStep({ ...this.#gradient, ...hyper });
      },
      finish: ([applied, overflow]) => {
        const [exponent] = overflow ? new Int32Array(overflow) : [0];
        return { applied: new Int32Array(applied)[0] === 1, ...(exponent && { overflow: 2 ** exponent }) };
      },
    });
  }

  async calibrate(batch: Batch, bnMomentum: number, options: RunOptions = {}): Promise<void> {
    const step = { ...this.#scalars(batch), bnMomentum };
    // Nothing is wanted of it but to know that it is done; once submitted, it happens.
    const reads = [...this.#parts.layout.plan.state.values()].slice(0, 1).map((region) => ({ ...region, bytes: 4 }));
    return this.#run('calibrate', batch, step, options, { reads, finish: () => {}, abortable: () => false });
  }

  async evaluate(batch: Batch, options: RunOptions = {}): Promise<BatchMetrics & { logits: Float32Array }> {
    return this.#run('evaluate', batch, this.#scalars(batch), options, {
      reads: [...this.#outputs('evaluate', 'loss', 'correct'), this.#logits('evaluate', batch.rows)],
      finish: ([loss, correct, logits]) => ({ ...metrics([loss, correct]), logits: new Float32Array(logits) }),
    });
  }

  async predict(batch: Batch, options: RunOptions = {}): Promise<Float32Array> {
    return this.#run('predict', batch, this.#scalars(batch), options, {
      reads: [this.#logits('predict', batch.rows)],
      finish: ([logits]) => new Float32Array(logits),
    });
  }

  async profile(batch: Batch, hyper: Hyperparameters): Promise<KernelTime[]> {
    const { graphs } = this.#parts;
    invariant(!this.#inFlight && !this.#queue.length, 'profiling waits for an idle device');
    invariant(!batch.picks, 'a profile takes a batch with images');
    const { values } = graphs.train as Graph;
    const specs = (ids: Node['inputs']) => ids.map((id) => values[id].spec);
    const programs = [this.#program('gradient'), this.#program('update')];
    const stopwatches = programs.map(({ commands }) => new Stopwatch(this.#gpu, commands.length));
    try {
      this.#profiling = stopwatches[0];
      await this.gradient(batch);
      this.#profiling = stopwatches[1];
      await this.update(hyper);
      const taken: KernelTime[] = [];
      for (const [p, { commands }] of programs.entries()) {
        const times = await stopwatches[p].read();
        for (const [i, { dispatch }] of commands.entries()) {
          const { kernel, node } = dispatch;
          taken.push({ kernel, node, inputs: specs(node.inputs), outputs: specs(node.outputs), ms: times[i] });
        }
      }
      return taken;
    } finally {
      this.#profiling = undefined;
      for (const stopwatch of stopwatches) stopwatch.destroy();
    }
  }

  async read(name: string): Promise<Float32Array> {
    const { region, isInteger, count } = this.#tensor(name);
    return this.#submit({
      label: `read ${name}`,
      reads: [{ ...region, bytes: 4 * count }],
      prepare: () => {},
      finish: ([data]) => (isInteger ? Float32Array.from(new Int32Array(data)) : new Float32Array(data)),
    });
  }

  async write(name: string, data: ArrayLike<number>): Promise<void> {
    if (name.startsWith(GRADIENT_PREFIX)) throw new HybridError('E_INTERNAL', `${name} is not state: it cannot be written`);
    const { region, isInteger, count } = this.#tensor(name);
    if (data.length !== count) throw new HybridError('E_INTERNAL', `${name} has ${count} elements, not ${data.length}`);
    const values = isInteger ? Int32Array.from(data) : Float32Array.from(data);
    return this.#submit({
      label: `write ${name}`,
      reads: [],
      prepare: () => this.#gpu.write(this.#buffers[region.buffer], region.offset, values),
      finish: () => {},
    });
  }

  /** What it runs on. */
  get gpu(): Gpu {
    return this.#gpu;
  }

  /** All state as it is after the calls so far. */
  async snapshot(): Promise<Snapshot> {
    const reads = this.#stateRegions;
    return this.#submit({ label: 'snapshot', reads, prepare: () => {}, finish: (results) => results });
  }

  async restore(snapshot: Snapshot): Promise<void> {
    const prepare = (): void => {
      for (const [i, { buffer }] of this.#stateRegions.entries()) this.#gpu.write(this.#buffers[buffer], 0, new Uint8Array(snapshot[i]));
    };
    return this.#submit({ label: 'restore', reads: [], prepare, finish: () => {} });
  }

  /** The flat ranges of the state. */
  get #stateRegions(): Region[] {
    const { state, buffers } = this.#parts.layout.plan;
    const indices = [...new Set([...state.values()].map(({ buffer }) => buffer))];
    return indices.map((buffer) => ({ buffer, offset: 0, bytes: buffers[buffer].bytes }));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const job of this.#queue.splice(0)) job.reject(abortError());
    // What is under way ends by itself and is rejected there; destroying a buffer in use is safe in WebGPU.
    for (const buffer of [this.#step, ...this.#buffers]) buffer.destroy();
    this.#resident?.destroy();
    this.#staging.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #program(name: ProgramName): Program<PlacedDispatch> {
    const program = this.#programs.get(name);
    if (!program) throw new HybridError('E_INTERNAL', `the program ${name} was not compiled`);
    return program;
  }

  /** The state of the loss scale, where the loss is scaled. */
  get #lossScale(): Region | undefined {
    return this.#parts.layout.plan.state.get(LOSS_SCALE);
  }

  #tensor(name: string): { region: Region; isInteger: boolean; count: number } {
    const { state, gradients, ranges } = this.#parts.layout.plan;
    const range = name === GRADIENTS || name === STATISTICS ? ranges.get(name) : undefined;
    if (range) return { region: range, isInteger: false, count: range.bytes / 4 };
    const isGradient = name.startsWith(GRADIENT_PREFIX);
    const stateName = isGradient ? name.slice(GRADIENT_PREFIX.length) : name;
    const place = state.get(stateName);
    const region = isGradient ? gradients.get(stateName) : place;
    if (!place || !region) throw new HybridError('E_INTERNAL', `no state or gradient is called ${name}`);
    return { region, isInteger: place.spec.dtype === 'i32', count: elementCount(place.spec) };
  }

  /** Scalars of the outputs of a graph. */
  #outputs(graph: keyof ModelGraphs, ...names: string[]): Region[] {
    if (!this.#parts.graphs[graph]) return []; // refused where the program is looked for
    return names.map((name) => ({ ...this.#parts.layout.output(graph, name), bytes: 4 }));
  }

  #logits(key: keyof ModelGraphs, rows: number): Region {
    const graph = this.#parts.graphs[key];
    if (!graph) return { buffer: 0, offset: 0, bytes: 4 };
    const classes = elementCount(graph.values[graph.outputs.logits].spec);
    return { ...this.#parts.layout.output(key, 'logits'), bytes: 4 * rows * classes };
  }

  #scalars({ rows, epoch = 0 }: Batch): StepScalars {
    invariant(Number.isInteger(rows) && rows >= 1 && rows <= this.capacity, `${rows} rows, capacity ${this.capacity}`);
    return { rows, epoch, seed: this.#parts.seed, ...NO_SCALARS };
  }

  #writeStep(step: StepScalars): void {
    const block = new ArrayBuffer(STEP_BYTES);
    packStep(step, block);
    this.#gpu.write(this.#step, 0, new Uint8Array(block));
  }

  /** Queues a run over a batch. What the caller may overwrite after the call is copied before this returns. */
  #run<T>(
    name: ProgramName,
    batch: Batch,
    step: StepScalars,
    { signal }: RunOptions,
    {
      before,
      ...job
    }: Pick<Job, 'reads' | 'skip'> & { before?(): void; finish(results: readonly ArrayBuffer[]): T; abortable?(): boolean },
  ): Promise<T> {
    const { rows, picks } = batch;
    const resident = picks ? this.#resident : null;
    const program = (resident && this.#picking.get(name)) ?? this.#program(name);
    const words = picks && resident?.words(rows, picks, batch.samples);
    const graph = this.#parts.graphs[PROGRAMS[name].graph] as Graph;
    const waits = !this.#isFree;
    const inputs: { region: Region; data: Uint8Array | Int32Array }[] = [];
    for (const { name: input, data } of inputsOf(graph, batch, name, words !== undefined && this.#picking.has(name))) {
      const region = this.#parts.layout.plan.inputs.get(input) as Region;
      // A run that starts at once is copied by the queue itself.
      inputs.push({ region, data: waits ? data.slice() : data });
    }
    return this.#submit({
      ...job,
      label: name,
      program,
      rows,
      signal,
      prepare: () => {
        before?.();
        if (words) resident?.pick(words);
        for (const { region, data } of inputs) this.#gpu.write(this.#buffers[region.buffer], region.offset, data);
        this.#writeStep(step);
      },
    });
  }

  get #isFree(): boolean {
    return this.#inFlight < IN_FLIGHT && this.#queue.length === 0;
  }

  #submit<T>({
    finish,
    signal,
    abortable = () => true,
    ...job
  }: Omit<Job, 'finish' | 'reject' | 'aborted' | 'stopwatch'> & {
    finish(results: readonly ArrayBuffer[]): T;
    signal?: AbortSignal;
    /** Of a run that is submitted: whether it may still be taken as not having happened. */
    abortable?(): boolean;
  }): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#gpu.failure && !this.#closed) throw this.#gpu.failure;
      invariant(!this.#closed, 'the executable is closed');
      const abort = (): void => {
        if (!this.#queue.includes(queued) && !abortable()) return;
        queued.aborted = true;
        queued.reject(abortError(signal));
      };
      const settle = (): void => signal?.removeEventListener('abort', abort);
      const queued: Job = {
        ...job,
        aborted: false,
        stopwatch: job.program && this.#profiling,
        finish(results) {
          settle();
          resolve(finish(results));
        },
        reject(error) {
          settle();
          reject(error);
        },
      };
      this.#queue.push(queued);
      // Aborted already: it has a turn all the same, for what is called after it depends on its not having happened.
      if (signal?.aborted) abort();
      else signal?.addEventListener('abort', abort);
      this.#pump();
    });
  }

  /** Submits what waits, as long as there is room. */
  #pump(): void {
    while (this.#inFlight < IN_FLIGHT) {
      const job = this.#queue.shift();
      if (!job) return;
      if (job.aborted) {
        job.skip?.();
        continue;
      }
      try {
        job.prepare();
        if (job.program || job.reads.length) this.#start(job);
        else job.finish([]);
      } catch (error) {
        job.reject(error);
      }
    }
  }

  #start(job: Job): void {
    const { trace } = this.#parts;
    const commands = job.program?.commands ?? [];
    const traced = job.program && !job.stopwatch ? trace?.next(commands.length) : undefined;
    const download = this.#staging.prepare(job.reads.map(({ bytes }) => bytes));
    const valid = this.#gpu.submit(job.label, (encoder) => {
      // What the updates before have made of the scale is known to the GPU alone.
      if (job.label === 'gradient' && this.#lossScale) {
        const { buffer, offset } = this.#lossScale;
        encoder.copyBufferToBuffer(this.#buffers[buffer], offset, this.#step, LOSS_EXPONENT_OFFSET, 4);
      }
      if (job.program) encode(encoder, job.program, job.rows as number, job.stopwatch ?? traced);
      for (const [i, { buffer, offset, bytes }] of job.reads.entries())
        encoder.copyBufferToBuffer(this.#buffers[buffer], offset, download.buffer, download.offsets[i], bytes);
    });
    this.#inFlight++;
    const drawn =
      traced &&
      trace?.draw(
        traced,
        commands.map(({ dispatch }) => nameOf(dispatch)),
      );
    Promise.all([download.read(), valid, drawn]).then(
      ([results]) => {
        this.#inFlight--;
        if (this.#closed) job.reject(abortError());
        else if (!job.aborted) job.finish(results);
        this.#pump();
      },
      (error) => {
        this.#inFlight--;
        const reason = this.#closed ? abortError() : error;
        job.reject(reason);
        for (const waiting of this.#queue.splice(0)) waiting.reject(reason);
      },
    );
  }
}

function encode(encoder: GPUCommandEncoder, program: Program, rows: number, stopwatch?: Stopwatch): void {
  const workgroups = program.workgroups(rows);
  let pass = stopwatch ? null : encoder.beginComputePass();
  let current: GPUComputePipeline | undefined;
  for (const [i, { pipeline, bindGroup }] of program.commands.entries()) {
    if (stopwatch) {
      pass = encoder.beginComputePass({ timestampWrites: stopwatch.ofPass(i) });
      current = undefined;
    }
    const into = pass as GPUComputePassEncoder;
    if (pipeline !== current) into.setPipeline((current = pipeline));
    into.setBindGroup(0, bindGroup);
    const [x, y, z] = workgroups[i];
    into.dispatchWorkgroups(x, y, z);
    if (stopwatch) into.end();
  }
  if (stopwatch) stopwatch.resolve(encoder);
  else pass?.end();
}

const nameOf = (dispatch: Dispatch | PlacedDispatch): string => ('node' in dispatch ? describeDispatch(dispatch) : dispatch.kernel);

const metrics = ([loss, correct]: readonly ArrayBuffer[]): BatchMetrics => ({
  loss: new Float32Array(loss)[0],
  correct: new Float32Array(correct)[0],
});
