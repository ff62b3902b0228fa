// What the pool and its workers tell each other, besides tasks (preparer.ts) and the words of slots (ring.ts).

import type { KernelModule } from './kernels.ts';
import type { FeedSetup } from './preparer.ts';

export interface WorkerSetup {
  readonly kernels: KernelModule;
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
