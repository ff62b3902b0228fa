// Awaits a failure and checks its code. (vitest's own `rejects` compares messages only one at a time.)

import { expect } from 'vitest';
import { type ErrorCode, HybridError } from '../../runtime/base/errors.ts';

export async function hybridError(code: ErrorCode, promise: Promise<unknown>): Promise<HybridError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(HybridError);
  expect(error).toMatchObject({ code });
  // Every error says what to do about it.
  expect((error as HybridError).remedy).not.toBe('');
  return error as HybridError;
}
