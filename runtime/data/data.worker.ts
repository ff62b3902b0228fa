// A worker of the data pool: opens its feeds when it is loaded and says so, then carries out tasks. What a task is: preparer.ts.
//
// Errors are handed back as plain data. Thrown ones would lose what they are on the way, and those that cannot be copied would
// take the worker with them.

import { parentPort, workerData } from 'node:worker_threads';
import { HybridError } from '../base/errors.ts';
import { type FeedSetup, Preparer, type Task } from './preparer.ts';
import { selfTest } from './self-test.ts';

export interface WorkerSetup {
  readonly kernels: WebAssembly.Module;
  readonly feeds: readonly FeedSetup[];
}

/** What went wrong in a task. `code`: of a HybridError, whose remedy comes along. */
export interface TaskFailure {
  readonly code: string | null;
  readonly message: string;
  readonly remedy: string;
  readonly stack: string;
}

/** The message of a worker that is ready. */
export const READY = 'data worker ready';

const { kernels, feeds } = workerData as WorkerSetup;
selfTest(kernels);
const preparer = await Preparer.open(kernels, feeds);
parentPort?.postMessage(READY);

export default async function run(task: Task): Promise<TaskFailure | undefined> {
  try {
    await preparer.run(task);
    return undefined;
  } catch (error) {
    const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
    const known = error instanceof HybridError ? error : null;
    return { code: known?.code ?? null, message, remedy: known?.remedy ?? '', stack };
  }
}
