// The runtime in a real browser, Chromium, whose GPU is SwiftShader: the golden tensors on both devices, and the bits of Node.

import { describe, expect, it } from 'vitest';
import { hasFma } from '../../asm/host/modules.ts';
import { GOLDEN_MODELS, GOLDEN_TOLERANCES, reducedSteps } from '../support/golden-models.ts';
import { startPages } from '../support/page.ts';
import { openPageDevice } from '../support/page-device.ts';
import { digest, fiveStepsInNode, fiveStepsInPage } from '../support/page-run.ts';

const { canOpen, open } = await startPages();

describe.skipIf(!canOpen)('in Chromium', () => {
  it.skipIf(!hasFma({ v8Flags: true }))(
    'wasm: the state after five steps has the bits of Node, with any number of threads and workers',
    async () => {
      const expected = await fiveStepsInNode(true);
      const { page, said } = await open(true);
      for (const [threads, workers] of [
        [1, 0],
        [2, 1],
        [3, 2],
      ] as const) {
        const { state, threads: used, arithmetic } = await fiveStepsInPage(page, threads, workers);
        expect(arithmetic).toContain('fused multiply-add');
        expect(used).toBe(threads);
        expect(digest(state), `${threads} threads`).toBe(expected);
        // Both gang and data workers are over with the run and its device; Chromium takes two seconds to end one that waits.
        await expect.poll(() => page.workers().length, { timeout: 20_000 }).toBe(0);
      }
      expect(said).toEqual([]);
    },
  );

  it.skipIf(!hasFma({ v8Flags: true }))('wasm: so it is in a page that is not isolated, with one thread and one warning', async () => {
    const expected = await fiveStepsInNode(true);
    const { page, said } = await open(false);
    for (const threads of [3, 2]) {
      const { state, threads: used } = await fiveStepsInPage(page, threads, 2);
      expect(used).toBe(1);
      expect(digest(state)).toBe(expected);
    }
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/1 thread: .*`Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy: require-corp`/);
    // Whoever listens is told, and the console is not; whoever wants one thread has it.
    expect((await fiveStepsInPage(page, undefined, 0)).notices).toEqual([said[0].replace('hybrid: ', '')]);
    expect((await fiveStepsInPage(page, 1, 0)).threads).toBe(1);
    expect(said).toHaveLength(1);
  });

  it.each([
    ['wasm', 2, 'isolated', true],
    ['wasm', 1, 'not isolated', false],
    ['webgpu', 1, 'isolated', true],
  ] as const)('%s, threads: %i, %s: three steps of the models are those of Keras', async (name, threads, _, isolated) => {
    const { page, said } = await open(isolated);
    const device = await openPageDevice(page, name, { threads });
    const tolerances = GOLDEN_TOLERANCES[name === 'webgpu' ? name : `wasm, ${device.arithmetic.split(', version')[0]}`];
    // A software adapter takes its time for each shader.
    for (const arch of name === 'webgpu' ? GOLDEN_MODELS.slice(0, 1) : GOLDEN_MODELS)
      await reducedSteps(device, arch, { withoutRules: [], tolerances });
    await device.close();
    expect(said).toEqual([]);
  });
});
