// What the report says of a run in words: only what its records show.

import { expect, test } from 'vitest';
import { reportPage } from '../../app/report/html.ts';
import { RunRecord } from '../../app/report/record.ts';
import { guessOf, isLikeGuessing, verdictOf } from '../../app/report/verdict.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import type { EndReason, TrainEvent } from '../../runtime/train/events.ts';
import { START } from '../support/run-events.ts';

type Pair = readonly [loss: number, accuracy: number];
const metrics = ([loss, accuracy]: Pair) => ({ loss, accuracy });

/** A run by what its epochs reached in training and validation; the best is the one with the lowest validation loss. */
function record(epochs: readonly (readonly [Pair, Pair])[], end: { reason?: EndReason; test?: Pair } | null = {}, dataWait = 0) {
  const list: TrainEvent[] = [START];
  let lowest = Number.POSITIVE_INFINITY;
  for (const [i, [train, validation]] of epochs.entries()) {
    const best = validation[0] < lowest;
    lowest = Math.min(lowest, validation[0]);
    list.push({
      ...{ type: 'epoch', epoch: i + 1, train: metrics(train), validation: metrics(validation), lr: 0.1, best },
      ...{ imagesPerSecond: 390, seconds: 1, dataWait, deviceWait: 0 },
    });
  }
  const test = end?.test ? metrics(end.test) : null;
  if (end)
    list.push({ type: 'end', reason: end.reason ?? 'completed', epochs: epochs.length, best: { epoch: 1, loss: 1 }, test, run: null });
  return RunRecord.from('/runs/a', {}, list);
}

const GUESS = { className: 'cat', share: 0.1, images: 1000 };
const RISING: readonly (readonly [Pair, Pair])[] = [
  [
    [2, 0.3],
    [2, 0.3],
  ],
  [
    [1, 0.6],
    [1.2, 0.6],
  ],
  [
    [0.8, 0.7],
    [1, 0.68],
  ],
];

test('a good run is compared with guessing, and with its last epoch', () => {
  expect(verdictOf(record(RISING, { test: [0.9, 0.7] }), GUESS)).toEqual([
    '70.00 % of the 1,000 test images are classified correctly; answering "cat" for every image gives 10.00 %.',
    'The last epoch was the best: its validation loss is the lowest, and more epochs may lower it further.',
  ]);
});

test('what guessing explains is called that', () => {
  const [first] = verdictOf(record(RISING, { test: [2.3, 0.11] }), GUESS);
  expect(first).toBe(
    '11.00 % of the 1,000 test images are classified correctly: no better than guessing (answering "cat" for every image gives 10.00 %).',
  );
  expect(isLikeGuessing(0.119, GUESS)).toBe(false);
  expect(isLikeGuessing(1, { ...GUESS, share: 1 })).toBe(false);
});

test('without test images the best epoch of the validation counts, without a guess nothing is compared', () => {
  expect(verdictOf(record(RISING))[0]).toBe('68.00 % of the validation images are classified correctly.');
});

test('overfitting is told by the losses since the best epoch, with the numbers', () => {
  const over = [
    ...RISING,
    [
      [0.3, 0.9],
      [1.4, 0.66],
    ] as const,
  ];
  const said = verdictOf(record(over, { reason: 'early-stopped', test: [1, 0.68] }), GUESS);
  expect(said.slice(1)).toEqual([
    'The run stopped early, after epoch 4 of 3: the monitored loss had not improved since epoch 3.',
    'The best epoch is 3 of 4 (validation accuracy 68.00 %); the last one reached 66.00 %, 2.0 percentage points behind.',
    'Overfitting since epoch 3: the training loss fell from 0.800 to 0.300 while the validation loss rose from 1.000 to 1.400. More images, augmentation or dropout help.',
  ]);
  // A validation loss that rises with the training loss is another trouble.
  expect(
    verdictOf(
      record([
        ...RISING,
        [
          [0.9, 0.6],
          [1.4, 0.5],
        ] as const,
      ]),
    ).join(' '),
  ).not.toContain('Overfitting');
  expect(
    verdictOf(
      record([
        [
          [1, 0.9],
          [1, 0.79],
        ] as const,
      ]),
    ).join(' '),
  ).toContain('11.0 percentage points above the validation accuracy');
  expect(
    verdictOf(
      record([
        [
          [1, 0.9],
          [1, 0.81],
        ] as const,
      ]),
    ).join(' '),
  ).not.toContain('overfitting');
});

test.each([
  ['aborted', /stopped by its user after epoch 3 of 3; hybrid train --resume continues it/],
  ['diverged', /diverged after epoch 3 of 3: a lower learning rate/],
] as const)('a run that was %s is told as one', (reason, expected) => {
  expect(verdictOf(record(RISING, { reason })).join(' ')).toMatch(expected);
});

test('a run without an end says how to continue, one that waits for data what may help, and one in progress nothing', () => {
  expect(verdictOf(record(RISING, null)).join(' ')).toContain('without a record of its end after epoch 3 of 3');
  expect(verdictOf(record(RISING, {}, 0.3)).at(-1)).toContain('waited for data in 30 % of the training time');
  expect(verdictOf(record(RISING, {}, 0.1)).join(' ')).not.toContain('waited');
  const running = record(RISING, null);
  running.running = true;
  expect(verdictOf(running)).toEqual([]);
  expect(verdictOf(RunRecord.from('/runs/a', {}, []))).toEqual([]);
});

test('the verdict is on top of the page, before the warnings', () => {
  const done = record(RISING, { test: [0.9, 0.7] });
  done.warnings.push('the disk is nearly full');
  expect(reportPage(done, { guess: GUESS })).toMatch(
    /<h1>[\s\S]*<b>70\.00 % of the 1,000 test images[\s\S]*nearly full[\s\S]*class="cards"/,
  );
});

test('the guess is the most frequent class of the images', () => {
  const labels = Uint8Array.of(1, 1, 2, 0, 1);
  const set = memoryDataset({ name: 's', shape: [1, 1, 3], classes: ['a', 'b', 'c'], labels, images: new Uint8Array(15) });
  expect(guessOf(set)).toEqual({ className: 'b', share: 0.6, images: 5 });
});
