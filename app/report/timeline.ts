// A small picture of how data and computation overlapped: two lanes over the epochs, each as full as its side was busy.

import { type RunRecord, type TracePoint, thinned } from './record.ts';
import { escaped, type Figure, px, type SeriesColor } from './svg.ts';

const WIDTH = 400;
const LANE = 34;
const LABELS = 66;
const RIGHT = 40;
/** Columns of the picture: more are not to be told apart. */
const COLUMNS = 160;

/** Null where nothing was measured. */
export function timelineFigure({ trace, start }: Pick<RunRecord, 'trace' | 'start'>): Figure | null {
  const points = thinned(trace, COLUMNS);
  if (points.length < 2) return null;
  const [from, to] = [points[0].at - 1 / (start?.stepsPerEpoch ?? 1), points[points.length - 1].at];
  const box = { x: LABELS, width: WIDTH - LABELS - RIGHT };
  const toX = (at: number) => box.x + ((Math.max(from, at) - from) / (to - from || 1)) * box.width;
  const lanes: readonly [name: string, color: SeriesColor, busy: (point: TracePoint) => number][] = [
    ['data', 'second', (point) => 1 - point.deviceWait],
    ['device', 'first', (point) => 1 - point.dataWait],
  ];
  const body = lanes.flatMap(([name, color, busy], lane) => {
    const bottom = 6 + lane * (LANE + 8) + LANE;
    const mean = points.reduce((sum, point) => sum + busy(point), 0) / points.length;
    let before = from;
    const steps = points.map((point) => {
      const step = `L${px(toX(before))} ${px(bottom - LANE * busy(point))}L${px(toX(point.at))} ${px(bottom - LANE * busy(point))}`;
      before = point.at;
      return step;
    });
    return [
      `<rect class="panel" x="${box.x}" y="${bottom - LANE}" width="${box.width}" height="${LANE}"/>`,
      `<path class="${color}-fill" d="M${px(toX(from))} ${bottom}${steps.join('')}L${px(toX(to))} ${bottom}Z"/>`,
      `<text class="small end" x="${box.x - 8}" y="${bottom - LANE / 2 + 4}">${escaped(name)}</text>`,
      `<text class="small muted" x="${box.x + box.width + 6}" y="${bottom - LANE / 2 + 4}">${Math.round(100 * mean)} %</text>`,
    ];
  });
  const axis = 6 + 2 * LANE + 8 + 14;
  body.push(
    `<text class="small muted" x="${box.x}" y="${axis}">epoch ${Math.floor(from) + 1}</text>`,
    `<text class="small muted end" x="${box.x + box.width}" y="${axis}">${Math.ceil(to)}</text>`,
  );
  return {
    name: 'timeline',
    title: 'Overlap of data and computation',
    caption: 'How busy each side was during training steps. Where a lane is not full, that side waited for the other one.',
    width: WIDTH,
    height: axis + 6,
    body: body.join(''),
  };
}
