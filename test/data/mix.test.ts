import { describe, expect, test } from 'vitest';
import type { AugmentOptions } from '../../runtime/data/augment/augmentations.ts';
import { augmentReference, drawsOf } from '../../runtime/data/augment/augmentations.ts';
import type { EraseOptions } from '../../runtime/data/augment/erase.ts';
import { type Mix, type MixOptions, mixImage, mixOf } from '../../runtime/data/augment/mix.ts';
import { augmentOptions } from '../../runtime/data/augment/names.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import { setUp } from '../../runtime/data/feed.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { DataPipeline, loadDataKernels } from '../../runtime/data/pipeline.ts';
import { Preparer } from '../../runtime/data/preparer.ts';
import { Ring } from '../../runtime/data/ring.ts';
import { epochOrder } from '../../runtime/data/sampler.ts';
import { split } from '../../runtime/data/split.ts';
import { hybridError } from '../support/expect-error.ts';

const SHAPE = [6, 7, 3] as const;
const BYTES = 6 * 7 * 3;
const CLASSES = ['a', 'b', 'c', 'd', 'e'];

function noiseSet(size: number): Dataset {
  const images = Uint8Array.from({ length: size * BYTES }, (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 24);
  const shared = new Uint8Array(new SharedArrayBuffer(images.length));
  shared.set(images);
  return memoryDataset({
    name: 'noise',
    shape: SHAPE,
    classes: CLASSES,
    labels: Int32Array.from({ length: size }, (_, i) => i % 5),
    images: shared,
  });
}

/** All images and labels of an epoch, from the pipeline. */
async function epochOf(dataset: Dataset, augment: AugmentOptions, { workers = 0, chunk = 3, batch = 8, epoch = 2 } = {}) {
  const pipeline = await DataPipeline.open({ train: { dataset, batch, seed: 5n, shuffle: true, augment, chunk } }, { workers });
  try {
    const images: number[] = [];
    const labels: number[] = [];
    for await (const loaded of pipeline.loader('train').epoch(epoch)) {
      images.push(...loaded.images);
      labels.push(...loaded.labels);
      expect(loaded.images).toHaveLength(loaded.rows * BYTES);
    }
    return { images, labels };
  } finally {
    await pipeline.close();
  }
}

/** The same, image by image in plain loops. */
function plainEpoch(dataset: Dataset, augment: AugmentOptions & { readonly mix: MixOptions }, epoch = 2) {
  const samples = 'samples' in dataset ? (dataset.samples as Int32Array) : Int32Array.from({ length: dataset.size }, (_, i) => i);
  const augmented = (position: number): Uint8Array => {
    const image = new Uint8Array(BYTES);
    dataset.read([position], image);
    return augmentReference(image, augment, { shape: SHAPE, mean: [0, 0, 0] }, { seed: 5n, epoch, sample: samples[position] });
  };
  const images: number[] = [];
  const labels: number[] = [];
  for (const position of epochOrder(dataset.size, { seed: 5n, epoch, shuffle: true })) {
    const image = augmented(position).slice();
    const mix = mixOf(drawsOf(5n, epoch, samples[position]), augment.mix, dataset.size, SHAPE);
    if (mix) mixImage(image, augmented(mix.partner), SHAPE, mix);
    images.push(...image);
    labels.push(dataset.labels[mix?.swapped ? mix.partner : position]);
  }
  return { images, labels };
}

test('all augmentations at once give the same bytes for any number of workers', { timeout: 60_000 }, async () => {
  const names = 'crop-reflect=2,flip,resize,rotate,zoom,colour,randaugment,grayscale=0.5,erase=0.5,mixup=0.5';
  const { erase, ...augment } = augmentOptions(names);
  // The mean colour is not what this is about.
  const all = { ...augment, erase: { ...(erase as EraseOptions), fill: 'zero' } } as const;
  const expected = plainEpoch(noiseSet(40), all as AugmentOptions & { readonly mix: MixOptions });
  for (const workers of [0, 1, 3]) expect(await epochOf(noiseSet(40), all, { workers, chunk: 1 + workers })).toEqual(expected);
});

describe.each(['mixup', 'cutmix'] as const)('%s', (kind) => {
  const augment = { crop: 2, flip: true, mix: { kind, probability: 0.7 } } as const;

  test('is what plain loops make, for any number of workers, chunks and batches', { timeout: 30_000 }, async () => {
    const { train } = split(noiseSet(40), { valFraction: 0.2 });
    const expected = plainEpoch(train, augment);
    expect(await epochOf(train, augment)).toEqual(expected);
    expect(await epochOf(train, augment, { workers: 2, chunk: 5, batch: 13 })).toEqual(expected);
    // A set that this thread reads.
    const { images: _, ...direct } = noiseSet(40);
    expect(await epochOf(direct, augment)).toEqual(plainEpoch(direct, augment));
    expect((await epochOf(train, augment, { epoch: 3 })).images).not.toEqual(expected.images);
  });

  test('shares are uniform, and the label is the other one as often as its share says', () => {
    const shares: number[] = [];
    let swapped = 0;
    let away = 0;
    for (let sample = 0; sample < 4000; sample++) {
      const mix = mixOf(drawsOf(1n, 1, sample), { kind, probability: 1 }, 1000, [32, 32, 3]) as Mix;
      expect(mix.partner).toBeLessThan(1000);
      shares.push(mix.share);
      if (mix.swapped) swapped++;
      away += 1 - mix.share;
    }
    expect(Math.abs(shares.reduce((a, b) => a + b, 0) / 4000 - 0.5)).toBeLessThan(0.025);
    expect(Math.abs(shares.filter((share) => share < 0.25).length - 1000)).toBeLessThan(150);
    expect(Math.abs(swapped - away)).toBeLessThan(160);
    const mixed = Array.from({ length: 2000 }, (_, sample) => mixOf(drawsOf(1n, 1, sample), { kind, probability: 0.3 }, 9, SHAPE)).filter(
      Boolean,
    );
    expect(Math.abs(mixed.length - 600)).toBeLessThan(110);
  });

  test('what cannot be is refused', async () => {
    const dataset = noiseSet(8);
    const open = (probability: number, more = {}) =>
      DataPipeline.open(
        { train: { dataset, batch: 4, seed: 0n, shuffle: false, augment: { crop: 0, flip: false, mix: { kind, probability } }, ...more } },
        { workers: 0 },
      );
    await hybridError('E_USAGE', open(1.5));
    await hybridError('E_USAGE', open(Number.NaN));
    await hybridError('E_USAGE', open(1, { normalize: { mean: [0, 0, 0], std: [1, 1, 1] } }));
  });
});

test('a blend is that of the shares, a rectangle is exchanged whole', () => {
  const image = Uint8Array.of(0, 100, 255, 10, 20, 30, 0, 0);
  mixImage(image, Uint8Array.of(255, 100, 0, 20, 10, 30, 1, 255), [2, 4, 1], { partner: 0, share: 0.75, swapped: false, rectangle: null });
  expect([...image]).toEqual([64, 100, 191, 13, 18, 30, 0, 64]);
  const other = new Uint8Array(12).fill(9);
  const picture = new Uint8Array(12);
  mixImage(picture, other, [3, 4, 1], { partner: 0, share: 0.5, swapped: false, rectangle: { top: 1, left: 2, height: 2, width: 1 } });
  expect([...picture]).toEqual([0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 9, 0]);
});

test('a task that is done again mixes what it mixed before', async () => {
  const dataset = noiseSet(8);
  const augment = { crop: 2, flip: true, mix: { kind: 'mixup', probability: 0.7 } } as const;
  const setup = await setUp({ dataset, batch: 8, seed: 5n, shuffle: false, augment, chunk: 8 }, 0);
  const [slot] = new Ring(setup.ring, setup.buffer).slots;
  for (let row = 0; row < 8; row++) {
    slot.indices[row] = slot.samples[row] = row;
    const mix = mixOf(drawsOf(5n, 2, row), augment.mix, 8, SHAPE);
    if (mix) slot.partners[row] = slot.partnerSamples[row] = mix.partner;
  }
  const preparer = await Preparer.open(await loadDataKernels(), [setup]);
  const done: number[][] = [];
  for (let run = 0; run < 2; run++) {
    await preparer.run({ feed: 0, slot: 0, generation: 0, epoch: 2, first: 0, rows: 8 });
    done.push([...slot.images]);
  }
  expect(done[1]).toEqual(done[0]);
  const rows = Array.from({ length: 8 }, (_, row) => {
    const set = { shape: SHAPE, mean: [0, 0, 0] };
    const image = (at: number) => {
      const bytes = new Uint8Array(BYTES);
      dataset.read([at], bytes);
      return augmentReference(bytes, augment, set, { seed: 5n, epoch: 2, sample: at }).slice();
    };
    const own = image(row);
    const mix = mixOf(drawsOf(5n, 2, row), augment.mix, 8, SHAPE);
    if (mix) mixImage(own, image(mix.partner), SHAPE, mix);
    return [...own];
  });
  expect(done[0]).toEqual(rows.flat());
});
