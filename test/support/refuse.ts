// The check that an op refuses operands, and says which and why.

import { expect } from 'vitest';
import { HybridError } from '../../runtime/base/errors.ts';
import type { Attrs } from '../../runtime/ir/graph.ts';
import type { OpDefinition } from '../../runtime/ir/op.ts';
import { type OpName, ops } from '../../runtime/ops/index.ts';
import type { TestTensor } from './tensors.ts';

/** Fails unless `infer` throws an E_USAGE whose message has all of `parts`. */
export function expectRefused(op: OpName, inputs: readonly TestTensor[], attrs: Attrs, ...parts: string[]): void {
  const definition: OpDefinition = ops[op];
  const specs = inputs.map(({ spec }) => spec);
  let error: unknown;
  try {
    definition.infer(specs, attrs);
  } catch (caught) {
    error = caught;
  }
  expect(error, `${op} must refuse ${JSON.stringify(specs)}`).toBeInstanceOf(HybridError);
  const { code, message } = error as HybridError;
  expect(code).toBe('E_USAGE');
  for (const part of parts) expect(message).toContain(part);
}
