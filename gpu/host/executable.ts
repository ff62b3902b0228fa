// An executable of the webgpu device: its buffers, and programs with pipelines and bind groups made once.
//
// A run is one encoder with one pass, submitted at once unless IN_FLIGHT others are still under way, and a small copy of its
// results into a mapped buffer, from which they are read when they are there. The GPU keeps the order of what is submitted.

import { abortError, invariant } from '../../runtime/base/errors.ts';
import { type Call, Calls } from '../../runtime/compile/calls.ts';
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
import { checkLength, checkWritable } from '../../runtime/compile/state-names.ts';
import type {
  Batch,
  BatchMetrics,
  Executable,
  Hyperparameters,
  KernelTime,
  ModelGraphs,
  ResidentImages,
  RunOptions,
  StateEntry,
  Update,
} from '../../runtime/device.ts';
import { elementCount, type Graph } from '../../runtime/ir/graph.ts';
import type { StepScalars } from '../../runtime/ir/step.ts';
import type { Dispatch } from '../lowering/lowering.ts';
import { LOSS_EXPONENT_OFFSET, packStep, STEP_BYTES } from '../lowering/step.ts';
import { gpuOps } from '../ops/index.ts';
import { USAGE } from './binding.ts';
import { type Command, Program } from './encode.ts';
import { type Gpu, STORAGE } from './gpu.ts';
import type { GpuTrace } from './gpu-trace.ts';
import type { Pipelines } from './pipelines.ts';
import { describeDispatch, type Layout, type PlacedDispatch } from './program.ts';
import { ResidentSet } from './resident.ts';
import type { Region } from './slots.ts';
import { Staging } from './staging.ts';
import { StateRegions } from './state.ts';
import { Stopwatch } from './stopwatch.ts';

/** Steps of gradient and update that are submitted ahead. */
const STEPS_AHEAD = 3;
/** Runs that may be under way. */
const IN_FLIGHT = 2 * STEPS_AHEAD;

/** What is submitted for a call, behind what it has written. */
interface Submission {
  /** For messages. */
  readonly label: string;
  /** Absent: there is only memory to read. */
  readonly program?: Program;
  readonly rows?: number;
  readonly reads: readonly Region[];
  /** Takes the times of its dispatches. */
  readonly stopwatch?: Stopwatch;
  /** What the updates before have made of the loss scale, which is known to the GPU alone, goes into the step block first. */
  readonly usesLossScale?: boolean;
}

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
  readonly #regions: StateRegions;
  readonly #calls: Calls;
  /** Counts once it is submitted: the GPU keeps the order. */
  readonly #gradient = new LastGradient();
  #closed = false;
  #profiling: Stopwatch | undefined;

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
    this.#regions = new StateRegions(parts.layout.plan);
    this.#calls = new Calls({ limit: IN_FLIGHT, failure: () => parts.gpu.failure });
    this.capacity = parts.capacity;
    this.stepsAhead = parts.gpu.adapter.software ? undefined : STEPS_AHEAD;
    this.memoryBytes = parts.layout.plan.bytes + (resident?.bytes ?? 0);
    this.state = this.#regions.entries;
  }

  async gradient(batch: Batch, options: RunOptions = {}): Promise<BatchMetrics> {
    const abort = (): Error => abortError(options.signal);
    try {
      const step = stepOf(batch, this.#parts);
      return this.#run('gradient', batch, step, options, {
        reads: this.#outputs('train', 'loss', 'correct'),
        usesLossScale: true,
        finish: metrics,
        before: () => this.#gradient.set(step),
        skip: () => this.#gradient.lose(abort),
        abandon: () => this.#gradient.abandon(step, abort),
      });
    } catch (error) {
      this.#gradient.refuse(this.#calls, error as Error);
      throw error;
    }
  }

  async update(hyper: Hyperparameters): Promise<Update> {
    checkScalars(hyper);
    const program = this.#program('update');
    const reads = this.#outputs('train', 'applied', ...(this.#regions.lossScale ? ['overflow'] : []));
    return this.#submit({
      submission: { label: 'update', program, rows: 1, reads, stopwatch: this.#profiling },
      prepare: () => this.#writeStep({ ...this.#gradient.take(), ...hyper }),
      finish: ([applied, overflow]) => {
        const [exponent] = overflow ? new Int32Array(overflow) : [0];
        return { applied: new Int32Array(applied)[0] === 1, ...(exponent && { overflow: 2 ** exponent }) };
      },
    });
  }

  async calibrate(batch: Batch, bnMomentum: number, options: RunOptions = {}): Promise<void> {
    checkScalars({ bnMomentum }, ['bnMomentum']);
    const step = { ...stepOf(batch, this.#parts), bnMomentum };
    // Nothing is wanted of it but to know that it is done; once submitted, it happens.
    const reads = [...this.#parts.layout.plan.state.values()].slice(0, 1).map((region) => ({ ...region, bytes: 4 }));
    return this.#run('calibrate', batch, step, options, { reads, finish: () => {}, abandon: () => false });
  }

  async evaluate(batch: Batch, options: RunOptions = {}): Promise<BatchMetrics & { logits: Float32Array }> {
    return this.#run('evaluate', batch, stepOf(batch, this.#parts), options, {
      reads: [...this.#outputs('evaluate', 'loss', 'correct'), this.#logits('evaluate', batch.rows)],
      finish: ([loss, correct, logits]) => ({ ...metrics([loss, correct]), logits: new Float32Array(logits) }),
    });
  }

  async predict(batch: Batch, options: RunOptions = {}): Promise<Float32Array> {
    return this.#run('predict', batch, stepOf(batch, this.#parts), options, {
      reads: [this.#logits('predict', batch.rows)],
      finish: ([logits]) => new Float32Array(logits),
    });
  }

  async profile(batch: Batch, hyper: Hyperparameters): Promise<KernelTime[]> {
    invariant(this.#calls.areOver, 'profiling waits for an idle device');
    invariant(!batch.picks, 'a profile takes a batch with images');
    const programs = [this.#program('gradient'), this.#program('update')];
    const stopwatches = programs.map(({ commands }) => new Stopwatch(this.#gpu, commands.length));
    try {
      this.#profiling = stopwatches[0];
      await this.gradient(batch);
      this.#profiling = stopwatches[1];
      await this.update(hyper);
      const taken: KernelTime[] = [];
      for (const [p, { commands }] of programs.entries()) {
        const calls = commands.map(({ dispatch }) => dispatch);
        taken.push(...kernelTimes(this.#parts.graphs.train as Graph, calls, await stopwatches[p].read(), gpuOps, batch.rows));
      }
      return taken;
    } finally {
      this.#profiling = undefined;
      for (const stopwatch of stopwatches) stopwatch.destroy();
    }
  }

  async read(name: string): Promise<Float32Array> {
    const { region, isInteger, count } = this.#regions.tensor(name);
    return this.#submit({
      submission: { label: `read ${name}`, reads: [{ ...region, bytes: 4 * count }] },
      finish: ([data]) => (isInteger ? Float32Array.from(new Int32Array(data)) : new Float32Array(data)),
    });
  }

  async write(name: string, data: ArrayLike<number>): Promise<void> {
    checkWritable(name);
    const { region, isInteger, count } = this.#regions.tensor(name);
    checkLength(name, data.length, count);
    const values = isInteger ? Int32Array.from(data) : Float32Array.from(data);
    return this.#calls.make({
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
    return this.#submit({ submission: { label: 'snapshot', reads: this.#regions.ranges }, finish: (results) => results });
  }

  async restore(snapshot: Snapshot): Promise<void> {
    const prepare = (): void => {
      for (const [i, { buffer }] of this.#regions.ranges.entries()) this.#gpu.write(this.#buffers[buffer], 0, new Uint8Array(snapshot[i]));
    };
    return this.#calls.make({ prepare, finish: () => {} });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#calls.close();
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
    if (!program) throw notCompiled(name);
    return program;
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
      reads,
      usesLossScale,
      ...call
    }: Pick<Submission, 'reads' | 'usesLossScale'> & { before?(): void } & Pick<Call<ArrayBuffer[], T>, 'finish' | 'skip' | 'abandon'>,
  ): Promise<T> {
    const { rows, picks } = batch;
    const resident = picks ? this.#resident : null;
    const program = (resident && this.#picking.get(name)) ?? this.#program(name);
    const words = picks && resident?.words(rows, picks, batch.samples);
    const graph = this.#parts.graphs[PROGRAMS[name].graph] as Graph;
    const { startAtOnce } = this.#calls;
    const inputs: { region: Region; data: ArrayBufferView }[] = [];
    for (const { name: input, data } of inputsOf(graph, batch, name, words !== undefined && this.#picking.has(name))) {
      const region = this.#parts.layout.plan.inputs.get(input) as Region;
      // A run that starts at once is copied by the queue itself.
      inputs.push({ region, data: startAtOnce ? data : data.slice() });
    }
    return this.#submit({
      ...call,
      submission: { label: name, program, rows, reads, usesLossScale, stopwatch: this.#profiling },
      signal,
      prepare: () => {
        before?.();
        if (words) resident?.pick(words);
        for (const { region, data } of inputs) this.#gpu.write(this.#buffers[region.buffer], region.offset, data);
        this.#writeStep(step);
      },
    });
  }

  #submit<T>({
    submission,
    prepare = () => {},
    ...call
  }: Omit<Call<ArrayBuffer[], T>, 'prepare' | 'start'> & { readonly submission: Submission; prepare?(): void }): Promise<T> {
    return this.#calls.make<ArrayBuffer[], T>({ ...call, prepare, start: () => this.#start(submission) });
  }

  /** Submits at once; resolves with the bytes of `reads`. */
  #start({ label, program, rows = 0, reads, stopwatch, usesLossScale }: Submission): Promise<ArrayBuffer[]> {
    const { trace } = this.#parts;
    const { lossScale } = this.#regions;
    const traced = program && !stopwatch ? trace?.next(program.commands.length) : undefined;
    const download = this.#staging.prepare(reads.map(({ bytes }) => bytes));
    const valid = this.#gpu.submit(label, (encoder) => {
      if (usesLossScale && lossScale)
        encoder.copyBufferToBuffer(this.#buffers[lossScale.buffer], lossScale.offset, this.#step, LOSS_EXPONENT_OFFSET, 4);
      program?.encode(encoder, rows, stopwatch ?? traced);
      for (const [i, { buffer, offset, bytes }] of reads.entries())
        encoder.copyBufferToBuffer(this.#buffers[buffer], offset, download.buffer, download.offsets[i], bytes);
    });
    const drawn = traced && trace?.draw(traced, program?.names ?? []);
    return Promise.all([download.read(), valid, drawn]).then(([results]) => results);
  }
}

const metrics = ([loss, correct]: readonly ArrayBuffer[]): BatchMetrics => ({
  loss: new Float32Array(loss)[0],
  correct: new Float32Array(correct)[0],
});
