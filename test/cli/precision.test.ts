// --precision on the command line, where no GPU is needed: what other devices answer, and what `auto` says.

import { describe, expect, it } from 'vitest';
import { openDevice } from '../../runtime/devices.ts';
import { cli } from '../support/cli.ts';
import { hybridError } from '../support/expect-error.ts';
import { hasSwiftShader, useSwiftShader } from '../support/swiftshader.ts';

const BENCH = ['bench', 'train', '--arch', 'convmixer', '--dim', '8', '--depth', '1', '--batch', '4', '--steps', '1', '--warmup', '1'];

describe('--precision', () => {
  it.each(['f16', 'f16x3'])('%s is not for the wasm device', async (precision) => {
    const { status, stderr } = await cli([...BENCH, '--device', 'wasm', '--precision', precision]);
    expect(status).toBe(2);
    expect(stderr).toContain(`error[E_USAGE]: the wasm device computes in f32, not in ${precision}`);
    expect(stderr).toContain('help: Use --device webgpu, or omit --precision.');
  });

  it('is one of its names', async () => {
    const { status, stderr } = await cli([...BENCH, '--precision', 'half']);
    expect(status).toBe(2);
    expect(stderr).toContain('--precision is "half", but must be one of auto, f32, f16, f16x3');
    expect((await hybridError('E_USAGE', openDevice('wasm', { precision: 'bf16' as 'f16' }))).message).toContain('"bf16"');
    expect((await hybridError('E_USAGE', openDevice('reference', { precision: 'f32' }))).message).toContain('doubles');
  });
});

describe.runIf(hasSwiftShader)('on a GPU without f16', () => {
  it('is refused with what it lacks and what it offers, and never changed in silence', async () => {
    useSwiftShader();
    for (const [precision, lacks] of [
      ['f16', 'it has no f16 in shaders'],
      ['f16x3', 'it has no f16 in shaders'],
    ] as const) {
      const { status, stderr } = await cli([...BENCH, '--device', 'webgpu', '--precision', precision]);
      expect(status).toBe(3);
      expect(stderr).toMatch(
        new RegExp(`error\\[E_ENVIRONMENT\\]: swiftshader.*SwiftShader.* does not offer the precision ${precision}: ${lacks}`),
      );
      expect(stderr).toContain('help: Use one of what it offers: --precision f32. `hybrid doctor` lists it for this machine.');
      const auto = await cli([...BENCH, '--device', 'auto', '--precision', precision]);
      expect(auto.status).toBe(3);
      expect(auto.stderr).toMatch(new RegExp(`the precision ${precision} needs a GPU: swiftshader.*SwiftShader.* does not offer`));
    }
  });

  it('auto is f32, with the reason', async () => {
    useSwiftShader();
    const told: string[] = [];
    const device = await openDevice('webgpu', { onPrecision: (reason) => told.push(reason) });
    expect(device).toMatchObject({ precision: 'f32', description: expect.stringMatching(/, f32$/) });
    expect(told).toEqual([expect.stringMatching(/^f32: the meaning of auto/)]);
    await device.close();
  });
});
