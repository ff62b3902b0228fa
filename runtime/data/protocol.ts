// What the pool and its workers are to each other and tell each other, besides tasks (preparer.ts) and the words of slots (ring.ts).

import type { KernelModule } from './kernels.ts';
import type { FeedSetup, Task } from './preparer.ts';

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

/** The workers of a pool: threads that carry out tasks. */
export interface Hands {
  /** How many there are now. */
  readonly alive: number;
  /** Resolves when the task was carried out, or with what went wrong in it. Rejects where its worker dies. */
  run(task: Task): Promise<TaskFailure | undefined>;
  /** Ends them. Tasks in flight reject. */
  end(): Promise<void>;
}

/** What is heard of them. */
export interface HandsEvents {
  onMessage(message: unknown): void;
  /** Of a worker that dies without a task, or cannot be loaded. */
  onError(error: Error): void;
  /** A worker has ended; another one takes its place, unless all are being ended. */
  onRestart(): void;
}
