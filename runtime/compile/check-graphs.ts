// Whether graphs can be programs of one executable: what goes in is in a batch, what its calls return is there, and state that is shared
// is the same in each. A graph may come from an embedder, so that what is found here is said to people.

import { HybridError } from '../base/errors.ts';
import type { Batch, ModelGraphs } from '../device.ts';
import type { DType, Graph, TensorSpec } from '../ir/graph.ts';
import { formatSpec, sameSpec } from '../ir/tensor.ts';

/** The inputs that a batch has. */
export const BATCH_INPUTS = { images: 'u8', features: 'f32', labels: 'i32', samples: 'i32' } as const satisfies Partial<
  Record<keyof Batch, DType>
>;

const logits = { is: (spec: TensorSpec) => spec.dtype === 'f32' && spec.perSample, text: 'f32 and per sample' };
const scalar = { is: (spec: TensorSpec) => spec.dtype === 'f32' && !spec.perSample && size(spec) === 1, text: 'f32 [1]' };
const flag = { is: (spec: TensorSpec) => spec.dtype === 'i32' && !spec.perSample && size(spec) === 1, text: 'i32 [1]' };

/** What is read of each graph after a run. */
const OUTPUTS: Readonly<Record<keyof ModelGraphs, Readonly<Record<string, typeof logits>>>> = {
  train: { loss: scalar, correct: scalar, applied: flag },
  calibrate: {},
  evaluate: { loss: scalar, correct: scalar, logits },
  predict: { logits },
};

/** Throws E_USAGE for the first thing that does not fit. */
export function checkGraphs(graphs: ModelGraphs): void {
  for (const [key, graph] of Object.entries(graphs) as [keyof ModelGraphs, Graph][]) {
    checkInputs(key, graph);
    for (const [name, { is, text }] of Object.entries(OUTPUTS[key])) {
      const spec = graph.values[graph.outputs[name]]?.spec;
      if (!spec) {
        const remedy = key === 'train' ? 'Make it with trainingGraph.' : `Name the value that it is: builder.output('${name}', …).`;
        throw new HybridError('E_USAGE', `the ${key} graph ${graph.name} has no output ${name}`, remedy);
      }
      if (!is(spec)) {
        const message = `the output ${name} of the ${key} graph ${graph.name} is ${formatSpec(spec)}, but has to be ${text}`;
        throw new HybridError('E_USAGE', message, 'Give another value as that output.');
      }
    }
  }
  checkState(graphs);
  checkSameInputs(graphs);
}

function checkInputs(key: keyof ModelGraphs, graph: Graph): void {
  for (const [name, id] of Object.entries(graph.inputs)) {
    const { spec } = graph.values[id];
    const dtype = (BATCH_INPUTS as Readonly<Record<string, DType>>)[name];
    const what = `the input ${name} of the ${key} graph ${graph.name}`;
    if (!dtype) {
      throw new HybridError('E_USAGE', `${what} is nothing that a batch has`, `A batch has ${Object.keys(BATCH_INPUTS).join(', ')}.`);
    }
    if (spec.dtype !== dtype || !spec.perSample)
      throw new HybridError('E_USAGE', `${what} is ${formatSpec(spec)}`, `Declare it as ${dtype}, per sample.`);
    if (name === 'labels' && graph.outputs.logits === undefined) {
      const remedy = "Labels count the elements of logits: builder.output('logits', …).";
      throw new HybridError('E_USAGE', `the ${key} graph ${graph.name} has labels, but no output logits`, remedy);
    }
  }
}

/** An input of one name has one place, whichever graph it is given to. */
function checkSameInputs(graphs: ModelGraphs): void {
  const seen = new Map<string, { readonly key: string; readonly spec: TensorSpec }>();
  for (const [key, { inputs, values }] of Object.entries(graphs) as [keyof ModelGraphs, Graph][]) {
    for (const [name, id] of Object.entries(inputs)) {
      const { spec } = values[id];
      const first = seen.get(name);
      if (!first) seen.set(name, { key, spec });
      else if (!sameSpec(first.spec, spec)) {
        const message = `the input ${name} is ${formatSpec(first.spec)} in the ${first.key} graph, but ${formatSpec(spec)} in the ${key} graph`;
        throw new HybridError('E_USAGE', message, 'Build all graphs for one kind of batch, or compile them by themselves.');
      }
    }
  }
}

/** State of one name is one tensor, whichever graph reads it. */
function checkState(graphs: ModelGraphs): void {
  const seen = new Map<string, { readonly key: string; readonly kind: string; readonly spec: TensorSpec }>();
  for (const [key, { values }] of Object.entries(graphs) as [keyof ModelGraphs, Graph][]) {
    for (const { name, spec, state: kind } of values) {
      if (!kind) continue;
      const first = seen.get(name);
      if (!first) seen.set(name, { key, kind, spec });
      else if (first.kind !== kind || !sameSpec(first.spec, spec)) {
        const message = `the state ${name} is ${first.kind} ${formatSpec(first.spec)} in the ${first.key} graph, but ${kind} ${formatSpec(spec)} in the ${key} graph`;
        throw new HybridError('E_USAGE', message, 'Give them different names, or build all graphs from one model.');
      }
    }
  }
}

const size = ({ shape }: TensorSpec): number => shape.reduce((product, n) => product * n, 1);
