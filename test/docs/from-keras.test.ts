// The script in JavaScript that docs/from-keras.md shows, run: on the synthetic set with a small model, otherwise as it stands.

import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ARCHITECTURES } from '../../runtime/index.ts';
import { blocksOf, readDocument } from '../support/documents.ts';
import { tempFolder } from '../support/temp-folder.ts';

const SMALLER = [
  ["'@hybrid-train/hybrid'", `'${new URL('../../dist/runtime/index.js', import.meta.url)}'`],
  ["openDevice('auto')", "openDevice('wasm', { threads: 1 })"],
  ["openData('cifar10')", "openData('synthetic')"],
  ['{ valFraction: 0.1 }', '{ valFraction: 0.1, limit: 200 }'],
  ["buildModel('convmixer-256-8', { ", "buildModel('convmixer', { dim: 4, depth: 1, kernel: 3, patch: 8, "],
  ['epochs: 30', 'epochs: 2'],
] as const;

test('its script runs', () => {
  const cwd = tempFolder();
  const [block] = blocksOf(readDocument('docs/from-keras.md')).filter(({ language }) => language === 'js');
  const code = SMALLER.reduce((text, [from, to]) => {
    expect(text.split(from), from).toHaveLength(2);
    return text.replace(from, to);
  }, block.code);
  writeFileSync(join(cwd, 'script.mjs'), code);
  const { status, stdout, stderr } = spawnSync(process.execPath, ['script.mjs'], { cwd, encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/^1 [\d. ]+\n2 [\d. ]+\nbest epoch [12]: test accuracy [\d.]+\n$/);
  expect(existsSync(join(cwd, 'runs', 'convmixer', 'checkpoints', 'best', 'COMPLETE'))).toBe(true);
});

test('it names every model', () => {
  const text = readDocument('docs/from-keras.md');
  for (const name of ARCHITECTURES) expect(text).toContain(`--arch ${name}`);
});
