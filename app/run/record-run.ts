// Everything that a run folder keeps of a run beside its checkpoints: metrics, environment, report, figures, and the crash where it comes to one.

import type { Files } from '../../runtime/base/files.ts';
import { type OptionNames, refuseUnknownOptions } from '../../runtime/base/kinds.ts';
import type { SkippedImage } from '../../runtime/data/dataset.ts';
import type { Device } from '../../runtime/device.ts';
import type { Checkpoint } from '../../runtime/train/checkpoint.ts';
import type { TrainEvent, TrainResult, TrainRun } from '../../runtime/train/events.ts';
import { readProgress } from '../../runtime/train/progress.ts';
import type { FigureSources } from '../report/figure-sources.ts';
import { RunReport } from '../report/run-report.ts';
import { describeEnvironment } from './environment.ts';
import type { RunConfig, RunFolder } from './run-folder.ts';
import { selfCheck } from './self-check.ts';

/** Options for `recordRun`. */
export interface RecordRunOptions {
  /** What the run computes on: described in environment.json, and tested in the shadow of the second step. */
  readonly device: Device;
  /** Checkpoint of a resumed run, as given to `train`: the metrics continue from there. */
  readonly resume?: Checkpoint;
  /** Configuration of a resumed run, if it has changed. */
  readonly config?: RunConfig;
  /** For environment.json: why this device was taken, and which tier of numbers, and why. */
  readonly choice?: string;
  readonly precision?: string;
  /** For environment.json: images that were left out because they cannot be decoded. */
  readonly skipped?: readonly SkippedImage[];
  /** What the figures at the end are drawn from: model, images and settings, as `train` was given them. Absent: no figures. */
  readonly figures?: Omit<FigureSources, 'weights' | 'record' | 'device'>;
  /** The images that the run measures itself on, with whose most frequent class the report compares its result; those of `figures` by default. */
  readonly measured?: Pick<FigureSources, 'test' | 'validation'>;
  /** Whether TensorBoard's event file is written as well. */
  readonly tensorboard?: boolean;
  readonly files?: Files;
  /** Stops the drawing of figures. */
  readonly signal?: AbortSignal;
  /** Called with each event after it is stored. */
  readonly onEvent?: (event: TrainEvent) => void;
  /** Called with the result, before the figures are drawn. */
  readonly onResult?: (result: TrainResult) => void;
  /** Called with problems: files that could not be written besides the metrics, a device that fails its self-test. */
  readonly onProblem?: (text: string) => void;
  /** Called with the current activity if it takes a moment, and with null when it is over. */
  readonly onStatus?: (text: string | null) => void;
}

/** Outcome of the run and its folder. */
export interface RecordedRun {
  readonly result: TrainResult;
  /** The last checkpoint that was written. */
  readonly saved: Extract<TrainEvent, { type: 'checkpoint' }> | null;
  /** False: the run was stopped before there was anything to keep, and its folder was removed. */
  readonly isKept: boolean;
}

const OPTIONS: OptionNames<RecordRunOptions> = {
  device: true,
  resume: true,
  config: true,
  choice: true,
  precision: true,
  skipped: true,
  figures: true,
  measured: true,
  tensorboard: true,
  files: true,
  signal: true,
  onEvent: true,
  onResult: true,
  onProblem: true,
  onStatus: true,
};

/**
 * Follows a run to its end and keeps in its folder what `hybrid train` keeps: metrics.jsonl, environment.json, report.html, figures, and
 * crash.json where it fails. The run saves its checkpoints there itself: the folder is its `store`. The folder stays open; that of a run
 * which never began is removed. Rejects with what the run fails with, and with E_DISK where metrics cannot be written; then the run is
 * stopped.
 */
export async function recordRun(
  starting: TrainRun | Promise<TrainRun>,
  folder: RunFolder,
  options: RecordRunOptions,
): Promise<RecordedRun> {
  refuseUnknownOptions(options, OPTIONS, 'recordRun');
  const { device, resume, config = folder.config, choice, precision, skipped, figures, measured = figures, tensorboard = false } = options;
  const { files, signal, onEvent, onResult, onProblem = () => {}, onStatus = () => {} } = options;
  let run: TrainRun | undefined;
  let report: RunReport | undefined;
  let checked: Promise<void> | undefined;
  let saved: RecordedRun['saved'] = null;
  let isKept = true;
  let hasBegun = false;
  try {
    run = await starting;
    for await (const event of run) {
      if (event.type === 'start') {
        // Not before the checkpoint was accepted: a run that cannot go on leaves everything as it was.
        if (resume) await folder.begin(jointOf(resume), config);
        await folder.addEnvironment(describeEnvironment(device, choice, precision, skipped));
        hasBegun = true;
        report = await RunReport.open({ folder, measured, tensorboard, files, signal, onProblem, onStatus });
      }
      if (event.type === 'checkpoint') saved = event;
      await folder.log(event);
      await report?.event(event);
      onEvent?.(event);
      // Last, and in the shadow of the second step: its reference takes this thread a tenth of a second.
      if (event.type === 'step') checked ??= selfCheck(device, folder, onProblem);
    }
    const result = await run.result;
    const isWhole = result.reason !== 'aborted';
    isKept = isWhole || saved !== null || resume !== undefined;
    onStatus(null);
    onResult?.(result);
    await report?.finish(figures && result.best && isWhole ? { ...figures, device } : null);
    return { result, saved, isKept };
  } catch (error) {
    await run?.[Symbol.asyncDispose]();
    if (hasBegun) {
      await folder.reportCrash(error);
      await report?.fail(error);
    } else isKept = resume !== undefined;
    throw error;
  } finally {
    await checked;
    await report?.close();
    if (!isKept) await folder.discard();
  }
}

function jointOf(checkpoint: Checkpoint) {
  const { epoch, step, history } = readProgress(checkpoint);
  return { epoch, step, epochs: history.length };
}
