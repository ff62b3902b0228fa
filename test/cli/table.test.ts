// Tables of plain text, and times in words.

import { describe, expect, it } from 'vitest';
import { roughly } from '../../cli/progress.ts';
import { factTable } from '../../cli/table.ts';

const stream = (isTTY: boolean, columns?: number) => ({ write: () => true, isTTY, columns });
const rows: [string, string][] = [
  ['run', 'one'],
  ['settings', 'epochs=10 batch=1024 lr=1.5 data=/a/folder/with/a/long/name'],
];

describe('names and values', () => {
  it('are in two columns, values in one line, in a file', () => {
    expect(factTable(rows, stream(false, 30))).toBe(
      'run       one\nsettings  epochs=10 batch=1024 lr=1.5 data=/a/folder/with/a/long/name\n',
    );
    expect(factTable(rows, stream(true))).toBe(factTable(rows, stream(false)));
  });

  it('are broken between words on a terminal, and values stay in their column', () => {
    const text = factTable(rows, stream(true, 36));
    expect(text).toBe('run       one\nsettings  epochs=10 batch=1024\n          lr=1.5\n          data=/a/folder/with/a/long/name\n');
  });
});

it.each([
  [0.2, '1 second'],
  [1, '1 second'],
  [89, '89 seconds'],
  [91, '2 minutes'],
  [5399, '90 minutes'],
  [5400, '1.5 hours'],
  [12345, '3.4 hours'],
  [68163, '19 hours'],
])('%d seconds are roughly %s', (seconds, words) => {
  expect(roughly(seconds)).toBe(words);
});
