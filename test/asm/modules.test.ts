// Which build of the kernels is loaded, and the test that lets the revectorizer in.

import { describe, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { loadKernels } from '../../asm/host/modules.ts';
import { compareKernels } from '../../asm/host/self-test.ts';

const fused = await loadKernels({ v8Flags: true, fma: true, revectorize: false });

describe('the self-test', () => {
  test('finds both micro-kernels equal, bit for bit', async () => {
    const wide = await loadKernels({ v8Flags: true, fma: true, wide: true });
    expect(wide.modules).toHaveLength(fused.modules.length);
    expect((await compareKernels(wide.modules, fused.modules, fused.kernels)).equal).toBe(true);
  });

  test('finds another rounding', async () => {
    const plain = await loadKernels({ fma: false });
    expect((await compareKernels(plain.modules, fused.modules, fused.kernels)).equal).toBe(false);
    expect((await compareKernels(fused.modules, fused.modules, fused.kernels)).equal).toBe(true);
  });
});

describe('loading', () => {
  test('names every kernel once, the same ones in every build', async () => {
    const plain = await loadKernels({ fma: false });
    expect(plain).toMatchObject({ fma: false, revectorized: false, kernels: fused.kernels });
    expect(new Set(fused.kernels).size).toBe(fused.kernels.length);
  });

  test('revectorizes only where that is allowed', async () => {
    const without = await openWasmDevice({ threads: 1, v8Flags: true, revectorize: false });
    expect(without.description).not.toContain('revectorized');
    await without.close();
    const { revectorized } = await loadKernels({ fma: false });
    expect(revectorized).toBe(false);
  });
});
