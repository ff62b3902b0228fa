// The first screen: its numbers are those of the records, its program runs, and the two commands are there.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { cli } from '../support/cli.ts';
import { blocksOf, callsIn, problemOf, readDocument } from '../support/documents.ts';
import { tempFolder } from '../support/temp-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const text = readDocument('README.md');
const speed = JSON.parse(readFileSync(`${ROOT}/bench/results/speed.json`, 'utf8'));

test('the main job and the tests are one command each, and are said to want a clone', () => {
  expect(text).toMatch(/In a clone[^\n]*:\n\n```sh\nnpm ci && npx hybrid train .*\nnpm ci && npm test .*\n```/);
  for (const [, code] of text.matchAll(/`(npm ci && npx hybrid [^`]*)`/g)) expect(callsIn(code).map(problemOf)).toEqual([null]);
});

test('it shows the twelve lines of a run: kinds of lines that the tutorial shows, or a limited run prints', async () => {
  const lines = blocksOf(text)[1].code.split('\n');
  expect(lines).toHaveLength(12);
  // Numbers, architectures and names of runs may be others.
  const shape = (line: string) =>
    line
      .replace(/^convmixer[\w-]*:/, 'convmixer:')
      .replace(/runs\/\S+/, 'runs/RUN')
      .replace(/[\d.,:]+/g, '#');
  const tutorial = blocksOf(readDocument('docs/tutorial.md')).flatMap(({ code }) => code.split('\n').map(shape));
  const argv = 'train --data synthetic --arch convmixer --dim 4 --depth 1 --epochs 1 --limit 60 --no-figures'.split(' ');
  const limited = await cli(argv, { cwd: tempFolder() });
  expect(limited.status).toBe(0);
  // The tutorial shows the first epoch for all.
  const known = [...tutorial, ...`${limited.stdout}${limited.stderr}`.split('\n').map(shape)];
  for (const line of lines) expect(known).toContain(shape(line));
});

test('its program runs as it stands, and prints an accuracy for each epoch', () => {
  const code = blocksOf(text)
    .find(({ language }) => language === 'ts')
    ?.code.replace('epochs: 5', 'epochs: 1');
  const ran = spawnSync(process.execPath, ['--input-type=module', '-e', String(code)], { cwd: ROOT, encoding: 'utf8' });
  expect(ran.stderr).toBe('');
  expect(ran.stdout).toMatch(/^1 0\.\d+\n\{ loss: [\d.]+, accuracy: [\d.]+ \}\n$/);
}, 120_000);

test('the figures of the chart are those of the records they came from, and so are those of docs/performance.md', () => {
  const record = readFileSync(`${ROOT}/bench/results/${speed.source}`, 'utf8');
  const page = readDocument('docs/performance.md');
  for (const { model, system, ms, imagesPerSecond } of speed.rows) {
    expect(record).toContain(`| ${model} | ${system} | ${ms} | ${imagesPerSecond.toFixed(1)} |`);
    expect(page, `${model}, ${system}`).toContain(`${ms.toLocaleString('en-US')} ms`);
  }
});
