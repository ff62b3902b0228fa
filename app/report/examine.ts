// One look at the test images, or those in their place: who was taken for whom, and the mistakes the model was most certain of.

import { grouped } from '../../runtime/base/units.ts';
import type { Dataset, PartName } from '../../runtime/data/dataset.ts';
import { samplesOf, someSamples } from '../../runtime/data/split.ts';
import { type EvaluateOptions, evaluate } from '../../runtime/train/evaluate.ts';
import { argmax, probabilitiesOf } from '../../runtime/train/logits.ts';
import { imageOf } from './bitmap.ts';
import type { Mistake } from './misclassified.ts';

export interface ExamineOptions extends Omit<EvaluateOptions, 'onLogits'> {
  /** What the images are, for captions. */
  readonly part: PartName;
  /** How many mistakes are kept. */
  readonly keep: number;
  /** Only so many images, in proportion to the classes. */
  readonly limit?: number;
}

export interface Examination {
  /** Which images these were, for captions. */
  readonly subject: string;
  /** classes × classes counts: row = label, column = prediction; null where there are too many. */
  readonly confusion: Uint32Array | null;
  /** Names of the classes of the model, which may be more than those of the images. */
  readonly classes: readonly string[];
  readonly wrong: number;
  /** The most certain first. */
  readonly mistakes: readonly Mistake[];
}

export async function examine({ part, keep, limit, dataset: whole, ...options }: ExamineOptions): Promise<Examination> {
  const dataset: Dataset = limit === undefined ? whole : someSamples(whole, limit, { split: 'stratified' });
  const samples = samplesOf(dataset);
  const { classes } = options.model;
  const found: { index: number; certainty: number; probabilities: Float64Array }[] = [];
  let wrong = 0;
  const { confusion, perClass } = await evaluate({
    ...options,
    dataset,
    onLogits(first, logits) {
      for (let row = 0; row < logits.length / classes; row++) {
        const prediction = argmax(logits, row * classes, classes);
        if (prediction === dataset.labels[first + row]) continue;
        wrong++;
        const probabilities = probabilitiesOf(logits, row, classes, `image ${first + row + 1}`);
        found.push({ index: first + row, certainty: probabilities[prediction], probabilities });
      }
      // Equal ones keep their order, and what cannot come among the first is let go.
      found.sort((a, b) => b.certainty - a.certainty).splice(keep);
    },
  });
  const mistakes: Mistake[] = [];
  for (const { index, probabilities } of found) {
    mistakes.push({
      index: samples[index],
      file: dataset.fileOf?.(index),
      label: dataset.labels[index],
      probabilities,
      image: await imageOf(dataset, index),
    });
  }
  const count = grouped(dataset.size);
  const subject =
    dataset.size < whole.size
      ? `${count} of ${grouped(whole.size)} ${part} images, in proportion to the classes`
      : `All ${count} ${part} images`;
  return { subject, confusion, classes: perClass.map(({ name }) => name), wrong, mistakes };
}
