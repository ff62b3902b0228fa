// The reference device: runs every op's plain loops in doubles, on the calling thread. Slow, obviously right, the oracle of
// all other devices; also the place where gradients are checked and where a pass can be compared before and after.

import { abortError, HybridError, invariant } from './base/errors.ts';
import { LastGradient } from './compile/last-gradient.ts';
import {
  type CompiledGraphs,
  checkScalars,
  compileGraphs,
  inputsOf,
  notCompiled,
  PROGRAMS,
  type ProgramName,
  stepOf,
} from './compile/programs.ts';
import { checkLength, checkWritable, parseStateName, unknownName } from './compile/state-names.ts';
import {
  type Batch,
  type BatchMetrics,
  type CompileOptions,
  type Device,
  type Executable,
  type Hyperparameters,
  type ModelGraphs,
  type RunOptions,
  STATISTICS,
  type StateEntry,
} from './device.ts';
import { byteLength, type Graph } from './ir/graph.ts';
import type { ReferenceTensor } from './ir/op.ts';
import { printNode } from './ir/print.ts';
import type { StepScalars } from './ir/step.ts';
import { type Environment, interpret, zeros } from './ops/interpret.ts';

/** A device whose executables show more than the contract asks. */
interface ReferenceDevice extends Device {
  compile(graphs: ModelGraphs, options: CompileOptions): Promise<ReferenceExecutable>;
}

export function openReferenceDevice(): ReferenceDevice {
  const executables = new Set<ReferenceExecutable>();
  let isClosed = false;
  const close = async (): Promise<void> => {
    isClosed = true;
    for (const executable of executables) await executable.close();
    executables.clear();
  };
  return {
    name: 'reference',
    description: 'reference loops in doubles, 1 thread',
    arithmetic: 'doubles',
    threads: 1,
    memoryLimit: Number.MAX_SAFE_INTEGER,
    async compile(graphs, options) {
      if (isClosed) throw new HybridError('E_USAGE', 'the device is closed', 'Open a new one.');
      if (options.exchange) {
        throw new HybridError(
          'E_USAGE',
          'the reference device does not exchange statistics with others',
          'Use `device: wasm`, or leave `syncBatchNorm` out.',
        );
      }
      const executable = new ReferenceExecutable(graphs, options);
      executables.add(executable);
      return executable;
    },
    memoryFor: (graphs, { capacity, programs }) =>
      2 *
      (Object.entries(graphs) as [keyof ModelGraphs, Graph][])
        .filter(([key]) => !programs || programs.includes(key))
        .reduce((sum, [, graph]) => sum + graph.values.reduce((n, value) => n + byteLength(value.spec, capacity), 0), 0),
    inspect: (graphs, options) =>
      (Object.entries(compileGraphs(graphs, options)) as [keyof ModelGraphs, Graph][])
        .map(
          ([key, graph]) =>
            `program ${key}\n${graph.nodes.map((node, i) => `  ${i} ${node.phase} ${printNode(graph, node)}`).join('\n')}\n`,
        )
        .join('\n'),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A run: the values that it made, and what it was told. */
interface Run {
  readonly graph: Graph;
  readonly environment: Environment;
  readonly step: StepScalars;
}

export class ReferenceExecutable implements Executable {
  readonly capacity: number;
  readonly state: readonly StateEntry[];
  readonly memoryBytes: number;
  readonly #graphs: CompiledGraphs;
  readonly #state = new Map<string, ReferenceTensor>();
  readonly #seed: bigint;
  /** The last run, for `values`. */
  #last: Run | undefined;
  /** The last gradient, which `update` continues from and `read` reads. */
  #gradients: Run | undefined;
  readonly #gradient = new LastGradient();
  #closed = false;

  constructor(graphs: ModelGraphs, options: CompileOptions) {
    this.capacity = options.capacity;
    this.#seed = options.seed;
    this.#graphs = compileGraphs(graphs, options);
    const state = new Map<string, StateEntry>();
    for (const graph of Object.values(this.#graphs) as Graph[]) {
      for (const { name, spec, state: kind } of graph.values) {
        if (!kind || state.has(name)) continue;
        state.set(name, { name, shape: spec.shape, kind });
        this.#state.set(name, zeros(spec, 1));
      }
    }
    this.state = [...state.values()];
    this.memoryBytes = [...this.#state.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
  }

  async gradient(batch: Batch, options: RunOptions = {}): Promise<BatchMetrics> {
    try {
      const run = this.#run('gradient', batch, {}, options);
      this.#gradients = run;
      this.#gradient.set(run.step);
      return metrics(run);
    } catch (error) {
      this.#gradient.lose(() => error as Error);
      throw error;
    }
  }

  async update(hyper: Hyperparameters): Promise<{ applied: boolean }> {
    checkScalars(hyper);
    const step = this.#gradient.take();
    const { graph, environment } = this.#gradients as Run;
    interpret(graph, environment, { ...step, ...hyper }, PROGRAMS.update.phases);
    return { applied: output({ graph, environment }, 'applied').data[0] === 1 };
  }

  async calibrate(batch: Batch, bnMomentum: number, options: RunOptions = {}): Promise<void> {
    checkScalars({ bnMomentum }, ['bnMomentum']);
    this.#run('calibrate', batch, { bnMomentum }, options);
  }

  async evaluate(batch: Batch, options: RunOptions = {}): Promise<BatchMetrics & { logits: Float32Array }> {
    const run = this.#run('evaluate', batch, {}, options);
    return { ...metrics(run), logits: Float32Array.from(output(run, 'logits').data) };
  }

  async predict(batch: Batch, options: RunOptions = {}): Promise<Float32Array> {
    return Float32Array.from(output(this.#run('predict', batch, {}, options), 'logits').data);
  }

  async read(name: string): Promise<Float32Array> {
    const range = this.#range(name);
    if (!range) return Float32Array.from(this.exact(name));
    const all = new Float32Array(lengthOf(range));
    let at = 0;
    for (const data of range) {
      all.set(data, at);
      at += data.length;
    }
    return all;
  }

  async write(name: string, data: ArrayLike<number>): Promise<void> {
    checkWritable(name);
    const parts = this.#range(name) ?? [this.exact(name)];
    checkLength(name, data.length, lengthOf(parts));
    let at = 0;
    for (const part of parts) for (let i = 0; i < part.length; i++) part[i] = data[at++];
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** State or `gradients/<parameter>` in the doubles it is kept in. */
  exact(name: string): ReferenceTensor['data'] {
    this.#checkOpen();
    const state = this.#state.get(name);
    if (state) return state.data;
    const value = this.#gradients?.graph.values.find((candidate) => candidate.name === name);
    const tensor = value && this.#gradients?.environment.get(value.id);
    if (!tensor) throw unknownName(name);
    return tensor.data;
  }

  /** What `GRADIENTS` and `STATISTICS` stand for, in the order of the state. */
  #range(name: string): ReferenceTensor['data'][] | null {
    const { kind, name: range } = parseStateName(name);
    if (kind !== 'range') return null;
    const [member, prefix] = range === STATISTICS ? ['statistic', ''] : ['parameter', 'gradients/'];
    return this.state.filter((entry) => entry.kind === member).map((entry) => this.exact(prefix + entry.name));
  }

  /** Every value of the last run by name, for tests: layer outputs, gradients, logits. */
  values(): Map<string, ReferenceTensor> {
    const last = this.#last;
    invariant(last, 'nothing has run yet');
    return new Map([...last.environment].map(([id, tensor]) => [last.graph.values[id].name, tensor]));
  }

  #checkOpen(): void {
    if (this.#closed) throw new HybridError('E_USAGE', 'the executable is closed', 'Compile again.');
  }

  #run(name: ProgramName, batch: Batch, hyper: Partial<Hyperparameters>, { signal }: RunOptions): Run {
    this.#checkOpen();
    const { graph: key, phases } = PROGRAMS[name];
    const graph = this.#graphs[key];
    if (!graph) throw notCompiled(name);
    const step: StepScalars = { ...stepOf(batch, { capacity: this.capacity, seed: this.#seed }), ...hyper };
    const inputs = inputsOf(graph, batch, name);
    if (signal?.aborted) throw abortError(signal);
    const environment: Environment = new Map();
    for (const { name, data } of inputs) {
      const id = graph.inputs[name];
      const tensor = zeros(graph.values[id].spec, batch.rows);
      tensor.data.set(data);
      environment.set(id, tensor);
    }
    for (const value of graph.values) if (value.role === 'state') environment.set(value.id, this.#state.get(value.name) as ReferenceTensor);
    interpret(graph, environment, step, phases);
    this.#last = { graph, environment, step };
    return this.#last;
  }
}

const lengthOf = (parts: readonly ReferenceTensor['data'][]): number => parts.reduce((sum, { length }) => sum + length, 0);

const output = ({ graph, environment }: { graph: Graph; environment: Environment }, name: string): ReferenceTensor =>
  environment.get(graph.outputs[name]) as ReferenceTensor;

const metrics = (run: { graph: Graph; environment: Environment }): BatchMetrics => ({
  loss: output(run, 'loss').data[0],
  correct: output(run, 'correct').data[0],
});
