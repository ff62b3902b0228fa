// Tables of plain text.

import type { OutputStream } from './io.ts';
import { fittedTo } from './style.ts';

/** Rows of cells with their columns aligned: the first to the left, the others to the right unless `left` names them. */
export function table(rows: readonly (readonly string[])[], left: readonly number[] = []): string {
  const widths = rows.reduce<number[]>((most, row) => row.map((cell, i) => Math.max(most[i] ?? 0, cell.length)), []);
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (i === 0 || left.includes(i) ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd();
  return rows.map((row) => `${line(row)}\n`).join('');
}

/** Names and their values in two columns, a line each. On a terminal that is too narrow a value goes on below where it begins. */
export function factTable(rows: readonly (readonly [string, string])[], { isTTY, columns = 0 }: OutputStream): string {
  const width = rows.reduce((most, [name]) => Math.max(most, name.length), 0) + 2;
  const fitted = (value: string) => fittedTo({ isTTY, columns: columns && Math.max(columns - width, 20) }, value);
  const below = `\n${' '.repeat(width)}`;
  return rows.map(([name, value]) => `${name.padEnd(width)}${fitted(value).replace(/\n */g, below)}\n`).join('');
}
