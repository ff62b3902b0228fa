// docs/commands.md is what the program says, help is grouped and has examples, and every call that a document shows is possible.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { commandsOf } from '../../cli/command-tree.ts';
import { EXAMPLES } from '../../cli/examples.ts';
import { describeProgram } from '../../cli/program.ts';
import { cli } from '../support/cli.ts';
import { blocksOf, callsIn, problemOf, readDocument } from '../support/documents.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const commands = commandsOf(describeProgram({ stdout: { write() {} }, stderr: { write() {} }, env: {}, cwd: '' }, () => {}));

test('docs/commands.md is up to date: if not, run `npm run docs`', () => {
  expect(spawnSync(process.execPath, ['scripts/docs.mjs', '--check'], { cwd: ROOT, encoding: 'utf8' })).toMatchObject({
    status: 0,
    stderr: '',
  });
});

test('every command has examples, and all of them are possible', () => {
  expect(Object.keys(EXAMPLES).sort()).toEqual(commands.map(({ words }) => words.join(' ')).sort());
  for (const { words, command } of commands) {
    const examples = EXAMPLES[words.join(' ')];
    if (command.commands.length === 0) expect(examples, words.join(' ')).not.toHaveLength(0);
    for (const { line } of examples) {
      const calls = callsIn(line);
      expect(calls, line).not.toHaveLength(0);
      expect(calls.map(problemOf)).toEqual(calls.map(() => null));
    }
  }
});

test.each(commands.map(({ words }) => words.join(' ')))('the help of hybrid %s is grouped and fits', async (name) => {
  const { status, stdout } = await cli([...name.split(' ').filter(Boolean), '--help']);
  expect(status).toBe(0);
  const loose = /^Options:\n((?: .*\n)*)/m.exec(stdout)?.[1] ?? '';
  // Only what every command has is in no group.
  expect(loose.match(/^ {2}-\S.*?(?= {2}|$)/gm)).toEqual(name === '' ? ['  -V, --version', '  -h, --help'] : ['  -h, --help']);
  if (EXAMPLES[name].length > 0) expect(stdout).toContain(EXAMPLES[name][0].line);
});

const documents = ['README.md', ...readdirSync(`${ROOT}/docs`).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : []))];

test.each(documents)('the calls in %s are possible', (name) => {
  const calls = blocksOf(readDocument(name)).flatMap(({ language, code }) => (language === 'sh' ? callsIn(code) : []));
  expect(calls.map(problemOf).filter((problem) => problem !== null)).toEqual([]);
});

test('impossible calls are found', () => {
  const found = callsIn('npx hybrid train --epochs x  # hybrid\nls | hybrid predict a --jsn && hybrid runs show\nhybrid nonsense').map(
    problemOf,
  );
  expect(found).toEqual([
    expect.stringContaining('--epochs must be a whole number'),
    expect.stringContaining('there is no --jsn'),
    expect.stringContaining('0 arguments'),
    expect.stringContaining('1 arguments'),
  ]);
});
