// The confusion matrix: rows are what images are, columns what they were taken for; with the numbers behind it as tables.

import { grouped } from '../../runtime/base/units.ts';
import { escaped, type Figure, type FigureTable, fitted, px, textWidth } from './svg.ts';

/** More classes than this are not drawn: names could not be read, or the picture would not fit any screen. */
const MOST_NAMED = 120;
/** In their place: so many of the classes, those with the most mistakes. */
const WORST_SHOWN = 60;
const PAIRS_SHOWN = 10;

/** How often images of one class were taken for another. */
interface Counts {
  readonly classes: readonly string[];
  /** Images of each class, answers for each class, and right ones. */
  readonly images: readonly number[];
  readonly answers: readonly number[];
  readonly right: readonly number[];
  at(label: number, prediction: number): number;
}

/** @param confusion classes × classes counts: row = label, column = prediction. */
export function confusionFigure(confusion: ArrayLike<number>, classes: readonly string[], subject: string): Figure {
  const counts = countsOf(confusion, classes);
  const total = counts.images.reduce((sum, count) => sum + count, 0);
  const correct = counts.right.reduce((sum, count) => sum + count, 0);
  const shown = shownClasses(counts);
  const which =
    shown.length < classes.length ? ` Shown are the ${shown.length} of ${grouped(classes.length)} classes with the most mistakes.` : '';
  const accuracy = total ? `${((100 * correct) / total).toFixed(2)} %` : 'none';
  return {
    name: 'confusion',
    title: 'Confusion matrix',
    caption: `${subject}: ${accuracy} right. Colours are shares of the row; the share of right answers is beside it.${which}`,
    ...matrix(counts, shown),
    tables: [perClassTable(counts), ...pairsTable(counts)],
  };
}

function countsOf(confusion: ArrayLike<number>, classes: readonly string[]): Counts {
  const n = classes.length;
  const [images, answers, right] = [0, 1, 2].map(() => new Array<number>(n).fill(0));
  for (let label = 0; label < n; label++) {
    for (let prediction = 0; prediction < n; prediction++) {
      const count = confusion[label * n + prediction];
      images[label] += count;
      answers[prediction] += count;
      if (label === prediction) right[label] = count;
    }
  }
  return { classes, images, answers, right, at: (label, prediction) => confusion[label * n + prediction] };
}

/** All classes in their order, or where they are too many those that take part in the most mistakes. */
function shownClasses({ classes, images, answers, right }: Counts): number[] {
  const all = classes.map((_, i) => i);
  if (all.length <= MOST_NAMED) return all;
  const mistakes = (i: number) => images[i] + answers[i] - 2 * right[i];
  return all
    .sort((a, b) => mistakes(b) - mistakes(a))
    .slice(0, WORST_SHOWN)
    .sort((a, b) => a - b);
}

function matrix({ classes, images, right, at }: Counts, shown: readonly number[]): Pick<Figure, 'width' | 'height' | 'legible' | 'body'> {
  // The figure grows with its classes, so that their names can be read; it scrolls in the page.
  const cell = Math.max(12, Math.min(44, Math.floor(640 / shown.length)));
  const size = cell >= 24 ? 12 : 10;
  const longest = Math.min(
    130,
    shown.reduce((most, i) => Math.max(most, textWidth(classes[i], size)), 0),
  );
  const left = longest + 28;
  const top = longest * 0.72 + 34;
  const side = shown.length * cell;
  const body: string[] = [
    `<text class="small muted middle" x="${px(left + side / 2)}" y="10">predicted</text>`,
    `<text class="small muted middle" transform="translate(10 ${px(top + side / 2)}) rotate(-90)">true class</text>`,
  ];
  for (const [row, label] of shown.entries()) {
    const y = top + row * cell;
    for (const [column, prediction] of shown.entries()) {
      const count = at(label, prediction);
      const strength = strengthOf(images[label] ? count / images[label] : 0);
      const x = left + column * cell;
      body.push(
        `<rect x="${px(x)}" y="${px(y)}" width="${cell - 1}" height="${cell - 1}" ${count ? `class="share" fill-opacity="${px(strength)}"` : 'class="panel"'}>` +
          `<title>${escaped(`${classes[label]} taken for ${classes[prediction]}: ${count} of ${images[label]}`)}</title></rect>`,
      );
      if (cell < 24 || count === 0) continue;
      const width = textWidth(`${count}`, 10) > cell - 2 ? ` textLength="${cell - 4}" lengthAdjust="spacingAndGlyphs"` : '';
      body.push(
        `<text class="small middle ${strength > 0.6 ? 'on-strong' : 'on-weak'}" x="${px(x + cell / 2)}" y="${px(y + cell / 2 + 3.5)}"${width}>${count}</text>`,
      );
    }
    const name = escaped(fitted(classes[label], longest + 6, size));
    const place = cell / 2;
    body.push(`<text class="end" style="font-size:${size}px" x="${px(left - 8)}" y="${px(y + place + 4)}">${name}</text>`);
    body.push(
      `<text style="font-size:${size}px" transform="translate(${px(left + row * cell + place)} ${px(top - 8)}) rotate(-45)">${name}</text>`,
    );
    body.push(
      `<text class="muted" style="font-size:${size}px" x="${px(left + side + 8)}" y="${px(y + place + 4)}">${percent(right[label], images[label])}</text>`,
    );
  }
  const width = Math.ceil(left + side + Math.max(60, longest * 0.72));
  return { width, legible: 0.85 * width, height: Math.ceil(top + side), body: body.join('') };
}

/** Each class, the one that is recognised worst first. */
function perClassTable({ classes, images, answers, right }: Counts): FigureTable {
  const recall = (i: number) => (images[i] ? right[i] / images[i] : Number.POSITIVE_INFINITY);
  const order = classes.map((_, i) => i).sort((a, b) => recall(a) - recall(b) || a - b);
  return {
    title: 'Per class, the lowest recall first',
    head: ['class', 'images', 'right', 'recall', 'precision'],
    rows: order.map((i) => [
      classes[i],
      grouped(images[i]),
      grouped(right[i]),
      percent(right[i], images[i]),
      percent(right[i], answers[i]),
    ]),
  };
}

/** None where there is no mistake. */
function pairsTable({ classes, images, at }: Counts): FigureTable[] {
  const pairs: { label: number; prediction: number; count: number }[] = [];
  for (let label = 0; label < classes.length; label++) {
    for (let prediction = 0; prediction < classes.length; prediction++) {
      const count = at(label, prediction);
      if (count > 0 && label !== prediction) pairs.push({ label, prediction, count });
    }
  }
  if (pairs.length === 0) return [];
  const rows = pairs
    .sort((a, b) => b.count - a.count)
    .slice(0, PAIRS_SHOWN)
    .map(({ label, prediction, count }) => [classes[label], classes[prediction], grouped(count), percent(count, images[label])]);
  return [{ title: 'Most confused', head: ['class', 'taken for', 'images', 'of the class'], rows }];
}

const percent = (part: number, whole: number): string => (whole ? `${((100 * part) / whole).toFixed(1)} %` : '–');

/** From pale to strong, so that a few per cent show against none. */
const strengthOf = (share: number): number => 0.12 + 0.88 * Math.sqrt(share);
