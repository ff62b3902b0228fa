// A worker of the data pool under piscina: opens its feeds when it is loaded and says so, then carries out tasks.

import { parentPort, threadId, workerData } from 'node:worker_threads';
import { READY, type WorkerSetup } from './protocol.ts';
import { openRunner } from './task-runner.ts';

const run = await openRunner(workerData as WorkerSetup, threadId);
parentPort?.postMessage(READY);

export default run;
