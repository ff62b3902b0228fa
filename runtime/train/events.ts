// What a training run takes and tells. The loop is in loop.ts.

import type { Trace } from '../base/trace.ts';
import type { Dataset } from '../data/dataset.ts';
import type { Device } from '../device.ts';
import type { TrainedModel } from '../interop/trained-model.ts';
import type { TrainableModel } from '../model/model.ts';
import type { Checkpoint, CheckpointKind, CheckpointStore } from './checkpoint.ts';
import type { FeatureStore } from './feature-store.ts';
import type { TrainSettings } from './settings.ts';

/** Inputs of a training run. */
export interface TrainInputs {
  /** Device, which stays open and may be shared. */
  readonly device: Device;
  readonly model: TrainableModel;
  /** Training set; its image size must be that of the model's input, and its classes at most as many. */
  readonly train: Dataset;
  /** Null, the default: the training loss is monitored. */
  readonly validation?: Dataset | null;
  /** Measured once, at the end, with the best weights. Null, the default: nothing is. */
  readonly test?: Dataset | null;
  /** Initial weights by name instead of the initialisers. */
  readonly init?: ReadonlyMap<string, Float32Array>;
  /** Metadata of the weights for checkpoints: licence and preprocessing. A resumed run keeps its own. */
  readonly origin?: Pick<TrainedModel, 'license' | 'preprocessing'>;
  /** Store of checkpoints; absent: best weights are kept in memory only. */
  readonly store?: CheckpointStore;
  /** Cache for features of a frozen backbone across runs; absent: in memory, for this run only. */
  readonly features?: FeatureStore;
  /** Checkpoint to resume from, instead of initial weights. Earlier best weights are read from `store`. */
  readonly resume?: Checkpoint;
  /** Settings that may differ from those the checkpoint was made with: their names, or their words in `RESUME_SETTINGS`. */
  readonly allowChanged?: readonly string[];
  /**
   * Called after each epoch, including its validation and checkpoint, with the contents of its event and access to the weights. The run waits for it, unless
   * stopped; an exception ends the run. Epochs repeated after a rollback are reported again, earlier epochs of a resumed run are not.
   */
  readonly onEpoch?: (epoch: Extract<TrainEvent, { type: 'epoch' }>, state: EpochState) => void | Promise<void>;
  /** Takes a timeline of the run. */
  readonly trace?: Trace;
  readonly signal?: AbortSignal;
}

/** The state behind an epoch, as long as `onEpoch` has not returned. */
export interface EpochState {
  /** A copy of parameters and moving statistics by name, read from the device at the call; of a run with `ema` or `lookahead` their average. Rejects with E_USAGE after `onEpoch` has returned. */
  weights(): Promise<ReadonlyMap<string, Float32Array>>;
  /** All that `resume` needs, as a `CheckpointStore` is given it. Rejects with E_DIVERGED where a value is not finite, and later as `weights`. */
  checkpoint(): Promise<Checkpoint>;
}

/**
 * Options for `train`: device, model, data and number of epochs; everything else has a default.
 *
 * @category Training
 */
export interface TrainOptions extends TrainInputs, Partial<TrainSettings> {
  readonly epochs: number;
}

/** The options with every setting, as the loop and checkpoints see them. */
export interface CompleteTrainOptions extends TrainInputs, TrainSettings {
  readonly validation: Dataset | null;
  readonly test: Dataset | null;
}

/**
 * Mean loss and accuracy (a fraction) over samples.
 *
 * @category Training
 */
export interface Metrics {
  readonly loss: number;
  readonly accuracy: number;
}

/** Why a run ended. `diverged` is in records only: such a run rejects. */
export type EndReason = 'completed' | 'early-stopped' | 'aborted' | 'diverged';

/**
 * Events of a run in progress. Losses are means over images, accuracies and shares of time fractions, times seconds; epochs and
 * steps count from 1.
 *
 * @category Training
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
      /** Step within the epoch, from 1. */
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
  /** The run continues after `step` of `epoch`; earlier events of later steps describe work that was undone. */
  | { readonly type: 'resume'; readonly reason: 'resumed' | 'rolled back'; readonly epoch: number; readonly step: number }
  | { readonly type: 'checkpoint'; readonly kind: CheckpointKind; readonly epoch: number; readonly path: string | null }
  /** The script's messages: improved, reduced, stopped early; and hints. `again`: a repetition, in Keras' words, of the epoch event before it. */
  | { readonly type: 'message'; readonly level: 'info' | 'warning'; readonly text: string; readonly again?: true }
  | {
      readonly type: 'end';
      readonly reason: EndReason;
      readonly epochs: number;
      readonly best: { readonly epoch: number; readonly loss: number } | null;
      readonly test: Metrics | null;
      readonly run: string | null;
    };

/**
 * The last event of a run.
 *
 * @category Training
 */
export type TrainResult = Extract<TrainEvent, { type: 'end' }>;

/**
 * A run in progress. It proceeds whether or not its events are consumed; unread `step` events are merged into the newest.
 *
 * @category Training
 */
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
