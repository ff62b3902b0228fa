// Pictures in a page: decoded by the browser, classified, and in sets; weights of files of other programs; and how heavy all of it is.

import { gzipSync } from 'node:zlib';
import { encode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { decodeImage } from '../../app/sources/image-file.ts';
import { syntheticSource } from '../../runtime/data/synthetic.ts';
import { exportModel } from '../../runtime/interop/export.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { type PageWindow, startPages } from '../support/page.ts';
import { buildPage } from '../support/page-build.ts';

const { canOpen, open } = await startPages();

const SIDE = 32;
const model = buildModel('convmixer', { input: [SIDE, SIDE, 3], classes: 10, dim: 16, depth: 2, patch: 4, kernel: 3 });
const { train: shapes } = syntheticSource({ train: 40, test: 0 });
const trained = { model, weights: initialize(model, 5n), classes: shapes.classes };

/** Image `index` of the built-in set, `times` as large. */
function picture(index: number, times = 1): Uint8Array {
  const small = new Uint8Array(SIDE * SIDE * 3);
  shapes.read([index], small);
  const side = SIDE * times;
  const data = new Uint8Array(side * side * 3);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const at = (Math.floor(y / times) * SIDE + Math.floor(x / times)) * 3;
      data.set(small.subarray(at, at + 3), (y * side + x) * 3);
    }
  return encode({ width: side, height: side, channels: 3, depth: 8, data });
}

describe.skipIf(!canOpen)('in Chromium', () => {
  it('pictures of the right size have the pixels that they have in Node, others nearly', async () => {
    const { page } = await open(true);
    const decode = (bytes: Uint8Array, options: object) =>
      page.evaluate(async ([image, how]) => (globalThis as unknown as PageWindow).hybrid.data.decodePicture(image, how as never), [
        bytes,
        options,
      ] as const);
    for (const shape of [
      [SIDE, SIDE, 3],
      [SIDE, SIDE, 1],
    ] as const)
      expect(await decode(picture(3), { shape })).toEqual(await decodeImage(picture(3), { shape }));
    // Four times as large, each pixel a square: what comes back is the small one, but for how edges are weighed.
    for (const options of [{ shape: [SIDE, SIDE, 3] }, { shape: [24, SIDE, 3], crop: 0.875 }] as const) {
      const [there, here] = [await decode(picture(4, 4), options), await decodeImage(picture(4, 4), options)];
      const differences = here.map((byte, i) => Math.abs(byte - there[i]));
      expect(differences.reduce((sum, d) => sum + d, 0) / here.length).toBeLessThan(10);
    }
    const refused = await page.evaluate(async () => {
      const { data } = (globalThis as unknown as PageWindow).hybrid;
      return data
        .decodePicture(Uint8Array.of(1, 2, 3), { shape: [8, 8, 3], name: 'x.png' })
        .catch((error: { message: string }) => error.message);
    });
    expect(refused).toMatch(/^x\.png cannot be decoded: /);
  });

  it('a classifier of the bytes of a file answers as in Node, a hundred times over', async () => {
    const { page, said } = await open(false);
    const files: Uint8Array[] = [];
    for (const format of ['keras', 'safetensors', 'onnx'] as const) files.push(Uint8Array.from(await exportModel(trained, format)));
    const answers = await page.evaluate(
      async ([weights, image]) => {
        const { root } = (globalThis as unknown as PageWindow).hybrid;
        const device = await root.openDevice('wasm', { threads: 1 });
        const probabilities: number[][] = [];
        for (const bytes of weights) {
          const classifier = await root.openClassifier(bytes, { device });
          for (let i = 0; i < 100; i++) await classifier.classify(image);
          const { label, probabilities: all } = await classifier.classify(image);
          probabilities.push([classifier.classes.indexOf(label), ...all]);
          await classifier.close();
        }
        await device.close();
        return probabilities;
      },
      [files, picture(7)] as const,
    );
    expect(said).toEqual([]);
    const { openClassifier } = await import('../../app/classifier.ts');
    const { openDevice } = await import('../../runtime/devices.ts');
    const device = await openDevice('wasm', { threads: 1, v8Flags: true });
    const classifier = await openClassifier(trained, { device });
    const { index, probabilities } = await classifier.classify(picture(7));
    await classifier.close();
    await device.close();
    for (const [seen, ...all] of answers) {
      expect(seen).toBe(index);
      for (const [i, probability] of all.entries()) expect(probability).toBeCloseTo(probabilities[i], 5);
    }
  });

  it('dropped folders become a set: hidden files are left out, what is no picture is told, and it trains', async () => {
    const { page, said } = await open(true);
    const named = shapes.classes
      .slice(0, 2)
      .flatMap((label, c) => Array.from({ length: 8 }, (_, i) => ({ path: `top/${label}/${i}.png`, bytes: picture(c + 10 * (i % 4)) })));
    const files = [
      ...named,
      { path: 'top/disk/._0.png', bytes: picture(0) },
      { path: 'top/disk/notes.png', bytes: new Uint8Array(9) },
      { path: 'loose.png', bytes: picture(0) },
    ];
    const outcome = await page.evaluate(async (given) => {
      const { root, data } = (globalThis as unknown as PageWindow).hybrid;
      const dropped = given.map(({ path, bytes }) => {
        const file = new File([bytes as Uint8Array<ArrayBuffer>], path.split('/').at(-1) as string);
        return Object.defineProperty(file, 'webkitRelativePath', { value: path.includes('/') ? path : '' });
      });
      const progress: number[] = [];
      const { set, skipped } = await data.decodeFiles(data.labelledFiles(dropped as never), {
        shape: [32, 32, 3],
        onProgress: (done) => progress.push(done),
      });
      const device = await root.openDevice('wasm');
      const model = root.buildModel('convmixer', { input: set.shape, classes: 2, dim: 8, depth: 1, patch: 4 });
      const losses: number[] = [];
      for await (const event of root.train({ device, model, train: set, epochs: 6, batch: 8, seed: 1n, workers: 1 }))
        if (event.type === 'epoch') losses.push(event.train.loss);
      await device.close();
      const first = new Uint8Array(32 * 32 * 3);
      set.read([0], first);
      return {
        classes: set.classes,
        size: set.size,
        labels: [...set.labels],
        skipped,
        progress: progress.length,
        file: set.fileOf?.(0),
        shared: set.images !== undefined,
        first,
        losses,
      };
    }, files);
    expect(outcome).toMatchObject({
      classes: ['disk', 'ring'],
      size: 16,
      labels: [...Array(8).fill(0), ...Array(8).fill(1)],
      progress: 17,
      file: 'top/disk/0.png',
      shared: true,
    });
    expect(outcome.skipped).toMatchObject([{ path: 'top/disk/notes.png' }]);
    const expected = new Uint8Array(SIDE * SIDE * 3);
    shapes.read([0], expected);
    expect(outcome.first).toEqual(expected);
    expect(outcome.losses.at(-1)).toBeLessThan(0.7 * outcome.losses[0]);
    expect(said).toEqual([]);
  });

  it('predicting weighs less than 400 kB, compressed, kernels included, and importing the package a fraction of it', async () => {
    const built = await buildPage("export { openClassifier, openDevice, buildModel } from '@hybrid-train/hybrid';\n");
    try {
      const { page, served } = await open(true, built);
      const weight = () => built.files.reduce((sum, { name, bytes }) => sum + (served.has(name) ? gzipSync(bytes).length : 0), 0) / 1000;
      expect([...served].filter((name) => /pack$|worker/.test(name))).toEqual([]);
      const imported = weight();
      const weights = Uint8Array.from(await exportModel(trained, 'safetensors'));
      const label = await page.evaluate(
        async ([file, image]) => {
          const { openClassifier } = (globalThis as unknown as { hybrid: PageWindow['hybrid']['root'] }).hybrid;
          const classifier = await openClassifier(file);
          const { label: seen } = await classifier.classify(image);
          await classifier.close();
          return seen;
        },
        [weights, picture(7)] as const,
      );
      expect(shapes.classes).toContain(label);
      expect([...served].filter((name) => /pack$|worker/.test(name))).toHaveLength(2);

      expect(weight()).toBeLessThan(400);
      expect(weight()).toBeGreaterThan(imported + 60);
      expect(imported).toBeLessThan(150);
    } finally {
      built.remove();
    }
  });
});
