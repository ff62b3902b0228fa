// Images that a model took for something else, with what it thought of them.

import { dataUri, imageBitmap, resized } from './bitmap.ts';
import { escaped, type Figure, type FigurePiece, fitted, px } from './svg.ts';

export interface Mistake {
  /** Index in the dataset. */
  readonly index: number;
  /** What people call it, where the dataset says. */
  readonly file?: string;
  readonly label: number;
  /** Of each class; they sum to 1. */
  readonly probabilities: Float64Array;
  /** NHWC bytes. */
  readonly image: Uint8Array;
}

export interface MisclassifiedOptions {
  readonly mistakes: readonly Mistake[];
  readonly shape: readonly [number, number, number];
  readonly classes: readonly string[];
  readonly caption: string;
}

const PICTURE = 96;
const CARD = { width: 232, height: 118 };
/** Of a bar with its name and number. */
const BAR = 112;
const COLUMNS = 4;
/** Classes with a bar each: the likeliest, and the right one. */
const BARS = 3;

export async function misclassifiedFigure({ mistakes, shape, classes, caption }: MisclassifiedOptions): Promise<Figure> {
  const pieces: FigurePiece[] = [];
  for (const { index, file, label, probabilities, image } of mistakes) {
    const body: string[] = [];
    const picture = resized(imageBitmap(image, shape), PICTURE);
    body.push(
      `<image x="0" y="0" width="${picture.width}" height="${picture.height}" href="${await dataUri(picture)}"><title>${file === undefined ? `image ${index}` : escaped(file)}</title></image>`,
    );
    const name = file === undefined ? `image ${index}` : file.replace(/^.*[\\/]/, '');
    body.push(`<text class="small muted" x="0" y="${PICTURE + 11}">${escaped(fitted(name, CARD.width - 10, 10))}</text>`);
    const right = PICTURE + 10;
    body.push(`<text class="small muted" x="${right}" y="10">is ${escaped(fitted(classes[label], BAR - 14, 10))}</text>`);
    for (const [k, entry] of barsOf(probabilities, label).entries()) {
      const top = 22 + k * 26;
      const share = probabilities[entry];
      const color = entry === label ? 'third' : 'second';
      body.push(`<text class="small" x="${right}" y="${top + 8}">${escaped(fitted(classes[entry], BAR - 40, 10))}</text>`);
      body.push(`<text class="small muted end" x="${right + BAR}" y="${top + 8}">${escaped(percentOf(share))}</text>`);
      body.push(`<rect class="panel" x="${right}" y="${top + 12}" width="${BAR}" height="6" rx="3"/>`);
      body.push(`<rect class="${color}-fill" x="${right}" y="${top + 12}" width="${px(Math.max(2, BAR * share))}" height="6" rx="3"/>`);
    }
    pieces.push({ ...CARD, body: body.join('') });
  }
  const placed = pieces.map(
    ({ body }, i) => `<g transform="translate(${(i % COLUMNS) * CARD.width} ${Math.floor(i / COLUMNS) * CARD.height})">${body}</g>`,
  );
  const columns = Math.max(1, Math.min(COLUMNS, mistakes.length));
  const width = Math.max(420, columns * CARD.width);
  return {
    name: 'misclassified',
    title: 'Misclassified images',
    caption,
    width,
    legible: 0.9 * width,
    height: Math.max(24, Math.ceil(mistakes.length / COLUMNS) * CARD.height),
    body: placed.join('') || '<text x="0" y="16">none</text>',
    pieces,
  };
}

/** The likeliest classes in order; the right one takes the last place where it is not among them. */
function barsOf(probabilities: Float64Array, label: number): number[] {
  const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a]);
  const bars = order.slice(0, BARS);
  if (!bars.includes(label)) bars[bars.length - 1] = label;
  return bars;
}

/** Never 100 % unless it is, and never 0. */
function percentOf(share: number): string {
  if (share < 0.001) return '< 0.1 %';
  return share > 0.9995 && share < 1 ? '> 99.9 %' : `${(100 * share).toFixed(1)} %`;
}
