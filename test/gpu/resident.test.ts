// The training set on the device: batches are made of it byte for byte as the data pipeline makes them, and training has the same bits.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { acquireInstance, USAGE } from '../../gpu/host/binding.ts';
import { openWebGpuDevice } from '../../gpu/host/device.ts';
import { Gpu, STORAGE } from '../../gpu/host/gpu.ts';
import { Pipelines } from '../../gpu/host/pipelines.ts';
import { partsOf, ResidentSet } from '../../gpu/host/resident.ts';
import { packStep, STEP_BYTES } from '../../gpu/lowering/step.ts';
import type { AugmentOptions } from '../../runtime/data/augment/augmentations.ts';
import { augmentReference, drawsOf } from '../../runtime/data/augment/augmentations.ts';
import { cropOf } from '../../runtime/data/augment/crop.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import { meanColour } from '../../runtime/data/mean-colour.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { DataPipeline } from '../../runtime/data/pipeline.ts';
import { residentImages } from '../../runtime/data/resident.ts';
import { firstSamples } from '../../runtime/data/split.ts';
import type { ResidentImages } from '../../runtime/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { train } from '../../runtime/train/run.ts';
import { hybridError } from '../support/expect-error.ts';
import { type Faults, faultyGpu } from '../support/faulty-gpu.ts';
import { digestOf, MemoryStore, ofType, runPart, smallOptions } from '../support/runs.ts';
import { hasSwiftShader, useSwiftShader } from '../support/swiftshader.ts';

const SEED = 0x1234_5678_9abc_def0n;

/** Images whose bytes are all different from their neighbours', as a file has them: with something before each. */
function dataset(size: number, shape: Dataset['shape'], layout: ResidentImages['layout'] = 'interleaved'): Dataset {
  const stride = 1 + shape[0] * shape[1] * shape[2];
  const images = new Uint8Array(new SharedArrayBuffer(size * stride));
  for (let i = 0; i < images.length; i++) images[i] = (i * 167 + (i >> 8) * 13) & 0xff;
  const labels = Uint8Array.from({ length: size }, (_, i) => i % 4);
  return memoryDataset({ name: 'bytes', shape, classes: ['a', 'b', 'c', 'd'], labels, images, records: { offset: 1, stride, layout } });
}

const resident = async (set: Dataset, augment: AugmentOptions): Promise<ResidentImages> => {
  const images = await residentImages(set, augment, SEED);
  if (typeof images === 'string') throw new Error(images);
  return images;
};

describe.runIf(hasSwiftShader)('on SwiftShader', () => {
  let instance: Awaited<ReturnType<typeof acquireInstance>>;
  let gpu: Gpu;
  let pipelines: Pipelines;
  beforeAll(async () => {
    useSwiftShader();
    instance = await acquireInstance();
    gpu = await Gpu.open(instance.gpu);
    pipelines = new Pipelines(gpu);
  });
  afterAll(() => {
    gpu?.close();
    instance?.release();
  });

  /** The bytes of a batch that the device makes. */
  async function gathered(
    set: ResidentImages,
    picks: Int32Array,
    samples: Int32Array,
    epoch: number,
    bufferBytes?: number,
  ): Promise<Uint8Array> {
    const rows = picks.length;
    const bytes = rows * set.shape[0] * set.shape[1] * set.shape[2];
    const size = Math.ceil(bytes / 16) * 16;
    const [step, out, staging] = await gpu.allocate([
      { label: 'step', bytes: STEP_BYTES, usage: USAGE.uniform | USAGE.copyDst },
      { label: 'out', bytes: size, usage: STORAGE },
      { label: 'staging', bytes: size, usage: USAGE.mapRead | USAGE.copyDst },
    ]);
    // More room than rows.
    const images = await ResidentSet.create(set, { gpu, pipelines, step, out, capacity: rows + 3, bufferBytes });
    const block = new ArrayBuffer(STEP_BYTES);
    packStep({ rows, epoch, seed: 7n, learningRate: 0, weightDecay: 0, bnMomentum: 0 }, block);
    gpu.write(step, 0, new Uint8Array(block));
    images.pick(images.words(rows, picks, samples));
    await gpu.submit('gather', (encoder) => {
      const pass = encoder.beginComputePass();
      pass.setPipeline(images.pipeline);
      pass.setBindGroup(0, images.bindGroup);
      pass.dispatchWorkgroups(...images.dispatch.workgroups(rows));
      pass.end();
      encoder.copyBufferToBuffer(out, 0, staging, 0, size);
    });
    const result = new Uint8Array(await gpu.download(staging, size)).slice(0, bytes);
    images.destroy();
    for (const buffer of [step, out, staging]) buffer.destroy();
    return result;
  }

  const CASES: readonly (readonly [what: string, shape: Dataset['shape'], layout: ResidentImages['layout'], augment: AugmentOptions])[] = [
    ['as they are', [4, 4, 3], 'interleaved', { crop: 0, flip: false }],
    ['planar', [4, 6, 3], 'planar', { crop: 0, flip: false }],
    ['crop and flip, black outside', [6, 5, 3], 'planar', { crop: 2, flip: true }],
    ['crop and flip, mirrored outside', [4, 5, 3], 'interleaved', { crop: 3, flip: true, padding: 'reflect' }],
    ['crop, the mean colour outside', [5, 5, 3], 'planar', { crop: 2, flip: false, padding: 'mean' }],
    ['alternating flips, of one channel', [3, 3, 1], 'interleaved', { crop: 1, flip: 'alternate' }],
    ['of five channels', [3, 7, 5], 'planar', { crop: 1, flip: true, padding: 'mean' }],
  ];

  it.each(CASES)('%s: the bytes of the pipeline, for every shift and both flips', async (_, shape, layout, augment) => {
    const size = 23;
    const whole = dataset(size + 2, shape, layout);
    const set = firstSamples(whole, size);
    const images = await resident(set, augment);
    const mean = augment.padding === 'mean' ? await meanColour(set) : shape.map(() => 0).slice(0, shape[2]);
    const bytes = shape[0] * shape[1] * shape[2];
    const rows = 40 * (2 * augment.crop + 1) ** 2;
    const picks = Int32Array.from({ length: rows }, (__, row) => (row * 7) % size);
    const samples = Int32Array.from({ length: rows }, (__, row) => row * 31);
    for (const epoch of [1, 2]) {
      const seen = new Set<string>();
      const expected = new Uint8Array(rows * bytes);
      const image = new Uint8Array(bytes);
      for (let row = 0; row < rows; row++) {
        const draws = { seed: SEED, epoch, sample: samples[row] };
        set.read([picks[row]], image);
        expected.set(augmentReference(image, augment, { shape, mean }, draws), row * bytes);
        seen.add(JSON.stringify(cropOf(drawsOf(SEED, epoch, samples[row]), epoch, augment)));
      }
      expect(seen.size).toBe((2 * augment.crop + 1) ** 2 * (augment.flip ? 2 : 1));
      // In one buffer, and in four.
      for (const bufferBytes of [undefined, 6 * bytes]) {
        const actual = await gathered(images, picks, samples, epoch, bufferBytes);
        expect(Buffer.compare(actual, expected)).toBe(0);
      }
    }
  });

  it('trains with the bits that it has without', async () => {
    const device = await openWebGpuDevice();
    const model = buildModel('convmixer', { input: [6, 6, 3], classes: 4, dim: 4, depth: 1, kernel: 3, patch: 2, dropout: 0.1 });
    const set = dataset(21, [6, 6, 3], 'planar');
    const run = async (dataOnDevice: 'auto' | 'on' | 'off') => {
      const store = new MemoryStore();
      const options = smallOptions({ device, model, train: set, validation: null, test: null, store, recalibrateBn: 2, dataOnDevice });
      const { events } = await runPart(options);
      const steps = ofType(events, 'step').map(({ loss, accuracy }) => [loss, accuracy]);
      return { steps, digest: digestOf(store.saved.at(-1)?.checkpoint as never), said: ofType(events, 'message').map(({ text }) => text) };
    };
    const [on, off, auto] = [await run('on'), await run('off'), await run('auto')];
    expect(on.said[0]).toBe('All training images (1 MiB) are stored on the device; each step transfers only indices.');
    expect(auto.said[0]).toBe(
      'Training images are sent from the host, batch by batch: the memory of a software adapter is that of the host.',
    );
    expect(off.said.some((text) => text.includes('images'))).toBe(false);
    for (const { steps, digest } of [on, auto]) expect({ steps, digest }).toEqual({ steps: off.steps, digest: off.digest });
    await device.close();
  });
});

it('batches of a resident set have indices in the order of the epoch, and no images', async () => {
  const set = firstSamples(dataset(30, [4, 4, 3]), 21);
  const feed = { dataset: set, batch: 8, seed: 1n, shuffle: true, augment: { crop: 1, flip: true } };
  const pipeline = await DataPipeline.open({ on: { ...feed, resident: true }, off: feed }, { workers: 0 });
  for (const epoch of [1, 2]) {
    const plain = pipeline.loader('off').epoch(epoch);
    for await (const batch of pipeline.loader('on').epoch(epoch)) {
      const { value } = await plain.next();
      expect(batch.images.length).toBe(0);
      expect([...(batch.picks ?? [])].map((i) => set.samples[i])).toEqual([...(value?.samples ?? [])]);
      for (const name of ['rows', 'labels', 'samples', 'epoch', 'index'] as const) expect(batch[name]).toEqual(value?.[name]);
    }
  }
  await pipeline.close();
});

it('buffers hold whole images, and no more of them than can be bound', () => {
  expect(partsOf(45_000, 3072, 128 << 20, 8)).toEqual([
    { first: 0, count: 43_690 },
    { first: 43_690, count: 1310 },
  ]);
  expect(partsOf(10, 100, 250, 8)?.map(({ count }) => count)).toEqual([2, 2, 2, 2, 2]);
  expect(partsOf(10, 100, 250, 6)).toBeUndefined();
  expect(partsOf(10, 300, 250, 8)).toBeUndefined();
});

describe('on the null backend', () => {
  const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 8, depth: 1, kernel: 3, patch: 2 });
  const set = dataset(9, [8, 8, 3]);
  const HYPER = { learningRate: 1e-3, weightDecay: 0, bnMomentum: 0.9 };

  it('a lost device: the set is uploaded to the next one; and closing frees it', async () => {
    const instance = await acquireInstance({ backend: 'null' });
    const faults: Faults = {};
    const { gpu, seen } = faultyGpu(instance.gpu, faults);
    const device = await openWebGpuDevice({ gpu });
    const images = await resident(set, { crop: 1, flip: true });
    const executable = await device.compile(trainingGraphs(model), { capacity: 4, seed: 1n, resident: images });
    const plain = await device.compile(trainingGraphs(model), { capacity: 4, seed: 1n });
    expect(executable.memoryBytes - plain.memoryBytes).toBe(9 * 192 + 8 * 4);
    const batch = {
      rows: 3,
      images: new Uint8Array(0),
      picks: Int32Array.of(8, 0, 4),
      labels: new Int32Array(3),
      samples: new Int32Array(3),
    };
    await executable.gradient(batch);
    faults.loseAtSubmit = seen.submits;
    await Promise.all([executable.gradient(batch), executable.update(HYPER), executable.calibrate(batch, 0.5)]);
    expect(seen.devices).toBe(2);
    expect(seen.buffers.filter(({ label }) => label === 'images 0').length).toBe(2);
    await expect(executable.gradient({ ...batch, picks: Int32Array.of(8, 9, 0) })).rejects.toThrow('row 1 picks image 9 of 9');
    await expect(executable.evaluate(batch)).rejects.toThrow('evaluate needs 576 elements of images, got 0');
    await expect(plain.gradient(batch)).rejects.toThrow('gradient needs 576 elements of images, got 0');
    await device.close();
    instance.release();
  });

  it('auto takes the set where that is worth it, says why where it does not, and goes on where the memory is not there', async () => {
    const instance = await acquireInstance({ backend: 'null' });
    const faults: Faults = {};
    const device = await openWebGpuDevice({ gpu: faultyGpu(instance.gpu, faults).gpu });
    const large = dataset(600, [8, 8, 3]);
    const said = async (changes: Parameters<typeof smallOptions>[0]) => {
      // This backend computes nothing: every step counts as not finite.
      const { events } = await runPart(
        smallOptions({ device, model, train: large, validation: null, test: null, epochs: 1, batch: 128, onNan: 'skip', ...changes }),
      );
      return ofType(events, 'message').map(({ text }) => text)[0];
    };
    expect(await said({})).toBe('All training images (1 MiB) are stored on the device; each step transfers only indices.');
    const augment = { crop: 1, flip: true, zoom: 0.1 };
    expect(await said({ augment })).toBe(
      'Training images are sent from the host, batch by batch: only crop and flip can be done on the device.',
    );
    const { images: _, ...apart } = large;
    expect(await said({ train: apart })).toBe('Training images are sent from the host, batch by batch: they are not in memory.');
    faults.memoryBytes = 100_000;
    expect(await said({})).toMatch(/^Training images are sent from the host, batch by batch: .*the GPU does not give \d+ MiB of memory/);
    const error = await hybridError('E_USAGE', runPart(smallOptions({ device, model, train: large, augment, dataOnDevice: 'on' })));
    expect(error.message).toBe('the training images cannot be stored on the device: only crop and flip can be done on the device');
    await device.close();
    instance.release();
  });

  it('a stage of training that leaves no memory for them goes on with images from the host', async () => {
    const instance = await acquireInstance({ backend: 'null' });
    const faults: Faults = {};
    const device = await openWebGpuDevice({ gpu: faultyGpu(instance.gpu, faults).gpu });
    const run = train(
      smallOptions({
        ...{ device, model, train: dataset(600, [8, 8, 3]), validation: null, test: null },
        ...{ epochs: 2, batch: 128, freeze: 1, onNan: 'skip' },
      }),
    );
    const said: string[] = [];
    for await (const event of run) {
      // Before the second stage is compiled.
      if (event.type === 'step' && event.epoch === 1) faults.memoryBytes = 100_000;
      if (event.type === 'message') said.push(event.text);
    }
    expect(await run.result).toMatchObject({ reason: 'completed', epochs: 2 });
    expect(said[0]).toContain('stored on the device');
    expect(said.filter((text) => /^Training images are sent from the host, batch by batch: .*does not give/.test(text))).toHaveLength(1);
    await device.close();
    instance.release();
  });
});

it('devices that compute in the memory of the host say so', async () => {
  const device = openReferenceDevice();
  const error = await hybridError('E_USAGE', runPart(smallOptions({ device, dataOnDevice: 'on' })));
  expect(error.message).toBe(
    'the training images cannot be stored on the device: the reference device computes in the memory where they are',
  );
});
