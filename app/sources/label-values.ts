// From what files have for labels, numbers or names, to classes and labels from 0 on.

import { HybridError } from '../../runtime/base/errors.ts';
import { grouped } from '../../runtime/base/units.ts';

/** As a file has it: a whole number, or a name. */
export type LabelValue = number | string;

/** Beyond this a slip is likelier than a classifier. */
const MOST_CLASSES = 65_536;
const MAX_NAME_LENGTH = 200;

export interface LabelValues {
  /** Of the file, for messages. */
  readonly path: string;
  /** Those of each part. */
  readonly values: readonly (readonly LabelValue[])[];
  /** Names of the classes 0, 1, …, where the file has some. */
  readonly names?: readonly string[];
  readonly onNotice?: (level: 'info' | 'warning', text: string) => void;
}

export interface ClassesOf {
  readonly classes: readonly string[];
  labelsOf(values: readonly LabelValue[]): Int32Array;
}

/** The classes of all parts, and the labels that their values become. Throws E_DATA for one class, too many, and names that are none. */
export function classesOf({ path, values, names, onNotice }: LabelValues): ClassesOf {
  const allNumbers = values.every((part) => part.every((value) => typeof value === 'number'));
  // Numbers beside names are names.
  const valued = (value: LabelValue): LabelValue => (allNumbers ? value : String(value));
  const distinct = new Set<LabelValue>();
  for (const part of values) for (const value of part) distinct.add(valued(value));
  if (distinct.size < 2) throw labelError(path, 'has labels of one class only; a classifier needs two');
  if (distinct.size > MOST_CLASSES) throw labelError(path, `has ${grouped(distinct.size)} classes, more than ${grouped(MOST_CLASSES)}`);
  const sorted = [...distinct].sort((a, b) => (allNumbers ? Number(a) - Number(b) : a < b ? -1 : 1));
  const unfit = [...sorted, ...(names ?? [])].find(
    (name) => typeof name === 'string' && (name === '' || name.length > MAX_NAME_LENGTH || /\p{Cc}/u.test(name)),
  );
  if (unfit !== undefined) throw labelError(path, `has a class that is not a name: ${JSON.stringify(String(unfit).slice(0, 60))}`);
  const label = new Map(sorted.map((value, i) => [value, i]));
  const labelsOf = (of: readonly LabelValue[]): Int32Array => Int32Array.from(of, (value) => label.get(valued(value)) as number);
  if (!allNumbers) return { classes: sorted.map(String), labelsOf };
  const [least, most] = [sorted[0] as number, sorted.at(-1) as number];
  if (names && least < 0 && names.length !== sorted.length) {
    throw labelError(
      path,
      `has the label ${least}, which none of its ${names.length} names of classes is for`,
      'Leave such images out: −1 often stands for a class that is not known.',
    );
  }
  // Names say how many classes there are, also where some have no image here.
  if (names && least >= 0 && most < names.length) return { classes: names, labelsOf: (of) => Int32Array.from(of as readonly number[]) };
  if (least === 0 && most === sorted.length - 1) return { classes: sorted.map((value) => `class ${value}`), labelsOf };
  const shown = sorted.length > 8 ? `${sorted.slice(0, 8).join(', ')}, …` : sorted.join(', ');
  onNotice?.('info', `${path}: the ${sorted.length} labels (${shown}) are not 0 to ${sorted.length - 1}; they are numbered in their order`);
  return { classes: names?.length === sorted.length ? names : sorted.map((value) => `class ${value}`), labelsOf };
}

const labelError = (path: string, what: string, remedy = 'Give one class for each image, a whole number or a name.'): HybridError =>
  new HybridError('E_DATA', `${path} ${what}`, remedy);
