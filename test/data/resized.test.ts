// Sets of pixels at another size: the pixels that files of the same images give, grey ones too, in the same parts, kept for the next time.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeImage } from '../../app/sources/image-file.ts';
import type { DataProgress } from '../../app/sources/place.ts';
import { resized } from '../../app/sources/resized.ts';
import { openData } from '../../app/sources/source.ts';
import { nodeFiles } from '../../runtime/base/files.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { writeCifar10 } from '../support/cifar10-folder.ts';
import { hybridError } from '../support/expect-error.ts';
import { tempFolder } from '../support/temp-folder.ts';

/** Pictures that are smooth, with an edge. */
const picture = (n: number, height: number, width: number, channels: number): Uint8Array =>
  Uint8Array.from({ length: height * width * channels }, (_, i) => {
    const [y, x, c] = [Math.floor(i / (width * channels)), Math.floor(i / channels) % width, i % channels];
    return (9 * y + 5 * x + 40 * c + 30 * n + (x > width / 2 ? 60 : 0)) % 256;
  });

function setOf(name: string, count: number, [height, width, channels]: readonly [number, number, number], first = 0): Dataset {
  const images = Uint8Array.from(Array.from({ length: count }, (_, n) => [...picture(first + n, height, width, channels)]).flat());
  const labels = Uint8Array.from({ length: count }, (_, n) => n % 2);
  return memoryDataset({ name, images, labels, shape: [height, width, channels], classes: ['dark', 'light'] });
}

async function imageOf(dataset: Dataset, index: number): Promise<Uint8Array> {
  const image = new Uint8Array(dataset.shape[0] * dataset.shape[1] * dataset.shape[2]);
  await dataset.read([index], image);
  return image;
}

const options = (cacheDir = tempFolder()) => ({ files: nodeFiles, cacheDir, memoryBudget: 2 ** 30 });

describe('a set of pixels at another size', () => {
  it.each([
    ['larger', [30, 24, 3], [1, 1]],
    ['smaller', [7, 7, 3], [1, 1]],
    ['larger, cut out of its middle', [20, 20, 3], [0.75, 1]],
  ] as const)('%s: the pixels of files of the same images', async (_, shape, [crop]) => {
    const train = setOf('train', 5, [12, 10, 3]);
    const source = await resized(
      { train, test: setOf('test', 2, [12, 10, 3], 5) },
      { ...options(), imageSize: [shape[0], shape[1]], crop },
    );
    expect([source.train.shape, source.train.size, source.test?.size, source.train.name]).toEqual([shape, 5, 2, 'train']);
    expect([...source.train.labels]).toEqual([...train.labels]);
    for (let n = 0; n < 7; n++) {
      const file = await sharp(picture(n, 12, 10, 3), { raw: { width: 10, height: 12, channels: 3 } })
        .png()
        .toBuffer();
      const found = await imageOf((n < 5 ? source.train : source.test) as Dataset, n < 5 ? n : n - 5);
      expect(found, `image ${n}`).toEqual(await decodeImage(file, { shape, crop }));
    }
  });

  it('grey stays grey', async () => {
    const { train } = await resized({ train: setOf('train', 3, [8, 8, 1]), test: null }, { ...options(), imageSize: [8, 16] });
    expect(train.shape).toEqual([8, 16, 1]);
    const flat = memoryDataset({
      name: 'flat',
      images: new Uint8Array(64).fill(77),
      labels: new Uint8Array(1),
      shape: [8, 8, 1],
      classes: ['a', 'b'],
    });
    const { train: larger } = await resized({ train: flat, test: null }, { ...options(), imageSize: [20, 20] });
    expect([...new Set(await imageOf(larger, 0))]).toEqual([77]);
  });

  it('comes as it is where it has the size', async () => {
    const source = { train: setOf('train', 2, [6, 6, 3]), test: null };
    expect(await resized(source, { ...options(), imageSize: [6, 6] })).toBe(source);
  });

  it('is resized once; other pixels are another set', async () => {
    const cacheDir = tempFolder();
    const decoded: number[] = [];
    const said: string[] = [];
    const open = (first: number) =>
      resized(
        { train: setOf('train', 4, [6, 6, 3], first), test: null },
        {
          ...options(cacheDir),
          imageSize: [9, 9],
          onDecoded: (done) => decoded.push(done),
          onNotice: (level, text) => said.push(`${level}: ${text}`),
        },
      );
    const one = await imageOf((await open(0)).train, 3);
    expect(decoded).toEqual([4]);
    expect(said).toEqual(['info: 4 images of 6 × 6 are resized to 9 × 9: 0 MB, kept in the cache. `imageSize` says how large.']);
    expect(await imageOf((await open(0)).train, 3)).toEqual(one);
    expect(decoded).toEqual([4]);
    expect(await imageOf((await open(1)).train, 2)).toEqual(one);
    expect(decoded).toEqual([4, 4]);
    expect(readdirSync(join(cacheDir, 'images'))).toHaveLength(2);
  });

  it('by openData, with progress; a signal ends it', async () => {
    const folder = tempFolder();
    writeCifar10(folder);
    const seen: DataProgress[] = [];
    const cacheDir = tempFolder();
    const source = await openData(folder, { cacheDir, imageSize: [40, 40], onProgress: (step) => seen.push(step) });
    expect(source.train.shape).toEqual([40, 40, 3]);
    expect(source.mixed).toBe(true);
    expect(source.train.name).toBe('CIFAR-10 training set');
    expect(seen.at(-1)).toMatchObject({ stage: 'decode', done: seen.at(-1)?.total });
    expect((await openData(folder, { cacheDir })).train.shape).toEqual([32, 32, 3]);
    const aborted = openData(folder, { cacheDir: tempFolder(), imageSize: [40, 40], signal: AbortSignal.abort() });
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
    expect((await hybridError('E_USAGE', openData(folder, { cacheDir, imageSize: [0, 40] }))).message).toMatch(/height of imageSize/);
    await hybridError('E_USAGE', openData(folder, { cacheDir, crop: 3 }));
    await hybridError('E_USAGE', openData(folder, { cacheDir, interpolation: 'bicubic' as 'cubic' }));
  });
});
