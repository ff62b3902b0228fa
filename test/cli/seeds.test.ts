// hybrid train --seeds: as many runs as seeds, and what they come to.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { resolveSettings } from '../../cli/settings.ts';
import { writeCifar10 } from '../support/cifar10-folder.ts';
import { cli } from '../support/cli.ts';
import { tempFolder } from '../support/temp-folder.ts';

const folder = mkdtempSync(join(tmpdir(), 'hybrid-test-seeds-'));
beforeAll(() => {
  writeCifar10(folder);
});
afterAll(() => rmSync(folder, { recursive: true }));

const TINY = [
  '--arch',
  'convmixer',
  '--dim',
  '4',
  '--depth',
  '1',
  '--kernel',
  '3',
  '--patch',
  '8',
  '--epochs',
  '1',
  '--bn-momentum',
  '0.5',
];
const train = (cwd: string, ...argv: string[]) =>
  cli(['train', ...TINY, '--data', folder, '--limit', '60', '--batch', '16', '--device', 'reference', '--no-figures', ...argv], { cwd });

test('three seeds are three runs, each as it is alone, and end with mean and deviation', async () => {
  const cwd = tempFolder();
  const { status, stdout } = await train(cwd, '--seeds', '3', '--seed', '5', '--name', 'a', '--json');
  expect(status).toBe(0);
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const summary = events.at(-1);
  expect(summary).toMatchObject({ type: 'summary', seeds: ['5', '6', '7'].map((seed) => ({ seed })) });
  const accuracies = (summary.seeds as { test: { accuracy: number } }[]).map(({ test }) => test.accuracy);
  const mean = (accuracies[0] + accuracies[1] + accuracies[2]) / 3;
  const deviation = Math.sqrt(accuracies.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 2);
  expect(summary.test.count).toBe(3);
  expect(summary.test.mean).toBeCloseTo(mean, 12);
  expect(summary.test.deviation).toBeCloseTo(deviation, 12);
  for (const seed of [5, 6, 7]) expect(existsSync(join(cwd, 'runs', `a-seed-${seed}`, 'checkpoints', 'best', 'COMPLETE'))).toBe(true);
  const alone = await train(cwd, '--seed', '6', '--json');
  const end = alone.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .at(-1);
  expect(end.test).toEqual(events.filter(({ type }) => type === 'end')[1].test);
});

test('in words it is a line', async () => {
  const { stdout } = await train(tempFolder(), '--seeds', '2', '--quiet');
  expect(stdout).toMatch(
    /\ntest accuracy of 2 seeds: mean \d+\.\d\d %, standard deviation \d+\.\d\d points \(seed 0 \d+\.\d\d %, seed 1 \d+\.\d\d %\)\n$/,
  );
});

test.each([
  [['--seeds', '1'], /--seeds is "1", but must be a whole number from 2 to 1000/],
  [['--seeds', 'three'], /--seeds is "three"/],
  [['--seeds', '3', '--dry-run'], /--seeds and --dry-run exclude each other/],
])('%j is refused', async (argv, message) => {
  const { status, stderr } = await train(tempFolder(), ...argv);
  expect(status).toBe(2);
  expect(stderr).toMatch(message);
});

test('the recipe speedrun is that of airbench94, on all training images', () => {
  const settings = resolveSettings(new Map([['recipe', 'speedrun'] as const, ['arch', 'airbench'] as const]));
  expect(settings).toMatchObject({
    ...{
      epochs: 10,
      batch: 1024,
      lr: 1.5,
      weightDecay: 8.87e-3,
      optimizer: 'sgd:momentum=0.85',
      schedule: 'piecewise:0=0.2,0.23=1,1=0.07',
    },
    ...{ normBiasRate: 64, labelSmoothing: 0.2, lookahead: 5, tta: 'shift', bnMomentum: 0.6, patience: 0, valFraction: 0 },
    augment: 'alternating-flip,crop-reflect=2',
  });
  expect(resolveSettings(new Map([['recipe', 'speedrun'] as const, ['valFraction', '0.1'] as const])).valFraction).toBe(0.1);
});
