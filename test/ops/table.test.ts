// The table of ops as a whole: every op can run, every op states a cost, and what is said of operands holds.

import { describe, expect, test } from 'vitest';
import { elementCount } from '../../runtime/ir/graph.ts';
import type { OpDefinition } from '../../runtime/ir/op.ts';
import { ops } from '../../runtime/ops/index.ts';
import { allCases } from '../support/cases.ts';
import { runReference } from '../support/reference.ts';
import { copy } from '../support/tensors.ts';

describe('every case', () => {
  test.each(allCases().map((one) => [`${one.op} ${one.case.name}`, one] as const))('%s', (_name, { op, case: one }) => {
    const definition: OpDefinition = ops[op];
    const specs = one.inputs.map(({ spec }) => spec);
    const before = one.inputs.map((tensor) => copy(tensor).data);
    const outputs = runReference(op, one.inputs, one.attrs, { ...one, updates: one.updates?.map(copy) });

    outputs.forEach((output) => {
      expect(output.data.every(Number.isFinite)).toBe(true);
    });
    expect(
      one.inputs.map(({ data }) => data),
      'inputs are left alone',
    ).toEqual(before);
    // Where there is an epilogue it decides which outputs there are: `epilogueOutputs` names them.
    if (outputs.length > 1 && !['conv', 'depthwise', 'normalize'].includes(op)) {
      expect(definition.outputNames?.length).toBeGreaterThanOrEqual(outputs.length);
    }
    const cost = definition.cost(
      specs,
      outputs.map(({ spec }) => spec),
      one.attrs,
      one.rows,
    );
    expect(cost.bytes).toBeGreaterThan(0);
    expect(cost.flops).toBeGreaterThanOrEqual(0);
  });
});

describe('in place', () => {
  const inPlace = allCases().filter(({ op }) => (ops[op] as OpDefinition).inPlace !== undefined);

  test('is claimed by the ops that work element by element', () => {
    expect([...new Set(inPlace.map(({ op }) => op))].sort()).toEqual(
      ['add', 'bias', 'bnGradApply', 'dropout', 'gelu', 'geluGrad', 'normalize', 'relu', 'reluGrad'].sort(),
    );
  });

  test.each(inPlace.map((one) => [`${one.op} ${one.case.name}`, one] as const))('%s', (_name, { op, case: one }) => {
    const definition: OpDefinition = ops[op];
    const overwritten = definition.inPlace as number;
    const apart = runReference(op, one.inputs, one.attrs, one);
    expect(elementCount(apart[0].spec)).toBe(elementCount(one.inputs[overwritten].spec));

    const inputs = one.inputs.map((tensor, i) => (i === overwritten ? copy(tensor) : tensor));
    const outputs = apart.map((tensor, i) => (i === 0 ? inputs[overwritten] : { ...tensor, data: tensor.data.slice().fill(0) }));
    const step = { rows: one.rows, epoch: 0, seed: 1n, learningRate: 0, weightDecay: 0, bnMomentum: 0, ...one.step };
    definition.reference({ step, inputs, outputs, updates: [] }, one.attrs);
    expect(outputs.map(({ data }) => data)).toEqual(apart.map(({ data }) => data));
  });
});
