// The summary table of keras-semantics.md, section 6.

import { describe, expect, test } from 'vitest';
import { buildModel } from '../../runtime/model/architectures.ts';
import { formatBytes, formatSummary, summarize } from '../../runtime/model/summary.ts';

const summaryOf = (arch: string) => summarize(buildModel(arch, { input: [32, 32, 3], classes: 10 }));

describe('data', () => {
  test('rows and totals of the first model', () => {
    const summary = summaryOf('convmixer-256-8');
    expect(summary).toMatchObject({
      arch: 'convmixer-256-8',
      layerCount: 64,
      total: { count: 602_890, bytes: 2_411_560 },
      trainable: { count: 594_186 },
      nonTrainable: { count: 8_704, bytes: 34_816 },
      flops: 296_227_840,
    });
    expect(summary.layers.length).toBe(64);
    expect(summary.layers[8]).toEqual({
      index: 8,
      name: 'add',
      type: 'Add',
      outputShape: [16, 16, 256],
      parameters: 0,
      connectedTo: ['batch_normalization_1', 'batch_normalization'],
      flops: 0,
    });
    expect(summary.layers[26]).toMatchObject({ name: 'depthwise_conv2d_3', parameters: 6_656, flops: 3_276_800 });
    expect(JSON.parse(JSON.stringify(summary))).toEqual(summary);
  });
});

describe('text', () => {
  const lines = (arch: string) => formatSummary(summaryOf(arch)).split('\n');
  const cells = (line: string) =>
    line
      .split(/[│┃]/)
      .slice(1, -1)
      .map((cell) => cell.trim());

  test.each([
    ['convmixer-256-8', '602,890 (2.30 MB)', '594,186 (2.27 MB)', '8,704 (34.00 KB)', '296,227,840', 64],
    ['conv-pooling', '2,197,590 (8.38 MB)', '2,197,200 (8.38 MB)', '390 (1.52 KB)', '307,631,104', 18],
    ['convmixer-2stage-flatten', '10,340,874 (39.45 MB)', '10,327,050 (39.39 MB)', '13,824 (54.00 KB)', '373,560,320', 68],
    ['convmixer-2stage', '1,954,570 (7.46 MB)', '1,940,746 (7.40 MB)', '13,824 (54.00 KB)', '356,788,224', 67],
    ['convmixer-256-8-block-residual', '602,890 (2.30 MB)', '594,186 (2.27 MB)', '8,704 (34.00 KB)', '296,227,840', 64],
  ])('totals of %s are written as Keras writes them', (arch, total, trainable, nonTrainable, flops, layers) => {
    expect(lines(arch).slice(-6)).toEqual([
      ` Total params: ${total}`,
      ` Trainable params: ${trainable}`,
      ` Non-trainable params: ${nonTrainable}`,
      ` FLOPs per image (forward): ${flops}`,
      ` Layers: ${layers}`,
      '',
    ]);
  });

  test('has Keras columns, with "Connected to" where the model adds', () => {
    const text = lines('convmixer-256-8');
    expect(text[0]).toBe('Model: "convmixer-256-8"');
    expect(cells(text[2])).toEqual(['#', 'Layer (type)', 'Output Shape', 'Param #', 'FLOPs', 'Connected to']);
    expect(cells(text[4])).toEqual(['0', 'input_layer (InputLayer)', '(None, 32, 32, 3)', '0', '-', '-']);
    expect(cells(text[4 + 8])).toEqual([
      '8',
      'add (Add)',
      '(None, 16, 16, 256)',
      '0',
      '-',
      'batch_normalization_1[0][0], batch_normalization[0][0]',
    ]);
    expect(cells(text[4 + 9])).toEqual(['9', 'conv2d_1 (Conv2D)', '(None, 16, 16, 256)', '65,792', '33,554,432', 'add[0][0]']);
  });

  test('a plain chain has no such column', () => {
    expect(cells(lines('conv-pooling')[2])).toEqual(['#', 'Layer (type)', 'Output Shape', 'Param #', 'FLOPs']);
  });

  test('is a box: all its lines are equally long', () => {
    for (const arch of ['convmixer-2stage', 'conv-pooling']) {
      const box = lines(arch).slice(1, -6);
      expect(new Set(box.map((line) => line.length)).size).toBe(1);
    }
  });
});

test('sizes', () => {
  expect([0, 1023, 1024, 1536, 1024 ** 2, 1024 ** 3].map(formatBytes)).toEqual([
    '0.00 B',
    '1023.00 B',
    '1.00 KB',
    '1.50 KB',
    '1.00 MB',
    '1.00 GB',
  ]);
});
