// The reference device: runs every op's plain loops in doubles, on the calling thread. Slow, obviously right, the oracle of
// all other devices; also the place where gradients are checked and where a pass can be compared before and after.

import { abortError, HybridError, invariant } from './base/errors.ts';
import { compileGraph } from './compile/compile.ts';
import { inputsOf } from './compile/programs.ts';
import {
  type Batch,
  type BatchMetrics,
  type CompileOptions,
  type Device,
  type Executable,
  GRADIENTS,
  type Hyperparameters,
  type ModelGraphs,
  type RunOptions,
  STATISTICS,
  type StateEntry,
} from './device.ts';
import { byteLength, type Graph, type Phase } from './ir/graph.ts';
import type { ReferenceTensor } from './ir/op.ts';
import { printNode } from './ir/print.ts';
import { NO_SCALARS, type Scalars, type StepScalars } from './ir/step.ts';
import { type Environment, interpret, zeros } from './ops/interpret.ts';

/** A device whose executables show more than the contract asks. */
interface ReferenceDevice extends Device {
  compile(graphs: ModelGraphs, options: CompileOptions): Promise<ReferenceExecutable>;
}

export function openReferenceDevice(): ReferenceDevice {
  return {
    name: 'reference',
    description: 'reference loops in doubles, 1 thread',
    arithmetic: 'doubles',
    threads: 1,
    memoryLimit: Number.MAX_SAFE_INTEGER,
    async compile(graphs, options) {
      if (options.exchange) {
        throw new HybridError(
          'E_USAGE',
          'the reference device does not exchange statistics with others',
          'Use `device: wasm`, or leave `syncBatchNorm` out.',
        );
      }
      return new ReferenceExecutable(graphs, options);
    },
    memoryFor: (graphs, { capacity }) =>
      2 *
      (Object.values(graphs) as Graph[]).reduce(
        (sum, graph) => sum + graph.values.reduce((n, value) => n + byteLength(value.spec, capacity), 0),
        0,
      ),
    inspect: (graphs, { withoutRules, programs }) =>
      (Object.entries(graphs) as [keyof ModelGraphs, Graph][])
        .filter(([key]) => !programs || programs.includes(key))
        .map(([key, graph]) => {
          const compiled = compileGraph(graph, { withoutRules });
          return `program ${key}\n${compiled.nodes.map((node, i) => `  ${i} ${node.phase} ${printNode(compiled, node)}`).join('\n')}\n`;
        })
        .join('\n'),
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}

export class ReferenceExecutable implements Executable {
  readonly capacity: number;
  readonly state: readonly StateEntry[];
  readonly memoryBytes: number;
  readonly #graphs: Partial<Record<keyof ModelGraphs, Graph>> = {};
  readonly #state = new Map<string, ReferenceTensor>();
  readonly #seed: bigint;
  /** Values of the last run, by graph: what `update` continues from. */
  #last: { graph: Graph; environment: Environment; step: StepScalars } | undefined;
  #gradients: { graph: Graph; environment: Environment; step: StepScalars } | undefined;
  #closed = false;

  constructor(graphs: ModelGraphs, { capacity, seed, withoutRules, programs }: CompileOptions) {
    this.capacity = capacity;
    this.#seed = seed;
    const state = new Map<string, StateEntry>();
    for (const [key, graph] of Object.entries(graphs) as [keyof ModelGraphs, Graph][]) {
      if (!graph || (programs && !programs.includes(key))) continue;
      this.#graphs[key] = compileGraph(graph, { withoutRules });
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
    this.#gradients = this.#run('train', batch, ['forward', 'backward'], {}, options);
    return metrics(this.#gradients);
  }

  async update(hyper: Hyperparameters): Promise<{ applied: boolean }> {
    const pending = this.#gradients;
    if (!pending) throw new HybridError('E_INTERNAL', 'update was called before any gradient');
    interpret(pending.graph, pending.environment, { ...pending.step, ...hyper }, ['update']);
    return { applied: output(pending, 'applied').data[0] === 1 };
  }

  async calibrate(batch: Batch, bnMomentum: number, options: RunOptions = {}): Promise<void> {
    this.#run('calibrate', batch, ['forward', 'update'], { bnMomentum }, options);
  }

  async evaluate(batch: Batch, options: RunOptions = {}): Promise<BatchMetrics & { logits: Float32Array }> {
    const run = this.#run('evaluate', batch, ['forward'], {}, options);
    return { ...metrics(run), logits: Float32Array.from(output(run, 'logits').data) };
  }

  async predict(batch: Batch, options: RunOptions = {}): Promise<Float32Array> {
    return Float32Array.from(output(this.#run('predict', batch, ['forward'], {}, options), 'logits').data);
  }

  async read(name: string): Promise<Float32Array> {
    const range = this.#range(name);
    if (!range) return Float32Array.from(this.exact(name));
    const all = new Float32Array(range.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const data of range) {
      all.set(data, at);
      at += data.length;
    }
    return all;
  }

  async write(name: string, data: ArrayLike<number>): Promise<void> {
    const range = this.#range(name);
    if (range) {
      let at = 0;
      for (const part of range) for (let i = 0; i < part.length; i++) part[i] = data[at++];
      return;
    }
    const tensor = this.#state.get(name);
    if (!tensor) throw new HybridError('E_INTERNAL', `no state is called ${name}`);
    if (data.length !== tensor.data.length)
      throw new HybridError('E_INTERNAL', `${name} has ${tensor.data.length} elements, not ${data.length}`);
    tensor.data.set(data);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** State or `gradients/<parameter>` in the doubles it is kept in. */
  exact(name: string): Float64Array | Int32Array | Uint8Array {
    const state = this.#state.get(name);
    if (state) return state.data;
    const value = this.#gradients?.graph.values.find((candidate) => candidate.name === name);
    const tensor = value && this.#gradients?.environment.get(value.id);
    if (!tensor) throw new HybridError('E_INTERNAL', `no state or gradient is called ${name}`);
    return tensor.data;
  }

  /** What `GRADIENTS` and `STATISTICS` stand for, in the order of the state. */
  #range(name: string): (Float64Array | Int32Array | Uint8Array)[] | null {
    if (name === STATISTICS) return this.state.filter(({ kind }) => kind === 'statistic').map((entry) => this.exact(entry.name));
    if (name !== GRADIENTS) return null;
    return this.state.filter(({ kind }) => kind === 'parameter').map((entry) => this.exact(`gradients/${entry.name}`));
  }

  /** Every value of the last run by name, for tests: layer outputs, gradients, logits. */
  values(): Map<string, ReferenceTensor> {
    const last = this.#last;
    invariant(last, 'nothing has run yet');
    return new Map([...last.environment].map(([id, tensor]) => [last.graph.values[id].name, tensor]));
  }

  #run(key: keyof ModelGraphs, batch: Batch, phases: readonly Phase[], scalars: Partial<Scalars>, { signal }: RunOptions) {
    if (signal?.aborted) throw abortError(signal);
    invariant(!this.#closed, 'the executable is closed');
    const graph = this.#graphs[key];
    if (!graph) throw new HybridError('E_INTERNAL', `the program ${key} was not compiled`);
    invariant(batch.rows >= 1 && batch.rows <= this.capacity, `${batch.rows} rows, capacity ${this.capacity}`);
    const step: StepScalars = { rows: batch.rows, epoch: batch.epoch ?? 0, seed: this.#seed, ...NO_SCALARS, ...scalars };
    const environment: Environment = new Map();
    for (const { name, data } of inputsOf(graph, batch, key)) {
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

const output = ({ graph, environment }: { graph: Graph; environment: Environment }, name: string): ReferenceTensor =>
  environment.get(graph.outputs[name]) as ReferenceTensor;

const metrics = (run: { graph: Graph; environment: Environment }): BatchMetrics => ({
  loss: output(run, 'loss').data[0],
  correct: output(run, 'correct').data[0],
});
