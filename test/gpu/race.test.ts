// Races by a clock that the test moves: what wins, what does not, and when it ends.

import { describe, expect, it } from 'vitest';
import { race } from '../../gpu/host/race.ts';

/** Runners that take so many milliseconds a repeat, by their rounds; the last one is that of all that follow. */
function raceOf(times: readonly (readonly number[])[], { budget = 500, long = 2 } = {}) {
  let time = 0;
  const calls: [runner: number, repeats: number][] = [];
  const seen = times.map(() => -1); // the warm-up is no round
  const runners = times.map((own, i) => async (repeats: number) => {
    calls.push([i, repeats]);
    const round = i === 0 ? 0 : Math.max(0, seen[i]);
    seen[i]++;
    const ms = repeats * own[Math.min(round, own.length - 1)];
    time += ms;
    return ms;
  });
  return { calls, result: race(runners, { now: () => time, until: budget, long }), elapsed: () => time };
}

describe('a race', () => {
  it('is won by what is faster by more than a twentieth', async () => {
    expect((await raceOf([[1], [0.9], [0.8]]).result)?.winner).toBe(2);
    expect((await raceOf([[1], [0.96], [2]]).result)?.winner).toBe(0);
    expect((await raceOf([[1], [0.94]]).result)?.winner).toBe(1);
  });

  it('is not won by one lucky round', async () => {
    expect((await raceOf([[1], [1.2, 1.2, 0.5]]).result)?.winner).toBe(0);
    expect((await raceOf([[1], [0.7, 1.2, 0.7]]).result)?.winner).toBe(1);
  });

  it('lets all take turns, as often as a measurement lasts long enough', async () => {
    const { calls, result } = raceOf([[0.3], [0.3]]);
    await result;
    expect(calls.map(([runner, repeats]) => `${runner}:${repeats}`)).toEqual([
      ...['0:1', '1:1'], // the first of each
      ...['0:1', '0:2', '0:4', '0:8'], // until it lasts 2 ms
      ...['0:8', '1:8', '0:8', '1:8', '0:8', '1:8'],
    ]);
    expect((await result)?.milliseconds).toEqual([0.3, 0.3]);
  });

  it('ends with its time, and then nothing has won', async () => {
    const { result, elapsed, calls } = raceOf([[100], [10]]);
    expect(await result).toBe(null);
    expect(elapsed()).toBeLessThan(500 + 100); // a measurement that has begun ends
    expect(calls.length).toBeGreaterThan(4);
    const none = raceOf([[1], [1]], { budget: 0 });
    expect(await none.result).toBe(null);
    expect(none.calls).toEqual([]);
  });

  it('is no race where the clock stands still or runs backwards', async () => {
    expect(await raceOf([[0], [0]]).result).toBe(null);
    expect(await raceOf([[1], [-1]]).result).toBe(null);
    expect(await raceOf([[1], [Number.NaN]]).result).toBe(null);
  });
});
