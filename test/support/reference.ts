// Runs ops by their reference loops: one op on test tensors, or all nodes of a graph under construction.

import { runReferenceOf } from '../../runtime/ir/define-op.ts';
import type { Attrs, GraphBuilder, ValueId } from '../../runtime/ir/graph.ts';
import { mapNamed } from '../../runtime/ir/signature.ts';
import type { StepScalars } from '../../runtime/ir/step.ts';
import { type OpName, opTable } from '../../runtime/ops/index.ts';
import { type TestTensor, zeros } from './tensors.ts';
import { type TestInputs, testNode } from './test-node.ts';

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

/** The outputs of one op, whose inputs pass its own checks first. */
export function runReference(op: OpName, given: TestInputs, attrs: Attrs = {}, options: ReferenceOptions = {}): TestTensor[] {
  const { updates = [] } = options;
  const { node, specs, inputs } = testNode(op, given, attrs, updates);
  const rows = options.rows ?? inputs.find(({ spec }) => spec.perSample)?.shape[0] ?? 1;
  const outputs = node.outputs.map((id) => zeros(specs[id], rows));
  const all = [...inputs, ...outputs, ...updates];
  runReferenceOf(opTable[op], node, (id) => all[id], { ...STEP, ...options.step, rows });
  return outputs;
}

/** Data of output 0 of one op. */
export const referenceData = (op: OpName, inputs: TestInputs, attrs: Attrs = {}, options: ReferenceOptions = {}) =>
  runReference(op, inputs, attrs, options)[0].data;

/** Values of all nodes of a graph under construction (no updates), given its inputs. */
export function runNodes(
  builder: GraphBuilder,
  inputs: ReadonlyMap<ValueId, TestTensor>,
  options: ReferenceOptions,
): Map<ValueId, TestTensor> {
  const values = new Map(inputs);
  for (const node of builder.nodes) {
    const operands = mapNamed(node.args, (id) => values.get(id) as TestTensor);
    const outputs = runReference(node.op as OpName, operands, node.attrs, options);
    node.outputs.forEach((id, i) => {
      values.set(id, outputs[i]);
    });
  }
  return values;
}
