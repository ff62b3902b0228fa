// What a worker of the data pool does, whoever has started it. What a task is: preparer.ts.
//
// Errors are handed back as plain data. Thrown ones would lose what they are on the way, and those that cannot be copied would
// take the worker with them.

import { HybridError } from '../base/errors.ts';
import { Preparer, type Task } from './preparer.ts';
import type { TaskFailure, WorkerSetup } from './protocol.ts';
import { selfTest } from './self-test.ts';

export type RunTask = (task: Task) => Promise<TaskFailure | undefined>;

/** Tests the kernels on this thread and opens the feeds. `thread`: a number that no other worker has. */
export async function openRunner({ kernels, feeds }: WorkerSetup, thread: number): Promise<RunTask> {
  selfTest(kernels);
  const preparer = await Preparer.open(kernels, feeds, thread);
  return async (task) => {
    try {
      await preparer.run(task);
      return undefined;
    } catch (error) {
      const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
      const known = error instanceof HybridError ? error : null;
      return { code: known?.code ?? null, message, remedy: known?.remedy ?? '', stack };
    }
  };
}
