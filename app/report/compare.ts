// Several runs beside each other: their curves as one figure, their epochs as one table, and what seeds come to.

import { chart, type Series } from './chart.ts';
import type { RunRecord } from './record.ts';
import { escaped, type Figure, fitted, px, row } from './svg.ts';

/** Lines that colours tell apart. */
export const MOST_CURVES = 8;
const COLORS = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth'] as const;

const CHART_WIDTH = 480;
const LEGEND_LINE = 18;

/** Validation loss and accuracy over the epochs, of at most `MOST_CURVES` runs; of a run without validation those of training. */
export function compareFigure(records: readonly RunRecord[]): Figure {
  const series = (key: 'loss' | 'accuracy'): Series[] =>
    records.map((record, i) => ({
      name: record.name,
      color: COLORS[i],
      points: record.epochs.map(({ epoch, train, validation }) => [epoch, (validation ?? train)[key]] as const),
    }));
  const options = { x: 'epoch', width: CHART_WIDTH, height: 300, legend: false } as const;
  const charts = row('compare', 'Runs compared', captionOf(records), [
    chart({ ...options, title: 'Loss', series: series('loss'), format: (y) => y.toFixed(2) }),
    chart({ ...options, title: 'Accuracy', series: series('accuracy'), format: (y) => `${Number((100 * y).toFixed(1))} %` }),
  ]);
  const names = records.map(({ name }, i) => {
    const y = charts.height + LEGEND_LINE * (i + 1);
    return `<path class="${COLORS[i]}" d="M0 ${px(y - 4)}h18"/><text x="26" y="${px(y)}">${escaped(fitted(name, charts.width - 26, 12))}</text>`;
  });
  return { ...charts, height: charts.height + LEGEND_LINE * records.length + 6, body: `${charts.body}${names.join('')}` };
}

function captionOf(records: readonly RunRecord[]): string {
  const without = records.filter(({ epochs }) => epochs.length > 0 && !epochs.some(({ validation }) => validation)).length;
  const of =
    without === 0
      ? 'of the validation images'
      : without === records.length
        ? 'of the training images'
        : 'of the validation images where there are such';
  return `Loss and accuracy ${of}, epoch by epoch.`;
}

const COLUMNS = [
  'run',
  'epoch',
  'train_loss',
  'train_accuracy',
  'validation_loss',
  'validation_accuracy',
  'lr',
  'images_per_second',
  'seconds',
];

/** A line for each epoch of each run, below the names of the columns. Accuracies are shares of one; what was not measured is empty. */
export function epochsTable(records: readonly RunRecord[]): (string | number)[][] {
  const lines = records.flatMap((record) =>
    record.epochs.map(({ epoch, train, validation, lr, imagesPerSecond, seconds }) => [
      ...[record.name, epoch, train.loss, train.accuracy],
      ...[validation?.loss ?? '', validation?.accuracy ?? '', lr, imagesPerSecond, seconds],
    ]),
  );
  return [COLUMNS, ...lines];
}

/** Mean and sample standard deviation of several measurements. */
export interface Spread {
  readonly mean: number;
  readonly deviation: number;
  readonly count: number;
}

/** What runs come to that differ in nothing but their seed. */
export interface SeedGroup {
  readonly runs: readonly string[];
  /** Accuracy on validation and test images, from 0 to 1; null where fewer than two runs have it. */
  readonly validation: Spread | null;
  readonly test: Spread | null;
}

/** Groups of two runs or more that have the same settings but for the seed, in the order of their first runs. */
export function seedGroups(records: readonly RunRecord[]): SeedGroup[] {
  const groups = new Map<string, RunRecord[]>();
  for (const record of records) {
    const settings = Object.entries(record.config).filter(([key]) => !['name', 'out', 'seed'].includes(key));
    const key = JSON.stringify(settings.sort(([a], [b]) => (a < b ? -1 : 1)));
    groups.set(key, [...(groups.get(key) ?? []), record]);
  }
  return [...groups.values()]
    .filter((group) => new Set(group.map(({ config }) => config.seed)).size > 1)
    .map((group) => ({
      runs: group.map(({ name }) => name),
      validation: spreadOf(group.flatMap(({ best }) => best?.validation?.accuracy ?? [])),
      test: spreadOf(group.flatMap(({ end }) => end?.test?.accuracy ?? [])),
    }));
}

/** Mean and deviation of measurements; null where there are fewer than two. */
export function spreadOf(values: readonly number[]): Spread | null {
  const count = values.length;
  if (count < 2) return null;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / (count - 1)), count };
}
