import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { decode } from 'fast-png';
import { describe, expect, test } from 'vitest';
import { heatMap, imageBitmap, resized, signedMap } from '../../app/report/bitmap.ts';
import { chart, niceTicks } from '../../app/report/chart.ts';
import { confusionFigure } from '../../app/report/confusion.ts';
import { examine } from '../../app/report/examine.ts';
import { FIGURES, type FigureOptions, type FigureSources } from '../../app/report/figure-sources.ts';
import { drawFigures, isSkipped } from '../../app/report/figures.ts';
import { RunRecord } from '../../app/report/record.ts';
import { render } from '../../app/report/render.ts';
import { document, escaped, type Figure } from '../../app/report/svg.ts';
import { timelineFigure } from '../../app/report/timeline.ts';
import { weightsFigure } from '../../app/report/weights.ts';
import { augmentOptions } from '../../runtime/data/augment/names.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import type { Model } from '../../runtime/model/model.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { activations } from '../../runtime/train/activations.ts';
import { probabilitiesOf } from '../../runtime/train/logits.ts';
import { smallModels } from '../support/models.ts';
import { events } from '../support/run-events.ts';
import { shapesDataset } from '../support/shapes-dataset.ts';

/** Random bytes in any shape, with class names that XML must not take for markup. */
function noise(size: number, shape: readonly [number, number, number], classes: number): Dataset {
  return memoryDataset({
    name: 'noise',
    shape,
    classes: Array.from({ length: classes }, (_, i) => `<class "${i}" & more>`),
    labels: Uint8Array.from({ length: size }, (_, i) => i % classes),
    images: Uint8Array.from({ length: size * shape[0] * shape[1] * shape[2] }, (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 24),
  });
}

function sourcesFor(model: Model, extra: Partial<FigureSources> = {}): FigureSources {
  const data = noise(12, model.input, model.classes);
  return {
    model,
    weights: initialize(model, 1n),
    device: openReferenceDevice(),
    train: data,
    test: data,
    augment: { crop: 2, flip: true },
    shuffle: true,
    seed: 1n,
    batch: 8,
    record: RunRecord.from('/runs/first', { batch: 128 }, events()),
    ...extra,
  };
}

async function draw(names: Parameters<typeof drawFigures>[0], sources: FigureSources, options?: FigureOptions): Promise<Figure[]> {
  const figures: Figure[] = [];
  for await (const figure of drawFigures(names, sources, options)) if (!isSkipped(figure)) figures.push(figure);
  return figures;
}

/** Every element is closed, in order, and no attribute runs over its end: enough of XML to catch a forgotten escape. */
function expectWellFormed(xml: string): void {
  const open: string[] = [];
  const rest = xml.replace(/<(\/?)([A-Za-z][\w:-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g, (_, closing, name, _attributes, empty) => {
    if (closing) expect(open.pop()).toBe(name);
    else if (!empty) open.push(name);
    return '';
  });
  expect(open).toEqual([]);
  expect(rest).not.toMatch(/[<>]|&(?!(amp|lt|gt|quot|#39);)/);
}

describe('every figure of every architecture', () => {
  test.each(smallModels().map((model) => [model.arch, model] as const))('%s', async (_, model) => {
    const figures = await draw(FIGURES, sourcesFor(model), { block: 'all' });
    const blocks = model.layers.filter(({ type }) => type === 'DepthwiseConv2D').length;
    expect(figures.map(({ name }) => name)).toEqual(
      FIGURES.flatMap((name) => (name === 'depthwise' ? Array.from({ length: blocks }, (_, i) => `depthwise-block-${i + 1}`) : [name])),
    );
    for (const figure of figures) {
      expect(Math.min(figure.width, figure.height), figure.name).toBeGreaterThan(0);
      expectWellFormed(document(figure));
    }
  });
});

describe('from a trained-looking model', () => {
  const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 6, depth: 3, kernel: 3, patch: 2 });

  test('feature maps are those of the layer that was asked for', async () => {
    const sources = sourcesFor(model, { train: shapesDataset(8), test: shapesDataset(4) });
    const [maps] = await draw(['feature-maps'], sources, { layer: 'depthwise_conv2d_1', image: 2 });
    expect(maps.title).toContain('depthwise_conv2d_1');
    expect(maps.caption).toContain('6 maps of 4×4');
    expect(maps.body.match(/<image /g)).toHaveLength(7);
  });

  test('feature maps of the patch embedding are a convolution of the image', async () => {
    const { device, weights, train } = sourcesFor(model);
    const images = new Uint8Array(8 * 8 * 3 * 2);
    train.read([3, 5], images);
    const [, , layer] = model.layers;
    expect(layer.name).toBe('conv2d');
    const maps = await activations({ device, model, weights, layer, images });
    const [kernel, bias] = ['layers/conv2d/vars/0', 'layers/conv2d/vars/1'].map((name) => weights.get(name) as Float32Array);
    for (const [n, y, x, f] of [
      [0, 0, 0, 0],
      [1, 3, 2, 5],
    ]) {
      let sum = bias[f];
      for (let j = 0; j < 2; j++)
        for (let i = 0; i < 2; i++)
          for (let c = 0; c < 3; c++)
            sum += (images[((n * 8 + 2 * y + j) * 8 + 2 * x + i) * 3 + c] / 255) * kernel[((j * 2 + i) * 3 + c) * 6 + f];
      expect(maps[((n * 4 + y) * 4 + x) * 6 + f]).toBeCloseTo(sum, 5);
    }
  });

  test('the middle block is shown unless another is named', async () => {
    const sources = sourcesFor(model);
    expect((await draw(['depthwise'], sources))[0].name).toBe('depthwise-block-2');
    expect((await draw(['depthwise'], sources, { block: 3 }))[0].name).toBe('depthwise-block-3');
    await expect(draw(['depthwise'], sources, { block: 4 })).rejects.toMatchObject({ code: 'E_USAGE' });
  });

  test('layers that are not there, or have nothing to show, are errors with a remedy', async () => {
    const sources = sourcesFor(model);
    await expect(draw(['patch-embedding'], sources, { layer: 'conv2d_l' })).rejects.toThrow(/did you mean conv2d_1/);
    await expect(draw(['patch-embedding'], sources, { layer: 'activation' })).rejects.toMatchObject({ code: 'E_USAGE' });
    await expect(draw(['feature-maps'], sources, { layer: 'dense' })).rejects.toMatchObject({ code: 'E_USAGE' });
    await expect(draw(['feature-maps'], sources, { layer: 'input_layer' })).rejects.toMatchObject({ code: 'E_USAGE' });
    await expect(draw(['feature-maps'], sources, { image: 12 })).rejects.toMatchObject({ code: 'E_USAGE' });
  });

  test('without test images those of validation are looked at, and named', async () => {
    const sources = { ...sourcesFor(model), test: null, validation: noise(9, model.input, model.classes) };
    for (const { caption } of await draw(['confusion', 'misclassified'], sources)) expect(caption).toMatch(/^All 9 validation images/);
  });

  test('without test images or records some figures are left out, with a reason', async () => {
    const skipped: string[] = [];
    for await (const figure of drawFigures(FIGURES, sourcesFor(model, { test: null, record: undefined }))) {
      if (isSkipped(figure)) skipped.push(figure.name);
    }
    expect(skipped).toEqual(['curves', 'confusion', 'misclassified']);
  });

  test('mistakes are sorted by certainty, with the counts of the whole set', async () => {
    const [confusion, misclassified] = await draw(['confusion', 'misclassified'], sourcesFor(model), { images: 2, testLimit: 10 });
    expect(confusion.caption).toMatch(/^10 of 12 test images, in proportion to the classes: \d/);
    const shares = [...misclassified.body.matchAll(/>(\d+\.\d) %</g)].map((match) => Number(match[1]));
    expect(misclassified.body.match(/<image /g)).toHaveLength(2);
    expect(shares[0]).toBeGreaterThanOrEqual(shares[3]);
    expect(misclassified.caption).toMatch(/the 2 most certain of \d+ wrong answers/);
  });

  test('test images of fewer classes than the model knows: rows and names are those of the model', async () => {
    const test = { ...noise(12, model.input, 2), labels: Uint8Array.from({ length: 12 }, (_, i) => i % 2) };
    const [confusion, misclassified] = await draw(['confusion', 'misclassified'], sourcesFor(model, { test }));
    const counts = [...confusion.body.matchAll(/taken for [^:]*: (\d+) of (\d+)/g)].map(([, count, of]) => [Number(count), Number(of)]);
    expect(counts).toHaveLength(model.classes ** 2);
    expect(counts.reduce((sum, [count]) => sum + count, 0)).toBe(12);
    expect(counts.map(([, of]) => of)).toEqual(Array.from(counts, (_, i) => (i < 2 * model.classes ? 6 : 0)));
    const { confusion: matrix } = await examine({
      ...{ device: openReferenceDevice(), model, weights: initialize(model, 1n), dataset: test, part: 'test', batch: 8, keep: 1 },
    });
    expect(counts.map(([count]) => count)).toEqual([...(matrix ?? [])]);
    expect(misclassified.body).not.toContain('undefined');
  });

  test('a matrix of more classes than are counted is left out, with the reason', async () => {
    const skipped: string[] = [];
    const many = { ...model, classes: 2049 };
    for await (const figure of drawFigures(['confusion'], sourcesFor(model, { model: many }))) {
      if (isSkipped(figure)) skipped.push(figure.reason);
    }
    expect(skipped).toEqual(['a matrix of 2,049 classes is too large to draw: `hybrid eval` lists the most confused']);
  });

  test('mistakes are those of all batches, each once, with its own label, whether or not anybody listens to the progress', async () => {
    const dataset = noise(43, model.input, model.classes);
    const looked = {
      device: openReferenceDevice(),
      model,
      weights: initialize(model, 1n),
      dataset,
      part: 'test' as const,
      batch: 8,
      keep: 100,
    };
    const { confusion, wrong, mistakes } = await examine(looked);
    const right = Array.from({ length: model.classes }, (_, i) => confusion?.[i * model.classes + i] ?? 0).reduce((a, b) => a + b, 0);
    expect(wrong).toBe(43 - right);
    expect(new Set(mistakes.map(({ index }) => index)).size).toBe(wrong);
    for (const { index, label, probabilities } of mistakes) {
      expect(label).toBe(dataset.labels[index]);
      expect(probabilities[label]).toBeLessThan(probabilities.reduce((a, b) => Math.max(a, b)));
    }
    const heard: number[] = [];
    expect(await examine({ ...looked, onProgress: (done) => heard.push(done) })).toEqual({
      ...(await examine(looked)),
    });
    expect(heard).toEqual([8, 16, 24, 32, 40, 43]);
  });
});

describe('the caption of augmented images', () => {
  test.each([
    ['none', 'unchanged, augmentation is off'],
    ['crop,flip', 'shifted by up to 4 pixels, mirrored or not'],
    ['mixup', 'blended with another image'],
    ['cutmix', 'with a rectangle of another image'],
    ['rotate', 'rotated by up to'],
    ['zoom', 'zoomed by up to'],
    ['randaugment', 'operations of the policy'],
    ['erase', 'painted over'],
    ['colour', 'brightness changed by up to'],
  ])('%s: %s', async (names, expected) => {
    const model = smallModels()[0];
    const [figure] = await draw(['augmented'], sourcesFor(model, { augment: augmentOptions(names) }), { images: 2 });
    expect(figure.caption).toContain(expected);
    expect(figure.caption.includes('augmentation is off')).toBe(names === 'none');
  });
});

describe('weights', () => {
  const kernel = (shape: number[], value: (i: number) => number = (i) => Math.sin(i)) => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => value(i)),
  });
  test.each([
    ['patches of colours', [2, 2, 3, 7], false, 7],
    ['grey patches', [4, 4, 1, 2], false, 2],
    ['depthwise', [5, 5, 13, 1], true, 13],
    ['many input channels', [3, 3, 16, 5], false, 5],
    ['a 1×1 convolution', [1, 1, 8, 9], false, 1],
    ['a dense layer', [20, 3], false, 1],
    ['one filter', [1, 1, 1, 1], true, 1],
    ['too many filters', [3, 3, 2000, 1], true, 1024],
  ] as const)('%s', async (_, shape, depthwise, tiles) => {
    const figure = await weightsFigure({ name: 'w', title: 'w', kernel: kernel([...shape]), depthwise });
    expect(figure.body.match(/<image /g)).toHaveLength(tiles);
  });

  test.each([0, 1, Number.NaN])('constant weights of %s divide by nothing', async (value) => {
    const figure = await weightsFigure({ name: 'w', title: 'w', kernel: kernel([2, 2, 3, 2], () => value), depthwise: false });
    expect(figure.caption).not.toContain('NaN');
    expect(figure.body).not.toContain('NaN');
  });
});

test('pictures keep their pixels: enlarged by whole factors, reduced by leaving out', () => {
  const picture = imageBitmap(Uint8Array.of(255, 0, 0, 0, 255, 0), [1, 2, 3]);
  expect(resized(picture, 5)).toMatchObject({ width: 4, height: 2 });
  expect([...resized(picture, 5).rgb.subarray(0, 12)]).toEqual([255, 0, 0, 255, 0, 0, 0, 255, 0, 0, 255, 0]);
  expect([...resized(picture, 1).rgb]).toEqual([0, 255, 0]);
  expect([...imageBitmap(Uint8Array.of(9, 7), [1, 2, 1]).rgb]).toEqual([9, 9, 9, 7, 7, 7]);
  const map = (make: typeof heatMap) => [...make(1, 3, (_, x) => [-2, 0, 2][x], -2, 2).rgb];
  const light = (rgb: number[]) => rgb.reduce((a, b) => a + b);
  expect(light(map(heatMap).slice(0, 3))).toBeLessThan(light(map(heatMap).slice(6)));
  const [r, g, b] = signedMap(1, 1, () => 0, 2).rgb;
  expect(Math.min(r, g, b)).toBeGreaterThan(235);
});

test('ticks are round, and enclose the values', () => {
  expect(niceTicks(0.13, 0.87, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  for (const [low, high] of [
    [3, 3],
    [0, 0],
    [-5, 1e9],
    [1e-5, 2e-3],
  ]) {
    const ticks = niceTicks(low, high, 5);
    expect(ticks[0]).toBeLessThanOrEqual(low);
    expect(ticks[ticks.length - 1]).toBeGreaterThanOrEqual(high);
    expect(ticks.length).toBeGreaterThan(1);
    expect(ticks.length).toBeLessThan(12);
  }
});

test('a chart leaves out what is not finite, and says so where nothing is left', () => {
  const of = (points: [number, number][]) =>
    chart({ title: 't', x: 'x', format: String, series: [{ name: 's', color: 'first', points }] }).body;
  expect(
    of([
      [1, 2],
      [2, Number.NaN],
      [3, Number.POSITIVE_INFINITY],
    ]),
  ).not.toMatch(/NaN|Infinity/);
  expect(of([[1, Number.NaN]])).toContain('nothing measured yet');
  expect(of([[1, 5]])).toContain('<circle');
});

test.each([
  [100, 100],
  [121, 60],
])('a confusion matrix of %i classes names all that it draws: %i', (n, drawn) => {
  // The classes from 40 on are never wrong but for the last, which is always taken for the one before.
  const counts = new Uint32Array(n * n);
  for (let i = 0; i < n; i++) counts[i * n + i] = 9;
  for (let i = 0; i < 40; i++) counts[i * n + ((i + 1) % 40)] = 2;
  counts[n * n - 1] = 0;
  counts[n * n - 2] = 9;
  const names = Array.from({ length: n }, (_, i) => `class ${i}`);
  const { body, caption, width, legible = 0 } = confusionFigure(counts, names, 'All');
  expect(body.match(/<rect /g)).toHaveLength(drawn * drawn);
  // A name in each row and column, a share a row, and the two axes.
  expect(body.match(/<text /g)).toHaveLength(3 * drawn + 2);
  expect(caption.includes(`the ${drawn} of ${n} classes with the most mistakes`)).toBe(drawn < n);
  for (const name of [...names.slice(0, 40), ...names.slice(-2)]) expect(body).toContain(`>${name}<`);
  // Letters of 10 pixels keep at least 8 of them.
  expect(legible).toBeGreaterThanOrEqual(0.8 * width);
});

test('the tables of a confusion matrix have recall, precision and the most confused pairs', () => {
  const { tables = [] } = confusionFigure([6, 4, 0, 1, 9, 0, 0, 0, 0], ['cat', 'dog', 'emu'], 'All');
  expect(tables.map(({ head }) => head)).toEqual([
    ['class', 'images', 'right', 'recall', 'precision'],
    ['class', 'taken for', 'images', 'of the class'],
  ]);
  expect(tables[0].rows).toEqual([
    ['cat', '10', '6', '60.0 %', '85.7 %'],
    ['dog', '10', '9', '90.0 %', '69.2 %'],
    ['emu', '0', '0', '–', '–'],
  ]);
  expect(tables[1].rows).toEqual([
    ['cat', 'dog', '4', '40.0 %'],
    ['dog', 'cat', '1', '10.0 %'],
  ]);
  expect(confusionFigure([3, 0, 0, 3], ['a', 'b'], 'All').tables).toHaveLength(1);
});

test('mixed images are named with both classes and their shares, and unmixed ones with theirs', async () => {
  const model = smallModels()[0];
  const names = Array.from({ length: model.classes }, (_, i) => `a kind with the number ${i}`);
  const labelsOf = async (augment: string) => {
    const train = { ...noise(12, model.input, model.classes), classes: names };
    const [{ body }] = await draw(['augmented'], sourcesFor(model, { train, augment: augmentOptions(augment) }), { images: 8 });
    return [...body.matchAll(/<text [^>]*>([^<]*)</g)].map(([, text]) => text);
  };
  const mixed = await labelsOf('mixup');
  expect(mixed).toHaveLength(16);
  for (let i = 0; i < mixed.length; i += 2) {
    const shares = mixed.slice(i, i + 2).map((text) => /^a kind[^%]*… (\d+) %$/.exec(text)?.[1]);
    expect(Number(shares[0]) + Number(shares[1])).toBeGreaterThanOrEqual(99);
    expect(Number(shares[0]) + Number(shares[1])).toBeLessThanOrEqual(101);
  }
  expect(new Set(mixed).size).toBeGreaterThan(4);
  for (const label of await labelsOf('none')) expect(label).toMatch(/^a kind with the/);
});

test('the timeline is as full as each side was busy, epoch by epoch', () => {
  // Waits of events are shares since the epoch began: 0 after one step, half after two is a second step that waited all the time.
  const list = events({ epochs: 1 }).map((event) =>
    event.type === 'step' ? { ...event, dataWait: event.step > 1 ? 1 - 1 / event.step : 0, deviceWait: 0.25 } : event,
  );
  const record = RunRecord.from('/runs/a', { batch: 100 }, list);
  expect(record.trace.map(({ dataWait }) => Number(dataWait.toFixed(6)))).toEqual([0, 1, 1, 1]);
  expect(record.trace.map(({ deviceWait }) => Number(deviceWait.toFixed(6)))).toEqual([0.25, 0.25, 0.25, 0.25]);
  const figure = timelineFigure(record);
  expect(figure?.body).toMatch(/>data<[^>]*>[^>]*>75 %</);
  expect(figure?.body).toMatch(/>device<[^>]*>[^>]*>25 %</);
  expect(timelineFigure(RunRecord.from('/runs/a', {}, events().slice(0, 2)))).toBeNull();
});

test('records without the waits of the device, of the first version, have a timeline too', () => {
  const list = events({ epochs: 1 }).map((event) => ({ ...event, deviceWait: undefined }));
  const record = RunRecord.from('/runs/a', { batch: 100 }, list);
  expect(record.trace.every(({ deviceWait }) => deviceWait === 0)).toBe(true);
  expect(timelineFigure(record)?.body).not.toContain('NaN');
});

test('one spike does not flatten a curve: it is cut off, and the axis says so', () => {
  const points = Array.from({ length: 40 }, (_, i) => [i, i === 7 ? 900 : 2 - i / 40] as const);
  const { body } = chart({ title: 'Loss', series: [{ name: 'training', color: 'first', points }], x: 'epoch', format: String });
  expect(body).toContain('epoch; values up to 900 are cut off');
  expect(body).toContain('>2</text>');
  expect(body).not.toContain('>1000</text>');
});

test('probabilities of any logits sum to one, and there are none of what is not finite', () => {
  for (const logits of [[1, 2, 3], [1000, -1000], [0]])
    expect(probabilitiesOf([9, ...logits.slice(1), ...logits], 1, logits.length, 'it').reduce((a, b) => a + b)).toBeCloseTo(1, 12);
  expect([...probabilitiesOf([5, 5, 0, Math.log(3)], 1, 2, 'it')].map((p) => Math.round(4 * p))).toEqual([1, 3]);
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY])
    expect(() => probabilitiesOf([1, bad], 0, 2, 'it')).toThrow('the logits of it are not finite');
});

test('escaped text is harmless, and has no character that XML refuses', () => {
  expect(escaped('<a href="x">&\'\u0000\u0007\ud800')).toBe('&lt;a href=&quot;x&quot;&gt;&amp;&#39;');
  expect(escaped('ü 🙂')).toBe('ü 🙂');
});

const font = fileURLToPath(new URL('../../dist/app/report/DejaVuSans.ttf', import.meta.url));
describe('files', () => {
  const figure: Figure = {
    name: 'f',
    title: 'Words',
    caption: 'more words',
    width: 100,
    height: 20,
    body: '<text x="0" y="14">abc</text>',
  };

  test('the build has put the font where the renderer looks', () => expect(existsSync(font)).toBe(true));

  test('PNG has words without any font of the system', async () => {
    const png = decode(await render(figure, 'png'));
    const dark = (from: number, to: number) => {
      let count = 0;
      for (let i = from * png.width; i < to * png.width; i++) if (png.data[i * png.channels] < 128) count++;
      return count;
    };
    expect(png.width).toBe(280);
    expect(dark(30, 80)).toBeGreaterThan(100); // the title
    expect(dark(png.height - 80, png.height)).toBeGreaterThan(30); // the text of the body
  });

  test('SVG holds outlines in place of words', async () => {
    const svg = new TextDecoder().decode(await render(figure, 'svg'));
    expect(svg).not.toContain('<text');
    expect(svg.match(/<path/g)?.length).toBeGreaterThan(1);
  });
});
