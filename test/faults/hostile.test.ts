// Cases 11 to 15, 37, 38: files, command lines and configurations from somebody who means harm. `npm run soak` does the same a hundred times
// as often (test/soak/hostile.soak.ts).

import { expect, test } from 'vitest';
import {
  attackArchives,
  attackCommandLines,
  attackConfigurations,
  attackImages,
  attackNpz,
  attackOnnx,
  attackPickles,
  attackSafetensors,
  attackTorch,
} from '../support/hostile.ts';

test.each([
  ['safetensors files', 20_000, attackSafetensors],
  ['.npz files', 2000, attackNpz],
  ['pickles', 3000, attackPickles],
  ["PyTorch's files", 2000, attackTorch],
  ['ONNX files', 500, attackOnnx],
  ['archives', 60, attackArchives],
  ['images', 150, attackImages],
  ['command lines', 400, attackCommandLines],
  ['configuration files', 400, attackConfigurations],
] as const)('%s', async (what, count, attack) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const { accepted, refused, slowest } = await attack(count, seed);
  process.stderr.write(`${what}, seed ${seed}: ${accepted} accepted, ${refused} refused, the slowest took ${slowest.toFixed(0)} ms\n`);
  expect(accepted).toBeGreaterThan(0);
  expect(refused).toBeGreaterThan(count / 10);
});
