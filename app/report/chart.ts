// A line chart: few series over one axis, light grid, the last value of each series in the legend.

import { escaped, type Figure, px, type SeriesColor, textWidth } from './svg.ts';

export interface Series {
  readonly name: string;
  readonly color: SeriesColor;
  /** False: a line without dots. */
  readonly dots?: boolean;
  /** Drawn thin and without dots: what is behind the series that count. */
  readonly faint?: boolean;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface ChartOptions {
  readonly title: string;
  readonly series: readonly Series[];
  /** Name of the horizontal axis. */
  readonly x: string;
  /** How a value reads. */
  readonly format: (y: number) => string;
  /** A place that matters, such as the best epoch. */
  readonly mark?: { readonly x: number; readonly label: string };
  /** False: without names and last values above the chart. */
  readonly legend?: boolean;
  readonly width?: number;
  readonly height?: number;
}

/** More dots than this hide the line. */
const DOTS = 30;

/** Points that are not finite are left out: a loss that ran away must not flatten the rest. */
export function chart({ title, series, x, format, mark, legend = true, width = 400, height = 240 }: ChartOptions): Figure {
  const shown = series
    .map((entry) => ({ ...entry, points: entry.points.filter(([at, y]) => Number.isFinite(at) && Number.isFinite(y)) }))
    .filter(({ points }) => points.length > 0);
  const figure = (body: string): Figure => ({ name: '', title, caption: '', width, height, body });
  if (shown.length === 0) return figure(`<text class="muted" x="0" y="24">nothing measured yet</text>`);

  const all = shown.flatMap(({ points }) => points);
  const [left, right] = extent(all.map(([at]) => at));
  const values = all.map(([, y]) => y);
  const [low, highest] = extent(values);
  const high = withoutSpikes(values, low, highest);
  const ticks = niceTicks(low, high, 5);
  const [bottom, top] = [ticks[0], ticks[ticks.length - 1]];
  const margin = ticks.reduce((most, tick) => Math.max(most, textWidth(format(tick), 10)), 0) + 10;
  const box = { x: margin, y: 26, width: width - margin - 12, height: height - 26 - 40 };
  const toX = (at: number) => box.x + ((at - left) / (right - left || 1)) * box.width;
  const toY = (y: number) => box.y + box.height - ((Math.min(y, top) - bottom) / (top - bottom || 1)) * box.height;

  const body: string[] = [];
  for (const tick of ticks) {
    const y = px(toY(tick));
    body.push(`<path class="grid" d="M${px(box.x)} ${y}h${px(box.width)}"/>`);
    body.push(`<text class="small muted end" x="${px(box.x - 6)}" y="${px(toY(tick) + 3.5)}">${escaped(format(tick))}</text>`);
  }
  for (const tick of wholeTicks(left, right)) {
    const [at, y] = [toX(tick), box.y + box.height];
    body.push(
      `<path class="grid" d="M${px(at)} ${px(y)}v4"/><text class="small muted middle" x="${px(at)}" y="${px(y + 16)}">${tick}</text>`,
    );
  }
  body.push(
    `<text class="small muted middle" x="${px(box.x + box.width / 2)}" y="${px(height - 6)}">${escaped(highest > top ? `${x}; values up to ${format(highest)} are cut off` : x)}</text>`,
  );
  if (mark && mark.x >= left && mark.x <= right) {
    const at = toX(mark.x);
    const onLeft = at > box.x + box.width / 2;
    body.push(`<path class="grid" stroke-dasharray="3 3" d="M${px(at)} ${px(box.y)}v${px(box.height)}"/>`);
    body.push(
      `<text class="small muted${onLeft ? ' end' : ''}" x="${px(at + (onLeft ? -4 : 4))}" y="${px(box.y - 3)}">${escaped(mark.label)}</text>`,
    );
  }
  for (const { color, faint, dots = true, points, name } of shown) {
    const path = points.map(([at, y], i) => `${i ? 'L' : 'M'}${px(toX(at))} ${px(toY(y))}`).join('');
    if (points.length > 1) body.push(`<path class="${color}${faint ? ' faint' : ''}" d="${path}"/>`);
    if (points.length > 1 && (faint || !dots || points.length > DOTS)) continue;
    for (const [at, y] of points) {
      body.push(
        `<circle class="${color}-fill" cx="${px(toX(at))}" cy="${px(toY(y))}" r="3"><title>${escaped(`${name}, ${x} ${px(at)}: ${format(y)}`)}</title></circle>`,
      );
    }
  }
  let at = box.x;
  for (const { name, color, faint, points } of legend ? shown : []) {
    const text = faint ? name : `${name} ${format(points[points.length - 1][1])}`;
    body.push(
      `<path class="${color}${faint ? ' faint' : ''}" d="M${px(at)} 10h14"/><text class="small" x="${px(at + 19)}" y="13.5">${escaped(text)}</text>`,
    );
    at += 19 + textWidth(text, 10) + 12;
  }
  return figure(body.join(''));
}

/** Fewer values than this have no percentiles worth the name. */
const LEAST_VALUES = 20;

/** The highest value to draw: a few spikes, far above all others, must not flatten the rest. */
function withoutSpikes(values: readonly number[], low: number, highest: number): number {
  if (values.length < LEAST_VALUES) return highest;
  const usual = [...values].sort((a, b) => a - b)[Math.floor(0.98 * (values.length - 1))];
  return highest - low > 2 * (usual - low) && usual > low ? usual : highest;
}

function extent(values: readonly number[]): [number, number] {
  return values.reduce<[number, number]>(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

/** Round numbers from at most `low` to at least `high`, about `count` of them. */
export function niceTicks(low: number, high: number, count: number): number[] {
  // A constant is drawn in the middle. What doubles cannot tell apart is constant.
  if (high - low <= Math.abs(high) * 1e-9) [low, high] = low === 0 ? [0, 1] : [low - Math.abs(low) / 2, high + Math.abs(high) / 2];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? rough;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Whole numbers within the axis: epochs are counted. */
function wholeTicks(left: number, right: number): number[] {
  const step = Math.max(1, Math.ceil(niceTicks(0, Math.max(1, right - left), 6)[1] ?? 1));
  const first = Math.ceil(left / step) * step;
  return Array.from({ length: Math.max(0, Math.floor((right - first) / step) + 1) }, (_, i) => first + i * step);
}
