// Text for terminals: pieces with a style each, cut to the width that there is before the styles become control sequences.

export type Style = 'plain' | 'dim' | 'accent' | 'good' | 'warn';
export type Piece = string | readonly [text: string, style: Style];

/** SGR: dim, cyan, green, yellow. */
const CODES: Readonly<Record<Style, string>> = { plain: '', dim: '2', accent: '36', good: '32', warn: '33' };

/** Pieces as a line of at most `columns` characters; `colored` false: without control sequences. */
export function styled(pieces: readonly Piece[], columns: number, colored: boolean): string {
  let room = columns;
  let line = '';
  for (const piece of pieces) {
    const [text, style] = typeof piece === 'string' ? [piece, 'plain' as const] : piece;
    const part = [...text].slice(0, Math.max(0, room)).join('');
    room -= [...part].length;
    line += colored && CODES[style] && part ? `\x1b[${CODES[style]}m${part}\x1b[0m` : part;
  }
  return line;
}

const BARS = '▁▂▃▄▅▆▇█';

/** Values as a line of bars, lowest to highest. */
export function sparkline(values: readonly number[]): string {
  const finite = values.filter(Number.isFinite);
  const low = finite.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const range = finite.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY) - low || 1;
  return finite.map((value) => BARS[Math.min(BARS.length - 1, Math.floor(((value - low) / range) * BARS.length))]).join('');
}

/** A bar of `width` characters, `share` of it full; in ASCII where the terminal has no more. */
export function bar(share: number, width: number, unicode: boolean): [full: string, empty: string] {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return unicode ? ['━'.repeat(full), '─'.repeat(width - full)] : ['='.repeat(full), '-'.repeat(width - full)];
}

type Environment = Readonly<Record<string, string | undefined>>;

/** https://no-color.org: any value but an empty one. */
export const wantsColor = (env: Environment): boolean => !env.NO_COLOR;

/**
 * Whether the terminal draws bars: by the locale; on Windows by the terminal, because the fonts of its old console lack most of them.
 */
export const hasUnicode = (env: Environment, platform: NodeJS.Platform = process.platform): boolean =>
  platform === 'win32'
    ? Boolean(env.WT_SESSION || env.ConEmuTask || env.TERM_PROGRAM) || /xterm|alacritty|cygwin|mintty/.test(env.TERM ?? '')
    : /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '');

/** Characters of a piece. */
const lengthOf = (piece: Piece): number => [...(typeof piece === 'string' ? piece : piece[0])].length;

/** Characters of a line. */
export const widthOf = (pieces: readonly Piece[]): number => pieces.reduce((sum, piece) => sum + lengthOf(piece), 0);

/** Fields of a line with two spaces between them, as many of the first as fit; the first one is there in any case. */
export function fittingFields(fields: readonly (readonly Piece[])[], columns: number): Piece[] {
  const line: Piece[] = [];
  for (const field of fields) {
    if (field.length === 0) continue;
    const next = line.length > 0 ? ['  ', ...field] : field;
    if (line.length > 0 && widthOf(line) + widthOf(next) > columns) break;
    for (const piece of next) line.push(piece);
  }
  return line;
}

/** Text in lines of at most `columns` characters, broken between words; lines that follow are indented. Longer words stay whole. */
export function wrapped(text: string, columns: number): string {
  const lines = text.split('\n').map((line) => {
    const indent = /^ */.exec(line)?.[0] ?? '';
    let [done, last] = ['', indent];
    for (const word of line.slice(indent.length).split(' ')) {
      const isFirst = last.trim() === '';
      if (isFirst || [...last].length + 1 + [...word].length <= columns) last += `${isFirst ? '' : ' '}${word}`;
      else [done, last] = [`${done}${last}\n`, `${indent}  ${word}`];
    }
    return done + last;
  });
  return lines.join('\n');
}

/** A message for a stream: broken between words on a terminal, which would break within them; files and pipes get the lines as they are. */
export function fittedTo({ isTTY, columns }: { readonly isTTY?: boolean; readonly columns?: number }, message: string): string {
  return isTTY && columns ? wrapped(message, columns) : message;
}
