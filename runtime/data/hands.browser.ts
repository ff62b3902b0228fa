// The threads of a crew in a page: Web Workers, which carry out tasks, and are replaced when they die.

import type { Thread } from '../host.ts';
import { host } from '../hosts/index.ts';
import type { Task } from './preparer.ts';
import type { Hands, HandsEvents, TaskFailure, WorkerSetup } from './protocol.ts';

/** What a worker is told: first what it works with, then tasks. */
export type ToWorker = { readonly setup: WorkerSetup; readonly worker: number } | { readonly id: number; readonly task: Task };

/** What it answers to a task. */
export interface FromWorker {
  readonly id: number;
  readonly failure: TaskFailure | undefined;
}

/** One runs while the next is on its way: a worker is never idle between messages. */
const TASKS_PER_WORKER = 2;

interface Waiting {
  readonly id: number;
  readonly task: Task;
  readonly resolve: (failure: TaskFailure | undefined) => void;
  readonly reject: (error: Error) => void;
}

/** Starts as many. `script`: their body. */
export async function openHands(workers: number, setup: WorkerSetup, events: HandsEvents, script?: URL): Promise<Hands> {
  return new WebHands(workers, setup, events, script);
}

class WebHands implements Hands {
  readonly #setup: WorkerSetup;
  readonly #events: HandsEvents;
  readonly #script: URL | undefined;
  /** The tasks of each worker, in the order in which it has them. */
  readonly #tasks = new Map<Thread, Map<number, Waiting>>();
  readonly #queue: Waiting[] = [];
  #started = 0;
  #sent = 0;
  #ended = false;

  constructor(workers: number, setup: WorkerSetup, events: HandsEvents, script: URL | undefined) {
    this.#setup = setup;
    this.#events = events;
    this.#script = script;
    for (let worker = 0; worker < workers; worker++) this.#start();
  }

  get alive(): number {
    return this.#tasks.size;
  }

  run(task: Task): Promise<TaskFailure | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(new Error('the workers were ended'));
      this.#queue.push({ id: ++this.#sent, task, resolve, reject });
      this.#hand();
    });
  }

  async end(): Promise<void> {
    this.#ended = true;
    const lost = [...this.#queue.splice(0), ...[...this.#tasks.values()].flatMap((own) => [...own.values()])];
    const threads = [...this.#tasks.keys()];
    this.#tasks.clear();
    await Promise.all(threads.map((thread) => thread.terminate()));
    for (const { reject } of lost) reject(new Error('the workers were ended'));
  }

  #start(): void {
    const own = new Map<number, Waiting>();
    const worker = ++this.#started;
    let isReady = false;
    const thread = host.thread(this.#script ?? 'data', {
      name: `hybrid-data-${worker}`,
      onMessage: (message) => {
        const { id, failure } = message as Partial<FromWorker>;
        if (id === undefined) {
          isReady = true;
          return this.#events.onMessage(message);
        }
        const done = own.get(id);
        own.delete(id);
        done?.resolve(failure);
        this.#hand();
      },
      onError: (error) => {
        if (!this.#tasks.delete(thread)) return;
        void thread.terminate();
        const lost = [...own.values()];
        own.clear();
        // One that was never ready would not be with another start, either.
        if (isReady && !this.#ended) this.#start();
        this.#events.onRestart();
        if (lost.length === 0) this.#events.onError(error);
        for (const { reject } of lost) reject(error);
      },
      onExit: () => {}, // workers of a page end by being ended
    });
    this.#tasks.set(thread, own);
    thread.postMessage({ setup: this.#setup, worker } satisfies ToWorker);
    this.#hand();
  }

  /** Gives tasks that wait to the workers that have the fewest. */
  #hand(): void {
    while (this.#queue.length > 0) {
      const [idlest] = [...this.#tasks].sort(([, a], [, b]) => a.size - b.size);
      if (!idlest || idlest[1].size >= TASKS_PER_WORKER) return;
      const [thread, own] = idlest;
      const next = this.#queue.shift() as Waiting;
      own.set(next.id, next);
      thread.postMessage({ id: next.id, task: next.task } satisfies ToWorker);
    }
  }
}
