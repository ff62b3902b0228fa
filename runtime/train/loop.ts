// The training loop: epochs of steps, validation, callbacks in the script's order, checkpoints, and the test at the end.

import { isAbortError } from '../base/errors.ts';
import { readWeights, weightsOf } from './device-state.ts';
import { runSteps } from './epoch.ts';
import { writeWeights } from './evaluate.ts';
import type { EndReason, Metrics, TrainEvent, TrainResult } from './events.ts';
import { testOf, validationOf } from './held-out.ts';
import { tellEpoch } from './on-epoch.ts';
import type { LoopOptions } from './options.ts';
import { start } from './start.ts';
import { recalibrate } from './statistics.ts';
import { openTraining, type Training } from './training.ts';

/** What a run comes to. */
export interface Outcome {
  readonly result: TrainResult;
  /** The best ones, which were tested. */
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/** A whole run: from its options to its result. */
export async function runTraining(options: LoopOptions, emit: (event: TrainEvent) => void): Promise<Outcome> {
  const run = await openTraining(options, emit);
  try {
    await start(run);
    const reason = await runEpochs(run);
    return await finish(run, reason);
  } finally {
    await run.close();
  }
}

/** Epoch after epoch, until there are enough, one is no better, or somebody wants it to end. */
async function runEpochs(run: Training): Promise<EndReason> {
  const { options, position, stopping, divergence } = run;
  for (;;) {
    const done = position.history.length;
    if (done > 0 && stopping?.stopsAfter(done)) return 'early-stopped';
    if (done >= options.epochs) return 'completed';
    try {
      await runEpoch(run, done + 1);
      divergence.epochEnded();
    } catch (error) {
      if (isAbortError(error) && options.signal.aborted) return 'aborted';
      if (!(await divergence.goBack(error, run))) throw error;
    }
  }
}

/** One epoch, or the rest of it, and what follows it. */
async function runEpoch(run: Training, epoch: number): Promise<void> {
  const { options, session, stages, position, rate, best, stopping, snapshots, reporter, watchdog } = run;
  const { train, validation, store, epochs } = options;
  watchdog.begin('the device', `graphs of epoch ${epoch}`);
  const { notice } = session;
  await stages.enter(session, epoch);
  await session.keep({
    say: (text) => reporter.say(text),
    onWarning: (text) => reporter.warn(text),
    onProgress: (done, total) => watchdog.begin('the device', `features of ${done} of ${total} images`),
  });
  const start = performance.now();
  if (session.notice !== notice) reporter.say(session.notice);
  position.begin(epoch);
  const rowsBefore = position.running.rows;
  const waits = await runSteps(run);
  const metrics = position.running.value;
  const trainMs = performance.now() - start;
  await recalibrate(session, options, epoch, watchdog);
  // The first batches of the next epoch are ready when validation is over.
  if (epoch < epochs) session.batches.prepare(epoch + 1);
  const validated = validation && (await validationOf(run));

  const monitored = validated ? validated.loss : metrics.loss;
  const used = rate.last;
  const { improved, message } = best.onEpochEnd(epoch, monitored, store ? `${store.location}/checkpoints/best` : null);
  const stop = stopping?.onEpochEnd(epoch, monitored);
  const record = reporter.epoch({
    epoch,
    train: metrics,
    validation: validated,
    lr: used.rate,
    imagesPerSecond: ((Math.min(position.running.rows, train.size) - rowsBefore) / trainMs) * 1000,
    seconds: (performance.now() - start) / 1000,
    dataWait: waits.data / trainMs,
    deviceWait: waits.device / trainMs,
    best: improved,
  });
  position.history = [...position.history, record];
  reporter.say(message, Number.isFinite(monitored));
  reporter.say(stop?.message ?? null);
  reporter.say(rate.onEpochEnd(epoch, monitored));
  watchdog.begin('a checkpoint to be written', `epoch ${epoch}`);
  await snapshots.epochEnded(epoch, improved ? { best, rate: used.base } : null);
  await tellEpoch(run, record);
}

/** Saves what an interrupted run has, or tests the best weights of a whole one. */
async function finish(run: Training, ended: EndReason): Promise<Outcome> {
  const { options, session, position, best, snapshots, average, reporter, watchdog } = run;
  let reason = ended;
  let test: Metrics | null = null;
  watchdog.begin('a checkpoint to be written', 'at the end');
  await snapshots.settle();
  if (reason === 'aborted') {
    snapshots.saveLast(position.epoch);
    await snapshots.settle();
  } else if (options.test) {
    watchdog.begin('the device', 'graphs of the test');
    await session.leaveFeatures();
    if (best.weights) await writeWeights(session.executable, options.model, best.weights);
    try {
      test = await testOf(run);
    } catch (error) {
      if (!(isAbortError(error) && options.signal.aborted)) throw error;
      reason = 'aborted';
    }
  }
  const weights = best.weights ?? average?.weights ?? weightsOf({ weights: await readWeights(session.executable) });
  const found = best.best === null ? null : { epoch: best.epoch, loss: best.best };
  return { result: reporter.end({ reason, epochs: position.history.length, best: found, test }), weights };
}
