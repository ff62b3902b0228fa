// The queue of calls: order, room, abort, and that every promise settles, whatever throws.

import { describe, expect, it } from 'vitest';
import { Calls, STOPPED } from '../../runtime/compile/calls.ts';

/** A call that ends when it is told to. */
function held<R>() {
  let end: (result: R | typeof STOPPED) => void = () => {};
  let fail: (error: Error) => void = () => {};
  const promise = new Promise<R | typeof STOPPED>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  return { start: () => promise, end: (result: R | typeof STOPPED) => end(result), fail: (error: Error) => fail(error) };
}

const open = (limit: number) => new Calls({ limit, failure: () => null });
const nothing = { prepare() {}, finish: () => {} };

describe('calls', () => {
  it.each([1, 2])('start in order as long as there is room for %i', async (limit) => {
    const calls = open(limit);
    const prepared: number[] = [];
    const runs = [0, 1, 2].map(() => held<number>());
    const results = runs.map(({ start }, i) =>
      calls.make({ prepare: () => void prepared.push(i), start, finish: (result: number) => result }),
    );
    expect(prepared).toEqual([0, 1, 2].slice(0, limit));
    expect([calls.startAtOnce, calls.areOver]).toEqual([false, false]);
    for (const [i, run] of runs.entries()) {
      run.end(10 * i);
      expect(await results[i]).toBe(10 * i);
    }
    expect(prepared).toEqual([0, 1, 2]);
    expect([calls.startAtOnce, calls.areOver]).toEqual([true, true]);
  });

  it.each(['prepare', 'start', 'finish', 'finish without start'])('that throw in %s reject, and the next one is made', async (where) => {
    const calls = open(1);
    const fail = (): never => {
      throw new Error(`in ${where}`);
    };
    const call = {
      prepare: where === 'prepare' ? fail : () => {},
      start: where === 'finish without start' ? undefined : where === 'start' ? fail : async () => 1,
      finish: where.startsWith('finish') ? fail : () => {},
    };
    await expect(calls.make(call)).rejects.toThrow(`in ${where}`);
    expect(await calls.make({ ...nothing, finish: () => 'next' })).toBe('next');
  });

  it('that fail on the device take all that wait with them', async () => {
    const calls = open(1);
    const run = held<void>();
    const made = [calls.make({ ...nothing, start: run.start }), calls.make(nothing), calls.make(nothing)];
    const error = new Error('the device is gone');
    run.fail(error);
    for (const outcome of await Promise.allSettled(made)) expect(outcome).toEqual({ status: 'rejected', reason: error });
  });

  it('that are aborted while they wait reject at once and are skipped at their turn', async () => {
    const calls = open(1);
    const run = held<void>();
    const seen: string[] = [];
    const first = calls.make({ ...nothing, start: run.start });
    const controller = new AbortController();
    const waits = { prepare: () => seen.push('prepared'), finish: () => {}, skip: () => seen.push('skipped'), signal: controller.signal };
    const aborted = calls.make(waits);
    const last = calls.make({ prepare: () => seen.push('last'), finish: () => {} });
    controller.abort();
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
    expect(seen).toEqual([]);
    run.end();
    await Promise.all([first, last]);
    expect(seen).toEqual(['skipped', 'last']);
  });

  it('that are aborted under way reject at once where they may, else when they stop, or come to their end', async () => {
    const calls = open(3);
    const controller = new AbortController();
    const { signal } = controller;
    const runs = [held<number>(), held<number>(), held<number>()];
    const [at, stopped, over] = runs.map(({ start }, i) =>
      calls.make({ signal, prepare() {}, start, finish: (result: number) => result, abandon: i === 0 ? undefined : () => false }),
    );
    controller.abort();
    await expect(at).rejects.toMatchObject({ name: 'AbortError' });
    runs[0].end(0);
    runs[1].end(STOPPED);
    runs[2].end(2);
    await expect(stopped).rejects.toMatchObject({ name: 'AbortError' });
    expect(await over).toBe(2);
    expect(calls.areOver).toBe(true);
  });

  it('are refused when it is closed, and those under way or waiting reject', async () => {
    const calls = open(1);
    const run = held<void>();
    const made = [calls.make({ ...nothing, start: run.start }), calls.make(nothing)];
    calls.close();
    run.end();
    for (const outcome of await Promise.allSettled(made))
      expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'AbortError' } });
    await expect(calls.make(nothing)).rejects.toThrow('the executable is closed');
  });
});
