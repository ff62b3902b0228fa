// Nodes of tests: an op with test tensors as its operands, checked as the builder checks them.

import type { Op } from '../../runtime/ir/define-op.ts';
import { type Attrs, makeNode, type Node, type TensorSpec, type ValueId } from '../../runtime/ir/graph.ts';
import { arrange, arrangeUpdates, checkAttrs, inferResults, mapNamed, type Named } from '../../runtime/ir/signature.ts';
import { opTable } from '../../runtime/ops/index.ts';
import type { TestTensor } from './tensors.ts';

/** Operands by name; or in declared order, as far as they go. */
export type TestInputs = readonly TestTensor[] | Named<TestTensor>;

export interface TestNode {
  /** Its values are numbered: operands, results, updates. */
  readonly node: Node;
  readonly specs: readonly TensorSpec[];
  /** Tensors of the operands, in order. */
  readonly inputs: readonly TestTensor[];
}

/** Throws E_USAGE where the op does not take the operands or attributes. */
export function testNode(
  op: string,
  given: TestInputs,
  attrs: Attrs = {},
  updates: readonly TestTensor[] = [],
  table: Readonly<Record<string, Op>> = opTable,
): TestNode {
  const signature = table[op];
  const tensors = arrange<TestTensor>(op, signature.inputs, given);
  const checked = checkAttrs(op, signature.attrs, attrs);
  const made = inferResults(
    op,
    signature,
    mapNamed(tensors, ({ spec }) => spec),
    checked,
  );
  arrangeUpdates(signature.updates, updates);
  const inputs: TestTensor[] = [];
  const args = mapNamed(tensors, (tensor): ValueId => inputs.push(tensor) - 1);
  const results = Object.fromEntries(Object.keys(made).map((name, i) => [name, inputs.length + i]));
  const specs = [...inputs.map(({ spec }) => spec), ...Object.values(made), ...updates.map(({ spec }) => spec)];
  const first = specs.length - updates.length;
  const node = makeNode({ op, phase: 'forward', label: '', args, results, attrs: checked, updates: updates.map((_, i) => first + i) });
  return { node, specs, inputs };
}

/** All tensors, in any form. */
export const tensorsOf = (given: TestInputs): TestTensor[] => Object.values(given).flat() as TestTensor[];
