// Which build is taken where V8's revectorizer is on: the one for it, if the self-test finds it equal and faster, and only then.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

const outcome = { equal: true, faster: true };
const compared = vi.fn(async () => outcome);

beforeEach(() => {
  vi.resetModules(); // what was loaded is kept
  compared.mockClear();
  vi.doMock('../../asm/host/self-test.ts', () => ({ compareKernels: compared }));
  vi.doMock('../../runtime/base/v8-flags.ts', async (original) => ({ ...(await original<object>()), revectorizerIsOn: () => true }));
});
afterEach(() => {
  vi.doUnmock('../../asm/host/self-test.ts');
  vi.doUnmock('../../runtime/base/v8-flags.ts');
});

test.each([
  [true, true, true],
  [true, false, false],
  [false, true, false],
])('equal %s, faster %s: revectorized %s', async (equal, faster, expected) => {
  Object.assign(outcome, { equal, faster });
  const { loadKernels } = await import('../../asm/host/modules.ts');
  const plain = await loadKernels({ v8Flags: true, fma: true, revectorize: false });
  expect(plain.revectorized).toBe(false);
  expect(compared).not.toHaveBeenCalled();
  const { revectorized, kernels, modules } = await loadKernels({ v8Flags: true, fma: true });
  expect(compared).toHaveBeenCalledTimes(1);
  expect(revectorized).toBe(expected);
  expect(kernels).toEqual(plain.kernels);
  expect(modules).toHaveLength(plain.modules.length);
});

// What Node 24 has on x64. Later versions of V8 call the flag otherwise, which is what this would notice.
const has = Number(process.versions.node.split('.')[0]) >= 24 && process.arch === 'x64';
test.skipIf(!has)('the command line has the revectorized build, and --no-revectorize leaves it out', () => {
  const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
  const described = (...flags: string[]) => {
    const tiny = ['--data', 'cifar10', '--arch', 'convmixer', '--dim', '8', '--depth', '1', '--batch', '2'];
    const argv = [main, 'train', '--dry-run', '--json', ...tiny, '--device', 'wasm', '--threads', '1', ...flags];
    return JSON.parse(spawnSync(process.execPath, argv, { encoding: 'utf8' }).stdout).device;
  };
  expect(described()).toContain('revectorized');
  expect(described('--no-revectorize')).not.toContain('revectorized');
});
