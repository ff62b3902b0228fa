// Runs ops by their reference loops: one op on test tensors, or all nodes of a graph under construction.

import type { Attrs, GraphBuilder, ValueId } from '../../runtime/ir/graph.ts';
import type { OpDefinition } from '../../runtime/ir/op.ts';
import type { StepScalars } from '../../runtime/ir/step.ts';
import { type OpName, ops } from '../../runtime/ops/index.ts';
import { type TestTensor, zeros } from './tensors.ts';

export interface ReferenceOptions {
  /** Taken from the first per-sample input where it is not given. */
  readonly rows?: number;
  readonly step?: Partial<StepScalars>;
  /** Changed in place, in the order of the node. */
  readonly updates?: readonly TestTensor[];
}

export const STEP: Omit<StepScalars, 'rows'> = {
  epoch: 0,
  seed: 1n,
  learningRate: 2e-3,
  weightDecay: 1e-4,
  bnMomentum: 0.99,
};

/** The outputs of one op, whose inputs pass its own shape check first. */
export function runReference(op: OpName, inputs: readonly TestTensor[], attrs: Attrs = {}, options: ReferenceOptions = {}): TestTensor[] {
  const definition: OpDefinition = ops[op];
  const rows = options.rows ?? inputs.find(({ spec }) => spec.perSample)?.shape[0] ?? 1;
  const specs = definition.infer(
    inputs.map(({ spec }) => spec),
    attrs,
  );
  const outputs = specs.map((spec) => zeros(spec, rows));
  definition.reference({ step: { ...STEP, ...options.step, rows }, inputs, outputs, updates: options.updates ?? [] }, attrs);
  return outputs;
}

/** Data of output 0 of one op. */
export const referenceData = (op: OpName, inputs: readonly TestTensor[], attrs: Attrs = {}, options: ReferenceOptions = {}) =>
  runReference(op, inputs, attrs, options)[0].data;

/** Values of all nodes of a graph under construction (no updates), given its inputs. */
export function runNodes(
  builder: GraphBuilder,
  inputs: ReadonlyMap<ValueId, TestTensor>,
  options: ReferenceOptions,
): Map<ValueId, TestTensor> {
  const values = new Map(inputs);
  for (const node of builder.nodes) {
    const operands = node.inputs.map((id) => values.get(id) as TestTensor);
    const outputs = runReference(node.op as OpName, operands, node.attrs, options);
    node.outputs.forEach((id, i) => {
      values.set(id, outputs[i]);
    });
  }
  return values;
}
