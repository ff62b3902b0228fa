// What a device runs in one go, and what goes in: the same for every device that compiles graphs to programs.

import { arrayKind } from '../base/array-kind.ts';
import { HybridError } from '../base/errors.ts';
import { bits64, integer, refuseUnknown } from '../base/kinds.ts';
import { own } from '../base/own.ts';
import type { Batch, CompileOptions, Hyperparameters, KernelTime, ModelGraphs } from '../device.ts';
import { costOf, type Op } from '../ir/define-op.ts';
import { elementCount, type Graph, type Phase, type ValueId } from '../ir/graph.ts';
import { NO_SCALARS, SCALARS, type ScalarName, type StepScalars } from '../ir/step.ts';
import { type BATCH_INPUTS, checkGraphs } from './check-graphs.ts';
import { compileGraph } from './compile.ts';
import { FUSION_RULES } from './fuse.ts';

/** Programs by name: the graph each comes from and its phases. A run stops only before the update phase. */
export const PROGRAMS = {
  gradient: { graph: 'train', phases: ['forward', 'backward'] },
  update: { graph: 'train', phases: ['update'] },
  calibrate: { graph: 'calibrate', phases: ['forward', 'update'] },
  evaluate: { graph: 'evaluate', phases: ['forward'] },
  predict: { graph: 'predict', phases: ['forward'] },
} as const satisfies Record<string, { graph: keyof ModelGraphs; phases: readonly Phase[] }>;

export type ProgramName = keyof typeof PROGRAMS;

/** Graphs after expansion and fusion, in a fixed order. */
export type CompiledGraphs = Partial<Record<keyof ModelGraphs, Graph>>;

const GRAPH_NAMES = ['train', 'calibrate', 'evaluate', 'predict'] as const satisfies readonly (keyof ModelGraphs)[];

/**
 * The graphs that are asked for, expanded and fused. Throws E_USAGE for graphs that do not fit their programs or one another, and for options
 * that are none.
 */
export function compileGraphs(graphs: ModelGraphs, given: CompileOptions): CompiledGraphs {
  const options = own(given);
  checkOptions(options);
  const { withoutRules, programs } = options;
  const wanted: { -readonly [K in keyof ModelGraphs]: Graph } = {};
  for (const key of GRAPH_NAMES) {
    const graph = graphs[key];
    if (graph && (!programs || programs.includes(key))) wanted[key] = graph;
  }
  checkGraphs(wanted);
  const compiled: CompiledGraphs = {};
  for (const [key, graph] of Object.entries(wanted) as [keyof ModelGraphs, Graph][]) compiled[key] = compileGraph(graph, { withoutRules });
  return compiled;
}

/** What a compiler would otherwise leave out in silence, or fail on later. */
function checkOptions({ capacity, seed, withoutRules, programs }: CompileOptions): void {
  integer(1).check(capacity, 'capacity');
  bits64.check(seed, 'seed');
  refuseUnknown(withoutRules ?? [], [...FUSION_RULES.map(({ name }) => name), 'all'], 'withoutRules');
  refuseUnknown(programs ?? [], GRAPH_NAMES, 'programs');
}

/** The step of a run over a batch, which updates nothing. Throws E_USAGE for rows that it does not have room for. */
export function stepOf({ rows, epoch = 0 }: Batch, { capacity, seed }: { readonly capacity: number; readonly seed: bigint }): StepScalars {
  if (!(Number.isInteger(rows) && rows >= 1 && rows <= capacity))
    throw new HybridError('E_USAGE', `${rows} rows, capacity ${capacity}`, `Give a batch of 1 to ${capacity} rows.`);
  return { rows, epoch, seed, ...NO_SCALARS };
}

/** For a call of a program that `CompileOptions.programs` left out. */
export const notCompiled = (name: ProgramName): HybridError =>
  new HybridError('E_USAGE', `the program ${name} was not compiled`, `Compile with the graph ${PROGRAMS[name].graph}.`);

/** Scalars that weigh two things: they lie between both. */
const SHARES: readonly ScalarName[] = ['bnMomentum'];

/** Throws E_USAGE for numbers that would destroy what they are applied to, before they are. `names`: those that are looked at. */
export function checkScalars(scalars: Partial<Hyperparameters>, names: readonly ScalarName[] = SCALARS): void {
  for (const name of names) {
    const value = scalars[name] as number;
    const isShare = SHARES.includes(name);
    if (Number.isFinite(value) && value >= 0 && (!isShare || value <= 1)) continue;
    const range = isShare ? 'a number from 0 to 1' : 'a finite number, 0 or more';
    throw new HybridError('E_USAGE', `an update cannot have ${name} ${value}`, `Give ${range}.`);
  }
}

/** Kernel calls of a run of a graph with the times they took. */
export function kernelTimes(
  { values }: Graph,
  calls: readonly Pick<KernelTime, 'kernel' | 'node'>[],
  ms: ArrayLike<number>,
  ops: Readonly<Record<string, Op>>,
  rows: number,
): KernelTime[] {
  const spec = (id: ValueId) => values[id].spec;
  return calls.map(({ kernel, node }, i) => {
    const cost = costOf(ops[node.op], node, spec, rows);
    return { kernel, node, inputs: node.inputs.map(spec), outputs: node.outputs.map(spec), cost, ms: ms[i] };
  });
}

export interface ProgramInput {
  /** Name of the graph's input. */
  readonly name: string;
  /** A view of what the batch has for it, as long as its rows need. */
  readonly data: Uint8Array | Int32Array | Float32Array;
}

/** The arrays that elements of a type come in: of others a device would take the bytes for something else. */
const ARRAYS = { u8: 'Uint8Array', i32: 'Int32Array', f32: 'Float32Array' } as const;

/**
 * What a batch has for the inputs of a graph, without its images where the device has them; `program` is for messages. Throws E_USAGE
 * where it lacks something, has it in another kind of array, or has a label that no class has.
 */
export function inputsOf(graph: Graph, batch: Batch, program: string, hasImages = false): ProgramInput[] {
  const inputs = Object.entries(graph.inputs).filter(([name]) => !(hasImages && name === 'images'));
  return inputs.map(([name, id]) => {
    const { spec } = graph.values[id];
    const count = batch.rows * elementCount(spec);
    const data = batch[name as keyof typeof BATCH_INPUTS];
    const refuse = (message: string): never => {
      throw new HybridError('E_USAGE', message, `Give ${count} elements of ${name} as ${ARRAYS[spec.dtype]}.`);
    };
    if (!data || !(data.length >= count)) return refuse(`${program} needs ${count} elements of ${name}, got ${data?.length ?? 'none'}`);
    if (arrayKind(data) !== ARRAYS[spec.dtype])
      return refuse(`${name} of ${program} are a ${arrayKind(data)}, and must be a ${ARRAYS[spec.dtype]}`);
    if (name === 'labels') checkLabels(graph, data, count);
    return { name, data: data.subarray(0, count) };
  });
}

/** A label that no class has would send the loss kernel to a wrong address. */
function checkLabels(graph: Graph, labels: ArrayLike<number>, count: number): void {
  const classes = elementCount(graph.values[graph.outputs.logits].spec);
  for (let i = 0; i < count; i++)
    if (!(labels[i] >= 0 && labels[i] < classes))
      throw new HybridError('E_USAGE', `row ${i} has label ${labels[i]} of ${classes} classes`, `Give labels from 0 to ${classes - 1}.`);
}
