// A worker of the data pool: opens its feeds when it is loaded and says so, then carries out tasks. What a task is: preparer.ts.
//
// Errors are handed back as plain data. Thrown ones would lose what they are on the way, and those that cannot be copied would
// take the worker with them.

import { parentPort, workerData } from 'node:worker_threads';
import { HybridError } from '../base/errors.ts';
import { Preparer, type Task } from './preparer.ts';
import { READY, type TaskFailure, type WorkerSetup } from './protocol.ts';
import { selfTest } from './self-test.ts';

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
