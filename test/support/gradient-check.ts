// Gradient check: what an op's gradient rule and the backward ops it adds compute, against central differences of its
// reference, both in doubles.

import { expect } from 'vitest';
import { inputGradients } from '../../runtime/compile/autodiff.ts';
import { type Attrs, GraphBuilder, type ValueId } from '../../runtime/ir/graph.ts';
import { type OpName, ops } from '../../runtime/ops/index.ts';
import { expectClose } from './close.ts';
import { type ReferenceOptions, runNodes, runReference } from './reference.ts';
import { copy, type TestTensor, uniform, zeros } from './tensors.ts';

export interface GradientCheckOptions extends ReferenceOptions {
  /** Indices of the inputs whose gradients are checked; the rule must give null for all others. All f32 inputs by default. */
  readonly wanted?: readonly number[];
  /** Gradient of output 0; random by default. */
  readonly dOutput?: ArrayLike<number>;
}

const STEP_SIZE = 1e-5;

/**
 * Checks every element of every wanted gradient. The inputs must stay clear of kinks (relu at 0, ties of a maximum) by more
 * than 1e-5. Returns the names of the ops that the rule added.
 */
export function checkGradient(op: OpName, inputs: readonly TestTensor[], attrs: Attrs = {}, options: GradientCheckOptions = {}): string[] {
  const rows = options.rows ?? inputs.find(({ spec }) => spec.perSample)?.shape[0] ?? 1;
  const wanted = options.wanted ?? inputs.flatMap(({ spec }, i) => (spec.dtype === 'f32' ? [i] : []));

  const g = new GraphBuilder('gradient check', ops);
  const values = new Map<ValueId, TestTensor>();
  const ids = inputs.map((tensor, i) => {
    const id = g.input(`input ${i}`, tensor.spec);
    values.set(id, tensor);
    return id;
  });
  const outputs = g.add(op, ids, attrs);
  const dOutput = zeros(g.spec(outputs[0]), rows);
  const fill = uniform(4711);
  for (let i = 0; i < dOutput.data.length; i++) dOutput.data[i] = options.dOutput ? options.dOutput[i] : fill(i);
  const dId = g.input('dOutput', dOutput.spec);
  values.set(dId, dOutput);

  const forward = g.nodes.length;
  const gradients = inputGradients(
    g,
    g.nodes[0],
    (id) => (id === outputs[0] ? dId : undefined),
    (id) => wanted.includes(ids.indexOf(id)),
  );
  expect(gradients.map((id, i) => (id === null ? null : i))).toEqual(inputs.map((_, i) => (wanted.includes(i) ? i : null)));

  const results = runNodes(g, values, { ...options, rows });
  for (const k of wanted) {
    const analytic = results.get(gradients[k] as ValueId) as TestTensor;
    expect(analytic.spec, `spec of the gradient of input ${k} of ${op}`).toEqual(inputs[k].spec);
    const numeric = differences(op, inputs, attrs, { ...options, rows }, k, dOutput.data);
    expectClose(analytic.data, numeric, { absolute: 1e-8, relative: 1e-6 }, `gradient of input ${k} of ${op}`);
  }
  return g.nodes.slice(forward).map((node) => node.op);
}

/** Central differences of Σ dOutput·output₀ for each element of input k. */
function differences(
  op: OpName,
  inputs: readonly TestTensor[],
  attrs: Attrs,
  options: ReferenceOptions,
  k: number,
  dOutput: ArrayLike<number>,
): Float64Array {
  const moved = copy(inputs[k]);
  const operands = inputs.map((tensor, i) => (i === k ? moved : tensor));
  const objective = (): number => {
    const { data } = runReference(op, operands, attrs, options)[0];
    let sum = 0;
    for (let i = 0; i < data.length; i++) sum += dOutput[i] * data[i];
    return sum;
  };
  return Float64Array.from({ length: moved.data.length }, (_, i) => {
    const value = moved.data[i];
    moved.data[i] = value + STEP_SIZE;
    const above = objective();
    moved.data[i] = value - STEP_SIZE;
    const below = objective();
    moved.data[i] = value;
    return (above - below) / (2 * STEP_SIZE);
  });
}
