import { expect, test } from 'vitest';
import { benchData, formatData } from '../../bench/data.ts';

test('measures kernels and pipeline, and prints a line for each', async () => {
  const result = await benchData({ images: 600, workers: 1, rows: [128], seconds: 0.05 });
  expect(result.kernels.length).toBeGreaterThanOrEqual(4);
  expect(result.pipeline.map(({ workers, rows, handOver }) => [workers, rows, handOver])).toEqual([
    [0, 128, false],
    [0, 128, true],
    [1, 128, false],
    [1, 128, true],
  ]);
  for (const { imagesPerSecond, imagesPerCoreSecond } of [...result.kernels, ...result.pipeline]) {
    expect(imagesPerSecond).toBeGreaterThan(1000);
    expect(imagesPerCoreSecond).toBeGreaterThan(1000);
  }
  const text = formatData(result);
  for (const { name } of result.kernels) expect(text).toContain(name);
  expect(text).toContain('1 worker, 128 rows a task, handed over');
});
