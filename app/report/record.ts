// What is known of a run: its configuration and what its events come to. Made from the events of a run in progress, or from the
// folder of an earlier one, whatever state that is in.

import { basename } from 'node:path';
import { type Files, nodeFiles } from '../../runtime/base/files.ts';
import type { TrainEvent } from '../../runtime/train/events.ts';
import { RunFolder } from '../run/run-folder.ts';

type EventOf<T extends TrainEvent['type']> = Extract<TrainEvent, { type: T }>;

/** Means over the steps that one `step` event stands for. */
export interface TracePoint {
  /** Epochs done, such as 2.25 after a quarter of the third one. */
  readonly at: number;
  readonly loss: number;
  readonly accuracy: number;
  readonly lr: number;
  /** Share of the time in which the device waited for data, 0 to 1. */
  readonly dataWait: number;
  /** Share of it in which data was ready and waited for the device; in the rest both were busy. */
  readonly deviceWait: number;
}

const MOST_POINTS = 4096;

/** What is known of a run from its configuration and events: the source of reports. */
export class RunRecord {
  readonly location: string;
  readonly config: Readonly<Record<string, unknown>>;
  start: EventOf<'start'> | null = null;
  epochs: EventOf<'epoch'>[] = [];
  /** Newest step of the run. */
  step: EventOf<'step'> | null = null;
  trace: TracePoint[] = [];
  readonly warnings: string[] = [];
  end: EventOf<'end'> | null = null;
  /** Result of `describeEnvironment` when the run started or resumed. */
  environment: Readonly<Record<string, unknown>> = {};
  /** Whether a process was at work in the folder when it was read. */
  running = false;
  /** The message of the error that the run ended with, and its code where it has one. */
  failure: string | null = null;
  failureCode: string | null = null;
  /** Running sums of the epoch in progress up to the last step event: rows, loss, right answers. */
  #sums = { epoch: 0, rows: 0, loss: 0, correct: 0 };
  /** Seconds of the epoch in progress, and those of its waits, up to the last step event. */
  #waits = { epoch: 0, seconds: 0, data: 0, device: 0 };
  /** Where this part of the run began: rates and shares of an epoch count from there. */
  #begun = { epoch: 1, step: 0 };

  constructor(location: string, config: Readonly<Record<string, unknown>>) {
    this.location = location;
    this.config = config;
  }

  /** Record from the lines of a metrics file; lines that are no events are ignored. */
  static from(location: string, config: Readonly<Record<string, unknown>>, events: Iterable<unknown>): RunRecord {
    const record = new RunRecord(location, config);
    for (const event of events) if (isEvent(event)) record.add(event);
    return record;
  }

  /** Record of a run folder. Throws E_CHECKPOINT for other folders. Unreadable lines are ignored. */
  static async read(path: string, files: Files = nodeFiles): Promise<RunRecord> {
    const folder = await RunFolder.open(path, files);
    const record = RunRecord.from(folder.location, folder.config, await folder.events());
    record.running = await folder.isRunning();
    record.environment = asObject((await folder.environments()).at(-1));
    const { time, error } = asObject(await folder.crash());
    // Of an earlier attempt, if the run was gone on with since.
    if (record.end || String(time ?? '') <= String(record.environment.time ?? '')) return record;
    const { code, message } = asObject(error);
    record.failure = String(message ?? error);
    if (code !== undefined) record.failureCode = String(code);
    return record;
  }

  get name(): string {
    return basename(this.location);
  }

  /** The epoch after which the monitored loss was lowest. */
  get best(): EventOf<'epoch'> | undefined {
    return this.epochs.findLast(({ best }) => best);
  }

  /** How the run ended; `unfinished`: its records do not say, because it was killed. */
  get state(): EventOf<'end'>['reason'] | 'running' | 'failed' | 'unfinished' {
    if (this.running) return 'running';
    return this.end?.reason ?? (this.failure === null ? 'unfinished' : 'failed');
  }

  /** Takes the next event, in order. */
  add(event: TrainEvent): void {
    switch (event.type) {
      case 'start':
        this.start = event;
        this.end = null;
        break;
      case 'resume':
        this.#begun = event;
        this.#waits = { epoch: 0, seconds: 0, data: 0, device: 0 };
        this.#rewind(event.epoch, event.step);
        break;
      case 'step':
        this.#addStep(event);
        break;
      case 'epoch':
        while ((this.epochs.at(-1)?.epoch ?? 0) >= event.epoch) this.epochs.pop();
        this.epochs.push(event);
        break;
      case 'message':
        if (event.level === 'warning' && !this.warnings.includes(event.text)) this.warnings.push(event.text);
        break;
      case 'end':
        this.end = event;
        break;
    }
  }

  /** Removes everything after the step from which a run resumes. */
  #rewind(epoch: number, step: number): void {
    const done = epoch - 1 + step / (this.start?.stepsPerEpoch ?? 1);
    this.epochs = this.epochs.filter((record) => record.epoch <= done);
    this.trace = this.trace.filter(({ at }) => at <= done);
    this.end = null;
  }

  /** The metrics of a step are means since the epoch began. Here they become those of the steps since the event before. */
  #addStep(event: EventOf<'step'>): void {
    const { epoch, step, lr } = event;
    const { stepsPerEpoch, trainImages } = this.start ?? { stepsPerEpoch: step, trainImages: step };
    this.step = event;
    const batch = typeof this.config.batch === 'number' ? this.config.batch : trainImages / stepsPerEpoch;
    const rows = Math.min(step * batch, trainImages);
    const sums = { epoch, rows, loss: event.loss * rows, correct: event.accuracy * rows };
    const before = this.#sums.epoch === epoch && this.#sums.rows < rows ? this.#sums : { rows: 0, loss: 0, correct: 0 };
    this.#sums = sums;
    const count = rows - before.rows;
    const begunRows = this.#begun.epoch === epoch ? this.#begun.step * batch : 0;
    const waits = this.#addWaits(event, (rows - begunRows) / event.imagesPerSecond);
    // A long run must not fill the memory: the older points, too, come closer together than anybody can see.
    if (this.trace.length >= MOST_POINTS) this.trace = thinned(this.trace, MOST_POINTS / 2);
    this.trace.push({
      at: epoch - 1 + step / stepsPerEpoch,
      loss: (sums.loss - before.loss) / count,
      accuracy: (sums.correct - before.correct) / count,
      lr,
      ...waits,
    });
  }

  /** Shares of the time since the event before; those of events are of the time since the epoch began, which are `seconds`. */
  #addWaits({ epoch, dataWait, deviceWait }: EventOf<'step'>, seconds: number): Pick<TracePoint, 'dataWait' | 'deviceWait'> {
    const before = this.#waits.epoch === epoch && this.#waits.seconds < seconds ? this.#waits : { seconds: 0, data: 0, device: 0 };
    // Records of the first versions have no waits of the device.
    const waits = { epoch, seconds, data: dataWait * seconds || 0, device: deviceWait * seconds || 0 };
    this.#waits = waits;
    const share = (part: number) => Math.min(1, Math.max(0, part / (seconds - before.seconds) || 0));
    return { dataWait: share(waits.data - before.data), deviceWait: share(waits.device - before.device) };
  }
}

/** The trace in at most `count` points: means over equal stretches. */
export function thinned(trace: readonly TracePoint[], count: number): TracePoint[] {
  if (trace.length <= count) return [...trace];
  return Array.from({ length: count }, (_, i) => {
    const part = trace.slice(Math.floor((i * trace.length) / count), Math.floor(((i + 1) * trace.length) / count));
    const mean = (key: 'loss' | 'accuracy' | 'dataWait' | 'deviceWait') => part.reduce((sum, point) => sum + point[key], 0) / part.length;
    // A rate has a value at a place, and no mean: that of a schedule's peak would not be its peak.
    const { at, lr } = part[part.length - 1];
    return { at, loss: mean('loss'), accuracy: mean('accuracy'), lr, dataWait: mean('dataWait'), deviceWait: mean('deviceWait') };
  });
}

/** Where the seconds of the epochs went. */
export interface TimeShares {
  readonly computing: number;
  /** The device had nothing to do, because data was not ready. */
  readonly dataWait: number;
  /** Validation, and measuring moving statistics anew. */
  readonly validation: number;
}

/** How the time of all epochs was spent, in seconds. */
export function timeShares({ epochs, start }: RunRecord): TimeShares {
  const sums = { computing: 0, dataWait: 0, validation: 0 };
  for (const { seconds, imagesPerSecond, dataWait } of epochs) {
    const training = Math.min(seconds, (start?.trainImages ?? 0) / imagesPerSecond);
    sums.dataWait += training * Math.min(1, dataWait);
    sums.computing += training * (1 - Math.min(1, dataWait));
    sums.validation += seconds - training;
  }
  return sums;
}

/** Of files that anybody may have changed. */
export const asObject = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

function isEvent(value: unknown): value is TrainEvent {
  return typeof asObject(value).type === 'string';
}
