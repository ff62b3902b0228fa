// Loss, accuracy and learning rate over the epochs.

import { chart } from './chart.ts';
import { type RunRecord, thinned } from './record.ts';
import { type Figure, row } from './svg.ts';

/** Points of a line: more are not to be told apart. */
const POINTS = 300;

/** The three charts alone, for a page that places them itself. */
export function curveCharts({ epochs, trace, best }: RunRecord): Figure[] {
  const within = thinned(trace, POINTS);
  const mark = best && epochs.length > 1 ? { x: best.epoch, label: `best: ${best.epoch}` } : undefined;
  const metric = (key: 'loss' | 'accuracy') => [
    { name: 'steps', color: 'first' as const, faint: true, points: within.map((point) => [point.at, point[key]] as const) },
    { name: 'training', color: 'first' as const, points: epochs.map(({ epoch, train }) => [epoch, train[key]] as const) },
    {
      name: 'validation',
      color: 'second' as const,
      points: epochs.flatMap(({ epoch, validation }) => (validation ? [[epoch, validation[key]] as const] : [])),
    },
  ];
  // Without steps, as in a folder whose records are gone in part, the rates of the epochs.
  const rates = within.length > 1 ? within.map(({ at, lr }) => [at, lr] as const) : epochs.map(({ epoch, lr }) => [epoch, lr] as const);
  return [
    chart({ title: 'Loss', series: metric('loss'), x: 'epoch', format: decimal, mark }),
    chart({ title: 'Accuracy', series: metric('accuracy'), x: 'epoch', format: percent, mark }),
    chart({ title: 'Learning rate', series: [{ name: 'rate', color: 'third', dots: false, points: rates }], x: 'epoch', format: rate }),
  ];
}

export function curvesFigure(record: RunRecord): Figure {
  const { epochs, best, name } = record;
  const caption = [
    `${name}: ${epochs.length} ${epochs.length === 1 ? 'epoch' : 'epochs'}.`,
    ...(best ? [`Lowest monitored loss after epoch ${best.epoch}.`] : []),
    'Training values are means over the running epoch; the thin line follows the steps. The legend shows the values of the last epoch.',
  ].join(' ');
  return row('curves', 'Training curves', caption, curveCharts(record));
}

const decimal = (value: number): string => (Math.abs(value) < 1000 ? value.toFixed(Math.abs(value) < 10 ? 2 : 1) : value.toExponential(1));
const percent = (value: number): string => `${Number((100 * value).toFixed(1))} %`;
const rate = (value: number): string => `${Number(value.toPrecision(3))}`;
