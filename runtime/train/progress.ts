// How far a run was and with which settings, as its checkpoints keep it, and whether another run may go on from there.
//
// Random numbers, the order of the images and the rate of a schedule are functions of seed and position: the position
// alone brings them back. Whatever else decides what the next steps do is among the settings, and must be the same.

import { HybridError, nearest } from '../base/errors.ts';
import { type SettingTable, spellingOf } from '../base/setting.ts';
import { fingerprint } from '../data/fingerprint.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { CompleteTrainOptions, TrainEvent } from './events.ts';
import { RunningMetrics } from './running-metrics.ts';
import { describeSettings, TRAIN_SETTINGS, type TrainSettings } from './settings.ts';

export type EpochRecord = Extract<TrainEvent, { type: 'epoch' }>;

/** State of a callback as it goes into a checkpoint: plain JSON. */
export type CallbackState = Readonly<Record<string, number | null>>;

/** What must survive a restart. */
export interface Resumable {
  /** Where it is in `progress` of a checkpoint, with dots between the names: `callbacks.best`. */
  readonly key: string;
  /** Plain JSON, which what happens later does not change. */
  state(): unknown;
  /** Takes over what was there; undefined or null in a checkpoint from before there was such a thing. Throws E_CHECKPOINT. */
  restore(state: unknown, progress: RunProgress): void;
}

/** The states of all, each in its place. */
export function statesOf(resumables: readonly Resumable[]): Record<string, unknown> {
  const progress: Record<string, unknown> = { callbacks: { best: null, earlyStopping: null, plateau: null } };
  for (const resumable of resumables) {
    const names = resumable.key.split('.');
    const last = names.pop() as string;
    let place = progress;
    for (const name of names) place = (place[name] ??= {}) as Record<string, unknown>;
    place[last] = resumable.state();
  }
  return progress;
}

/** Gives each what it had in a checkpoint. Throws E_CHECKPOINT. */
export function restoreAll(resumables: readonly Resumable[], checkpoint: Pick<Checkpoint, 'progress'>): void {
  const progress = readProgress(checkpoint);
  for (const resumable of resumables) {
    let state: unknown = checkpoint.progress;
    for (const name of resumable.key.split('.'))
      state = Object.hasOwn(Object(state), name) ? (state as Record<string, unknown>)[name] : undefined;
    resumable.restore(state, progress);
  }
}

/** How far a run is: the last completed step, which the state on the device corresponds to, and what is known of the epochs up to it. */
export class Position {
  epoch = 1;
  step = 0;
  /** Of the epoch of that step, up to it. */
  running = new RunningMetrics();
  history: readonly EpochRecord[] = [];

  /** The epoch to be run, unless part of it was. */
  begin(epoch: number): void {
    if (this.epoch === epoch) return;
    Object.assign(this, { epoch, step: 0 });
    this.running = new RunningMetrics();
  }

  state(): Pick<RunProgress, 'epoch' | 'step' | 'history' | 'running'> {
    const { epoch, step, history, running } = this;
    return { epoch, step, history: [...history], running: running.sums };
  }

  /** Where the checkpoint was, in batches of today. Throws E_CHECKPOINT where it makes no sense with this data. */
  restore(
    checkpoint: Pick<Checkpoint, 'progress'>,
    now: { readonly batch: number; readonly size: number; readonly stepsPerEpoch: number },
  ): void {
    const { epoch, batch: before, history, running, ...saved } = readProgress(checkpoint);
    const { batch, size, stepsPerEpoch } = now;
    const step = before === batch ? saved.step : stepAfterBatchChange(saved.step, { before, now: batch, size });
    if (step > stepsPerEpoch || ![epoch, epoch - 1].includes(history.length)) {
      throw new HybridError(
        'E_CHECKPOINT',
        `the checkpoint is at step ${step} of ${stepsPerEpoch} of epoch ${epoch}, after ${history.length} whole epochs`,
        'It is damaged or of other data: resume from another one.',
      );
    }
    Object.assign(this, { epoch, step });
    this.history = history;
    this.running = new RunningMetrics(running ?? undefined);
  }
}

/** Refuses a checkpoint of another run; returns the changes that were allowed, as sentences. Throws E_CHECKPOINT, E_USAGE. */
export function checkResume(
  checkpoint: Checkpoint,
  run: { readonly graph: Checkpoint['graph']; readonly settings: Readonly<Record<string, string>>; readonly options: CompleteTrainOptions },
): string[] {
  const { model, epochs, allowChanged } = run.options;
  const [before, now] = [checkpoint.graph.digest, run.graph.digest];
  if (before !== now) {
    throw new HybridError(
      'E_CHECKPOINT',
      `the checkpoint is of another model (graph ${before.slice(0, 12)}) than ${model.arch} (${now.slice(0, 12)})`,
      'Use the architecture, image size and number of classes it was made with.',
    );
  }
  const { seed, batch, settings, history, epochs: planned } = readProgress(checkpoint);
  const changes = compareSettings(settings ?? { seed, batch: `${batch}` }, run.settings, allowChanged);
  const { schedule, lookahead } = run.options;
  // Nothing else goes by their number, so that more of them may be asked for.
  const followers = [
    ...(schedule.name === 'constant' ? [] : [`the rates of the schedule ${schedule.name}`]),
    ...(lookahead === 0 ? [] : ['the shares of `lookahead`']),
  ];
  if (followers.length > 0 && planned !== null && planned !== epochs)
    changes.push(`\`epochs\` is ${epochs}, but was ${planned}, and ${followers.join(' and ')} follow from it`);
  if (history.length <= epochs) return changes;
  throw new HybridError(
    'E_USAGE',
    `the run has already completed ${history.length} epochs, and ${epochs} were requested`,
    `Request more than ${history.length} \`epochs\`.`,
    { field: 'epochs' },
  );
}

/** `progress` of a checkpoint. */
export interface RunProgress {
  /** Epoch and step, both from 1, that were completed last; step 0: none yet. */
  readonly epoch: number;
  readonly step: number;
  readonly stepsPerEpoch: number;
  /** That were asked for; null in a checkpoint of version 0.1.0. */
  readonly epochs: number | null;
  readonly seed: string;
  readonly batch: number;
  /** Rate of the next step where the schedule is constant. */
  readonly learningRate: number;
  /** What rolling back has made of the rate: a factor on it. */
  readonly rateFactor: number;
  readonly callbacks: { readonly [name in 'best' | 'earlyStopping' | 'plateau']: CallbackState | null };
  /** Of the epochs that are over, with validation and callbacks. */
  readonly history: readonly EpochRecord[];
  /** Sums over the samples of the epoch so far; null in a checkpoint of version 0.1.0. */
  readonly running: { readonly loss: number; readonly correct: number; readonly rows: number } | null;
  /** By the names of `RESUME_SETTINGS`, as text; null in a checkpoint of version 0.1.0. */
  readonly settings: Readonly<Record<string, string>> | null;
}

/** The part of the training options that must not change; what it computes on and with is among `RESUME_SETTINGS` besides. */
export type SteadyOptions = TrainSettings;

/** What it computes on and with. */
const SURROUNDINGS = ['data', 'validation', 'arithmetic'] as const;

/** Names of what must be the same, by their words in checkpoints. Threads, workers, paths and the number of epochs change no bit of a step. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ...Object.entries(TRAIN_SETTINGS).flatMap(([name, entry]) => (entry.keeps === 'bits' ? [[spellingOf(name, entry), name] as const] : [])),
  ...SURROUNDINGS.map((name) => [name, name] as const),
]);

/** What must be the same, by their words in checkpoints: those of the flags. */
export const RESUME_SETTINGS: readonly string[] = [...NAMES.keys()];

/** Settings that checkpoints of version 0.1.0 cannot have, by their words, with what they were. */
const ADDED: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(TRAIN_SETTINGS as SettingTable).flatMap(([name, entry]) => {
    const { added, usual, describe = String } = entry;
    return added ? [[spellingOf(name, entry), describe(usual, {})]] : [];
  }),
);

/** All of `RESUME_SETTINGS`, and what ranks must have alike besides where that is asked for. */
export async function resumeSettings(options: CompleteTrainOptions, of: 'bits' | 'ranks' = 'bits'): Promise<Record<string, string>> {
  const { device, train, validation } = options;
  return {
    ...describeSettings(TRAIN_SETTINGS, options, of),
    data: await fingerprint(train),
    validation: validation ? await fingerprint(validation) : 'none',
    arithmetic: `${device.name}, ${device.arithmetic}`,
  };
}

/**
 * Compares what the checkpoint was made with to what is asked for now. Returns the differences that `allowed` names, as
 * sentences. Throws E_CHECKPOINT with the list of the others, E_USAGE for an unknown name in `allowed`.
 */
export function compareSettings(
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
  allowed: readonly string[] = [],
): string[] {
  for (const name of allowed) {
    if (NAMES.has(name) || [...NAMES.values()].includes(name)) continue;
    const near = nearest(name, [...NAMES.keys(), ...NAMES.values()]);
    throw new HybridError(
      'E_USAGE',
      `unknown setting ${JSON.stringify(name)} in \`allowChanged\`${near ? `; did you mean ${near}?` : ''}`,
      `Choose from ${RESUME_SETTINGS.join(', ')}.`,
      { field: 'allowChanged', suggested: near },
    );
  }
  // A setting that there was not yet was as it is where nobody says.
  const was = (word: string): string | undefined => (Object.hasOwn(before, word) ? before[word] : ADDED[word]);
  const changed = [...NAMES].filter(([word]) => was(word) !== undefined && was(word) !== now[word]);
  const told = (some: typeof changed) => some.map(([word, name]) => `${inWords(name)} is ${now[word]}, but was ${was(word)}`);
  const refused = changed.filter((both) => !both.some((name) => allowed.includes(name)));
  if (refused.length > 0) {
    const words = changed.map(([word]) => word).join(',');
    throw new HybridError(
      'E_CHECKPOINT',
      `the run was started with other settings: ${told(refused).join('; ')}`,
      `Resume with the original settings, or allow the change: \`allowChanged: ${words}\`. The result will then differ from that of one run.`,
      { field: 'allowChanged', suggested: words },
    );
  }
  return told(changed);
}

/** A setting as it is given; data and arithmetic are not. */
const inWords = (name: string): string => (Object.hasOwn(TRAIN_SETTINGS, name) ? `\`${name}\`` : name);

/** Reads `progress`, believing nothing. Throws E_CHECKPOINT. */
export function readProgress({ progress }: Pick<Checkpoint, 'progress'>): RunProgress {
  const own = (of: object, key: string): unknown => (Object.hasOwn(of, key) ? (of as Record<string, unknown>)[key] : undefined);
  const number = (of: object, key: string, least: number, otherwise?: number): number => {
    const value = own(of, key) ?? otherwise;
    if (typeof value === 'number' && Number.isFinite(value) && value >= least) return value;
    throw damaged(`${key} is ${JSON.stringify(value)}`);
  };
  const object = (of: object, key: string): object | null => {
    const value = own(of, key) ?? null;
    if (typeof value === 'object') return value;
    throw damaged(`${key} is ${JSON.stringify(value)}`);
  };
  const callbacks = object(progress, 'callbacks');
  const history = own(progress, 'history');
  const running = object(progress, 'running');
  const settings = object(progress, 'settings');
  const seed = own(progress, 'seed');
  if (!callbacks) throw damaged('callbacks are missing');
  if (!Array.isArray(history)) throw damaged('history is not a list');
  if (typeof seed !== 'string') throw damaged('seed is not text');
  return {
    epoch: number(progress, 'epoch', 1),
    step: number(progress, 'step', 0),
    stepsPerEpoch: number(progress, 'stepsPerEpoch', 1),
    epochs: own(progress, 'epochs') === undefined || own(progress, 'epochs') === null ? null : number(progress, 'epochs', 1),
    seed,
    batch: number(progress, 'batch', 1),
    learningRate: number(progress, 'learningRate', 0),
    rateFactor: number(progress, 'rateFactor', 0, 1),
    callbacks: {
      best: object(callbacks, 'best') as CallbackState | null,
      earlyStopping: object(callbacks, 'earlyStopping') as CallbackState | null,
      plateau: object(callbacks, 'plateau') as CallbackState | null,
    },
    history: history as EpochRecord[],
    running: running && { loss: number(running, 'loss', 0), correct: number(running, 'correct', 0), rows: number(running, 'rows', 0) },
    settings: settings && Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)])),
  };
}

function damaged(what: string): HybridError {
  return new HybridError(
    'E_CHECKPOINT',
    `the progress in the checkpoint is invalid: ${what}`,
    'It is damaged or of another version: resume from another one.',
  );
}

/**
 * The step of the epoch with batches of `now` that corresponds to `step` with batches of `before`. Throws E_CHECKPOINT where none
 * does: a batch cannot begin in the middle of another.
 */
export function stepAfterBatchChange(step: number, { before, now, size }: { before: number; now: number; size: number }): number {
  const samples = Math.min(step * before, size);
  if (samples === size) return Math.ceil(size / now);
  if (samples % now === 0) return samples / now;
  throw new HybridError(
    'E_CHECKPOINT',
    `the run stopped after ${samples} images of an epoch, which is not a whole number of batches of ${now}`,
    `Resume with batches of ${before} to the end of the epoch, or use a divisor of ${samples}.`,
  );
}

/** Descriptions of the devices of version 0.1.0 contain these. */
const FORMER_ARITHMETIC = [
  ['fused multiply-add', 'wasm, fused multiply-add'],
  ['multiply, then add', 'wasm, multiply, then add'],
  ['doubles', 'reference, doubles'],
] as const;

/**
 * Version 0.1.0 kept neither settings nor the sums of an unfinished epoch in its checkpoints. The settings follow from the configuration
 * of the run; its metrics tell which device it was and what loss and accuracy were after the last step.
 */
export function completeProgress(
  checkpoint: Checkpoint,
  { options, events }: { readonly options: SteadyOptions; readonly events: readonly unknown[] },
): Checkpoint {
  const { settings, running, epoch, step, batch } = readProgress(checkpoint);
  if (settings && running) return checkpoint;
  const told = events.map((event) => Object(event) as Record<string, unknown>);
  const device = String(told.findLast(({ type }) => type === 'start')?.device);
  const arithmetic = FORMER_ARITHMETIC.find(([text]) => device.includes(text))?.[1];
  const last = told.findLast((event) => event.type === 'step' && event.epoch === epoch && event.step === step);
  const rows = step * batch;
  const known = typeof last?.loss === 'number' && typeof last.accuracy === 'number';
  return {
    ...checkpoint,
    progress: {
      ...checkpoint.progress,
      settings: settings ?? { ...describeSettings(TRAIN_SETTINGS, options, 'bits'), ...(arithmetic && { arithmetic }) },
      running: running ?? (known ? { loss: Number(last.loss) * rows, correct: Number(last.accuracy) * rows, rows } : null),
    },
  };
}
