// The check that an op refuses operands, and says which and why.

import { expect } from 'vitest';
import { HybridError } from '../../runtime/base/errors.ts';
import type { Attrs } from '../../runtime/ir/graph.ts';
import type { OpName } from '../../runtime/ops/index.ts';
import { type TestInputs, tensorsOf, testNode } from './test-node.ts';

/** Fails unless `infer` throws an E_USAGE whose message has all of `parts`. */
export function expectRefused(op: OpName, inputs: TestInputs, attrs: Attrs, ...parts: string[]): void {
  let error: unknown;
  try {
    testNode(op, inputs, attrs);
  } catch (caught) {
    error = caught;
  }
  expect(error, `${op} must refuse ${JSON.stringify(tensorsOf(inputs).map(({ spec }) => spec))}`).toBeInstanceOf(HybridError);
  const { code, message } = error as HybridError;
  expect(code).toBe('E_USAGE');
  for (const part of parts) expect(message).toContain(part);
}
