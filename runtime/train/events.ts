// What a training run takes and tells. The loop is in fit.ts.

import type { Trace } from '../base/trace.ts';
import type { AugmentOptions } from '../data/augment/augmentation.ts';
import type { Dataset } from '../data/dataset.ts';
import type { Device } from '../device.ts';
import type { TrainableModel } from '../model/model.ts';
import type { Checkpoint, CheckpointKind, CheckpointStore } from './checkpoint.ts';
import type { ScheduleOptions } from './schedule.ts';

/** What decides the outcome of a run, bit for bit, beside model, data and device. */
export interface TrainSettings {
  /** Null, the default: the training loss is monitored. */
  readonly validation: Dataset | null;
  /** Measured once, at the end, with the best weights. Null, the default: nothing is. */
  readonly test: Dataset | null;
  /** Images a step; 128 by default. The last batch of an epoch has what remains. */
  readonly batch: number;
  /** Of AdamW; 0.002 by default. The highest one of a schedule. */
  readonly learningRate: number;
  /** Of AdamW, decoupled; 0.0001 by default. */
  readonly weightDecay: number;
  /** Of the learning rate; constant by default. */
  readonly schedule: ScheduleOptions;
  /** Epochs without a better loss after which the run ends. Null, the default: off. */
  readonly earlyStopping: { readonly patience: number } | null;
  /**
   * Multiplies the rate by `factor` after `patience` epochs without a better loss, down to `minLearningRate`. Null, the default, and with
   * every schedule but `constant`: off.
   */
  readonly plateau: { readonly patience: number; readonly factor: number; readonly minLearningRate: number } | null;
  /** Nothing by default. */
  readonly augment: AugmentOptions;
  /** Another order of the images in each epoch; true by default. */
  readonly shuffle: boolean;
  /** 64 bits, of the initial weights, the order of the images, augmentation and dropout; 0 by default. */
  readonly seed: bigint;
  /** Momentum of the moving statistics of batch normalisation, from 0 to below 1; 0.99 by default, which takes some 500 steps to mean anything. */
  readonly bnMomentum: number;
  /** Training batches over which moving statistics are measured anew before each validation; 0, the default: off. */
  readonly recalibrateBn: number;
}

/** What `train` takes: device, model, data and number of epochs; all else has a default. */
export interface TrainOptions extends Partial<TrainSettings> {
  /** It may run other things at the same time, and stays open. */
  readonly device: Device;
  readonly model: TrainableModel;
  /** Its images must be as large as the model's input, and its classes as many. */
  readonly train: Dataset;
  /** Passes over the training images, those before `resume` included. */
  readonly epochs: number;
  /** Initial weights by name instead of the initialisers. */
  readonly init?: ReadonlyMap<string, Float32Array>;
  /** Where checkpoints go; absent: best weights are kept in memory only. */
  readonly store?: CheckpointStore;
  /** The state to go on from, in place of initial weights. The best weights of before come from `store`; without them the best is that of the epochs from this state on. */
  readonly resume?: Checkpoint;
  /** Names of `RESUME_SETTINGS` that may differ from those the checkpoint was made with. */
  readonly allowChanged?: readonly string[];
  /** Saves `last` also within epochs; absent: after each epoch only. */
  readonly checkpointEvery?: { readonly steps?: number; readonly minutes?: number };
  /** Keeps the checkpoint of every n-th epoch for good, as `epoch-0010`; absent or 0: none. */
  readonly keepEvery?: number;
  /**
   * What to do where loss or gradients are not finite (the step is never applied): `stop`, the default, throws E_DIVERGED;
   * `skip` goes on with the next batch; `rollback` goes back to the last saved state and halves the rate.
   */
  readonly onNan?: 'stop' | 'skip' | 'rollback';
  /** Seconds without any progress after which the run says what it waits for; 60 by default. */
  readonly stallSeconds?: number;
  readonly withoutRules?: readonly string[];
  /** Threads that prepare batches; 1 by default. 0: the calling thread does. The same bytes in any case. */
  readonly workers?: number;
  /**
   * Whether the device takes all training images to itself, so that a step sends indices alone: with `auto`, the default, where that is
   * worthwhile; `on` throws E_USAGE where it is not possible. The same bytes in any case.
   */
  readonly dataOnDevice?: 'auto' | 'on' | 'off';
  /** Takes a timeline of the run. */
  readonly trace?: Trace;
  readonly signal?: AbortSignal;
}

/** The options with every setting, as the loop and checkpoints see them. */
export type CompleteTrainOptions = TrainOptions & TrainSettings;

/** Mean loss and accuracy (a fraction) over samples. */
export interface Metrics {
  readonly loss: number;
  readonly accuracy: number;
}

/** Why a run ended. `diverged` is in records only: such a run rejects. */
export type EndReason = 'completed' | 'early-stopped' | 'aborted' | 'diverged';

/**
 * What a run tells while it goes on. Losses are means over images, accuracies and shares of time fractions, times seconds; epochs and
 * steps count from 1.
 */
export type TrainEvent =
  | {
      readonly type: 'start';
      readonly schema: 1;
      readonly arch: string;
      readonly device: string;
      readonly epochs: number;
      readonly stepsPerEpoch: number;
      readonly parameters: number;
      readonly trainImages: number;
      readonly validationImages: number;
      readonly testImages: number;
    }
  | {
      readonly type: 'step';
      readonly epoch: number;
      /** Of the epoch, from 1. */
      readonly step: number;
      readonly loss: number;
      readonly accuracy: number;
      readonly lr: number;
      readonly imagesPerSecond: number;
      /** Share of the time since the epoch began in which nothing but data was missing. */
      readonly dataWait: number;
      /** Share of it in which the next batch was there, or none was left, and nothing but the device was missing. In the rest both were at work. */
      readonly deviceWait: number;
      readonly etaSeconds: number;
    }
  | {
      readonly type: 'epoch';
      readonly epoch: number;
      readonly train: Metrics;
      readonly validation: Metrics | null;
      readonly lr: number;
      readonly imagesPerSecond: number;
      readonly seconds: number;
      readonly dataWait: number;
      readonly deviceWait: number;
      /** Whether the monitored loss improved. */
      readonly best: boolean;
    }
  /** The run goes on after `step` of `epoch`: events of later ones, before this event, tell of work that was undone. */
  | { readonly type: 'resume'; readonly reason: 'resumed' | 'rolled back'; readonly epoch: number; readonly step: number }
  | { readonly type: 'checkpoint'; readonly kind: CheckpointKind; readonly epoch: number; readonly path: string | null }
  /** The script's messages: improved, reduced, stopped early; and hints. */
  | { readonly type: 'message'; readonly level: 'info' | 'warning'; readonly text: string }
  | {
      readonly type: 'end';
      readonly reason: EndReason;
      readonly epochs: number;
      readonly best: { readonly epoch: number; readonly loss: number } | null;
      readonly test: Metrics | null;
      readonly run: string | null;
    };

/** The last event of a run. */
export type TrainResult = Extract<TrainEvent, { type: 'end' }>;

/** A run in progress. It goes on whether or not anybody iterates; `step` events nobody has taken are merged into the newest. */
export interface TrainRun extends AsyncIterable<TrainEvent>, AsyncDisposable {
  /** Rejects where the run failed: diverged, out of memory, disk full. An aborted run resolves with reason `aborted`. */
  readonly result: Promise<TrainResult>;
  /**
   * Parameters and moving statistics by name, in Keras' layouts, when the run has ended: the best ones, which were tested; of a run that was
   * stopped in its first epoch, those after the last completed step. Rejects where the run failed.
   */
  readonly weights: Promise<ReadonlyMap<string, Float32Array>>;
  /** Stops after at most one kernel; the unfinished step is dropped, the state after the last completed one is saved. */
  stop(): Promise<TrainResult>;
}
