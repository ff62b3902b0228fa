// The training loop: epochs of steps, validation, callbacks in the script's order, checkpoints, and the test at the end.
//
// A step is two runs on the device, `gradient` and `update`, and the next steps are queued before it has ended (flight.ts): on the wasm
// device the gradient of step k+1 behind the update of step k, on a GPU two or three whole steps. A run that is stopped ends with
// exactly the state after its last completed step, because a device drops updates together with their gradients; a step that is
// not finite changes nothing, so that the steps behind it are what they would be if it had been waited for. Where the state is to be
// saved after step k it is read behind the update of k in the device's order of calls, before that of k+1.

import { abortError, HybridError, invariant, isAbortError } from '../base/errors.ts';
import { own } from '../base/own.ts';
import type { Epoch } from '../data/epoch.ts';
import { batchesPerEpoch, type Loader } from '../data/loader.ts';
import { DataPipeline } from '../data/pipeline.ts';
import { imageBytesOf, residentImages } from '../data/resident.ts';
import { missingClasses } from '../data/split.ts';
import type { Batch, BatchMetrics, Executable, ResidentImages, Update } from '../device.ts';
import { cardOf, type ModelCard } from '../interop/trained-model.ts';
import { graphDigest, serializeGraph } from '../ir/serialize.ts';
import { initialize } from '../model/init.ts';
import { BestKeeper, EarlyStopping, ReduceLROnPlateau } from './callbacks.ts';
import type { Checkpoint, CheckpointKind } from './checkpoint.ts';
import { CheckpointWriter } from './checkpoint-writer.ts';
import { checkDataset, completeOptions } from './defaults.ts';
import { type DeviceState, notFiniteIn, readState, readWeights, weightsOf, withRate, writeState } from './device-state.ts';
import { evaluateWith, evaluationFeed, writeWeights } from './evaluate.ts';
import { EventStream } from './event-stream.ts';
import type { CompleteTrainOptions, EndReason, Metrics, TrainEvent, TrainOptions, TrainResult, TrainRun } from './events.ts';
import { Flight, type FlyingStep, type Waits } from './flight.ts';
import { trainingGraphs } from './graphs.ts';
import { compareSettings, type RunProgress, readProgress, resumeSettings, stepAfterBatchChange } from './resume.ts';
import { RunningMetrics } from './running-metrics.ts';
import { learningRateAt } from './schedule.ts';
import { TracedExecutable } from './traced-executable.ts';
import { Watchdog } from './watchdog.ts';

/**
 * Starts a training run. It goes on whether or not anybody iterates over its events. What is wrong with the options, and whatever befalls
 * the run, is told by `result` and by the iteration, both of which reject: E_USAGE, E_DATA, E_CHECKPOINT, E_DIVERGED, E_MEMORY, E_DISK, E_WORKER,
 * E_DEVICE; an AbortError where the signal was aborted before the run began.
 */
export function train(given: TrainOptions): TrainRun {
  const controller = new AbortController();
  // Not AbortSignal.any: a signal of the caller may live for long, and must not remember every run.
  const { signal } = given;
  const abort = () => controller.abort(signal?.reason);
  if (signal?.aborted) abort();
  else signal?.addEventListener('abort', abort);
  const stream = new EventStream();
  let fit: Fit | undefined;
  const run = async () => {
    fit = new Fit({ ...completeOptions(given), signal: controller.signal }, (event) => stream.push(event));
    return fit.run();
  };
  const result = run().finally(() => signal?.removeEventListener('abort', abort));
  result.then(
    () => stream.end(),
    (error: unknown) => stream.end(error),
  );
  const weights = result.then(() => (fit as Fit).weights);
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

type Part = 'train' | 'validation' | 'test';

/** A step in flight. */
interface FitStep extends FlyingStep<BatchMetrics> {
  readonly batch: Batch;
  readonly step: number;
  /** Before what rolling back makes of it. */
  readonly rate: number;
  readonly lr: number;
}

/** What comes of it. */
interface Updated extends Update {
  /** Behind the step, where it is to be saved. */
  readonly state?: Promise<DeviceState>;
}

/** Fewer steps than this many time constants of the moving statistics leave them close to where they started. */
const TIME_CONSTANTS_NEEDED = 5;
/** A run that skips or rolls back more often than this in a row is beyond help. */
const MAX_SKIPS = 10;
const MAX_ROLLBACKS = 5;
const RATE_AFTER_ROLLBACK = 0.5;

class Fit {
  readonly #options: CompleteTrainOptions & { readonly signal: AbortSignal };
  readonly #emit: (event: TrainEvent) => void;
  readonly #best: BestKeeper;
  readonly #earlyStopping: EarlyStopping | null;
  readonly #plateau: ReduceLROnPlateau | null;
  readonly #graph: { text: string; digest: string };
  readonly #card: ModelCard;
  readonly #graphs: ReturnType<typeof trainingGraphs>;
  readonly #stepsPerEpoch: number;
  readonly #writer: CheckpointWriter | null;
  #settings: Readonly<Record<string, string>> = {};
  /** Where the training images are, to be told when the run has started. */
  #notice: string | null = null;
  readonly #watchdog: Watchdog;
  #executable!: Executable;
  #data!: DataPipeline<Part>;
  /** The next batches of training, which are being prepared already. */
  #upcoming: Epoch | null = null;
  #learningRate: number;
  #rateFactor = 1;
  #bestWeights: ReadonlyMap<string, Float32Array> | null = null;
  /** The last completed step: what the state on the device corresponds to. */
  #completed = { epoch: 1, step: 0 };
  /** Of the epoch of that step, up to it. */
  #running = new RunningMetrics();
  #history: Extract<TrainEvent, { type: 'epoch' }>[] = [];
  /** Whether there is anything that the last checkpoint does not have. */
  #unsaved = false;
  #lastSave = performance.now();
  #stepsHere = 0;
  #firstStepEnd = 0;
  #skipsInARow = 0;
  #rollbacks = 0;
  /** Where to roll back to. */
  #good: Promise<Checkpoint> | null = null;

  constructor(given: CompleteTrainOptions & { readonly signal: AbortSignal }, emit: (event: TrainEvent) => void) {
    const options = own(given);
    this.#options = options;
    this.#emit = emit;
    this.#best = new BestKeeper(options.validation ? 'val_loss' : 'loss');
    this.#earlyStopping = options.earlyStopping && new EarlyStopping(options.earlyStopping);
    // A schedule decides the rate alone: reduction on a plateau would be overwritten at the next step.
    this.#plateau = options.plateau && options.schedule.name === 'constant' ? new ReduceLROnPlateau(options.plateau) : null;
    this.#learningRate = options.learningRate;
    this.#graphs = trainingGraphs(options.model, { optimizer: options.optimizer });
    this.#graph = { text: serializeGraph(this.#graphs.predict), digest: graphDigest(this.#graphs.predict) };
    this.#card = cardOf({ model: options.model, classes: options.train.classes, license: options.resume?.card?.license });
    this.#stepsPerEpoch = batchesPerEpoch(options.train.size, options.batch);
    const { store, stallSeconds } = options;
    this.#watchdog = new Watchdog({ limitMs: stallSeconds * 1000, onStall: (text) => this.#say('warning', text) });
    this.#writer =
      store === undefined ? null : new CheckpointWriter(store, (kind, path, epoch) => emit({ type: 'checkpoint', kind, epoch, path }));
  }

  /** The best weights, when the run has ended. */
  get weights(): ReadonlyMap<string, Float32Array> {
    invariant(this.#bestWeights, 'the run has not ended');
    return this.#bestWeights;
  }

  async run(): Promise<TrainResult> {
    const { device, train, validation, test, batch, seed, withoutRules, signal, resume, trace } = this.#options;
    let opening: Promise<DataPipeline<Part>> | undefined;
    try {
      if (signal.aborted) throw abortError(signal);
      for (const set of [train, validation, test]) if (set) checkDataset(this.#options.model, set);
      this.#settings = await resumeSettings(this.#options);
      const changes = resume && this.#checkResume(resume);
      const capacity = Math.min(batch, Math.max(train.size, validation?.size ?? 0, test?.size ?? 0));
      const resident = await this.#resident();
      opening = this.#openData(capacity, resident); // workers come up, and prepare the first batches, while the device compiles
      opening.catch(() => {});
      const programs = ['train', 'calibrate', 'evaluate'] as const;
      const compileOptions = { capacity, seed, withoutRules, programs, trace };
      const executable = await device.compile(this.#graphs, { ...compileOptions, resident }).catch(async (error: unknown) => {
        const isTooMuch = resident && this.#options.dataOnDevice !== 'on' && error instanceof HybridError && error.code === 'E_MEMORY';
        if (!isTooMuch) throw error;
        await opening?.then((data) => data.close());
        this.#notice = `Training images come from the host, batch by batch: ${error.message}.`;
        opening = this.#openData(capacity);
        opening.catch(() => {});
        return device.compile(this.#graphs, compileOptions);
      });
      this.#executable = trace ? new TracedExecutable(executable, trace) : executable;
      return await this.#run(changes, opening);
    } finally {
      this.#watchdog.stop();
      await opening?.then(
        (data) => data.close(),
        () => {},
      );
    }
  }

  /** The training images, if the device is to have them. */
  async #resident(): Promise<ResidentImages | undefined> {
    const { device, train, augment, seed, dataOnDevice } = this.#options;
    if (dataOnDevice === 'off' || (dataOnDevice === 'auto' && !device.holds)) return undefined;
    const bytes = imageBytesOf(train);
    const nowhere = { worthwhile: false, possible: false, reason: `the ${device.name} device computes in the memory where they are` };
    const { worthwhile, possible, reason } = device.holds?.(bytes) ?? nowhere;
    const wanted = dataOnDevice === 'on' ? possible : worthwhile;
    const images = wanted ? await residentImages(train, augment, seed) : reason;
    if (typeof images !== 'string') {
      const mebibytes = Math.ceil(bytes / 2 ** 20).toLocaleString('en');
      this.#notice = `All training images (${mebibytes} MiB) lie on the device: a step sends indices alone.`;
      return images;
    }
    if (dataOnDevice === 'on') {
      const remedy = 'Leave `dataOnDevice` out: images come from the host then, batch by batch.';
      throw new HybridError('E_USAGE', `the training images cannot lie on the device: ${images}`, remedy, {
        ...{ field: 'dataOnDevice', suggested: 'auto' },
      });
    }
    this.#notice = `Training images come from the host, batch by batch: ${images}.`;
    return undefined;
  }

  async #openData(capacity: number, resident?: ResidentImages): Promise<DataPipeline<Part>> {
    const { train, validation, test, batch, seed, shuffle, augment, workers, trace, resume, signal } = this.#options;
    const feeds = {
      train: { dataset: train, batch, seed, shuffle, augment, resident: resident !== undefined },
      validation: validation ? evaluationFeed(validation, capacity) : undefined,
      test: test ? evaluationFeed(test, capacity) : undefined,
    };
    const data: DataPipeline<Part> = await DataPipeline.open(feeds, { workers, trace });
    if (!resume) this.#upcoming = data.loader('train').epoch(1, { signal });
    return data;
  }

  async #run(changes: readonly string[] | undefined, opening: Promise<DataPipeline<Part>>): Promise<TrainResult> {
    const { device, model, train, validation, test, epochs, resume } = this.#options;
    try {
      this.#data = await opening;
      if (resume) await this.#restore(resume);
      else await writeWeights(this.#executable, model, this.#initialWeights());
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
      if (this.#notice !== null) this.#say('info', this.#notice);
      for (const lack of missingClasses({ train, validation, test })) this.#say('warning', lack);
      if (changes) await this.#tellResumed(changes);
      else this.#warnOfShortRun();
      if (this.#options.onNan === 'rollback') this.#good = this.#snapshot();
      this.#good?.catch(() => {}); // told where it is gone back to
      return await this.#finish(await this.#epochs());
    } finally {
      // After a failure too: a checkpoint that is being written is better than the one before it.
      await this.#writer?.settle().catch(() => {});
      await this.#executable.close();
    }
  }

  /** Refuses a checkpoint of another run; returns the changes that were allowed, as sentences. */
  #checkResume(checkpoint: Checkpoint): string[] {
    const { model, epochs, allowChanged } = this.#options;
    if (checkpoint.graph.digest !== this.#graph.digest) {
      throw new HybridError(
        'E_CHECKPOINT',
        `the checkpoint is of another model (graph ${checkpoint.graph.digest.slice(0, 12)}) than ${model.arch} (${this.#graph.digest.slice(0, 12)})`,
        'Use the architecture, image size and number of classes it was made with.',
      );
    }
    const { seed, batch, settings, history } = readProgress(checkpoint);
    const changes = compareSettings(settings ?? { seed, batch: `${batch}` }, this.#settings, allowChanged);
    if (history.length > epochs) {
      throw new HybridError(
        'E_USAGE',
        `the run has completed ${history.length} epochs already, and ${epochs} were asked for`,
        `Ask for more than ${history.length} epochs.`,
      );
    }
    return changes;
  }

  /** Takes over the state of a checkpoint, whole. Throws E_CHECKPOINT. */
  async #restore(checkpoint: Checkpoint): Promise<void> {
    const { batch, train, learningRate } = this.#options;
    const progress = readProgress(checkpoint);
    await writeState(this.#executable, checkpoint);
    this.#history = [...progress.history];
    const step =
      progress.batch === batch
        ? progress.step
        : stepAfterBatchChange(progress.step, { before: progress.batch, now: batch, size: train.size });
    if (step > this.#stepsPerEpoch || ![progress.epoch, progress.epoch - 1].includes(this.#history.length)) {
      throw new HybridError(
        'E_CHECKPOINT',
        `the checkpoint is at step ${step} of ${this.#stepsPerEpoch} of epoch ${progress.epoch}, after ${this.#history.length} whole epochs`,
        'It is damaged or of other data: resume from another one.',
      );
    }
    this.#completed = { epoch: progress.epoch, step };
    this.#running = new RunningMetrics(progress.running ?? undefined);
    // A rate that was changed on purpose counts; else what the plateau has made of it does.
    this.#learningRate = progress.settings && progress.settings.lr !== this.#settings.lr ? learningRate : progress.learningRate;
    this.#rateFactor = progress.rateFactor;
    const { best, earlyStopping, plateau } = progress.callbacks;
    this.#best.restore(best);
    if (earlyStopping) this.#earlyStopping?.restore(earlyStopping);
    if (plateau) this.#plateau?.restore(plateau);
    this.#unsaved = false;
  }

  async #tellResumed(changes: readonly string[]): Promise<void> {
    const { epoch, step } = this.#completed;
    if (this.#best.epoch > 0) await this.#recoverBest();
    for (const change of changes) this.#say('warning', `${change}: from here on this is another run than before.`);
    this.#emit({ type: 'resume', reason: 'resumed', epoch, step });
    if (this.#history.length === this.#options.epochs) {
      const done = this.#history.length === 1 ? 'The only epoch was' : `All ${this.#history.length} epochs were`;
      this.#say('info', `${done} done: only the test is left. Raise \`epochs\` to train longer.`);
    }
  }

  /**
   * The best weights of before, from the store. Where it does not have them, the best epoch is forgotten with its weights: what is told as
   * the best, what is tested and what the run returns must be one and the same.
   */
  async #recoverBest(): Promise<void> {
    const { store } = this.#options;
    let reason = store ? `${store.location} has no best checkpoint` : 'there is no store that has them';
    const saved = await store?.load('best').catch((error: unknown) => {
      reason = error instanceof Error ? error.message : String(error);
    });
    if (saved) {
      this.#bestWeights = weightsOf(saved);
      return;
    }
    const last = this.#history.at(-1);
    const hasWeightsOfLast = last !== undefined && this.#completed.epoch === last.epoch;
    if (this.#best.epoch === last?.epoch && hasWeightsOfLast) return this.#adoptAsBest();
    const lost = this.#best.epoch;
    this.#best.restore({ best: null, epoch: 0 });
    if (hasWeightsOfLast) {
      this.#best.onEpochEnd(last.epoch, (last.validation ?? last.train).loss, null);
      await this.#adoptAsBest();
    }
    const from = this.#best.epoch > 0 ? `epoch ${this.#best.epoch}, which this checkpoint is of` : 'the epochs to come';
    this.#say('warning', `The best weights so far, of epoch ${lost}, are lost (${reason}): the best are those of ${from}, or better ones.`);
  }

  async #adoptAsBest(): Promise<void> {
    this.#bestWeights = weightsOf({ weights: await readWeights(this.#executable) });
  }

  #initialWeights(): ReadonlyMap<string, Float32Array> {
    const { init, model, seed } = this.#options;
    if (!init) return initialize(model, seed);
    const bad = [...init].find(([, data]) => !data.every(Number.isFinite));
    if (!bad) return init;
    throw new HybridError('E_CHECKPOINT', `the initial weights ${bad[0]} are not all finite`, 'Start from other weights.');
  }

  async #epochs(): Promise<EndReason> {
    for (;;) {
      const done = this.#history.length;
      if (done > 0 && this.#earlyStopping?.stopsAfter(done)) return 'early-stopped';
      if (done >= this.#options.epochs) return 'completed';
      try {
        await this.#runEpoch(done + 1);
        this.#rollbacks = 0;
      } catch (error) {
        if (isAbortError(error) && this.#options.signal.aborted) return 'aborted';
        if (!(await this.#rollBack(error))) throw error;
      }
    }
  }

  /** One epoch, or the rest of it, and what follows it. */
  async #runEpoch(epoch: number): Promise<void> {
    const { train, validation, recalibrateBn, store, epochs, signal, keepEvery } = this.#options;
    const start = performance.now();
    if (this.#completed.epoch !== epoch) {
      this.#completed = { epoch, step: 0 };
      this.#running = new RunningMetrics();
    }
    const rowsBefore = this.#running.rows;
    const waits = await this.#steps(epoch);
    const metrics = this.#running.value;
    const trainMs = performance.now() - start;
    if (recalibrateBn > 0) await this.#recalibrate(epoch, recalibrateBn);
    // The first batches of the next epoch are ready when validation is over.
    if (epoch < epochs) this.#upcoming = this.#data.loader('train').epoch(epoch + 1, { signal });
    const validated = validation && (await this.#evaluate(this.#data.loader('validation'), 'the validation'));
    const lr = this.#learningRate;

    const monitored = validated ? validated.loss : metrics.loss;
    const { improved, message } = this.#best.onEpochEnd(epoch, monitored, store ? `${store.location}/checkpoints/best` : null);
    const stopping = this.#earlyStopping?.onEpochEnd(epoch, monitored);
    const record = {
      type: 'epoch',
      epoch,
      train: metrics,
      validation: validated,
      lr: lr * this.#rateFactor,
      imagesPerSecond: ((Math.min(this.#running.rows, train.size) - rowsBefore) / trainMs) * 1000,
      seconds: (performance.now() - start) / 1000,
      dataWait: waits.data / trainMs,
      deviceWait: waits.device / trainMs,
      best: improved,
    } as const;
    this.#history.push(record);
    this.#emit(record);
    this.#say('info', message);
    if (stopping?.message) this.#say('info', stopping.message);
    const reduced = this.#plateau?.onEpochEnd(epoch, monitored, lr);
    if (reduced) this.#learningRate = reduced.learningRate;
    if (reduced?.message) this.#say('info', reduced.message);

    this.#watchdog.begin('a checkpoint to be written', `epoch ${epoch}`);
    await this.#writer?.settle(); // at most one snapshot waits to be written
    const snapshot = this.#snapshot();
    if (improved) this.#bestWeights = weightsOf(await snapshot);
    // The rate in the best checkpoint is the one before its reduction, as in Keras' file.
    if (improved)
      this.#save(
        'best',
        epoch,
        snapshot.then((checkpoint) => withRate(checkpoint, lr)),
      );
    this.#save('last', epoch, snapshot);
    if (keepEvery > 0 && epoch % keepEvery === 0) this.#save(`epoch-${String(epoch).padStart(4, '0')}`, epoch, snapshot);
  }

  async #steps(epoch: number): Promise<Waits> {
    const { signal, trace } = this.#options;
    const start = performance.now();
    const rowsBefore = this.#running.rows;
    let queued = this.#completed.step;
    const flight = new Flight<BatchMetrics, FitStep, Updated>({
      batches: this.#batches(epoch, queued),
      ahead: this.#executable.stepsAhead ?? 0,
      signal,
      begin: (batch) => this.#begin(batch, epoch, ++queued),
      finish: (step) => this.#update(step, epoch),
      onWait: (oldest, isComputed) => {
        if (oldest) this.#watchdog.begin('the device', `${isComputed ? 'update' : 'gradient'} of epoch ${epoch}, step ${oldest.step}`);
        else this.#watchdog.begin('the next images', `epoch ${epoch}, step ${queued + 1}`);
      },
      onIdle: (begin, end) => trace?.span('data wait', 'wait for data', begin, end),
    });
    for await (const [flown, metrics, { applied, cause, overflow, state }] of flight) {
      if (applied || overflow !== undefined) this.#running.add(metrics, flown.batch.rows);
      if (overflow !== undefined) this.#say('info', overflowed(epoch, flown, overflow));
      else if (!applied) this.#skip(diverged(epoch, flown, metrics.loss, cause));
      this.#skipsInARow = applied ? 0 : this.#skipsInARow;
      this.#completed = { epoch, step: flown.step };
      this.#learningRate = flown.rate;
      this.#unsaved = true;
      this.#emitStep(epoch, flown, {
        rows: this.#running.rows - rowsBefore,
        waits: flight.waits,
        elapsedMs: performance.now() - start,
      });
      this.#writer?.check();
      // A write that is under way is not waited for: the next step asks again.
      if (state && !this.#writer?.busy) this.#save('last', epoch, this.#snapshot(state));
    }
    if (signal.aborted) throw abortError(signal);
    return flight.waits;
  }

  /** The batches of an epoch, or of the rest of it. */
  #batches(epoch: number, from: number): Epoch {
    const upcoming = this.#upcoming;
    this.#upcoming = null;
    const { signal } = this.#options;
    return upcoming?.epoch === epoch && upcoming.from === from ? upcoming : this.#data.loader('train').epoch(epoch, { from, signal });
  }

  #begin(batch: Batch, epoch: number, step: number): FitStep {
    const { schedule, learningRate, epochs, signal } = this.#options;
    const position = { step: (epoch - 1) * this.#stepsPerEpoch + step - 1, totalSteps: epochs * this.#stepsPerEpoch };
    const rate = schedule.name === 'constant' ? this.#learningRate : learningRateAt(schedule, { base: learningRate, ...position });
    return { batch, step, rate, lr: rate * this.#rateFactor, gradient: this.#executable.gradient(batch, { signal }) };
  }

  async #update({ step, lr }: FitStep, epoch: number): Promise<Updated> {
    const { weightDecay, bnMomentum } = this.#options;
    const update = this.#executable.update({ learningRate: lr, weightDecay, bnMomentum });
    const state = this.#isSaveDue(epoch, step) ? readState(this.#executable) : undefined;
    state?.catch(() => {}); // the loop may leave before it comes to need it
    return { ...(await update), state };
  }

  #emitStep(epoch: number, { step, lr }: FitStep, { rows, waits, elapsedMs }: { rows: number; waits: Waits; elapsedMs: number }): void {
    const done = (epoch - 1) * this.#stepsPerEpoch + step;
    const now = performance.now();
    this.#stepsHere++;
    // The first step includes warming up: rates and the time left are measured from its end.
    if (this.#stepsHere === 1) this.#firstStepEnd = now;
    const msPerStep = this.#stepsHere > 1 ? (now - this.#firstStepEnd) / (this.#stepsHere - 1) : elapsedMs;
    this.#emit({
      type: 'step',
      epoch,
      step,
      ...this.#running.value,
      lr,
      imagesPerSecond: (rows / elapsedMs) * 1000,
      dataWait: Math.min(1, waits.data / elapsedMs),
      deviceWait: Math.min(1, waits.device / elapsedMs),
      etaSeconds: (msPerStep * (this.#options.epochs * this.#stepsPerEpoch - done)) / 1000,
    });
  }

  /** A step that was not applied: an error, or a warning where such steps are skipped. */
  #skip(error: HybridError): void {
    if (this.#options.onNan !== 'skip' || ++this.#skipsInARow > MAX_SKIPS) throw error;
    this.#say('warning', `${error.message} Skipped (${this.#skipsInARow} in a row, ${MAX_SKIPS} are allowed).`);
  }

  /** Goes back to the last good state with a lower rate, if that is wanted and may help. */
  async #rollBack(error: unknown): Promise<boolean> {
    if (!(this.#good && error instanceof HybridError && error.code === 'E_DIVERGED')) return false;
    if (++this.#rollbacks > MAX_ROLLBACKS) return false;
    await this.#writer?.settle();
    const factor = this.#rateFactor * RATE_AFTER_ROLLBACK;
    await this.#restore(await this.#good);
    this.#rateFactor = factor;
    const { epoch, step } = this.#completed;
    this.#say(
      'warning',
      `${error.message} Back to the state after step ${step} of epoch ${epoch}, with ${factor} times the learning rate.`,
    );
    this.#emit({ type: 'resume', reason: 'rolled back', epoch, step });
    return true;
  }

  /**
   * Measures the moving statistics anew, as the plain mean over those of `count` training batches with the present
   * weights: after few steps a moving average with momentum 0.99 is still close to its start.
   */
  async #recalibrate(epoch: number, count: number): Promise<void> {
    const { batch, signal } = this.#options;
    let k = 0;
    for await (const next of this.#batches(epoch, 0)) {
      // A short last batch would weigh as much as a full one.
      if (k === count || (k > 0 && next.rows < batch)) break;
      this.#watchdog.begin('the device', `statistics after epoch ${epoch}, batch ${k + 1}`);
      await this.#executable.calibrate(next, k / (k + 1), { signal });
      k++;
    }
  }

  async #evaluate(loader: Loader, what: string): Promise<Metrics> {
    const { model, signal } = this.#options;
    const onProgress = (done: number, total: number) => this.#watchdog.begin(what, `${done} of ${total} images`);
    onProgress(0, loader.dataset.size);
    const { loss, accuracy } = await evaluateWith(this.#executable, model.classes, loader, { signal, onProgress });
    return { loss, accuracy };
  }

  #warnOfShortRun(): void {
    const { bnMomentum, recalibrateBn, epochs, model } = this.#options;
    const normalizes = model.variables.some(({ kind }) => kind === 'statistic');
    const steps = epochs * this.#stepsPerEpoch;
    const needed = Math.ceil(TIME_CONSTANTS_NEEDED / (1 - bnMomentum));
    if (!normalizes || recalibrateBn > 0 || steps >= needed) return;
    const lower = bnMomentum > 0.9 ? '`bnMomentum: 0.9`, or ' : '';
    this.#say(
      'warning',
      `${steps === 1 ? '1 step is' : `${steps} steps are`} too few for a batch-norm momentum of ${bnMomentum}: the moving statistics need about ${needed}, and until then ` +
        `validation looks worse than the model is. Use ${lower}\`recalibrateBn: 20\` to measure them before each validation.`,
    );
  }

  /** Whether the options want the state after this step, within an epoch, to go to `last`. */
  #isSaveDue(epoch: number, step: number): boolean {
    const { steps = Number.POSITIVE_INFINITY, minutes = Number.POSITIVE_INFINITY } = this.#options.checkpointEvery ?? {};
    if (!this.#writer || this.#writer.busy || step === this.#stepsPerEpoch) return false;
    const isDue = ((epoch - 1) * this.#stepsPerEpoch + step) % steps === 0 || performance.now() - this.#lastSave >= minutes * 60_000;
    if (isDue) this.#lastSave = performance.now(); // asked for: those behind it need not
    return isDue;
  }

  #save(kind: CheckpointKind, epoch: number, snapshot: Promise<Checkpoint>): void {
    if (kind === 'last') {
      this.#lastSave = performance.now();
      this.#unsaved = false;
      // Only a state that proves to be finite is one to go back to.
      if (this.#good)
        void snapshot.then(
          () => (this.#good = snapshot),
          () => {},
        );
    }
    snapshot.catch(() => {}); // without a store nobody asks for it
    this.#writer?.save(kind, epoch, snapshot);
  }

  /**
   * A checkpoint after the last completed step, with the state that the device has now, or had when it was asked for: all is copied or
   * asked for before this returns. Rejects with E_DIVERGED where a value is not finite: such a state must not replace a good one.
   */
  async #snapshot(state = readState(this.#executable)): Promise<Checkpoint> {
    const learningRate = this.#learningRate;
    const progress: RunProgress = {
      ...this.#completed,
      stepsPerEpoch: this.#stepsPerEpoch,
      seed: `${this.#options.seed}`,
      batch: this.#options.batch,
      learningRate,
      rateFactor: this.#rateFactor,
      callbacks: {
        best: this.#best.state(),
        earlyStopping: this.#earlyStopping?.state() ?? null,
        plateau: this.#plateau?.state() ?? null,
      },
      history: [...this.#history],
      running: this.#running.sums,
      settings: this.#settings,
    };
    const tensors = await state;
    const bad = notFiniteIn(tensors);
    if (bad) {
      throw new HybridError(
        'E_DIVERGED',
        `after epoch ${progress.epoch}, step ${progress.step}, ${bad} is not finite (learning rate ${learningRate}).`,
        'The checkpoints are as they were. Try a smaller `learningRate`.',
        { field: 'learningRate', onAllRanks: true },
      );
    }
    return withRate({ ...tensors, progress: { ...progress }, graph: this.#graph, card: this.#card }, learningRate);
  }

  /** Saves what an interrupted run has, or tests the best weights of a whole one. */
  async #finish(reason: EndReason): Promise<TrainResult> {
    const { test, model, store, signal } = this.#options;
    let measured: Metrics | null = null;
    this.#watchdog.begin('a checkpoint to be written', 'at the end');
    await this.#writer?.settle();
    if (reason === 'aborted') {
      if (this.#unsaved) this.#save('last', this.#completed.epoch, this.#snapshot());
      await this.#writer?.settle();
    } else if (test) {
      if (this.#bestWeights) await writeWeights(this.#executable, model, this.#bestWeights);
      try {
        measured = await this.#evaluate(this.#data.loader('test'), 'the test');
      } catch (error) {
        if (!(isAbortError(error) && signal.aborted)) throw error;
        reason = 'aborted';
      }
    }
    this.#bestWeights ??= weightsOf({ weights: await readWeights(this.#executable) });
    const best = this.#best.best === null ? null : { epoch: this.#best.epoch, loss: this.#best.best };
    const end = { type: 'end', reason, epochs: this.#history.length, best, test: measured, run: store?.location ?? null } as const;
    this.#emit(end);
    return end;
  }

  #say(level: 'info' | 'warning', text: string): void {
    this.#emit({ type: 'message', level, text });
  }
}

/** No divergence: the forward pass is as good as any, and a scale that is halved each time soon suits, or is 1, where it would be one. */
const overflowed = (epoch: number, { step }: FitStep, scale: number): string =>
  `epoch ${epoch}, step ${step}: the gradients went beyond the range of f16 at a loss scale of ${scale}: the step is left out, and the scale is ${scale / 2} from here on.`;

function diverged(epoch: number, { batch, step, lr }: FitStep, loss: number, cause?: string): HybridError {
  const samples = Array.from(batch.samples?.subarray(0, Math.min(batch.rows, 8)) ?? []);
  const more = batch.rows > samples.length ? ', …' : '';
  const where = cause === undefined ? '' : ` ${cause}`;
  const what = Number.isFinite(loss) ? `a gradient${where} is not finite (loss ${loss})` : `the loss${where} is ${loss}`;
  return new HybridError(
    'E_DIVERGED',
    `epoch ${epoch}, step ${step}: ${what} at learning rate ${lr}; batch of ${batch.rows} images, samples ${samples.join(', ')}${more}.`,
    'The step was not applied and the checkpoints are as they were. Try a smaller `learningRate`.',
    { field: 'learningRate', onAllRanks: true },
  );
}
