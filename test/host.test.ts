// The host, and what stands for what only one host has.

import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { sha256 } from '../runtime/base/sha256.ts';
import { time } from '../runtime/hosts/clock.ts';
import { host } from '../runtime/hosts/index.ts';

it('SHA-256 is that of Node, for every length around a block', () => {
  for (const length of [0, 1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1000, 100_003]) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 7 + length) & 255);
    expect(sha256('é', bytes, 'b'), `${length} bytes`).toBe(createHash('sha256').update('é').update(bytes).update('b').digest('hex'));
  }
  expect(sha256('')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
});

it('Node has cores, memory, a clock that goes on, and assets', async () => {
  expect(host.cores()).toBeGreaterThanOrEqual(1);
  expect(host.memory.physical()).toBeGreaterThan(2 ** 27);
  expect(host.memory.state().used).toBeGreaterThan(2 ** 20);
  const before = time.now();
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(time.now()).toBeGreaterThan(before);
  const names = await host.assets('kernels');
  expect(names).toContain('conv.wasm');
  expect(names).toEqual([...names].sort());
  expect([...(await host.asset('kernels/conv.wasm')).subarray(0, 4)]).toEqual([0, 0x61, 0x73, 0x6d]);
  await expect(host.assets('nothing')).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(host.asset('nothing.wasm')).rejects.toMatchObject({ code: 'ENOENT' });
});
