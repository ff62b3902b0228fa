// hybrid bench: every device of the machine, with ratios to the best.

import { expect, test } from 'vitest';
import type { DeviceBenchResult } from '../../bench/devices.ts';
import { cli } from '../support/cli.ts';

test('without a name compares the devices of this machine', async () => {
  const argv = ['bench', '--arch', 'convmixer', '--dim', '4', '--depth', '1', '--patch', '8', '--batch', '4', '--rounds', '1'];
  const { status, stdout } = await cli([...argv, '--json']);
  expect(status).toBe(0);
  const { arch, batch, rows } = JSON.parse(stdout) as DeviceBenchResult;
  expect({ arch, batch }).toEqual({ arch: 'convmixer', batch: 4 });
  expect(rows.map(({ overlap }) => overlap)).toEqual(rows.map((_, i) => i % 2 === 0));
  expect(rows.at(-1)?.name).toMatch(/^(wasm, \d+ threads?|webgpu)$/);
  expect(Math.min(...rows.map(({ ratio }) => ratio))).toBe(1);
  for (const { stepMs, imagesPerSecond } of rows) expect((stepMs * imagesPerSecond) / 1000).toBeCloseTo(4);
});
