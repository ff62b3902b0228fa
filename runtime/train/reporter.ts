// What a run tells: the one place where its events are made.

import type { TrainableModel } from '../model/model.ts';
import type { CheckpointKind } from './checkpoint.ts';
import type { CompleteTrainOptions, Metrics, TrainEvent, TrainResult } from './events.ts';
import type { Waits } from './flight.ts';
import type { Position } from './progress.ts';

/** What is known of an epoch when it is over. */
type EpochOutcome = Omit<Extract<TrainEvent, { type: 'epoch' }>, 'type'>;

export class Reporter {
  readonly #emit: (event: TrainEvent) => void;
  readonly #options: CompleteTrainOptions;
  readonly #stepsPerEpoch: number;
  /** Steps of this part of the run, and when the first of them ended. */
  #steps = 0;
  #firstStepEnd = 0;

  constructor(options: CompleteTrainOptions, stepsPerEpoch: number, emit: (event: TrainEvent) => void) {
    this.#options = options;
    this.#stepsPerEpoch = stepsPerEpoch;
    this.#emit = emit;
  }

  start(): void {
    const { device, model, train, validation, test, epochs } = this.#options;
    this.#emit({
      type: 'start',
      schema: 1,
      arch: model.arch,
      device: device.description,
      epochs,
      stepsPerEpoch: this.#stepsPerEpoch,
      parameters: parametersOf(model),
      trainImages: train.size,
      validationImages: validation?.size ?? 0,
      testImages: test?.size ?? 0,
    });
  }

  /** `rows` and `elapsedMs` are of this part of the epoch. */
  step(
    { epoch, step, running }: Position,
    lr: number,
    { rows, waits, elapsedMs }: { rows: number; waits: Waits; elapsedMs: number },
  ): void {
    const done = (epoch - 1) * this.#stepsPerEpoch + step;
    const now = performance.now();
    this.#steps++;
    // The first step includes warming up: rates and the time left are measured from its end.
    if (this.#steps === 1) this.#firstStepEnd = now;
    const msPerStep = this.#steps > 1 ? (now - this.#firstStepEnd) / (this.#steps - 1) : elapsedMs;
    this.#emit({
      type: 'step',
      epoch,
      step,
      ...running.value,
      lr,
      imagesPerSecond: (rows / elapsedMs) * 1000,
      dataWait: share(waits.data, elapsedMs),
      deviceWait: share(waits.device, elapsedMs),
      etaSeconds: (msPerStep * (this.#options.epochs * this.#stepsPerEpoch - done)) / 1000,
    });
  }

  /** Returns the record of the epoch. */
  epoch({ dataWait, deviceWait, best, ...outcome }: EpochOutcome): Extract<TrainEvent, { type: 'epoch' }> {
    const record = { type: 'epoch', ...outcome, dataWait: share(dataWait, 1), deviceWait: share(deviceWait, 1), best } as const;
    this.#emit(record);
    return record;
  }

  resume(reason: 'resumed' | 'rolled back', { epoch, step }: Position): void {
    this.#emit({ type: 'resume', reason, epoch, step });
  }

  checkpoint(kind: CheckpointKind, path: string, epoch: number): void {
    this.#emit({ type: 'checkpoint', kind, epoch, path });
  }

  end(result: Omit<TrainResult, 'type' | 'run'> & { readonly test: Metrics | null }): TrainResult {
    const end = { type: 'end', ...result, run: this.#options.store?.location ?? null } as const;
    this.#emit(end);
    return end;
  }

  /** `again`: the event of the epoch has it already. */
  say(text: string | null, again = false): void {
    if (text !== null) this.#emit({ type: 'message', level: 'info', text, ...(again && { again }) });
  }

  warn(text: string | null): void {
    if (text !== null) this.#emit({ type: 'message', level: 'warning', text });
  }
}

/** Waits are noted by one clock and the time by another: the whole is never exceeded. */
const share = (part: number, whole: number): number => Math.min(1, part / whole);

const parametersOf = ({ variables }: TrainableModel): number =>
  variables.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0);
