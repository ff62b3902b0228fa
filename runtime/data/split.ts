// Which samples are for training and which for validation. Nothing is copied: a part remembers where its samples are.

import { HybridError } from '../base/errors.ts';
import { refuseUnknownOptions } from '../base/kinds.ts';
import { PURPOSE, philox4x32, philoxKey } from '../base/philox.ts';
import { changed, type DataSource, type Dataset, imagesAt, imagesFrom, type Subset } from './dataset.ts';

/** A training set, and what was taken off it. */
export interface Split {
  readonly train: Subset;
  /** Null where the fraction asks for less than one sample. */
  readonly validation: Subset | null;
}

/** Which samples a part has. */
export interface Selection {
  /** `stratified` draws of every class its share; `first`, the default, takes the first ones. */
  readonly split?: 'stratified' | 'first';
  /** Seed of the draw; 0 by default. */
  readonly seed?: bigint;
}

/**
 * ⌊size · valFraction⌋ samples are for validation and the rest for training, both in stored order: the first ones, as in the original
 * script, where nothing is shuffled before; or a draw that has of every class its share. Throws E_USAGE unless 0 ≤ valFraction < 1.
 */
export function split(dataset: Dataset, options: { readonly valFraction: number } & Selection): Split {
  refuseUnknownOptions(options, { valFraction: true, split: true, seed: true }, 'splitDataset');
  const { valFraction, ...selection } = options;
  if (!(valFraction >= 0 && valFraction < 1)) {
    throw new HybridError('E_USAGE', `the validation fraction is ${valFraction}`, 'Give a number from 0 to below 1, such as 0.1.');
  }
  const held = Math.floor(dataset.size * valFraction);
  if (held === 0) return { train: range(dataset, 0, dataset.size), validation: null };
  if (selection.split !== 'stratified') return { train: range(dataset, held, dataset.size), validation: range(dataset, 0, held) };
  const chosen = fairDraw(dataset, held, { ...selection, draw: DRAW.validation, leaveOne: true });
  const rest = new Int32Array(dataset.size - chosen.length);
  for (let i = 0, at = 0, k = 0; i < dataset.size; i++) {
    if (chosen[k] === i) k++;
    else rest[at++] = i;
  }
  return { train: picked(dataset, rest), validation: picked(dataset, chosen) };
}

/** The first `count` samples, or all where there are fewer. */
export const firstSamples = (dataset: Dataset, count: number): Subset => range(dataset, 0, Math.min(count, dataset.size));

/** `count` samples in stored order, or all where there are fewer: as `split` says. */
export function someSamples(dataset: Dataset, count: number, selection: Selection = {}): Subset {
  if (selection.split !== 'stratified' || count >= dataset.size) return firstSamples(dataset, count);
  return picked(dataset, fairDraw(dataset, count, { ...selection, draw: DRAW.limit, leaveOne: false }));
}

/** How many samples `limit` leaves for validation and for the test: a fifth of those for training, but not below 100. */
export const heldOutLimit = (trainLimit: number): number => Math.max(100, Math.floor(trainLimit / 5));

/** The datasets of a run. */
export interface Parts {
  readonly train: Dataset;
  readonly validation: Dataset | null;
  readonly test: Dataset | null;
}

/** `limit`: so many training samples, and at most `heldOutLimit(limit)` for validation and for the test. */
export function limitParts({ train, validation, test }: Parts, limit: number, selection: Selection = {}): Parts {
  if (!(Number.isInteger(limit) && limit > 0)) {
    throw new HybridError('E_USAGE', `the limit is ${limit}`, 'Give the number of training images to use: a whole number above 0.');
  }
  const held = heldOutLimit(limit);
  return {
    train: someSamples(train, limit, selection),
    validation: validation && someSamples(validation, held, selection),
    test: test && someSamples(test, held, selection),
  };
}

/** Options for `partsOf`. */
export interface PartsOptions {
  readonly valFraction: number;
  readonly limit?: number;
  /** `auto`, the default: `first` where the set says that its order is `mixed`, else `stratified`. */
  readonly split?: 'auto' | 'stratified' | 'first';
  /** Seed of the draws; 0 by default. */
  readonly seed?: bigint;
}

/** Resolves `auto` for a set. */
export const splitOf = ({ mixed }: DataSource, split: PartsOptions['split'] = 'auto'): 'stratified' | 'first' =>
  split !== 'auto' ? split : mixed ? 'first' : 'stratified';

/**
 * Source to parts in one step: split, unless the set has validation images of its own, then limited where a limit is given. Throws E_USAGE.
 *
 * @category Data
 */
export function partsOf(source: DataSource, options: PartsOptions): Parts {
  refuseUnknownOptions<PartsOptions>(options, { valFraction: true, limit: true, split: true, seed: true }, 'partsOf');
  const { valFraction, limit, split: asked, seed } = options;
  const { train, validation, test } = source;
  const selection = { split: splitOf(source, asked), seed };
  const parts = { ...(validation ? { train, validation } : split(train, { valFraction, ...selection })), test };
  return limit === undefined ? parts : limitParts(parts, limit, selection);
}

/** A sentence for each part that lacks classes: what it says of them is nothing. */
export function missingClasses({ train, validation, test }: Parts): string[] {
  return Object.entries({ training: train, validation, test }).flatMap(([part, dataset]) => {
    if (!dataset) return [];
    const counts = countsOf(dataset);
    const missing = dataset.classes.filter((_, label) => !counts[label]).map((name) => JSON.stringify(name));
    if (missing.length === 0) return [];
    const [what, consequence] =
      missing.length === 1
        ? [`class ${missing[0]}`, 'it']
        : [
            `${missing.length} of ${dataset.classes.length} classes (${missing.slice(0, 5).join(', ')}${missing.length > 5 ? ', …' : ''})`,
            'them',
          ];
    const means = part === 'training' ? `the model cannot learn ${consequence}` : `its loss and accuracy say nothing of ${consequence}`;
    return [`There is no ${part} image of ${what}: ${means}.`];
  });
}

function countsOf({ labels, size, classes }: Dataset): Int32Array {
  const counts = new Int32Array(classes.length);
  for (let i = 0; i < size; i++) counts[labels[i]]++;
  return counts;
}

/** Which draw of a sample it is: what validation leaves is drawn from anew by a limit. */
const DRAW = { validation: 0, limit: 1 } as const;

/**
 * Positions of `count` samples, in order: of every class its share to the nearest whole number, at least one of each where there are as many,
 * and with `leaveOne` never all of a class. Within a class those with the lowest random words.
 */
function fairDraw(
  dataset: Dataset,
  count: number,
  { seed = 0n, draw, leaveOne }: { readonly seed?: bigint; readonly draw: number; readonly leaveOne: boolean },
): Int32Array {
  const quotas = fairQuotas(countsOf(dataset), count, leaveOne);
  const samples = samplesOf(dataset);
  const key = philoxKey(seed);
  const words = new Uint32Array(4);
  const order = new Float64Array(dataset.size);
  for (let i = 0; i < dataset.size; i++) {
    philox4x32(key, [samples[i], 0, PURPOSE.split, draw], words);
    order[i] = words[0];
  }
  const positions = Int32Array.from({ length: dataset.size }, (_, i) => i).sort((a, b) => order[a] - order[b] || a - b);
  return positions.filter((position) => quotas[dataset.labels[position]]-- > 0).sort();
}

/** How many of each class: shares by the largest remainder. */
function fairQuotas(counts: Int32Array, count: number, leaveOne: boolean): Int32Array {
  const size = counts.reduce((sum, n) => sum + n, 0);
  const present = counts.reduce((sum, n) => sum + Math.sign(n), 0);
  const most = counts.map((n) => (leaveOne && count <= size - present ? Math.max(0, n - 1) : n));
  const least = count >= present ? most.map((n) => Math.min(1, n)) : new Int32Array(counts.length);
  const shares = Float64Array.from(counts, (n) => (n * count) / size);
  const quotas = Int32Array.from(shares, (share, i) => Math.min(most[i], Math.max(least[i], Math.floor(share))));
  let missing = count - quotas.reduce((sum, n) => sum + n, 0);
  while (missing !== 0) {
    const step = Math.sign(missing);
    const lack = (label: number) => step * (shares[label] - quotas[label]);
    const open = [...quotas.keys()].filter((label) => (step > 0 ? quotas[label] < most[label] : quotas[label] > least[label]));
    for (const label of open.sort((a, b) => lack(b) - lack(a) || a - b).slice(0, Math.abs(missing))) quotas[label] += step;
    missing = count - quotas.reduce((sum, n) => sum + n, 0);
  }
  return quotas;
}

/** Index in the whole set of each sample, which keys its random draws. */
export function samplesOf(dataset: Dataset | Subset): Int32Array {
  return 'samples' in dataset ? dataset.samples : Int32Array.from({ length: dataset.size }, (_, i) => i);
}

/** Of parts that are a range: what of. A range of a range is one of the whole. */
const RANGES = new WeakMap<Dataset, { readonly whole: Dataset; readonly first: number }>();

/** Samples `from` to before `to` of a dataset. */
function range(dataset: Dataset, from: number, to: number): Subset {
  const { whole, first } = RANGES.get(dataset) ?? { whole: dataset, first: 0 };
  const [begin, end] = [first + from, first + to];
  const part = partOf(whole, (index) => begin + index, {
    name: end - begin === whole.size ? whole.name : `${whole.name}, images ${begin} to ${end - 1} of ${whole.size}`,
    labels: whole.labels.subarray(begin, end),
    samples: samplesOf(whole).subarray(begin, end),
    images: imagesFrom(whole.images, begin),
  });
  RANGES.set(part, { whole, first: begin });
  return part;
}

/** The samples at some positions of a whole set, in that order. */
function picked(whole: Dataset, positions: Int32Array): Subset {
  const samples = samplesOf(whole);
  return partOf(whole, (index) => positions[index], {
    name: `${whole.name}, ${positions.length} of ${whole.size} images, in proportion to the classes`,
    labels: positions.map((position) => whole.labels[position]),
    samples: positions.map((position) => samples[position]),
    images: imagesAt(whole.images, positions),
  });
}

/** Samples of a whole set, by where each is in it. */
function partOf(whole: Dataset, position: (index: number) => number, own: Pick<Subset, 'name' | 'labels' | 'samples' | 'images'>): Subset {
  return changed(whole, {
    ...own,
    size: own.labels.length,
    read: (indices, out) => whole.read(Int32Array.from(indices, position), out),
    fileOf: (index) => whole.fileOf?.(position(index)),
  }) as Subset;
}
