import { describe, expect, test } from 'vitest';
import type { CliIo } from '../../cli/io.ts';
import { count, duration, Progress } from '../../cli/progress.ts';
import { hasUnicode, sparkline, wrapped } from '../../cli/style.ts';
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
  deviceWait: 0.9,
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
  deviceWait: 0.9,
  best: true,
};

function record({ tty = true, env = {}, columns = 200 }: { tty?: boolean; env?: Record<string, string>; columns?: number } = {}) {
  const written: string[] = [];
  const clock = { ms: 0 };
  const stderr = { isTTY: tty, columns, write: (text: string) => written.push(text) };
  const io = { env, stderr } as unknown as CliIo;
  return { progress: new Progress(io, () => clock.ms), written, clock, stderr };
}

const ESC = '\x1b';
const CONTROLS = new RegExp(`${ESC}\\[(\\d+)A|${ESC}\\[([JK])|${ESC}\\[([\\d;]*m)|([\\s\\S])`, 'g');

/** What a terminal shows in the end, of what it showed `before`: carriage returns, cursor up, erasing. Colours are left out. */
function screen(written: readonly string[], before: readonly string[] = ['']): string[] {
  const lines = [...before];
  let [row, column] = [lines.length - 1, lines[lines.length - 1].length];
  for (const [, up, erase, color, char] of written.join('').matchAll(CONTROLS)) {
    if (up) row -= Number(up);
    else if (color !== undefined) continue;
    else if (erase) {
      lines[row] = lines[row].slice(0, column);
      if (erase === 'J') lines.length = row + 1;
    } else if (char === '\r') column = 0;
    else if (char === '\n') {
      row++;
      column = 0;
      lines[row] ??= '';
    } else {
      lines[row] = lines[row].slice(0, column).padEnd(column) + char + lines[row].slice(column + 1);
      column++;
    }
  }
  return lines;
}

const UTF8 = { LANG: 'en_US.UTF-8', NO_COLOR: '1' };

test('counts one thing and several', () => {
  expect([count(1, 'step'), count(0, 'step'), count(1234, 'step'), count(1234)]).toEqual(['1 step', '0 steps', '1,234 steps', '1,234']);
  const { progress, written } = record({ tty: false });
  progress.event({ ...start, trainImages: 1, stepsPerEpoch: 1 });
  expect(written.join('')).toContain('1 image for training, 640 for validation, 1,000 for the test; 1 step an epoch');
});

test('a width of 0 is none that is known', () => {
  const panel = (columns: number) => {
    const { progress, written } = record({ env: UTF8, columns });
    progress.event(start);
    progress.event(step(1));
    return screen(written).slice(-2);
  };
  expect(panel(0)).toEqual(panel(80));
});

describe('on a terminal', () => {
  test('steps redraw a panel of two lines, at most ten times a second; epochs stay', () => {
    const { progress, written, clock } = record({ env: UTF8, columns: 120 });
    progress.event(start);
    for (let n = 1; n <= 50; n++) {
      progress.event(step(n));
      clock.ms += 10;
    }
    expect(written.length - 2).toBe(5);
    const [, , first, second] = screen(written);
    expect(first).toBe(`epoch 2/3 ${'━'.repeat(33)}${'─'.repeat(7)} 82%  epoch 9:28, run 1:02:05 left`);
    expect(second).toMatch(/^loss 1\.235 [▁-█]+ {2}acc 50\.0% {2}1,230 images\/s {2}data wait 1% {2}lr 0\.001$/);
    progress.event(epoch);
    expect(screen(written).slice(2)).toEqual([
      'epoch 2/3  loss 1.2000 acc 50.0%  val loss 1.1000 acc 62.5%  1:01 *best  98.8 images/s  lr 0.001  data wait 0%',
      '',
    ]);
  });

  test.each([20, 59, 60, 80, 300])('nothing is wider than a terminal of %i columns, or leaves something behind', (columns) => {
    const { progress, written, clock } = record({ env: UTF8, columns });
    progress.event(start);
    const said = screen(written).length - 1;
    for (let n = 1; n <= 50; n += 7) {
      progress.event(step(n));
      clock.ms += 1000;
      expect(
        Math.max(
          ...screen(written)
            .slice(said)
            .map((line) => line.length),
        ),
      ).toBeLessThan(columns);
      progress.status('x'.repeat(400));
      clock.ms += 1000;
    }
    progress.clear();
    expect(screen(written).slice(said)).toEqual(['']);
    expect(written.at(-1)?.endsWith('\x1b[J')).toBe(true);
  });

  test.each([
    [140, 'epoch 2/3  loss 1.2000 acc 50.0%  val loss 1.1000 acc 62.5%  1:01 *best  98.8 images/s  lr 0.001  data wait 0%'],
    [80, 'epoch 2/3  loss 1.2000 acc 50.0%  val loss 1.1000 acc 62.5%  1:01 *best'],
    [60, 'epoch 2/3  1.200 50.0%  val 1.100 62.5%  1:01 *best'],
    [40, 'epoch 2/3  1.200 50.0%  val 1.100 62.5%'],
  ])('an epoch is one line of %i columns', (columns, line) => {
    const { progress, written } = record({ env: UTF8, columns });
    progress.event(start);
    const said = screen(written).length - 1;
    progress.event(epoch);
    expect(screen(written).slice(said)).toEqual([line, '']);
  });

  test.each([
    [
      80,
      /^epoch 2\/3 ━+─+ 82% {2}epoch 9:28, run 1:02:05 left$/,
      /^loss 1\.235 [▁-█]+ {2}acc 50\.0% {2}1,230 images\/s {2}data wait 1% {2}lr 0\.001$/,
    ],
    [60, /^epoch 2\/3 ━+─+ 82% {2}epoch 9:28, run 1:02:05 left$/, /^loss 1\.235 [▁-█]+ {2}acc 50\.0% {2}1,230 images\/s {2}data wait 1%$/],
    [40, /^epoch 2\/3 {2}82% {2}run 1:02:05 left$/, /^loss 1\.235 {2}acc 50\.0% {2}1,230 images\/s$/],
  ])('the panel is not cut at %i columns: what has no room is left out', (columns, first, second) => {
    const { progress, written, clock } = record({ env: UTF8, columns });
    progress.event(start);
    const said = screen(written).length - 1;
    for (let n = 1; n <= 41; n++) {
      progress.event(step(n));
      clock.ms += 1000;
    }
    const lines = screen(written).slice(said);
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(first);
    expect(lines[1]).toMatch(second);
  });

  test.each([60, 35, 140])('a terminal of 120 columns that is made %i columns wide keeps nothing of the old panel', (columns) => {
    const { progress, written, clock, stderr } = record({ env: UTF8, columns: 120 });
    progress.line('before');
    progress.event(step(20));
    // Terminals wrap what does not fit any more, and keep the cursor behind the last character.
    const wrapped = screen(written).flatMap((line) => line.match(new RegExp(`.{1,${columns}}`, 'gu')) ?? ['']);
    written.length = 0;
    stderr.columns = columns;
    clock.ms += 1000;
    progress.event(step(21));
    const lines = screen(written, wrapped);
    expect(lines).toHaveLength(3);
    expect(lines[0]).toBe('before');
    expect(lines[1]).toMatch(/^epoch 2\/1/);
    progress.clear();
    expect(screen(written, wrapped)).toEqual(['before', '']);
  });

  test("Windows' terminals draw bars, its old console ASCII", () => {
    for (const env of [{ WT_SESSION: '1' }, { TERM_PROGRAM: 'vscode' }, { TERM: 'xterm-256color' }, { ConEmuTask: '{cmd::Cmder}' }]) {
      expect(hasUnicode(env, 'win32')).toBe(true);
    }
    expect(hasUnicode({ LANG: 'en_US.UTF-8' }, 'win32')).toBe(false);
  });

  test('colours are there unless NO_COLOR is set; without UTF-8 all is ASCII', () => {
    const draw = (env: Record<string, string>) => {
      const { progress, written } = record({ env, columns: 100 });
      progress.event(start);
      progress.event(step(10));
      return written.join('');
    };
    expect(draw({ LANG: 'C.UTF-8' })).toContain('\x1b[36m━');
    expect(draw({ LANG: 'C.UTF-8', NO_COLOR: '1' })).not.toMatch(new RegExp(`${ESC}\\[[\\d;]+m`));
    expect(draw({ LANG: 'C.UTF-8', NO_COLOR: '' })).toContain('\x1b[2m');
    expect(draw({ LC_ALL: 'C', LANG: 'C.UTF-8' })).toMatch(/^[\p{ASCII}]*$/u);
  });

  test('a device that waits for data stands out', () => {
    const { progress, written } = record({ env: { LANG: 'C.UTF-8' } });
    progress.event(start);
    progress.event({ ...step(10), dataWait: 0.34 } as TrainEvent);
    expect(written.join('')).toContain('\x1b[33m34%\x1b[0m');
  });

  test('clear takes away what was drawn, once', () => {
    const { progress, written } = record();
    progress.clear();
    progress.status('a');
    progress.clear();
    progress.clear();
    expect(written).toEqual(['\ra\x1b[J', '\r\x1b[J']);
  });
});

test('a line of bars goes from the lowest to the highest value, whatever they are', () => {
  expect(sparkline([3, 2, 1, Number.NaN, 0])).toBe('█▆▃▁');
  expect(sparkline([5, 5])).toBe('▁▁');
  expect(sparkline([])).toBe('');
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

describe('long messages', () => {
  const text = 'the validation loss has not improved for five epochs: the run stops early, and its best weights are those of epoch 7';
  const told = (tty: boolean, columns: number) => {
    const { progress, written } = record({ tty, columns, env: { NO_COLOR: '1' } });
    progress.line(text);
    progress.warn(text);
    return written.join('');
  };

  test.each([30, 60, 80])('are broken between words on a terminal of %i columns', (columns) => {
    const lines = told(true, columns).trimEnd().split('\n');
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
    expect(lines.length).toBeGreaterThan(3);
    expect(lines.join(' ').replace(/ +/g, ' ')).toBe(`${text} warning: ${text}`);
    expect(lines[1]).toMatch(/^ {2}\S/);
  });

  test('are whole in files and pipes, on wide terminals and where the width is not known', () => {
    for (const [tty, columns] of [
      [false, 30],
      [true, 200],
      [true, 0],
    ] as const)
      expect(told(tty, columns)).toBe(`${text}\nwarning: ${text}\n`);
  });

  test('words that are longer than a line stay whole, indents and line ends too', () => {
    expect(wrapped('see https://example.org/a/long/address now', 12)).toBe('see\n  https://example.org/a/long/address\n  now');
    expect(wrapped('  one two\nthree', 7)).toBe('  one\n    two\nthree');
    expect(wrapped('', 5)).toBe('');
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
