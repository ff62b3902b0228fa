// What a device runs in one go, and what goes in: the same for every device that compiles graphs to programs.

import { invariant } from '../base/errors.ts';
import type { Batch, CompileOptions, ModelGraphs } from '../device.ts';
import { BYTES_PER_ELEMENT, elementCount, type Graph, type Phase } from '../ir/graph.ts';
import { compileGraph } from './compile.ts';

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

/** The graphs that are asked for, expanded and fused. */
export function compileGraphs(graphs: ModelGraphs, { withoutRules, programs }: CompileOptions): CompiledGraphs {
  const compiled: CompiledGraphs = {};
  for (const key of ['train', 'calibrate', 'evaluate', 'predict'] as const) {
    const graph = graphs[key];
    if (graph && (!programs || programs.includes(key))) compiled[key] = compileGraph(graph, { withoutRules });
  }
  return compiled;
}

const BATCH_INPUTS = { images: 'images', labels: 'labels', samples: 'samples' } as const satisfies Record<string, keyof Batch>;

export interface ProgramInput {
  /** Name of the graph's input. */
  readonly name: string;
  /** A view of what the batch has for it, as long as its rows need. */
  readonly data: Uint8Array | Int32Array;
}

/**
 * What a batch has for the inputs of a graph, without its images where the device has them; `program` is for messages. Throws E_INTERNAL
 * where it lacks something, or has a label that no class has.
 */
export function inputsOf(graph: Graph, batch: Batch, program: string, hasImages = false): ProgramInput[] {
  const inputs = Object.entries(graph.inputs).filter(([name]) => !(hasImages && name === 'images'));
  return inputs.map(([name, id]) => {
    const { spec } = graph.values[id];
    const count = batch.rows * elementCount(spec);
    const data = batch[BATCH_INPUTS[name as keyof typeof BATCH_INPUTS]];
    invariant(data && data.length >= count, `${program} needs ${count} elements of ${name}, got ${data?.length ?? 'none'}`);
    invariant(data.BYTES_PER_ELEMENT === BYTES_PER_ELEMENT[spec.dtype], `${name} has elements of ${data.BYTES_PER_ELEMENT} bytes`);
    if (name === 'labels') checkLabels(graph, data, count);
    return { name, data: data.subarray(0, count) };
  });
}

/** A label that no class has would send the loss kernel to a wrong address. */
function checkLabels(graph: Graph, labels: ArrayLike<number>, count: number): void {
  const classes = elementCount(graph.values[graph.outputs.logits].spec);
  for (let i = 0; i < count; i++) invariant(labels[i] >= 0 && labels[i] < classes, `row ${i} has label ${labels[i]} of ${classes} classes`);
}
