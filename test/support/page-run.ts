// A short training that uses all that draws, in Node and in a page of any browser: its state must have the same bits.

import { expect } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { sha256 } from '../../runtime/base/sha256.ts';
import { augmentOptions } from '../../runtime/data/augment/names.ts';
import { syntheticSource } from '../../runtime/data/synthetic.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { train } from '../../runtime/train/run.ts';
import type { PageWindow } from './page.ts';
import type { PageEvaluator } from './page-device.ts';

/** Five steps with everything that draws: shuffling, augmentation, dropout. */
const IMAGES = 80;
const MODEL = { classes: 10, dim: 16, depth: 2, patch: 4, kernel: 3, dropout: 0.1 } as const;
const AUGMENT = 'crop,flip,colour,erase';
const RUN = { epochs: 1, batch: 16, seed: 7n } as const;

/** Of the whole state after the run. */
type Tensors = readonly (readonly [name: string, data: Float32Array])[];
export const digest = (tensors: Tensors): string => {
  expect(tensors.length).toBeGreaterThan(30);
  return sha256(...tensors.flatMap(([name, data]) => [name, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]));
};

/** The digest of the state that Node comes to, fused or not. */
export async function fiveStepsInNode(fma: boolean): Promise<string> {
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
export const fiveStepsInPage = (page: PageEvaluator, threads: number | undefined, workers: number) =>
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
