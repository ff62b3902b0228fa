// The runtime in a real browser, Chromium, whose GPU is SwiftShader: the golden tensors on both devices, and the bits of Node.

import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { hasFma } from '../../asm/host/modules.ts';
import { sha256 } from '../../runtime/base/sha256.ts';
import { augmentOptions } from '../../runtime/data/augment/names.ts';
import { syntheticSource } from '../../runtime/data/synthetic.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { train } from '../../runtime/train/run.ts';
import { GOLDEN_MODELS, GOLDEN_TOLERANCES, reducedSteps } from '../support/golden-models.ts';
import { type PageWindow, startPages } from '../support/page.ts';
import { openPageDevice } from '../support/page-device.ts';

const { canOpen, open } = await startPages();

/** Five steps with everything that draws: shuffling, augmentation, dropout. */
const IMAGES = 80;
const MODEL = { classes: 10, dim: 16, depth: 2, patch: 4, kernel: 3, dropout: 0.1 } as const;
const AUGMENT = 'crop,flip,colour,erase';
const RUN = { epochs: 1, batch: 16, seed: 7n } as const;

/** Of the whole state after the run. */
type Tensors = readonly (readonly [name: string, data: Float32Array])[];
const digest = (tensors: Tensors): string => {
  expect(tensors.length).toBeGreaterThan(30);
  return sha256(...tensors.flatMap(([name, data]) => [name, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]));
};

async function inNode(fma: boolean): Promise<string> {
  const device = await openWasmDevice({ threads: 2, v8Flags: true, fma });
  const { train: images } = syntheticSource({ train: IMAGES, test: 0 });
  let state: Tensors = [];
  await train({
    ...{ ...RUN, device, train: images, augment: augmentOptions(AUGMENT), workers: 2 },
    model: buildModel('convmixer', { ...MODEL, input: [32, 32, 3] }),
    onEpoch: async (_, { checkpoint }) => {
      const { weights, optimizer } = await checkpoint();
      state = [...weights, ...optimizer].map(([name, { data }]) => [name, data]);
    },
  }).result;
  await device.close();
  return digest(state);
}

/** The same in a page, in its own words. */
const inPage = (page: Page, threads: number | undefined, workers: number) =>
  page.evaluate(
    async ([options, model, augment, images]) => {
      const { root, data } = (globalThis as unknown as PageWindow).hybrid;
      const notices: string[] = [];
      const device = await root.openDevice('wasm', {
        threads: options.threads,
        ...(options.threads ? {} : { onNotice: (text: string) => notices.push(text) }),
      });
      const { train: set } = data.syntheticSource({ train: images, test: 0 });
      let state: [string, Float32Array][] = [];
      await root.train({
        ...{ device, train: set, epochs: options.epochs, batch: options.batch, seed: options.seed, workers: options.workers },
        augment: root.augmentOptions(augment),
        model: root.buildModel('convmixer', { ...model, input: [32, 32, 3] }),
        onEpoch: async (_: unknown, { checkpoint }) => {
          const { weights, optimizer } = await checkpoint();
          state = [...weights, ...optimizer].map(([name, tensor]) => [name, tensor.data]);
        },
      }).result;
      const { threads: used, arithmetic } = device;
      await device.close();
      return { state, threads: used, arithmetic, notices };
    },
    [{ ...RUN, threads, workers }, MODEL, AUGMENT, IMAGES] as const,
  );

describe.skipIf(!canOpen)('in Chromium', () => {
  it.skipIf(!hasFma({ v8Flags: true }))(
    'wasm: the state after five steps has the bits of Node, with any number of threads and workers',
    async () => {
      const expected = await inNode(true);
      const { page, said } = await open(true);
      for (const [threads, workers] of [
        [1, 0],
        [2, 1],
        [3, 2],
      ] as const) {
        const { state, threads: used, arithmetic } = await inPage(page, threads, workers);
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
    const expected = await inNode(true);
    const { page, said } = await open(false);
    for (const threads of [3, 2]) {
      const { state, threads: used } = await inPage(page, threads, 2);
      expect(used).toBe(1);
      expect(digest(state)).toBe(expected);
    }
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/1 thread: .*`Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy: require-corp`/);
    // Whoever listens is told, and the console is not; whoever wants one thread has it.
    expect((await inPage(page, undefined, 0)).notices).toEqual([said[0].replace('hybrid: ', '')]);
    expect((await inPage(page, 1, 0)).threads).toBe(1);
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
