// Features of a frozen backbone that are kept, on the webgpu device: runs are those that compute them anew, and near those of the wasm device.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { openWebGpuDevice } from '../../gpu/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import type { TrainOptions } from '../../runtime/train/events.ts';
import { cli } from '../support/cli.ts';
import { imageFile } from '../support/images.ts';
import { digestOf, MemoryStore, ofType, runPart, smallOptions } from '../support/runs.ts';
import { hasSwiftShader, useSwiftShader } from '../support/swiftshader.ts';
import { tempFolder } from '../support/temp-folder.ts';

describe.runIf(hasSwiftShader)('on SwiftShader', { timeout: 600_000 }, () => {
  let webgpu: Device;
  let wasm: Device;
  beforeAll(async () => {
    useSwiftShader();
    webgpu = await openWebGpuDevice();
    wasm = await openWasmDevice({ threads: 1 });
  });
  afterAll(async () => {
    await webgpu?.close();
    await wasm?.close();
  });

  async function outcome(changes: Partial<TrainOptions>) {
    const store = new MemoryStore();
    const { events, result } = await runPart(
      smallOptions({ freeze: 'backbone', augment: { crop: 0, flip: true }, epochs: 4, workers: 0, store, ...changes }),
    );
    const last = store.saved[store.saved.length - 1].checkpoint;
    return {
      isKept: ofType(events, 'message').some(({ text }) => /^The features of .*: an epoch only computes the rest/.test(text)),
      digests: store.saved.map(({ kind, checkpoint }) => `${kind} ${digestOf(checkpoint)}`),
      weights: [...last.weights].map(([name, { data }]) => [name, Array.from(data as Float32Array)] as const),
      losses: ofType(events, 'epoch').flatMap(({ train, validation }) => [train.loss, validation?.loss ?? 0]),
      test: result.test?.loss ?? Number.NaN,
    };
  }

  it.each<[string, Partial<TrainOptions>]>([
    ['flips', {}],
    ['no augmentation', { augment: { crop: 0, flip: false } }],
    ['three versions of crops', { augment: { crop: 2, flip: true }, augmentVersions: 3 }],
    ['some epochs of it', { freeze: 3, epochs: 5 }],
  ])('with %s a run has the bits of one that keeps none, and nearly those of wasm', async (_, changes) => {
    const [kept, plain] = [
      await outcome({ device: webgpu, ...changes }),
      await outcome({ device: webgpu, keepFeatures: false, ...changes }),
    ];
    expect([kept.isKept, plain.isKept]).toEqual([true, false]);
    expect(kept.digests).toEqual(plain.digests);
    expect([kept.losses, kept.test]).toEqual([plain.losses, plain.test]);
    const onCpu = await outcome({ device: wasm, ...changes });
    expect(onCpu.isKept).toBe(true);
    for (const [i, loss] of onCpu.losses.entries()) expect(kept.losses[i]).toBeCloseTo(loss, 3);
    expect(kept.test).toBeCloseTo(onCpu.test, 3);
    for (const [i, [name, values]] of onCpu.weights.entries()) {
      const most = Math.max(...values.map((value, k) => Math.abs(value - kept.weights[i][1][k])));
      expect(most, name).toBeLessThan(1e-3);
    }
  });

  it('the command line keeps them too, and finds them in the next run', async () => {
    const cwd = tempFolder();
    const env = { XDG_CACHE_HOME: join(cwd, 'cache') };
    for (const name of ['a', 'b', 'c']) {
      mkdirSync(join(cwd, 'photos', name), { recursive: true });
      for (let k = 0; k < 8; k++)
        writeFileSync(join(cwd, 'photos', name, `${k}.png`), await imageFile('png', 32, 32, 'abc'.indexOf(name) * 100 + k));
    }
    const small = [
      '--arch',
      'convmixer',
      '--dim',
      '4',
      '--depth',
      '1',
      '--kernel',
      '3',
      '--patch',
      '4',
      '--image-size',
      '16',
      '--epochs',
      '1',
    ];
    const shared = ['train', '--data', 'photos', '--workers', '0', '--no-figures', '--batch', '8', '--seed', '5'];
    expect(await cli([...shared, ...small, '--device', 'reference', '--name', 'base'], { cwd, env })).toMatchObject({ status: 0 });
    const train = (name: string, device: string) =>
      cli([...shared, '--init', 'runs/base', '--freeze', 'backbone', '--epochs', '3', '--device', device, '--name', name], { cwd, env });
    const first = await train('first', 'webgpu');
    expect(first.status, first.stderr).toBe(0);
    expect(first.stdout + first.stderr).toMatch(/The features of \d+ training images .* were computed in .* and cached/);
    const again = await train('again', 'webgpu');
    expect(again.stdout + again.stderr).toMatch(/The features of \d+ training images .* were read from the cache/);
    // Those of another device are its own.
    const onCpu = await train('cpu', 'wasm');
    expect(onCpu.stdout + onCpu.stderr).toMatch(/The features of \d+ training images .* were computed in .* and cached/);
  });
});
