// What every figure is made of. A figure is drawn once, in colours that are classes: the sheet below gives them their values in
// files, and the page of the report gives others, light and dark.

/** A drawing with its title and caption. */
export interface Figure {
  /** Name of its files. */
  readonly name: string;
  readonly title: string;
  /** Description in a sentence. */
  readonly caption: string;
  readonly width: number;
  readonly height: number;
  /** Minimum width at which its text is readable; absent: no text, or large text. */
  readonly legible?: number;
  /** SVG elements in a box of that size. */
  readonly body: string;
  /** The same picture in pieces, which a page arranges by its width; absent: it is one piece. */
  readonly pieces?: readonly FigurePiece[];
  /** What the figure shows as numbers, for a page. */
  readonly tables?: readonly FigureTable[];
}

/** A piece of a figure that stands alone: its size in pixels and its SVG elements. */
export interface FigurePiece {
  readonly width: number;
  readonly height: number;
  readonly body: string;
}

/** A table that belongs to a figure; its cells are plain text. */
export interface FigureTable {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The classes that bodies use, as style sheets. `stroke` of lines, `fill` of texts and areas. */
export function styleSheet(color: Readonly<Record<ColorName, string>>): string {
  return [
    `text{fill:${color.ink};font-size:12px}`,
    `.muted{fill:${color.muted}}`,
    '.small{font-size:10px}',
    `.grid{stroke:${color.grid};stroke-width:1;fill:none}`,
    `.panel{fill:${color.panel}}`,
    ...SERIES_COLORS.flatMap((name) => [
      `.${name}{stroke:${color[name]};fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}`,
      `.${name}-fill{fill:${color[name]}}`,
    ]),
    '.faint{stroke-width:1;opacity:.45}',
    // In light and dark alike: what is strong has the contrast of the page, what is weak that of its text.
    `.share{fill:${color.share}}.on-strong{fill:${color.page}}.on-weak{fill:${color.ink}}`,
    '.end{text-anchor:end}.middle{text-anchor:middle}',
  ].join('');
}

/** Of lines and areas, in the order in which they are taken. */
const SERIES_COLORS = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth'] as const;
export type SeriesColor = (typeof SERIES_COLORS)[number];

export type ColorName = 'ink' | 'muted' | 'grid' | 'panel' | 'page' | 'share' | SeriesColor;

export const LIGHT: Readonly<Record<ColorName, string>> = {
  ink: '#1f2328',
  muted: '#656d76',
  grid: '#d8dee4',
  panel: '#f3f5f7',
  page: '#ffffff',
  share: '#303b7d',
  first: '#2563eb',
  second: '#d9730d',
  third: '#0d8a7c',
  fourth: '#9333ea',
  fifth: '#c2255c',
  sixth: '#5c940d',
  seventh: '#8a5a2b',
  eighth: '#495057',
};

export const DARK: Readonly<Record<ColorName, string>> = {
  ink: '#e6edf3',
  muted: '#95a0ab',
  grid: '#333b45',
  panel: '#1b222b',
  page: '#0f141a',
  share: '#a5c8ff',
  first: '#6ea8fe',
  second: '#f5a252',
  third: '#3fc9b6',
  fourth: '#c084fc',
  fifth: '#f783ac',
  sixth: '#a9e34b',
  seventh: '#d8a878',
  eighth: '#adb5bd',
};

/** Of every text in files, and the only one that is installed with this package (render.ts). */
export const FONT = 'DejaVu Sans';

const MARGIN = 20;
const TITLE = 18;
const CAPTION = 12;

/** The figure with its title and caption as a document of its own. */
export function document({ title, caption, width, height, body }: Figure): string {
  const inner = Math.max(width, Math.ceil(textWidth(title, TITLE)));
  const lines = wrapped(caption, inner, CAPTION);
  const top = MARGIN + TITLE + 8 + lines.length * (CAPTION + 5) + 14;
  const [w, h] = [inner + 2 * MARGIN, top + height + MARGIN];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" font-family="'${FONT}', Verdana, sans-serif">`,
    `<title>${escaped(title)}</title>`,
    `<style>${styleSheet(LIGHT)}</style>`,
    `<rect width="${w}" height="${h}" fill="${LIGHT.page}"/>`,
    `<text x="${MARGIN}" y="${MARGIN + TITLE}" style="font-size:${TITLE}px">${escaped(title)}</text>`,
    ...lines.map((line, i) => {
      const y = MARGIN + TITLE + 8 + (i + 1) * (CAPTION + 5);
      return `<text class="muted" x="${MARGIN}" y="${y}">${escaped(line)}</text>`;
    }),
    `<g transform="translate(${MARGIN} ${top})">${body}</g>`,
    '</svg>\n',
  ].join('');
}

/** The figure alone, for a page that has the classes. It shrinks with the page, and grows no larger than it is. */
export function inline({ title, width, height, body }: Pick<Figure, 'title' | 'width' | 'height' | 'body'>): string {
  return `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}">${body}</svg>`;
}

/** Several figures beside each other as one. */
export function row(name: string, title: string, caption: string, figures: readonly Figure[]): Figure {
  const gap = 24;
  let x = 0;
  const parts = figures.map(({ width, body, title: heading }) => {
    const part = `<g transform="translate(${x} 0)"><text x="0" y="14">${escaped(heading)}</text><g transform="translate(0 22)">${body}</g></g>`;
    x += width + gap;
    return part;
  });
  const highest = figures.reduce((most, { height }) => Math.max(most, height), 0);
  return { name, title, caption, width: x - gap, height: highest + 22, body: parts.join('') };
}

/** Text for elements and attributes. Characters that XML cannot hold are left out. */
export function escaped(value: string): string {
  return value
    .replace(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

/** About as wide as the font draws it, in pixels. */
export const textWidth = (text: string, size: number): number => text.length * size * 0.6;

/** Cut with an ellipsis so that it fits. */
export function fitted(text: string, width: number, size: number): string {
  const room = Math.max(1, Math.floor(width / (size * 0.6)));
  return text.length <= room ? text : `${text.slice(0, Math.max(0, room - 1))}…`;
}

function wrapped(text: string, width: number, size: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && textWidth(`${last} ${word}`, size) <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** Numbers as attributes: short. */
export const px = (value: number): string => `${Math.round(value * 100) / 100}`;
