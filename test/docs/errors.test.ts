// docs/errors.md has an entry for every code that there is, and for no other.

import { expect, test } from 'vitest';
import { EXIT_STATUS } from '../../runtime/base/errors.ts';
import { cli } from '../support/cli.ts';
import { blocksOf, readDocument } from '../support/documents.ts';

const text = readDocument('docs/errors.md');
const sections = new Map(
  text
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf('\n')), section] as const),
);

test('every code has its section, and no other', () => {
  expect([...sections.keys()].sort()).toEqual(Object.keys(EXIT_STATUS).sort());
});

test.each(Object.entries(EXIT_STATUS))('%s: exit status, causes and remedies', (code, status) => {
  const section = String(sections.get(code));
  expect(section).toMatch(new RegExp(`^Exit status ${status}\\b`, 'm'));
  for (const part of ['Causes', 'Remedies']) expect(section).toMatch(new RegExp(`^\\*\\*${part}\\*\\*: \\S`, 'm'));
  const row = text.split('\n').find((line) => line.startsWith('|') && line.includes(`[\`${code}\`](#${code.toLowerCase()})`));
  expect(row?.split('|')[1].trim()).toMatch(new RegExp(`^${status}\\b`));
});

test('its example is what is said', async () => {
  const [{ code }] = blocksOf(text);
  expect((await cli(['train', '--lr', 'fast'])).stderr).toBe(`${code}\n`);
  const { stdout } = await cli(['train', '--lr', 'fast', '--json']);
  expect(Object.keys(JSON.parse(stdout))).toEqual(['type', 'code', 'message', 'remedy', 'status']);
});
