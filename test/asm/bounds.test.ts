// What counts as the machine's bound: the fastest run, and that of code that is optimised at last.

import { expect, test } from 'vitest';
import { fastest } from '../../asm/host/bounds.ts';

/** A clock that runs of so many milliseconds move on, by the time at which they begin. */
function clock(taken: (at: number) => number) {
  let at = 0;
  let runs = 0;
  return {
    now: () => at,
    run: async () => {
      runs++;
      at += taken(at);
    },
    runs: () => runs,
  };
}

test('the first runs may be slow for a quarter of a second', async () => {
  const { run, now } = clock((at) => (at < 250 ? 5 : 2));
  expect(await fastest(run, now)).toBeCloseTo(0.002, 9);
});

test('a disturbance is not the bound, and no gain for long is the end', async () => {
  const { run, now, runs } = clock((at) => (at >= 400 && at < 440 ? 40 : 100));
  expect(await fastest(run, now)).toBeCloseTo(0.04, 9);
  expect(runs()).toBeLessThan(30);
});
