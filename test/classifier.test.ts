// A model that is kept for pictures: the answers of `predict`, in whatever batches; bounds, abort, close.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Classification, openClassifier } from '../app/classifier.ts';
import { decodeImage } from '../app/sources/image-file.ts';
import { openWasmDevice } from '../asm/host/device.ts';
import type { Device } from '../runtime/device.ts';
import type { TrainedModel } from '../runtime/interop/trained-model.ts';
import { buildModel } from '../runtime/model/architectures.ts';
import { initialize } from '../runtime/model/init.ts';
import { predict } from '../runtime/train/predict.ts';
import { hybridError } from './support/expect-error.ts';
import { imageFile } from './support/images.ts';

const model = buildModel('convmixer', { input: [16, 12, 3], classes: 3, dim: 8, depth: 1, kernel: 3, patch: 2, dropout: 0 });
const trained: TrainedModel = {
  model,
  // Not near each other: a larger head.
  weights: new Map(
    [...initialize(model, 3n)].map(([name, values]) => [name, name.includes('dense') ? values.map((value) => 40 * value) : values]),
  ),
  classes: ['ant', 'bee', 'cow'],
  preprocessing: { crop: 0.875 },
};

let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ threads: 1 });
});
afterAll(() => device.close());

const pictures = () => Promise.all(Array.from({ length: 11 }, (_, i) => imageFile(i % 2 ? 'jpeg' : 'png', 20 + i, 40 - i, 20 * i)));

describe('a classifier', () => {
  it('answers many callers at once as predict answers each, files and pixels alike', async () => {
    const files = await pictures();
    const images = await Promise.all(files.map((file) => decodeImage(file, { shape: model.input, crop: 0.875 })));
    const expected: Float64Array[] = [];
    for await (const probabilities of predict({ device, trained, images })) expected.push(probabilities);
    const ran: number[] = [];
    const counting: Device = Object.create(device, {
      compile: {
        value: async (...args: Parameters<Device['compile']>) => {
          const executable = await device.compile(...args);
          const run = executable.predict.bind(executable);
          executable.predict = (batch, options) => {
            ran.push(batch.rows);
            return run(batch, options);
          };
          return executable;
        },
      },
    });
    await using classifier = await openClassifier(trained, { device: counting, batch: 4 });
    const inputs = files.map((file, i) => (i % 3 === 0 ? { pixels: images[i] } : file));
    const answers = await Promise.all(inputs.map((input) => classifier.classify(input)));
    for (const [i, { label, index, probability, probabilities, unsure }] of answers.entries()) {
      for (const [k, value] of probabilities.entries()) expect(value).toBeCloseTo(expected[i][k], 6);
      expect([label, probability, unsure]).toEqual([trained.classes[index], Math.max(...probabilities), false]);
    }
    expect(ran.reduce((sum, rows) => sum + rows)).toBe(11);
    expect(Math.max(...ran)).toBeLessThanOrEqual(4);
    expect(ran.length).toBeLessThan(11);
    expect(classifier.waiting).toBe(0);
  });

  it('says when it is unsure', async () => {
    await using classifier = await openClassifier(trained, { device, unsure: 1 });
    expect((await classifier.classify(await imageFile('png', 9, 9))).unsure).toBe(true);
  });

  it('refuses what is not an image, other pixels, and more than may wait, and goes on', async () => {
    await using classifier = await openClassifier(trained, { device, queue: 2 });
    await hybridError('E_DATA', classifier.classify(new TextEncoder().encode('no image')));
    expect((await hybridError('E_DATA', classifier.classify({ pixels: new Uint8Array(5) }))).message).toContain('takes 16 × 12 × 3');
    const file = await imageFile('png', 9, 9);
    const [first, second] = [classifier.classify(file), classifier.classify(file)];
    expect((await hybridError('E_USAGE', classifier.classify(file))).message).toBe('2 pictures are already waiting');
    expect((await first).index).toBe((await second).index);
    expect((await classifier.classify(file)).index).toBe((await first).index);
  });

  it('takes pictures as they were, and bytes alone', async () => {
    await using classifier = await openClassifier(trained, { device });
    const [pixels] = await Promise.all([decodeImage((await pictures())[3], { shape: model.input })]);
    const expected = await classifier.classify({ pixels });
    const reused = Uint8Array.from(pixels);
    const answer = classifier.classify({ pixels: reused });
    reused.fill(0);
    expect((await answer).probabilities).toEqual(expected.probabilities);
    const floats = Float32Array.from(pixels, (value) => value / 255) as unknown as Uint8Array;
    expect((await hybridError('E_DATA', classifier.classify({ pixels: floats }))).message).toContain('is a Float32Array');
    for (const given of ['photo.jpg', undefined, 5])
      expect((await hybridError('E_USAGE', classifier.classify(given as unknown as Uint8Array))).message).toMatch(/^a picture is a /);
  });

  it('answers nothing with weights that are no numbers', async () => {
    const weights = new Map(trained.weights).set('layers/dense/vars/1', new Float32Array(3).fill(Number.NaN));
    await using classifier = await openClassifier({ ...trained, weights }, { device });
    await hybridError('E_DIVERGED', classifier.classify({ pixels: new Uint8Array(16 * 12 * 3) }));
  });

  it('leaves out who has gone, and answers the others', async () => {
    await using classifier = await openClassifier(trained, { device });
    const leaving = new AbortController();
    const pixels = new Uint8Array(16 * 12 * 3);
    const gone = classifier.classify({ pixels }, { signal: leaving.signal });
    const stays = classifier.classify({ pixels });
    leaving.abort();
    await expect(gone).rejects.toMatchObject({ name: 'AbortError' });
    expect((await stays).label).toBeDefined();
    await expect(classifier.classify({ pixels }, { signal: leaving.signal })).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('answers what waits before it closes, and nothing after', async () => {
    const classifier = await openClassifier(trained, { batch: 2 });
    const answers: Promise<Classification>[] = (await pictures()).map((file) => classifier.classify(file));
    await classifier.close();
    expect((await Promise.all(answers)).length).toBe(11);
    expect((await hybridError('E_USAGE', classifier.classify(new Uint8Array(3)))).message).toBe('the classifier is closed');
    await classifier.close();
  });

  it('is opened with options that are possible', async () => {
    expect((await hybridError('E_USAGE', openClassifier(trained, { device, batch: 0 }))).message).toMatch(/batch/);
    expect((await hybridError('E_USAGE', openClassifier(trained, { device, quee: 3 } as object))).message).toContain('did you mean queue?');
    expect((await hybridError('E_USAGE', openClassifier(trained, { device, unsure: 50 }))).message).toMatch(/unsure is 50/);
    await hybridError('E_CHECKPOINT', openClassifier('/nowhere'));
  });
});

describe('a classifier that gets newer weights', () => {
  const newer: TrainedModel = {
    ...trained,
    weights: new Map([...trained.weights].map(([name, values]) => [name, name.includes('dense') ? values.map((value) => -value) : values])),
    classes: ['dog', 'eel', 'fox'],
  };
  const pixels = (i: number) => Uint8Array.from({ length: 16 * 12 * 3 }, (_, k) => (k * (i + 3)) % 256);

  it('answers every picture by one model or the other, and loses none', async () => {
    const count = 60;
    const expectedOf = async (model: TrainedModel) => {
      const images = Array.from({ length: count }, (_, i) => pixels(i));
      const all: string[] = [];
      for await (const probabilities of predict({ device, trained: model, images }))
        all.push(model.classes[probabilities.indexOf(Math.max(...probabilities))]);
      return all;
    };
    const [before, after] = [await expectedOf(trained), await expectedOf(newer)];
    await using classifier = await openClassifier(trained, { device, batch: 2 });
    const answers = Array.from({ length: count }, (_, i) => classifier.classify({ pixels: pixels(i) }));
    await answers[3];
    await classifier.reload(newer);
    const labels = (await Promise.all(answers)).map(({ label }) => label);
    for (const [i, label] of labels.entries()) expect([before[i], after[i]]).toContain(label);
    expect(labels.some((label, i) => label === before[i])).toBe(true);
    expect(classifier.classes).toEqual(newer.classes);
    expect((await classifier.classify({ pixels: pixels(7) })).label).toBe(after[7]);
  });

  it('stays as it was where there is no such model, or one for other images', async () => {
    await using classifier = await openClassifier(trained, { device });
    await hybridError('E_CHECKPOINT', classifier.reload('no-such-file'));
    const larger = buildModel('convmixer', { ...model.config, input: [32, 32, 3] });
    const error = await hybridError('E_USAGE', classifier.reload({ ...trained, model: larger, weights: initialize(larger, 1n) }));
    expect(error.message).toBe('the model takes 32 × 32 × 3, and that of the classifier 16 × 12 × 3');
    await hybridError('E_CHECKPOINT', classifier.reload({ ...trained, weights: new Map() }));
    expect(trained.classes).toContain((await classifier.classify({ pixels: pixels(1) })).label);
  });

  it('may be closed meanwhile', async () => {
    const classifier = await openClassifier(trained, { device });
    const reloading = classifier.reload(newer);
    const answer = classifier.classify({ pixels: pixels(2) });
    await Promise.all([classifier.close(), reloading.catch(() => {}), answer]);
    await hybridError('E_USAGE', classifier.reload(newer));
  });
});
