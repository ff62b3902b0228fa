// The table of ops as a whole: every op can run, every op states a cost, and what is said of operands holds.

import { describe, expect, test } from 'vitest';
import { lowerings } from '../../asm/lowering/index.ts';
import { costOf, runReferenceOf } from '../../runtime/ir/define-op.ts';
import { elementCount } from '../../runtime/ir/graph.ts';
import { ACTIVATION_NAMES } from '../../runtime/ops/activations.ts';
import { opTable } from '../../runtime/ops/index.ts';
import { allCases, opCases } from '../support/cases.ts';
import { runReference, STEP } from '../support/reference.ts';
import { copy, type TestTensor } from '../support/tensors.ts';
import { tensorsOf, testNode } from '../support/test-node.ts';

test('every op with kernels has cases', () => {
  expect(Object.keys(lowerings).filter((op) => !(op in opCases))).toEqual([]);
});

describe('every case', () => {
  test.each(allCases().map((one) => [`${one.op} ${one.case.name}`, one] as const))('%s', (_name, { op, case: one }) => {
    const tensors = tensorsOf(one.inputs);
    const before = tensors.map((tensor) => copy(tensor).data);
    const outputs = runReference(op, one.inputs, one.attrs, { ...one, updates: one.updates?.map(copy) });

    outputs.forEach((output) => {
      expect(output.data.every(Number.isFinite)).toBe(true);
    });
    expect(
      tensors.map(({ data }) => data),
      'inputs are left alone',
    ).toEqual(before);
    const { node, specs } = testNode(op, one.inputs, one.attrs, one.updates);
    const cost = costOf(opTable[op], node, (id) => specs[id], one.rows);
    expect(cost.bytes).toBeGreaterThan(0);
    expect(cost.flops).toBeGreaterThanOrEqual(0);
  });
});

describe('every definition', () => {
  test.each(
    Object.entries(opTable),
  )('%s: no name stands for an operand and a result, traits name operands, and there is a line for docs/ops.md', (_name, op) => {
    expect(Object.keys(op.inputs).filter((name) => name in op.outputs)).toEqual([]);
    const { inPlace, prologue = {}, epilogue = [] } = op.traits ?? {};
    for (const name of [...(inPlace ? [inPlace] : []), ...Object.keys(prologue)]) expect(op.inputs).toHaveProperty(name);
    for (const parts of Object.values(prologue))
      for (const names of Object.values(parts))
        for (const name of Object.keys(names)) expect({ ...op.inputs, ...op.attrs }).toHaveProperty(name);
    if (epilogue.includes('bias')) expect(op.inputs).toHaveProperty('bias');
    if (epilogue.includes('add')) expect(op.inputs).toHaveProperty('residual');
    if (epilogue.includes('activation') || epilogue.includes('statistics')) expect(op.attrs).toHaveProperty('epilogue');
    expect(op.doc.length).toBeGreaterThan(5);
  });
});

describe('in place', () => {
  const inPlace = allCases().filter(({ op }) => opTable[op].traits?.inPlace !== undefined);

  test('is claimed by the activations, and others that work element by element', () => {
    const claimed = new Set(inPlace.map(({ op }) => op as string));
    for (const name of ACTIVATION_NAMES.flatMap((one) => [one, `${one}Grad`])) expect(claimed).toContain(name);
    expect(claimed.size).toBeGreaterThan(2 * ACTIVATION_NAMES.length);
  });

  test.each(inPlace.map((one) => [`${one.op} ${one.case.name}`, one] as const))('%s', (_name, { op, case: one }) => {
    const { node, inputs } = testNode(op, one.inputs, one.attrs);
    const overwritten = node.args[opTable[op].traits?.inPlace as string] as number;
    const apart = runReference(op, one.inputs, one.attrs, one);
    expect(elementCount(apart[0].spec)).toBe(elementCount(inputs[overwritten].spec));

    const all: TestTensor[] = inputs.map((tensor, i) => (i === overwritten ? copy(tensor) : tensor));
    for (const [i, tensor] of apart.entries()) all.push(i === 0 ? all[overwritten] : { ...tensor, data: tensor.data.slice().fill(0) });
    runReferenceOf(opTable[op], node, (id) => all[id], { ...STEP, ...one.step, rows: one.rows });
    expect(all.slice(inputs.length).map(({ data }) => data)).toEqual(apart.map(({ data }) => data));
  });
});
