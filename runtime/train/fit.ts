// The training loop: epochs of steps, validation, callbacks in the script's order, checkpoints, and the test at the end.
//
// A step is two runs on the device, `gradient` and `update`. The gradient of step k+1 is queued before the update of step
// k is awaited, so the device always has work; the update of k+1 is queued only once that of k is known to have been
// applied, so a run that diverges or is stopped ends with exactly the state after its last completed step.

import { abortError, HybridError, isAbortError } from '../base/errors.ts';
import { batchesPerEpoch, loadBatches } from '../data/loader.ts';
import type { Batch, BatchMetrics, Executable } from '../device.ts';
import { graphDigest, serializeGraph } from '../ir/serialize.ts';
import { initialize } from '../model/init.ts';
import { BestKeeper, EarlyStopping, ReduceLROnPlateau } from './callbacks.ts';
import type { Checkpoint } from './checkpoint.ts';
import { evaluateWith, writeWeights } from './evaluate.ts';
import { EventStream } from './event-stream.ts';
import type { EndReason, Metrics, TrainEvent, TrainOptions, TrainResult, TrainRun } from './events.ts';
import { trainingGraphs } from './graphs.ts';
import { learningRateAt } from './schedule.ts';

/** Starts a training run. It goes on whether or not anybody iterates over its events. */
export function train(options: TrainOptions): TrainRun {
  const controller = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, controller.signal]) : controller.signal;
  const stream = new EventStream();
  const result = new Fit({ ...options, signal }, (event) => stream.push(event)).run();
  result.then(
    () => stream.end(),
    (error: unknown) => stream.end(error),
  );
  const stop = () => {
    controller.abort();
    return result;
  };
  return {
    result,
    stop,
    [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator](),
    [Symbol.asyncDispose]: async () => void (await stop().catch(() => {})),
  };
}

/** Loss and accuracy so far, each batch weighted by its rows. */
class RunningMetrics {
  #loss = 0;
  #correct = 0;
  rows = 0;

  add({ loss, correct }: BatchMetrics, rows: number): void {
    this.#loss += loss * rows;
    this.#correct += correct;
    this.rows += rows;
  }

  get value(): Metrics {
    return { loss: this.#loss / this.rows, accuracy: this.#correct / this.rows };
  }
}

/** A step in flight. */
interface PendingStep {
  readonly batch: Batch;
  readonly step: number;
  readonly lr: number;
  readonly gradient: Promise<BatchMetrics>;
}

/** Fewer steps than this many time constants of the moving statistics leave them close to where they started. */
const TIME_CONSTANTS_NEEDED = 5;

class Fit {
  readonly #options: TrainOptions & { readonly signal: AbortSignal };
  readonly #emit: (event: TrainEvent) => void;
  readonly #monitor: 'val_loss' | 'loss';
  readonly #best: BestKeeper;
  readonly #earlyStopping: EarlyStopping | null;
  readonly #plateau: ReduceLROnPlateau | null;
  readonly #graph: { text: string; digest: string };
  readonly #graphs: ReturnType<typeof trainingGraphs>;
  readonly #stepsPerEpoch: number;
  #executable!: Executable;
  #learningRate: number;
  #bestWeights: Map<string, Float32Array> | null = null;
  /** The last completed step: what the state on the device corresponds to. */
  #completed = { epoch: 1, step: 0 };
  #firstStepEnd = 0;
  readonly #history: Extract<TrainEvent, { type: 'epoch' }>[] = [];

  constructor(options: TrainOptions & { readonly signal: AbortSignal }, emit: (event: TrainEvent) => void) {
    this.#options = options;
    this.#emit = emit;
    this.#monitor = options.validation ? 'val_loss' : 'loss';
    this.#best = new BestKeeper(this.#monitor);
    this.#earlyStopping = options.earlyStopping && new EarlyStopping(options.earlyStopping);
    // A schedule decides the rate alone: reduction on a plateau would be overwritten at the next step.
    this.#plateau = options.plateau && options.schedule.name === 'constant' ? new ReduceLROnPlateau(options.plateau) : null;
    this.#learningRate = options.learningRate;
    this.#graphs = trainingGraphs(options.model);
    this.#graph = { text: serializeGraph(this.#graphs.predict), digest: graphDigest(this.#graphs.predict) };
    this.#stepsPerEpoch = batchesPerEpoch(options.train.size, options.batch);
  }

  async run(): Promise<TrainResult> {
    const { device, model, train, validation, test, epochs, batch, seed, withoutRules, signal, init } = this.#options;
    if (signal.aborted) throw abortError(signal);
    const capacity = Math.min(batch, Math.max(train.size, validation?.size ?? 0, test?.size ?? 0));
    this.#executable = await device.compile(this.#graphs, { capacity, seed, withoutRules, programs: ['train', 'calibrate', 'evaluate'] });
    try {
      await writeWeights(this.#executable, model, init ?? initialize(model, seed));
      this.#emit({
        type: 'start',
        schema: 1,
        arch: model.arch,
        device: device.description,
        epochs,
        stepsPerEpoch: this.#stepsPerEpoch,
        parameters: model.variables.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0),
        trainImages: train.size,
        validationImages: validation?.size ?? 0,
        testImages: test?.size ?? 0,
      });
      this.#warnOfShortRun();
      return await this.#finish(await this.#epochs());
    } finally {
      await this.#executable.close();
    }
  }

  async #epochs(): Promise<EndReason> {
    for (let epoch = 1; epoch <= this.#options.epochs; epoch++) {
      try {
        if (await this.#runEpoch(epoch)) return 'early-stopped';
      } catch (error) {
        if (isAbortError(error) && this.#options.signal.aborted) return 'aborted';
        throw error;
      }
    }
    return 'completed';
  }

  /** One epoch and what follows it; true: stop. */
  async #runEpoch(epoch: number): Promise<boolean> {
    const { train, validation, recalibrateBn, model, signal, store } = this.#options;
    const start = performance.now();
    const { metrics, dataWaitMs } = await this.#steps(epoch);
    const trainMs = performance.now() - start;
    if (recalibrateBn > 0) await this.#recalibrate(epoch, recalibrateBn);
    const validated = validation && (await evaluateWith(this.#executable, model.classes, validation, { signal }));
    const lr = this.#learningRate;

    const monitored = validated ? validated.loss : metrics.loss;
    const { improved, message } = this.#best.onEpochEnd(epoch, monitored, store ? `${store.location}/checkpoints/best` : null);
    const stopping = this.#earlyStopping?.onEpochEnd(epoch, monitored);
    const record = {
      type: 'epoch',
      epoch,
      train: metrics,
      validation: validated && { loss: validated.loss, accuracy: validated.accuracy },
      lr,
      imagesPerSecond: (train.size / trainMs) * 1000,
      seconds: (performance.now() - start) / 1000,
      dataWait: dataWaitMs / trainMs,
      best: improved,
    } as const;
    this.#history.push(record);
    this.#emit(record);
    this.#say('info', message);
    // The best checkpoint is written before the rate is reduced, as Keras' is.
    if (improved) await this.#keepBest(epoch);
    if (stopping?.message) this.#say('info', stopping.message);
    const reduced = this.#plateau?.onEpochEnd(epoch, monitored, lr);
    if (reduced) this.#learningRate = reduced.learningRate;
    if (reduced?.message) this.#say('info', reduced.message);
    await this.#save('last');
    return stopping?.stop ?? false;
  }

  async #steps(epoch: number): Promise<{ metrics: Metrics; dataWaitMs: number }> {
    const { train, batch, seed, shuffle, augment, weightDecay, bnMomentum, signal } = this.#options;
    const batches = loadBatches({ dataset: train, batch, epoch, seed, shuffle, augment })[Symbol.iterator]();
    const prepare = () => {
      const begin = performance.now();
      const { value, done } = batches.next();
      return { batch: done ? undefined : value, ms: performance.now() - begin };
    };
    const running = new RunningMetrics();
    const start = performance.now();

    let next = prepare();
    let dataWaitMs = next.ms;
    let pending = next.batch && this.#queueGradient(next.batch, epoch, 1);
    while (pending) {
      next = prepare();
      // Preparing in the shadow of the device's work costs nothing. Where the gradient was there first, the device may
      // have waited all the while: count it all, an upper bound.
      if (await hasSettled(pending.gradient)) dataWaitMs += next.ms;
      const metrics = await pending.gradient;
      const update = this.#executable.update({ learningRate: pending.lr, weightDecay, bnMomentum });
      const following: PendingStep | undefined = next.batch && this.#queueGradient(next.batch, epoch, pending.step + 1);
      const { applied } = await update;
      if (!applied) throw diverged(epoch, pending, metrics.loss);
      running.add(metrics, pending.batch.rows);
      this.#completed = { epoch, step: pending.step };
      this.#emitStep(epoch, pending, running, dataWaitMs, performance.now() - start);
      pending = following;
      if (signal.aborted) throw abortError(signal);
    }
    return { metrics: running.value, dataWaitMs };
  }

  #queueGradient(batch: Batch, epoch: number, step: number): PendingStep {
    const { schedule, learningRate, epochs, signal } = this.#options;
    if (schedule.name !== 'constant') {
      const position = { step: (epoch - 1) * this.#stepsPerEpoch + step - 1, totalSteps: epochs * this.#stepsPerEpoch };
      this.#learningRate = learningRateAt(schedule, { base: learningRate, ...position });
    }
    const gradient = this.#executable.gradient(batch, { signal });
    gradient.catch(() => {}); // the loop may leave by another error before it comes to await this one
    return { batch, step, lr: this.#learningRate, gradient };
  }

  #emitStep(epoch: number, { step, lr }: PendingStep, running: RunningMetrics, dataWaitMs: number, elapsedMs: number): void {
    const done = (epoch - 1) * this.#stepsPerEpoch + step;
    const now = performance.now();
    // The first step includes warming up: rates and the time left are measured from its end.
    if (done === 1) this.#firstStepEnd = now;
    const msPerStep = done > 1 ? (now - this.#firstStepEnd) / (done - 1) : elapsedMs;
    this.#emit({
      type: 'step',
      epoch,
      step,
      ...running.value,
      lr,
      imagesPerSecond: (running.rows / elapsedMs) * 1000,
      dataWait: Math.min(1, dataWaitMs / elapsedMs),
      etaSeconds: (msPerStep * (this.#options.epochs * this.#stepsPerEpoch - done)) / 1000,
    });
  }

  /**
   * Measures the moving statistics anew, as the plain mean over those of `count` training batches with the present
   * weights: after few steps a moving average with momentum 0.99 is still close to its start.
   */
  async #recalibrate(epoch: number, count: number): Promise<void> {
    const { train, batch, seed, shuffle, augment, signal } = this.#options;
    let k = 0;
    for (const next of loadBatches({ dataset: train, batch, epoch, seed, shuffle, augment })) {
      // A short last batch would weigh as much as a full one.
      if (k === count || (k > 0 && next.rows < batch)) break;
      await this.#executable.calibrate(next, k / (k + 1), { signal });
      k++;
    }
  }

  #warnOfShortRun(): void {
    const { bnMomentum, recalibrateBn, epochs, model } = this.#options;
    const normalizes = model.variables.some(({ kind }) => kind === 'statistic');
    const steps = epochs * this.#stepsPerEpoch;
    const needed = Math.ceil(TIME_CONSTANTS_NEEDED / (1 - bnMomentum));
    if (!normalizes || recalibrateBn > 0 || steps >= needed) return;
    const lower = bnMomentum > 0.9 ? '--bn-momentum 0.9, or ' : '';
    this.#say(
      'warning',
      `${steps} steps are too few for a batch-norm momentum of ${bnMomentum}: the moving statistics need about ${needed}, and until then ` +
        `validation looks worse than the model is. Use ${lower}--recalibrate-bn 20 to measure them before each validation.`,
    );
  }

  async #keepBest(epoch: number): Promise<void> {
    this.#bestWeights = new Map([...(await this.#read('weights'))].map(([name, { data }]) => [name, data]));
    await this.#save('best', epoch);
  }

  async #save(kind: 'best' | 'last', epoch = this.#completed.epoch): Promise<void> {
    const { store } = this.#options;
    if (!store) return;
    const path = await store.save(kind, await this.#checkpoint());
    this.#emit({ type: 'checkpoint', kind, epoch, path });
  }

  async #checkpoint(): Promise<Checkpoint> {
    const { seed, batch } = this.#options;
    const optimizer = await this.#read('optimizer');
    optimizer.set('optimizer/vars/1', { shape: [], data: Float32Array.of(this.#learningRate) });
    return {
      weights: await this.#read('weights'),
      optimizer,
      progress: {
        ...this.#completed,
        stepsPerEpoch: this.#stepsPerEpoch,
        seed: `${seed}`,
        batch,
        learningRate: this.#learningRate,
        callbacks: {
          best: this.#best.state(),
          earlyStopping: this.#earlyStopping?.state() ?? null,
          plateau: this.#plateau?.state() ?? null,
        },
        history: this.#history,
      },
      graph: this.#graph,
    };
  }

  async #read(part: 'weights' | 'optimizer'): Promise<Map<string, { shape: readonly number[]; data: Float32Array }>> {
    const entries = this.#executable.state.filter(({ kind }) => (part === 'weights') === (kind === 'parameter' || kind === 'statistic'));
    const tensors = await Promise.all(
      entries.map(async ({ name, shape }) => [name, { shape, data: await this.#executable.read(name) }] as const),
    );
    return new Map(tensors);
  }

  /** Saves what an interrupted run has, or tests the best weights of a whole one. */
  async #finish(reason: EndReason): Promise<TrainResult> {
    const { test, model, store, signal } = this.#options;
    let measured: Metrics | null = null;
    if (reason === 'aborted') {
      if (this.#completed.step > 0) await this.#save('last');
    } else if (test) {
      if (this.#bestWeights) await writeWeights(this.#executable, model, this.#bestWeights);
      try {
        const { loss, accuracy } = await evaluateWith(this.#executable, model.classes, test, { signal });
        measured = { loss, accuracy };
      } catch (error) {
        if (!(isAbortError(error) && signal.aborted)) throw error;
        reason = 'aborted';
      }
    }
    const best = this.#best.best === null ? null : { epoch: this.#best.epoch, loss: this.#best.best };
    const end = { type: 'end', reason, epochs: this.#history.length, best, test: measured, run: store?.location ?? null } as const;
    this.#emit(end);
    return end;
  }

  #say(level: 'info' | 'warning', text: string): void {
    this.#emit({ type: 'message', level, text });
  }
}

/** Whether a promise has settled by the next turn of the event loop. */
async function hasSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = () => {
    settled = true;
  };
  promise.then(note, note);
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

function diverged(epoch: number, { batch, step, lr }: PendingStep, loss: number): HybridError {
  const samples = Array.from(batch.samples?.subarray(0, Math.min(batch.rows, 8)) ?? []);
  const more = batch.rows > samples.length ? ', …' : '';
  const what = Number.isFinite(loss) ? `a gradient is not finite (loss ${loss})` : `the loss is ${loss}`;
  return new HybridError(
    'E_DIVERGED',
    `epoch ${epoch}, step ${step}: ${what} at learning rate ${lr}; batch of ${batch.rows} images, samples ${samples.join(', ')}${more}.`,
    'The step was not applied and the checkpoints are as they were. Try a smaller --lr.',
  );
}
