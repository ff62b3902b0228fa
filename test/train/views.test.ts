// Test-time augmentation: what the answers of views are the mean of, pixel by pixel, in evaluation, prediction and the classifier.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openClassifier } from '../../app/classifier.ts';
import { openWasmDevice } from '../../asm/host/device.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import type { Device } from '../../runtime/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { weightsOf } from '../../runtime/train/device-state.ts';
import { evaluate } from '../../runtime/train/evaluate.ts';
import { predict } from '../../runtime/train/predict.ts';
import type { TestTimeAugmentation } from '../../runtime/train/views.ts';
import { hybridError } from '../support/expect-error.ts';
import { MemoryStore, ofType, runPart, smallOptions } from '../support/runs.ts';

const [HEIGHT, WIDTH, CHANNELS] = [6, 4, 3];
const model = buildModel('convmixer', { input: [HEIGHT, WIDTH, CHANNELS], classes: 3, dim: 8, depth: 1, kernel: 3, patch: 2, dropout: 0 });
// Answers that are not near each other: a larger head.
const weights = new Map(
  [...initialize(model, 3n)].map(([name, values]) => [name, name.includes('dense') ? values.map((value) => 20 * value) : values]),
);
const trained = { model, weights, classes: ['ant', 'bee', 'cow'] };
const images = Array.from({ length: 7 }, (_, n) =>
  Uint8Array.from({ length: HEIGHT * WIDTH * CHANNELS }, (_, i) => (i * 37 + n * 101 + ((i * i * (n + 3)) >> 3)) & 255),
);
const labels = images.map((_, n) => n % 3);

let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ threads: 1 });
});
afterAll(() => device.close());

/** Logarithms of the probabilities, which are the logits but for a number of each image. */
async function logProbabilities(of: readonly Uint8Array[], tta?: TestTimeAugmentation): Promise<number[][]> {
  const answers: number[][] = [];
  for await (const probabilities of predict({ device, trained, images: of, tta, batch: 3 })) answers.push([...probabilities].map(Math.log));
  return answers;
}

/** A picture by a function of where its pixels come from. */
const from = (image: Uint8Array, source: (y: number, x: number) => readonly [number, number]): Uint8Array =>
  image.map((_, i) => {
    const [y, x] = source(Math.floor(i / (WIDTH * CHANNELS)), Math.floor(i / CHANNELS) % WIDTH);
    return image[(y * WIDTH + x) * CHANNELS + (i % CHANNELS)];
  });
const mirror = (image: Uint8Array) => from(image, (y, x) => [y, WIDTH - 1 - x]);
/** What comes in is what lies one pixel behind the border: rows 1 0 1 2 …, not 0 0 1 2 …. */
const downRight = (image: Uint8Array) => from(image, (y, x) => [y === 0 ? 1 : y - 1, x === 0 ? 1 : x - 1]);
const upLeft = (image: Uint8Array) => from(image, (y, x) => [y === HEIGHT - 1 ? HEIGHT - 2 : y + 1, x === WIDTH - 1 ? WIDTH - 2 : x + 1]);

/** Of logits that are known but for a number of each: relative to the first class, weighted. */
function meanOf(parts: readonly { readonly weight: number; readonly answers: number[][] }[]): number[][] {
  return images.map((_, n) =>
    [1, 2].map((k) => parts.reduce((sum, { weight, answers }) => sum + weight * (answers[n][k] - answers[n][0]), 0)),
  );
}
const relative = (answers: number[][]) => answers.map(([first, ...rest]) => rest.map((value) => value - first));

const expectAlike = (found: number[][], expected: number[][]) => {
  for (const [n, values] of found.entries()) for (const [k, value] of values.entries()) expect(value).toBeCloseTo(expected[n][k], 4);
};

describe('test-time augmentation', () => {
  it('mirror: the mean of an image and its mirror image', async () => {
    const parts = [
      { weight: 0.5, answers: await logProbabilities(images) },
      { weight: 0.5, answers: await logProbabilities(images.map(mirror)) },
    ];
    const answers = await logProbabilities(images, 'mirror');
    expectAlike(relative(answers), meanOf(parts));
    expect(relative(answers)).not.toEqual(relative(parts[0].answers));
    expect(await logProbabilities(images.map(mirror), 'mirror')).toEqual(answers);
  });

  it('shift: half of that, and a quarter each of the same moved by a pixel, reflected at the border', async () => {
    const view = async (weight: number, of: (image: Uint8Array) => Uint8Array) => ({
      weight,
      answers: await logProbabilities(images.map(of)),
    });
    const parts = await Promise.all([
      view(0.25, (image) => image),
      view(0.25, mirror),
      view(0.125, downRight),
      view(0.125, (image) => mirror(downRight(image))),
      view(0.125, upLeft),
      view(0.125, (image) => mirror(upLeft(image))),
    ]);
    expectAlike(relative(await logProbabilities(images, 'shift')), meanOf(parts));
  });

  it('none is what there is without', async () => {
    expect(await logProbabilities(images, 'none')).toEqual(await logProbabilities(images));
  });

  it.each([
    'mirror',
    'shift',
  ] as const)('%s: evaluation has the loss and the answers of the same mean, in batches of any size', async (tta) => {
    const pixels = Uint8Array.from(images.flatMap((image) => [...image]));
    const dataset = memoryDataset({
      name: 'made up',
      images: pixels,
      labels: Uint8Array.from(labels),
      shape: [...model.input],
      classes: [...trained.classes],
    });
    const answers = await logProbabilities(images, tta);
    const loss = -answers.reduce((sum, one, n) => sum + one[labels[n]], 0) / images.length;
    const right = answers.filter((one, n) => Math.max(...one) === one[labels[n]]).length;
    for (const batch of [2, 7]) {
      const result = await evaluate({ device, model, weights, dataset, tta, batch, workers: 0 });
      expect(result.loss).toBeCloseTo(loss, 5);
      expect(result.accuracy).toBe(right / images.length);
    }
  });

  it('the classifier answers as predict does', async () => {
    const expected = await logProbabilities(images, 'mirror');
    await using classifier = await openClassifier({ ...trained, preprocessing: {} }, { device, tta: 'mirror' });
    const answers = await Promise.all(images.map((pixels) => classifier.classify({ pixels })));
    expect(answers.map(({ probabilities }) => [...probabilities].map(Math.log))).toEqual(expected);
  });

  it('images one pixel wide have nothing beside them', async () => {
    const narrow = buildModel('convmixer', { input: [3, 1, 1], classes: 2, dim: 4, depth: 1, kernel: 3, patch: 1, dropout: 0 });
    const known = { model: narrow, weights: initialize(narrow, 1n) };
    const answers: Float64Array[] = [];
    for await (const one of predict({ device, trained: known, images: [Uint8Array.of(1, 90, 200)], tta: 'shift' })) answers.push(one);
    expect(answers[0].reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 6);
  });

  it('a signal stops all views, and has a listener a batch', async () => {
    const all: Parameters<typeof memoryDataset>[0] = {
      ...{ name: 'seven', shape: [...model.input], classes: [...trained.classes] },
      images: Uint8Array.from(images.flatMap((image) => [...image])),
      labels: Int32Array.from(labels),
    };
    const dataset = memoryDataset(all);
    const warnings: string[] = [];
    const warned = ({ name }: Error) => void warnings.push(name);
    process.on('warning', warned);
    const controller = new AbortController();
    const { signal } = controller;
    await evaluate({ device, model, weights, dataset, tta: 'shift', batch: 1, workers: 0, signal });
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', warned);
    expect(warnings).toEqual([]);
    controller.abort();
    await expect(evaluate({ device, model, weights, dataset, tta: 'shift', batch: 1, workers: 0, signal })).rejects.toMatchObject({
      name: 'AbortError',
    });
  });

  it('the test of a run is made with it, and what it is without is told', async () => {
    const store = new MemoryStore();
    const options = smallOptions({ device, store, epochs: 1, tta: 'mirror' });
    const { result, events } = await runPart(options);
    const best = (await store.load('best')) ?? expect.fail('nothing was saved');
    const of = (tta: TestTimeAugmentation) =>
      evaluate({ device, model: options.model, weights: weightsOf(best), dataset: options.test ?? expect.fail('no test'), batch: 8, tta });
    expect(result.test?.loss).toBeCloseTo((await of('mirror')).loss, 6);
    const { loss, accuracy } = await of('none');
    const text = `Without test-time augmentation: test accuracy ${(100 * accuracy).toFixed(2)} %, loss ${loss.toFixed(4)}.`;
    expect(ofType(events, 'message').map((message) => message.text)).toContain(text);
    expect(result.test?.loss).not.toBe(loss);
  });

  it('another word is refused', async () => {
    const one = predict({ device, trained, images, tta: 'mirrored' as 'mirror' });
    expect((await hybridError('E_USAGE', one.next())).message).toMatch(/tta.*mirrored/);
    const misspelt = { device, trained, images, bach: 3 };
    expect((await hybridError('E_USAGE', predict(misspelt).next())).message).toBe('predict has no "bach"; did you mean batch?');
    const dataset = memoryDataset({
      name: 'one',
      images: images[0],
      labels: Uint8Array.of(0),
      shape: [...model.input],
      classes: [...trained.classes],
    });
    const other = { device, model, weights, dataset, wrkers: 1 };
    expect((await hybridError('E_USAGE', evaluate(other))).message).toBe('evaluate has no "wrkers"; did you mean workers?');
  });
});
