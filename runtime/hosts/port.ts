// A thread's side of its messages, in a worker thread of Node.

import { parentPort } from 'node:worker_threads';

/** Hears what the thread that has started this one says, from the first message on where it is called before any `await`. */
export const listen = (listener: (message: unknown) => void): void => void parentPort?.on('message', listener);

/** Tells it something. */
export const tell = (message: unknown): void => parentPort?.postMessage(message);
