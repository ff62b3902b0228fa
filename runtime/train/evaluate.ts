// Loss and accuracy of a model over a dataset, in inference mode.

import { HybridError } from '../base/errors.ts';
import { refuseUnknown } from '../base/kinds.ts';
import { own } from '../base/own.ts';
import type { Dataset } from '../data/dataset.ts';
import type { LoadedBatch } from '../data/epoch.ts';
import type { FeedOptions } from '../data/feed.ts';
import type { Loader } from '../data/loader.ts';
import { DataPipeline } from '../data/pipeline.ts';
import type { Device, Executable } from '../device.ts';
import type { TrainableModel } from '../model/model.ts';
import { forInference } from '../model/stem.ts';
import type { Metrics } from './events.ts';
import { inferenceGraphs } from './graphs.ts';
import { argmax, logSoftmax, notFinite } from './logits.ts';
import { checkDataset } from './options.ts';
import { TRAIN_SETTINGS } from './settings.ts';
import { type TestTimeAugmentation, ttaKind, withViews } from './views.ts';

/**
 * Loss and accuracy over a dataset, and where the mistakes are.
 *
 * @category Using a model
 */
export interface Evaluation extends Metrics {
  readonly perClass: readonly { readonly name: string; readonly accuracy: number; readonly count: number }[];
  /** classes × classes counts: row = label, column = prediction. Null for more than `MOST_CONFUSION_CLASSES`: `confused` has what is in it. */
  readonly confusion: Uint32Array | null;
  /** How often images of one class were taken for another one, the most frequent first; pairs that never occurred are left out. */
  readonly confused: readonly { readonly label: number; readonly predicted: number; readonly count: number }[];
  /** The samples with the largest losses, largest first; at most `LARGEST_LOSSES`. */
  readonly largestLosses: readonly SampleLoss[];
}

/** An image and how wrong the model is about it. */
export interface SampleLoss {
  /** Index in the whole set. */
  readonly sample: number;
  /** File or name of the image, if the dataset has one. */
  readonly file?: string;
  readonly label: number;
  readonly predicted: number;
  /** Probabilities of these two classes. */
  readonly labelProbability: number;
  readonly predictedProbability: number;
  readonly loss: number;
}

const LARGEST_LOSSES = 25;

/** Of a confusion matrix: 16 MiB. It grows with the square, and that of 100,000 classes would be 40 GB of zeros. */
export const MOST_CONFUSION_CLASSES = 2048;

/**
 * Options for `evaluate`.
 *
 * @category Using a model
 */
export interface EvaluateOptions {
  readonly device: Device;
  readonly model: TrainableModel;
  /** Parameters and moving statistics by name. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly dataset: Dataset;
  /** Images at a time; 128 by default. */
  readonly batch?: number;
  /** Data workers: see PipelineOptions. */
  readonly workers?: number;
  /** Test-time augmentation: whether the mean over several views of an image is the answer; `none` by default. */
  readonly tta?: TestTimeAugmentation;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
  /** Called with the logits of each batch, rows × classes, from sample `first` of the dataset on. */
  readonly onLogits?: (first: number, logits: Float32Array) => void;
}

const OPTIONS = Object.keys({
  ...{ device: true, model: true, weights: true, dataset: true, batch: true, workers: true, tta: true },
  ...{ signal: true, onProgress: true, onLogits: true },
} satisfies Record<keyof EvaluateOptions, true>);

/**
 * Loss and accuracy in inference mode, over all images of the dataset. Rejects with E_USAGE for an impossible batch or an option that there is not, E_DATA where model and data do not fit,
 * E_CHECKPOINT for weights of another model, E_DIVERGED where logits are not finite, E_MEMORY, or an AbortError.
 *
 * @category Using a model
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  const { device, model: given, dataset, batch = 128, workers, tta = 'none', signal, onProgress, onLogits, ...others } = own(options);
  refuseUnknown(Object.keys(options), OPTIONS, 'evaluate');
  TRAIN_SETTINGS.batch.kind.check(batch, 'batch');
  ttaKind.check(tta, 'tta');
  checkDataset(given, dataset);
  const { model, weights } = forInference({ model: given, weights: others.weights });
  const capacity = Math.min(batch, dataset.size);
  const opening = DataPipeline.open({ test: evaluationFeed(dataset, capacity) }, { workers }); // comes up while the device compiles
  opening.catch(() => {});
  try {
    const executable = await device.compile(inferenceGraphs(model), { capacity, seed: 0n, programs: ['evaluate'] });
    try {
      await writeWeights(executable, model, weights);
      const loader = (await opening).loader('test');
      const { undecided, ...evaluation } = await evaluateWith(withViews(executable, model.input, tta), model.classes, loader, {
        signal,
        onProgress,
        onLogits,
      });
      if (undecided > 0) throw notFinite(`${undecided} of ${dataset.size} images of ${dataset.name}`);
      return evaluation;
    } finally {
      await executable.close();
    }
  } finally {
    await opening.then((data) => data.close()).catch(() => {});
  }
}

/** A dataset as it is, from its beginning to its end. */
export const evaluationFeed = (dataset: Dataset, batch: number): FeedOptions => ({ dataset, batch, seed: 0n, shuffle: false });

/** Checks that `weights` are those of the model, by name and size, and writes them. */
export async function writeWeights(
  executable: Executable,
  model: TrainableModel,
  weights: ReadonlyMap<string, Float32Array>,
): Promise<void> {
  for (const { name, shape } of model.variables) {
    const data = weights.get(name);
    const size = shape.reduce((product, n) => product * n, 1);
    if (data?.length === size) continue;
    const found = data ? `has ${data.length} elements there` : 'does not have it';
    throw new HybridError(
      'E_CHECKPOINT',
      `${model.arch} needs ${name} with shape [${shape.join(', ')}]; the file ${found}.`,
      'Give the weights of the same architecture, image size and number of classes.',
    );
  }
  await Promise.all(model.variables.map(({ name }) => executable.write(name, weights.get(name) as Float32Array)));
}

/** The same over an executable that already holds the weights; `undecided` are images whose logits are not finite, which count as wrong. Two batches are in flight, so that the device never waits. */
export async function evaluateWith(
  executable: Executable,
  classes: number,
  loader: Loader,
  { signal, onProgress, onLogits }: Pick<EvaluateOptions, 'signal' | 'onProgress' | 'onLogits'> = {},
): Promise<Evaluation & { readonly undecided: number }> {
  const { dataset } = loader;
  /** Counts by label · classes + prediction. */
  const counts = new Map<number, number>();
  let largestLosses: SampleLoss[] = [];
  let lossSum = 0;
  let done = 0;
  let undecided = 0;
  const ofClass = new Float64Array(classes);
  const take = async ({ labels, samples, rows }: LoadedLabels, run: ReturnType<Executable['evaluate']>): Promise<void> => {
    const { loss, logits } = await run;
    lossSum += loss * rows;
    const first = done;
    onLogits?.(first, logits);
    for (let row = 0; row < rows; row++) {
      const [label, at] = [labels[row], row * classes];
      ofClass[label]++;
      const logProbability = logSoftmax(logits, at, classes);
      if (Number.isNaN(logProbability(label))) {
        undecided++;
        continue;
      }
      const predicted = argmax(logits, at, classes);
      const pair = label * classes + predicted;
      counts.set(pair, (counts.get(pair) ?? 0) + 1);
      const lowest = largestLosses.length < LARGEST_LOSSES ? 0 : largestLosses[largestLosses.length - 1].loss;
      if (!(-logProbability(label) > lowest)) continue;
      const probabilities = {
        labelProbability: Math.exp(logProbability(label)),
        predictedProbability: Math.exp(logProbability(predicted)),
      };
      const file = dataset.fileOf?.(first + row);
      largestLosses.push({
        sample: samples[row],
        ...(file !== undefined && { file }),
        label,
        predicted,
        ...probabilities,
        loss: -logProbability(label),
      });
      largestLosses = largestLosses.sort((a, b) => b.loss - a.loss || a.sample - b.sample).slice(0, LARGEST_LOSSES);
    }
    done += rows; // not among the arguments: they are left out where there is no listener
    onProgress?.(done, dataset.size);
  };
  let pending: Promise<void> | undefined;
  for await (const batch of loader.epoch(0, { signal })) {
    const current = take(batch, executable.evaluate(batch, { signal }));
    current.catch(() => {}); // awaited below; an earlier failure must not leave this one unhandled
    await pending;
    pending = current;
  }
  await pending;

  let correct = 0;
  const confusion = classes <= MOST_CONFUSION_CLASSES ? new Uint32Array(classes * classes) : null;
  const confused: { label: number; predicted: number; count: number }[] = [];
  for (const [pair, count] of [...counts].sort(([a], [b]) => a - b)) {
    const [label, predicted] = [Math.floor(pair / classes), pair % classes];
    if (confusion) confusion[pair] = count;
    if (label === predicted) correct += count;
    else confused.push({ label, predicted, count });
  }
  confused.sort((a, b) => b.count - a.count);
  const perClass = Array.from(ofClass, (count, label) => {
    const right = counts.get(label * classes + label) ?? 0;
    return { name: dataset.classes[label] ?? `class ${label}`, accuracy: count ? right / count : 0, count };
  });
  return { loss: lossSum / dataset.size, accuracy: correct / dataset.size, perClass, confusion, confused, largestLosses, undecided };
}

type LoadedLabels = Pick<LoadedBatch, 'labels' | 'samples' | 'rows'>;
