// Tables of plain text.

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
