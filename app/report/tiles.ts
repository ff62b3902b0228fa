// A figure of many small pictures of one size, with a word below each if wanted.

import { type Bitmap, dataUri, resized } from './bitmap.ts';
import { escaped, type Figure, fitted, px } from './svg.ts';

export interface Tile {
  readonly picture: Bitmap;
  /** Below the picture, a line each. */
  readonly label?: string;
}

export interface TilesOptions extends Pick<Figure, 'name' | 'title' | 'caption'> {
  readonly tiles: readonly Tile[];
  /** Longer side of a tile in pixels, about. Fewer where there are many tiles. */
  readonly size: number;
  readonly columns?: number;
}

const GAP = 6;
const LABEL = 15;
const LINE = 12;
/** Width that a figure of many tiles should not exceed. */
const WIDEST = 900;

/** Tiles in rows: about square as a whole, unless `columns` is given. */
export async function tilesFigure({ name, title, caption, tiles, size, columns: given }: TilesOptions): Promise<Figure> {
  const columns = Math.max(1, Math.min(tiles.length, given ?? Math.ceil(Math.sqrt(tiles.length))));
  const room = Math.max(4, Math.min(size, Math.floor(WIDEST / columns) - GAP));
  const pictures = tiles.map(({ picture }) => resized(picture, room));
  const width = pictures.reduce((most, picture) => Math.max(most, picture.width), 1);
  const height = pictures.reduce((most, picture) => Math.max(most, picture.height), 1);
  const gap = width < 12 ? 2 : width < 40 ? 3 : GAP;
  const lines = tiles.reduce((most, { label }) => Math.max(most, label?.split('\n').length ?? 0), 0);
  const labelled = lines > 0;
  const [stepX, stepY] = [width + gap, height + gap + (labelled ? LABEL + (lines - 1) * LINE : 0)];
  const rows = Math.ceil(tiles.length / columns);

  const body: string[] = [];
  for (const [i, picture] of pictures.entries()) {
    const [x, y] = [(i % columns) * stepX, Math.floor(i / columns) * stepY];
    body.push(`<image x="${x}" y="${y}" width="${picture.width}" height="${picture.height}" href="${await dataUri(picture)}"/>`);
    const { label } = tiles[i];
    if (label === undefined) continue;
    for (const [line, text] of label.split('\n').entries()) {
      const words = escaped(fitted(text, width + gap, 10));
      body.push(`<text class="small middle" x="${px(x + width / 2)}" y="${y + height + 12 + line * LINE}">${words}</text>`);
    }
  }
  const whole = Math.max(240, columns * stepX - gap);
  return {
    name,
    title,
    caption,
    width: whole,
    height: rows * stepY - gap,
    legible: labelled ? 0.75 * whole : undefined,
    body: body.join(''),
  };
}
