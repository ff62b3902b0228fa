// The threads of a crew, by piscina: they carry out tasks, and are replaced when they die.
//
// What piscina is kept from: its AbortSignals (a task is called off by its slot's generation, so that no thread is ended that
// still writes), its queue limits (the loader has credits), starting workers later than at the start.

import { fileURLToPath } from 'node:url';
import type { Task } from './preparer.ts';
import type { Hands, HandsEvents, TaskFailure, WorkerSetup } from './protocol.ts';

const SCRIPT = new URL(import.meta.url.endsWith('.ts') ? '../../dist/runtime/data/data.worker.js' : './data.worker.js', import.meta.url);

/** Starts as many. `script`: their body. */
export async function openHands(
  workers: number,
  { kernels, feeds }: WorkerSetup,
  { onMessage, onError, onRestart }: HandsEvents,
  script: URL = SCRIPT,
): Promise<Hands> {
  const { Piscina } = await import('piscina');
  const piscina = new Piscina<Task, TaskFailure | undefined>({
    filename: fileURLToPath(script),
    minThreads: workers,
    maxThreads: workers,
    idleTimeout: Number.POSITIVE_INFINITY,
    // One task runs while the next is on its way: a worker is never idle between messages.
    concurrentTasksPerWorker: 2,
    stricterFIFO: true,
    recordTiming: false,
    workerData: { kernels, feeds } satisfies WorkerSetup,
    // No flags of the host process: a loader for TypeScript, say, has no business in a worker.
    execArgv: [],
  });
  piscina.on('message', onMessage);
  piscina.on('error', onError);
  piscina.on('workerDestroy', onRestart);
  return {
    get alive() {
      return piscina.threads.length;
    },
    run: (task) => piscina.run(task),
    end: () => piscina.destroy(),
  };
}
