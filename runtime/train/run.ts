// `train`: a run as its caller sees it, an iteration of events, a result, and a way to stop it. The loop is in loop.ts, and loaded when there is a run.

import { abortError } from '../base/errors.ts';
import { own } from '../base/own.ts';
import { EventStream } from './event-stream.ts';
import type { TrainOptions, TrainRun } from './events.ts';
import { completeOptions } from './options.ts';

/**
 * Starts a training run. It proceeds whether or not its events are consumed. Invalid options and failures at run time reject both `result` and the
 * iteration: E_USAGE, E_DATA, E_CHECKPOINT, E_DIVERGED, E_MEMORY, E_DISK, E_WORKER,
 * E_DEVICE; an AbortError where the signal was aborted before the run began.
 *
 * @category Training
 */
export function train(options: TrainOptions): TrainRun {
  const given = own(options);
  const controller = new AbortController();
  // Not AbortSignal.any: a signal of the caller may live for long, and must not remember every run.
  const { signal } = given;
  const abort = () => controller.abort(signal?.reason);
  if (signal?.aborted) abort();
  else signal?.addEventListener('abort', abort);
  const stream = new EventStream();
  const run = async () => {
    const complete = own({ ...completeOptions(given), signal: controller.signal });
    // What is aborted from now on is a run that was stopped.
    if (controller.signal.aborted) throw abortError(controller.signal);
    const { runTraining } = await import('./loop.ts');
    return runTraining(complete, (event) => stream.push(event));
  };
  const outcome = run().finally(() => signal?.removeEventListener('abort', abort));
  const result = outcome.then(({ result }) => result);
  result.then(
    () => stream.end(),
    (error: unknown) => stream.end(error),
  );
  const weights = outcome.then(({ weights }) => weights);
  weights.catch(() => {}); // told by `result`
  const stop = () => {
    controller.abort();
    return result;
  };
  return {
    result,
    weights,
    stop,
    [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator](),
    [Symbol.asyncDispose]: async () => void (await stop().catch(() => {})),
  };
}
