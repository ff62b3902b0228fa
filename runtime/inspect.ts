// What the compiler makes of a model, stage by stage, as text; and what a run of it would take.

import { type OptionNames, refuseUnknownOptions } from './base/kinds.ts';
import { compileGraph } from './compile/compile.ts';
import { planMemory } from './compile/plan.ts';
import { printPlan } from './compile/print-plan.ts';
import type { Device, ModelGraphs } from './device.ts';
import { costOf } from './ir/define-op.ts';
import type { Node, TensorSpec } from './ir/graph.ts';
import type { Cost } from './ir/op.ts';
import { printGraph } from './ir/print.ts';
import type { TrainableModel } from './model/model.ts';
import { opTable } from './ops/index.ts';
import { trainingGraphs } from './train/graphs.ts';

/** What `inspectModel` prints, from the first to the last. */
export const STAGES = ['graph', 'fused', 'plan', 'program'] as const;
/** A stage of compilation. */
export type Stage = (typeof STAGES)[number];

/** Which program of a model is printed, for how many rows and which device. */
export interface InspectOptions {
  readonly program: keyof ModelGraphs;
  readonly capacity: number;
  readonly withoutRules?: readonly string[];
  /** Whose program `--stage program` prints. */
  readonly device: Device;
}

const OPTIONS: OptionNames<InspectOptions> = { program: true, capacity: true, withoutRules: true, device: true };

/** What the compiler makes of a model, as text: one line a node, tensor or kernel call. */
export function inspectModel(model: TrainableModel, stage: Stage, options: InspectOptions): string {
  refuseUnknownOptions(options, OPTIONS, 'inspectModel');
  const { program, capacity, withoutRules, device } = options;
  const graphs = trainingGraphs(model);
  const graph = graphs[program];
  const compiled = () => compileGraph(graph, { withoutRules });
  switch (stage) {
    case 'graph':
      return printGraph(graph);
    case 'fused':
      return printGraph(compiled());
    case 'plan': {
      const fused = compiled();
      return printPlan(planMemory([fused], capacity), { [program]: fused }, capacity);
    }
    case 'program':
      return device.inspect(graphs, { capacity, seed: 0n, withoutRules, programs: [program] });
  }
}

/** What a node costs with `rows` rows: its op's own count. `inputs` and `outputs` are the types of its operands and results. */
export const nodeCost = (node: Node, inputs: readonly TensorSpec[], outputs: readonly TensorSpec[], rows: number): Cost =>
  costOf(opTable[node.op], node, (_id, i) => (i < inputs.length ? inputs[i] : outputs[i - inputs.length]), rows);

/** What training takes. */
export interface Estimate {
  readonly memoryBytes: number;
  readonly memoryLimit: number;
  /** Cost of one training step with a full batch. */
  readonly flopsPerStep: number;
  readonly bytesPerStep: number;
}

/** What training `model` with batches of `batch` rows takes on `device`. Allocates nothing. */
export function estimate(model: TrainableModel, device: Device, batch: number): Estimate {
  const graphs = trainingGraphs(model);
  const { nodes, values } = compileGraph(graphs.train);
  let flopsPerStep = 0;
  let bytesPerStep = 0;
  for (const node of nodes) {
    const cost = costOf(opTable[node.op], node, (id) => values[id].spec, batch);
    flopsPerStep += cost.flops;
    bytesPerStep += cost.bytes;
  }
  const memoryBytes = device.memoryFor(graphs, { capacity: batch, seed: 0n, programs: ['train', 'calibrate', 'evaluate'] });
  return { memoryBytes, memoryLimit: device.memoryLimit, flopsPerStep, bytesPerStep };
}
