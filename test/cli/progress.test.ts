import { describe, expect, test } from 'vitest';
import type { CliIo } from '../../cli/io.ts';
import { duration, Progress } from '../../cli/progress.ts';
import type { TrainEvent } from '../../runtime/index.ts';

const start: TrainEvent = {
  type: 'start',
  schema: 1,
  arch: 'convmixer',
  device: 'two threads',
  epochs: 3,
  stepsPerEpoch: 50,
  parameters: 12_345,
  trainImages: 6400,
  validationImages: 640,
  testImages: 1000,
};
const step = (n: number): TrainEvent => ({
  type: 'step',
  epoch: 2,
  step: n,
  loss: 1.23456,
  accuracy: 0.5,
  lr: 0.001,
  imagesPerSecond: 1234.5,
  dataWait: 0.012,
  etaSeconds: 3725,
});
const epoch: TrainEvent = {
  type: 'epoch',
  epoch: 2,
  train: { loss: 1.2, accuracy: 0.5 },
  validation: { loss: 1.1, accuracy: 0.625 },
  lr: 0.0010000000474974513,
  imagesPerSecond: 98.76,
  seconds: 61,
  dataWait: 0,
  best: true,
};

function record({ tty = true, env = {}, columns = 200 }: { tty?: boolean; env?: Record<string, string>; columns?: number } = {}) {
  const written: string[] = [];
  const clock = { ms: 0 };
  const io = { env, stderr: { isTTY: tty, columns, write: (text: string) => written.push(text) } } as unknown as CliIo;
  return { progress: new Progress(io, () => clock.ms), written, clock };
}

describe('on a terminal', () => {
  test('steps redraw one line, at most ten times a second; epochs stay', () => {
    const { progress, written, clock } = record();
    progress.event(start);
    written.length = 0;
    for (let n = 1; n <= 50; n++) {
      progress.event(step(n));
      clock.ms += 10;
    }
    expect(written).toHaveLength(5);
    expect(written[0]).toBe('\r\x1b[Kepoch 2/3   2%  1:02:05 left  loss 1.2346  acc 50.0%  lr 0.001  1,230 images/s  data wait 1%');
    written.length = 0;
    progress.event(epoch);
    expect(written).toEqual([
      '\r\x1b[K',
      'epoch 2/3  loss 1.2000 accuracy 50.00 %  validation loss 1.1000 accuracy 62.50 %  lr 0.001  98.8 images/s  data wait 0%  1:01 *best\n',
    ]);
  });

  test('the line is cut so that it cannot wrap', () => {
    const { progress, written } = record({ columns: 20 });
    progress.status('x'.repeat(50));
    expect(written).toEqual([`\r\x1b[K${'x'.repeat(19)}`]);
  });

  test('clear takes away what was drawn, once', () => {
    const { progress, written } = record();
    progress.clear();
    progress.status('a');
    progress.clear();
    progress.clear();
    expect(written).toEqual(['\r\x1b[Ka', '\r\x1b[K']);
  });
});

describe.each([
  ['without a terminal', { tty: false }],
  ['with TERM=dumb', { env: { TERM: 'dumb' } }],
  ['in continuous integration', { env: { CI: 'true' } }],
])('%s', (_, options) => {
  test('there are whole lines only, and a heartbeat a minute', () => {
    const { progress, written, clock } = record(options);
    progress.event(start);
    written.length = 0;
    for (let n = 1; n <= 50; n++) {
      clock.ms += 5000;
      progress.event(step(n));
    }
    progress.event(epoch);
    expect(written).toHaveLength(5);
    for (const line of written) expect(line).toMatch(/^epoch 2\/3 [\P{Control}]*\n$/u);
  });
});

test('messages and warnings are lines', () => {
  const { progress, written } = record({ tty: false });
  progress.event({ type: 'message', level: 'info', text: 'better' });
  progress.event({ type: 'message', level: 'warning', text: 'careful' });
  expect(written).toEqual(['better\n', 'warning: careful\n']);
});

test.each([
  [0, '0:00'],
  [59.6, '1:00'],
  [3600, '1:00:00'],
  [-1, '0:00'],
])('%s seconds are %s', (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});
