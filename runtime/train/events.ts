// What a training run takes and tells. The loop is in loop.ts.

import type { Trace } from '../base/trace.ts';
import type { Dataset } from '../data/dataset.ts';
import type { Device } from '../device.ts';
import type { TrainedModel } from '../interop/trained-model.ts';
import type { TrainableModel } from '../model/model.ts';
import type { Checkpoint, CheckpointKind, CheckpointStore } from './checkpoint.ts';
import type { FeatureStore } from './feature-store.ts';
import type { TrainSettings } from './settings.ts';

/** What a training run works on and with. */
export interface TrainInputs {
  /** It may run other things at the same time, and stays open. */
  readonly device: Device;
  readonly model: TrainableModel;
  /** Its images must be as large as the model's input, and its classes as many. */
  readonly train: Dataset;
  /** Null, the default: the training loss is monitored. */
  readonly validation?: Dataset | null;
  /** Measured once, at the end, with the best weights. Null, the default: nothing is. */
  readonly test?: Dataset | null;
  /** Initial weights by name instead of the initialisers. */
  readonly init?: ReadonlyMap<string, Float32Array>;
  /** What checkpoints say of the weights besides: licence, and how pictures become images. Of a resumed run: as before. */
  readonly origin?: Pick<TrainedModel, 'license' | 'preprocessing'>;
  /** Where checkpoints go; absent: best weights are kept in memory only. */
  readonly store?: CheckpointStore;
  /** Where the features of a frozen backbone are kept from run to run; absent: in memory, for the run alone. */
  readonly features?: FeatureStore;
  /** The state to go on from, in place of initial weights. The best weights of before come from `store`. */
  readonly resume?: Checkpoint;
  /** Settings that may differ from those the checkpoint was made with: their names, or their words in `RESUME_SETTINGS`. */
  readonly allowChanged?: readonly string[];
  /**
   * Called when an epoch is over, its validation and checkpoint included, with what its event has and access to the weights; the run waits for it, unless
   * it is stopped, and what it throws ends the run. Epochs that are done again after a rollback are told again; of a resumed run those before are not.
   */
  readonly onEpoch?: (epoch: Extract<TrainEvent, { type: 'epoch' }>, state: EpochState) => void | Promise<void>;
  /** Takes a timeline of the run. */
  readonly trace?: Trace;
  readonly signal?: AbortSignal;
}

/** The state behind an epoch, as long as `onEpoch` has not returned. */
export interface EpochState {
  /** A copy of parameters and moving statistics by name, read from the device at the call. Rejects with E_USAGE after `onEpoch` has returned. */
  weights(): Promise<ReadonlyMap<string, Float32Array>>;
  /** All that `resume` needs, as a `CheckpointStore` is given it. Rejects with E_DIVERGED where a value is not finite, and later as `weights`. */
  checkpoint(): Promise<Checkpoint>;
}

/** What `train` takes: device, model, data and number of epochs; all else has a default. */
export interface TrainOptions extends TrainInputs, Partial<TrainSettings> {
  readonly epochs: number;
}

/** The options with every setting, as the loop and checkpoints see them. */
export interface CompleteTrainOptions extends TrainInputs, TrainSettings {
  readonly validation: Dataset | null;
  readonly test: Dataset | null;
}

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

/** The last event of a run. */
export type TrainResult = Extract<TrainEvent, { type: 'end' }>;

/** A run in progress. It proceeds whether or not its events are consumed; unread `step` events are merged into the newest. */
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
