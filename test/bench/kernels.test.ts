import { describe, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { benchKernels, formatKernels } from '../../bench/kernels.ts';
import { compileGraph } from '../../runtime/compile/compile.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';

const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 16, depth: 2, kernel: 5, patch: 2 });

describe('bench kernels', () => {
  test('accounts for every node of a step, beside measured bounds', async () => {
    const device = await openWasmDevice({ threads: 2, v8Flags: true });
    try {
      const result = await benchKernels({ device, model, batch: 4, steps: 2 });
      const nodes = compileGraph(trainingGraphs(model).train).nodes.filter(({ op }) => op !== 'reshape');
      expect(result.rows.reduce((sum, row) => sum + row.nodes, 0)).toBe(nodes.length);
      expect(new Set(result.rows.map(({ op }) => op))).toEqual(new Set(nodes.map(({ op }) => op)));
      for (const row of result.rows) expect(row.ms).toBeGreaterThan(0);
      expect(result.kernelsMs).toBeCloseTo(
        result.rows.reduce((sum, { ms }) => sum + ms, 0),
        9,
      );
      expect(result.stepMs).toBeGreaterThan(0);
      // Any machine that this runs on: between a hundredth of and a hundred times a core of today.
      expect(result.bounds.gflops).toBeGreaterThan(0.5);
      expect(result.bounds.gflops).toBeLessThan(5000);
      expect(result.bounds.gbytes).toBeGreaterThan(0.1);
      expect(result.bounds.gbytes).toBeLessThan(2000);

      const lines = formatKernels(result).split('\n');
      expect(lines[0]).toContain('convmixer, batch 4');
      expect(lines.some((line) => /^backward +depthwise/.test(line))).toBe(true);
      // The bound is that of the operations that the kernels use, and both are named.
      const wide = device.description.includes('revectorized');
      expect(result.bounds.width).toBe(wide ? '256-bit' : '128-bit');
      expect(result.bounds.narrower?.width).toBe(wide ? '128-bit' : undefined);
      expect(lines[1]).toMatch(wide ? /256-bit multiply-add loop \([\d.]+ in a 128-bit one\)/ : / in a 128-bit multiply-add loop, /);
      expect(lines.at(-2)).toMatch(wide ? /images\/s, .* % of the 256-bit multiply-add loop$/ : /% of the 128-bit multiply-add loop$/);
    } finally {
      await device.close();
    }
  });

  test('is refused on a device that cannot time its kernels', async () => {
    await expect(benchKernels({ device: openReferenceDevice(), model, batch: 4, steps: 1 })).rejects.toMatchObject({ code: 'E_USAGE' });
  });
});
