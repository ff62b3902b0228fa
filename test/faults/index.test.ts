// The table of README.md has all 44 cases, and what it points to is there.

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const rows = readFileSync(new URL('./README.md', import.meta.url), 'utf8')
  .split('\n')
  .flatMap((line) => /^\| (\d+) \| .* \| (.*) \|$/.exec(line)?.slice(1, 3) ?? []);

test('the table of the faults is complete and true', () => {
  const cases = rows.filter((_, i) => i % 2 === 0).map(Number);
  expect(cases).toEqual(Array.from({ length: 44 }, (_, i) => i + 1));
  for (const [, path] of rows.join('\n').matchAll(/`([\w-]+\/[\w.-]+\.ts)`/g)) {
    expect(existsSync(fileURLToPath(new URL(`../${path}`, import.meta.url))), path).toBe(true);
  }
});

test('so are the names of tests in it', () => {
  const tests = rows.filter((_, i) => i % 2 === 1);
  for (const text of tests) {
    const [, path] = /`([\w-]+\/[\w.-]+\.ts)`/.exec(text) ?? [];
    for (const [, file, name] of text.matchAll(/`([\w-]+\/[\w.-]+\.ts)` "([^"]+)"/g)) {
      const source = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8');
      // `…` stands for what is left out.
      for (const part of name.split('…').map((piece) => piece.trim())) expect(source, `${file}: ${name}`).toContain(part);
    }
    expect(path, text).toBeDefined();
  }
});
