import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tinyTraining, writeCifar10 } from '../support/cifar10-folder.ts';
import { type CliResult, cli } from '../support/cli.ts';

const cwd = mkdtempSync(join(tmpdir(), 'hybrid-test-'));
afterAll(() => rmSync(cwd, { recursive: true }));
const visualize = (...argv: string[]): Promise<CliResult> => cli(['visualize', '--device', 'reference', ...argv], { cwd });

beforeAll(async () => {
  mkdirSync(join(cwd, 'images'));
  writeCifar10(join(cwd, 'images'));
  const { status, stderr } = await cli(
    ['train', ...tinyTraining('images', 'reference'), '--no-figures', '--quiet', '--epochs', '1', '--name', 'r'],
    { cwd },
  );
  expect(status, stderr).toBe(0);
});

test('draws all figures in both formats, and the report with them; paths on stdout', async () => {
  const { status, stdout, stderr } = await visualize('runs/r');
  expect(status, stderr).toBe(0);
  const lines = stdout.trimEnd().split('\n');
  expect(lines).toHaveLength(17);
  expect(lines.at(-1)).toBe(join('runs', 'r', 'report.html'));
  const files = readdirSync(join(cwd, 'runs/r/figures'));
  expect(files).toHaveLength(16);
  for (const file of files) {
    const bytes = readFileSync(join(cwd, 'runs/r/figures', file));
    if (file.endsWith('.png')) expect(bytes.subarray(1, 4).toString()).toBe('PNG');
    else expect(bytes.toString()).toMatch(/^<svg /);
  }
  expect(readFileSync(join(cwd, 'runs/r/report.html'), 'utf8')).toContain('Feature maps');
});

test('draws what is asked for, where it is asked for', async () => {
  const { status, stdout } = await visualize(
    'runs/r',
    '--figures',
    'depthwise,patch-embedding',
    '--format',
    'svg',
    '--output',
    'there',
    '--json',
  );
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toEqual({
    files: ['depthwise-block-1.svg', 'patch-embedding.svg'].map((name) => join(cwd, 'there', name)),
  });
});

test('takes a weight file, which has no curves', async () => {
  const { status, stdout, stderr } = await visualize('runs/r/checkpoints/best/model.safetensors', '--format', 'svg', '--output', 'file');
  expect(status, stderr).toBe(0);
  expect(stdout).not.toContain('curves');
  expect(stderr).toContain('no figure curves: there are no records of a training run');
});

describe('what is wrong is one sentence with a remedy', () => {
  test.each([
    [['none'], 5, /there is neither none nor runs.none\n/],
    [['runs/r', '--figures', 'curves', '--layer', 'foo'], 2, /has no layer "foo"/],
    [['runs/r', '--figures', 'confuson'], 2, /did you mean confusion\?/],
    [['runs/r', '--format', 'gif'], 2, /--format has "gif"/],
    [['runs/r', '--block', '9'], 2, /there is no block 9: the model has 1/],
    [['runs/r', '--block', 'x'], 2, /--block is "x"/],
    [['runs/r', '--layer', 'conv2'], 2, /did you mean conv2d/],
    [['runs/r', '--image', '-1'], 2, /--image/],
  ] as const)('%s', async (argv, status, message) => {
    const result = await visualize(...argv);
    expect(result.status).toBe(status);
    expect(result.stderr).toMatch(message);
    expect(result.stderr).not.toMatch(/ {4}at /);
  });
});
