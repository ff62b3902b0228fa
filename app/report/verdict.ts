// What a run came to, in sentences: against guessing, against its best epoch, and what kept it from more.

import { grouped } from '../../runtime/base/units.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import { type RunRecord, timeShares } from './record.ts';

/** The best answer without looking: the most frequent class. */
export interface Guess {
  readonly className: string;
  /** Its share of the images: how often it is the right answer, 0 to 1. */
  readonly share: number;
  readonly images: number;
}

/** The most frequent class of a set. Null for a set without images. */
export function guessOf({ labels, size, classes }: Pick<Dataset, 'labels' | 'size' | 'classes'>): Guess | null {
  if (size === 0) return null;
  const counts = new Map<number, number>();
  for (let i = 0; i < size; i++) counts.set(labels[i], (counts.get(labels[i]) ?? 0) + 1);
  const [label, most] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a));
  return { className: classes[label] ?? `class ${label}`, share: most / size, images: size };
}

/** Whether guessing may explain an accuracy: it is within two standard errors of it. Of a set of one class nothing can be said. */
export function isLikeGuessing(accuracy: number, { share, images }: Guess): boolean {
  return share < 1 && accuracy <= share + 2 * Math.sqrt((share * (1 - share)) / images);
}

/** A rise of the validation loss by less than this share is noise. */
const RISE = 0.05;
/** Accuracies that are further apart than this, as fractions, tell of overfitting. */
const GAP = 0.1;
/** A last epoch that is worse than the best by less is as good. */
const LOSS_OF_ACCURACY = 0.005;
/** Waiting for data that is worth a sentence. */
const MUCH_WAITING = 0.2;

/** The verdict on a run that has ended, the most important sentence first. `guess`: of the test images, or of those of validation where there are none. */
export function verdictOf(record: RunRecord, guess: Guess | null = null): string[] {
  if (record.running || record.epochs.length === 0) return [];
  const found = [reached(record, guess), ending(record), bestEpoch(record), overfitting(record), waiting(record)];
  return found.filter((sentence) => sentence !== null);
}

function reached({ end, best }: RunRecord, guess: Guess | null): string | null {
  const measured = end?.test ?? best?.validation;
  if (!measured) return null;
  const images = `${guess ? `${grouped(guess.images)} ` : ''}${end?.test ? 'test' : 'validation'} images`;
  const result = `${percent(measured.accuracy)} of the ${images} are classified correctly`;
  if (!guess || guess.share === 1) return `${result}.`;
  const answer = `answering "${guess.className}" for every image gives ${percent(guess.share)}`;
  return isLikeGuessing(measured.accuracy, guess) ? `${result}: no better than guessing (${answer}).` : `${result}; ${answer}.`;
}

function ending({ state, end, start, epochs, best }: RunRecord): string | null {
  const of = start ? ` of ${start.epochs}` : '';
  const done = `epoch ${epochs.length}${of}`;
  switch (state) {
    case 'early-stopped': {
      const since = best ? `: the monitored loss had not improved since epoch ${best.epoch}` : '';
      return `The run stopped early, after epoch ${end?.epochs ?? epochs.length}${of}${since}.`;
    }
    case 'aborted':
      return `The run was stopped by its user after ${done}; hybrid train --resume continues it.`;
    case 'diverged':
      return `The run diverged after ${done}: a lower learning rate (--lr) usually helps.`;
    case 'failed':
      return `The run failed after ${done}.`;
    case 'unfinished':
      return `The run ended without a record of its end after ${done}; hybrid train --resume continues it from the last checkpoint.`;
    default:
      return null;
  }
}

function bestEpoch({ epochs, best, state }: RunRecord): string | null {
  const last = epochs[epochs.length - 1];
  if (!best || epochs.length < 2) return null;
  const monitored = best.validation ? 'validation' : 'training';
  if (best.epoch === last.epoch)
    return state === 'completed'
      ? `The last epoch was the best: its ${monitored} loss is the lowest, and more epochs may lower it further.`
      : null;
  const [ofBest, ofLast] = [best.validation ?? best.train, last.validation ?? last.train];
  const fallen = ofBest.accuracy - ofLast.accuracy;
  const behind = fallen > LOSS_OF_ACCURACY ? `, ${points(fallen)} behind` : '';
  return `The best epoch is ${best.epoch} of ${epochs.length} (${monitored} accuracy ${percent(ofBest.accuracy)}); the last one reached ${percent(ofLast.accuracy)}${behind}.`;
}

/** By the losses since the best epoch, or by the distance of the accuracies in the last one. */
function overfitting({ epochs, best }: RunRecord): string | null {
  const last = epochs[epochs.length - 1];
  if (!best?.validation || !last.validation) return null;
  const rose = last.validation.loss > (1 + RISE) * best.validation.loss;
  if (best.epoch < last.epoch && rose && last.train.loss < best.train.loss) {
    const text = (from: number, to: number) => `from ${from.toFixed(3)} to ${to.toFixed(3)}`;
    return (
      `Overfitting since epoch ${best.epoch}: the training loss fell ${text(best.train.loss, last.train.loss)} ` +
      `while the validation loss rose ${text(best.validation.loss, last.validation.loss)}. More images, augmentation or dropout help.`
    );
  }
  const gap = best.train.accuracy - best.validation.accuracy;
  if (gap <= GAP) return null;
  return `In the best epoch the training accuracy is ${points(gap)} above the validation accuracy, a sign of overfitting. More images, augmentation or dropout help.`;
}

function waiting(record: RunRecord): string | null {
  const { computing, dataWait } = timeShares(record);
  const share = dataWait / (computing + dataWait || 1);
  return share < MUCH_WAITING
    ? null
    : `The device waited for data in ${Math.round(100 * share)} % of the training time: more data workers (--workers) may help.`;
}

const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
const points = (difference: number): string => `${(100 * difference).toFixed(1)} percentage points`;
