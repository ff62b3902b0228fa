// Small training runs, and what they leave behind.

import { createHash } from 'node:crypto';
import { buildModel } from '../../runtime/model/architectures.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import type { Checkpoint, CheckpointKind, CheckpointStore } from '../../runtime/train/checkpoint.ts';
import type { CompleteTrainOptions, TrainEvent, TrainOptions, TrainResult } from '../../runtime/train/events.ts';
import { completeOptions } from '../../runtime/train/options.ts';
import { train } from '../../runtime/train/run.ts';
import { shapesDataset } from './shapes-dataset.ts';

export const smallModel = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 6, depth: 1, kernel: 3, patch: 2, dropout: 0.1 });

/** Two epochs of six steps, the last of them short. */
export const smallOptions = (changes: Partial<TrainOptions> = {}): CompleteTrainOptions => ({
  ...completeOptions({
    device: openReferenceDevice(),
    model: smallModel,
    train: shapesDataset(43),
    validation: shapesDataset(20, { seed: 2 }),
    test: shapesDataset(30, { seed: 3 }),
    epochs: 2,
    batch: 8,
    learningRate: 0.02,
    augment: { crop: 1, flip: true },
    seed: 7n,
    bnMomentum: 0.9,
  }),
  ...(changes as Partial<CompleteTrainOptions>),
});

/** Keeps every checkpoint in memory, newest last. */
export class MemoryStore implements CheckpointStore {
  readonly location = 'memory';
  readonly saved: { readonly kind: CheckpointKind; readonly checkpoint: Checkpoint }[] = [];

  async save(kind: CheckpointKind, checkpoint: Checkpoint): Promise<string> {
    this.saved.push({ kind, checkpoint });
    return `memory/${kind}`;
  }

  async load(kind: CheckpointKind): Promise<Checkpoint | null> {
    return this.saved.findLast((save) => save.kind === kind)?.checkpoint ?? null;
  }
}

/** Runs to the end, or until `stopAt` steps were completed in this part of the run. */
export async function runPart(
  options: TrainOptions,
  stopAt = Number.POSITIVE_INFINITY,
): Promise<{ result: TrainResult; events: TrainEvent[] }> {
  const events: TrainEvent[] = [];
  const controller = new AbortController();
  const run = train({ ...options, signal: options.signal ?? controller.signal });
  let steps = 0;
  for await (const event of run) {
    events.push(event);
    if (event.type === 'step' && ++steps >= stopAt) controller.abort();
  }
  return { result: await run.result, events };
}

/** SHA-256 over all that decides how a run goes on: parameters, statistics, optimizer. */
export function digestOf({ weights, optimizer }: Checkpoint): string {
  const hash = createHash('sha256');
  for (const [name, { data }] of [...weights, ...optimizer]) {
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}

export const ofType = <T extends TrainEvent['type']>(events: readonly TrainEvent[], type: T) =>
  events.filter((event): event is Extract<TrainEvent, { type: T }> => event.type === type);
