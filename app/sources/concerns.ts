// What people should know of a set before they train on it: classes of very different sizes, or of a handful of images, and pictures that are in
// two parts, or in two classes.

import { createHash } from 'node:crypto';
import { refuseUnknownOptions } from '../../runtime/base/kinds.ts';
import { grouped } from '../../runtime/base/units.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import { samplesOf } from '../../runtime/data/split.ts';
import { READ_ALL_OPTIONS, type ReadAllOptions, readAll } from './describe.ts';

/** The parts of a set, split or as they come. */
export interface ConcernedParts {
  readonly train: Dataset;
  readonly validation?: Dataset | null;
  readonly test: Dataset | null;
}

/** A class of fewer images teaches next to nothing. */
const FEW = 10;
/** How many times the smallest class the largest one may be. */
const MOST_TIMES = 10;
const SHOWN = 5;

/** Sentences about the sizes of the classes of training images; none where they are much alike. Reads labels only. */
export function classConcerns({ classes, labels, size }: Dataset): string[] {
  const counts = new Int32Array(classes.length);
  for (let i = 0; i < size; i++) counts[labels[i]]++;
  const present = [...classes.keys()].filter((label) => counts[label] > 0);
  if (present.length === 0) return [];
  const concerns: string[] = [];
  const alike = alikeButForCase(classes);
  if (alike.length > 0) {
    const pairs = alike.slice(0, SHOWN).map((pair) => pair.map((name) => JSON.stringify(name)).join(' and '));
    concerns.push(
      `classes differ only in upper and lower case (${pairs.join(', ')}${alike.length > SHOWN ? ', …' : ''}): if they are the same, merge them`,
    );
  }
  const few = present.filter((label) => counts[label] < FEW).sort((a, b) => counts[a] - counts[b] || a - b);
  if (few.length > 0) {
    const list = few.slice(0, SHOWN).map((label) => `${JSON.stringify(classes[label])} ${counts[label]}`);
    const which = few.length === 1 ? '1 class has' : `${few.length} classes have`;
    concerns.push(
      `${which} fewer than ${FEW} training images (${list.join(', ')}${few.length > SHOWN ? ', …' : ''}): add some, or leave them out`,
    );
  }
  const [first] = present;
  const least = present.reduce((a, b) => (counts[b] < counts[a] ? b : a), first);
  const most = present.reduce((a, b) => (counts[b] > counts[a] ? b : a), first);
  if (counts[most] > MOST_TIMES * counts[least]) {
    const times = Math.round(counts[most] / counts[least]);
    concerns.push(
      `class sizes differ widely: ${JSON.stringify(classes[most])} has ${grouped(counts[most])} training images, ` +
        `${times} times as many as ${JSON.stringify(classes[least])} (${counts[least]}): check the accuracy of each class, not only the mean`,
    );
  }
  return concerns;
}

function alikeButForCase(classes: readonly string[]): (readonly [string, string])[] {
  const first = new Map<string, string>();
  const pairs: (readonly [string, string])[] = [];
  for (const name of classes) {
    const other = first.get(name.toLowerCase());
    if (other === undefined) first.set(name.toLowerCase(), name);
    else if (other !== name) pairs.push([other, name]);
  }
  return pairs;
}

/**
 * Sentences about pictures that are in two parts, pixel for pixel, or in two classes of one. Reads every image once; rejects with an AbortError, or
 * with what reading throws.
 */
export async function duplicateConcerns({ train, validation, test }: ConcernedParts, options: ReadAllOptions = {}): Promise<string[]> {
  refuseUnknownOptions(options, READ_ALL_OPTIONS, 'duplicateConcerns');
  const seen = new Map<string, { readonly part: string; readonly dataset: Dataset; readonly index: number }>();
  const shared = new Map<string, { readonly one: string; count: number; examples: string[] }>();
  const add = (key: string, one: string, example: () => string): void => {
    const found = shared.get(key) ?? { one, count: 0, examples: [] };
    found.count++;
    if (found.examples.length < 3) found.examples.push(example());
    shared.set(key, found);
  };
  for (const [part, dataset] of Object.entries({ training: train, validation, test })) {
    if (!dataset) continue;
    const imageBytes = dataset.shape[0] * dataset.shape[1] * dataset.shape[2];
    let index = 0;
    for await (const bytes of readAll(dataset, options)) {
      for (let at = 0; at < bytes.length; at += imageBytes, index++) {
        const hash = createHash('sha1')
          .update(bytes.subarray(at, at + imageBytes))
          .digest('base64');
        const before = seen.get(hash);
        if (!before) seen.set(hash, { part, dataset, index });
        else if (before.part !== part)
          add(
            `${part} images are ${before.part} images as well`,
            `${part} image is a ${before.part} image as well`,
            () => `${nameOf(dataset, index)} is ${nameOf(before.dataset, before.index)}`,
          );
        else if (before.dataset.labels[before.index] !== dataset.labels[index])
          add(
            `${part} images are of another class elsewhere`,
            `${part} image is of another class elsewhere`,
            () => `${nameOf(dataset, index)} and ${nameOf(before.dataset, before.index)}`,
          );
      }
    }
  }
  return [...shared].map(([several, { one, count, examples }]) => {
    const what = count === 1 ? one : several;
    const more = count > examples.length ? ', …' : '';
    return `${grouped(count)} ${what}, pixel for pixel (${examples.join(', ')}${more})`;
  });
}

const nameOf = (dataset: Dataset, index: number): string => dataset.fileOf?.(index) ?? `image ${samplesOf(dataset)[index]}`;
