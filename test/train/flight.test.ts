// Steps in flight: a device that submits ahead is kept supplied, and everything comes out as if each step had been waited for.

import { describe, expect, it, vi } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { LoadedBatch } from '../../runtime/data/epoch.ts';
import type { Device } from '../../runtime/device.ts';
import { time as hostTime } from '../../runtime/hosts/clock.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import type { TrainOptions } from '../../runtime/train/events.ts';
import { Flight } from '../../runtime/train/flight.ts';
import { aheadOf } from '../support/ahead.ts';
import { hybridError } from '../support/expect-error.ts';
import { digestOf, MemoryStore, ofType, runPart, smallOptions } from '../support/runs.ts';

const STEPS = 3;

interface Changes extends Partial<TrainOptions> {
  readonly failing?: (run: number) => boolean;
  readonly lateMs?: number;
  readonly stopAt?: number;
  readonly on?: Device;
}

/** A run on the reference device whose results come late, with `ahead` steps in flight; 0: each gradient is waited for. */
async function run(ahead: number, { failing, lateMs, stopAt, on = openReferenceDevice(), ...changes }: Changes = {}) {
  const store = new MemoryStore();
  const { device, seen } = aheadOf(on, { steps: ahead, lateMs, failing });
  const { result, events } = await runPart(smallOptions({ device, store, ...changes }), stopAt);
  const saved = store.saved.map(({ kind, checkpoint }) => [
    kind,
    checkpoint.progress.epoch,
    checkpoint.progress.step,
    digestOf(checkpoint),
  ]);
  return { result, events, seen, store, saved };
}

const told = (events: Parameters<typeof ofType>[0]) => [
  ...ofType(events, 'step').map(({ epoch, step, loss, accuracy, lr }) => [epoch, step, loss, accuracy, lr]),
  ...ofType(events, 'epoch').map(({ epoch, train, validation, lr }) => [epoch, train, validation, lr]),
];

describe('steps in flight', () => {
  it('are as many as the device likes, and late results hold nothing up', async () => {
    const lateMs = 60;
    const slow = await run(0, { lateMs, epochs: 1, validation: null, test: null });
    const fast = await run(STEPS, { lateMs, epochs: 1, validation: null, test: null });
    expect(slow.seen.mostInFlight).toBeLessThanOrEqual(2);
    expect(fast.seen.mostInFlight).toBe(STEPS);
    expect(told(fast.events)).toEqual(told(slow.events));
  });

  it.each([1, 2])('leave every checkpoint as it is: every %i steps', async (steps) => {
    const changes = { checkpointEvery: { steps }, schedule: { name: 'one-cycle' } } as const;
    const [expected, actual] = [await run(0, changes), await run(STEPS, changes)];
    expect(told(actual.events)).toEqual(told(expected.events));
    expect(actual.saved.length).toBeGreaterThan(4);
    // Which of them are written depends on how long writing takes; not what is in them.
    const all = new Set((await run(0, { ...changes, checkpointEvery: { steps: 1 } })).saved.map(String));
    for (const save of actual.saved) expect(all).toContain(String(save));
    expect(actual.saved.at(-1)).toEqual(expected.saved.at(-1));
  });

  it.each(['skip', 'rollback'] as const)('--on-nan %s: goes on as if the steps behind had waited', async (onNan) => {
    // Once, because runs are counted here, and rolling back does some of them twice.
    const failing = (n: number) => n === 9;
    const [expected, actual] = [await run(0, { failing, onNan }), await run(STEPS, { failing, onNan })];
    for (const type of ['message', 'resume'] as const) expect(ofType(actual.events, type)).toEqual(ofType(expected.events, type));
    expect(told(actual.events)).toEqual(told(expected.events));
    expect(actual.saved).toEqual(expected.saved);
  });

  it('--on-nan stop: the error names the step, and nothing behind it is told or saved', async () => {
    const store = new MemoryStore();
    const { device } = aheadOf(openReferenceDevice(), { steps: STEPS, failing: (n) => n === 9 });
    const error = await hybridError('E_DIVERGED', runPart(smallOptions({ device, store, checkpointEvery: { steps: 1 } })));
    expect(error.message).toMatch(/^epoch 2, step 3: the loss is NaN/);
    expect(store.saved.at(-1)?.checkpoint.progress).toMatchObject({ epoch: 2, step: 2 });
  });

  it('a stopped run ends with the state after its last completed step, wherever it is stopped, and goes on from there', async () => {
    const on = await openWasmDevice({ threads: 1 }); // the reference device does not resume bit for bit
    const whole = await run(0, { on, checkpointEvery: { steps: 1 } });
    const after = new Map(whole.saved.map(([, epoch, step, digest]) => [`${epoch} ${step}`, digest]));
    for (const stopAt of [1, 3, 5, 6, 7, 11]) {
      const stopped = await run(STEPS, { on, stopAt });
      expect(stopped.result.reason).toBe('aborted');
      const [, epoch, step, digest] = stopped.saved.at(-1) as (typeof stopped.saved)[number];
      expect(ofType(stopped.events, 'step').at(-1)).toMatchObject({ epoch, step });
      expect(6 * (Number(epoch) - 1) + Number(step)).toBeGreaterThanOrEqual(stopAt);
      if (after.has(`${epoch} ${step}`)) expect(digest).toBe(after.get(`${epoch} ${step}`));
      const resumed = await run(STEPS, { on, resume: (await stopped.store.load('last')) ?? undefined });
      expect(resumed.saved.at(-1)).toEqual(whole.saved.at(-1));
    }
    await on.close();
  });
});

describe('a step that fails while the one before it is under way', () => {
  it('leaves it time to end', async () => {
    const batches = (async function* () {
      for (let index = 0; index < 2; index++) yield { index } as LoadedBatch;
    })() as AsyncIterator<LoadedBatch, undefined>;
    const flight = new Flight({
      batches,
      ahead: 0,
      signal: new AbortController().signal,
      begin: ({ index }) => ({ index, gradient: index === 0 ? Promise.resolve('gradient') : Promise.reject(new Error('second')) }),
      // By a timer: promises that are awaited round and round would keep it from ever coming.
      finish: () => new Promise((resolve) => setTimeout(() => resolve('update'), 20)),
      onWait() {},
      onIdle() {},
    });
    const told: unknown[] = [];
    const flown = (async () => {
      for await (const [step, ...results] of flight) told.push([step.index, ...results]);
    })();
    await expect(flown).rejects.toThrow('second');
    expect(told).toEqual([[0, 'gradient', 'update']]);
  });
});

describe('what is told of waiting', () => {
  /** Time that passes only where everybody waits for it. */
  class Simulation {
    now = 0;
    readonly #timers: { readonly at: number; readonly ring: () => void }[] = [];

    sleepUntil(at: number): Promise<void> {
      return at <= this.now ? Promise.resolve() : new Promise((ring) => this.#timers.push({ at, ring }));
    }

    /** From timer to timer, until `work` is over. */
    async run(work: Promise<unknown>): Promise<void> {
      let isOver = false;
      void work.finally(() => {
        isOver = true;
      });
      for (;;) {
        await new Promise(setImmediate); // all promises that can settle have
        if (isOver) return;
        const next = this.#timers.reduce((first, timer) => (timer.at < first.at ? timer : first));
        this.#timers.splice(this.#timers.indexOf(next), 1);
        this.now = next.at;
        next.ring();
      }
    }
  }

  /** Ten steps of a device that takes `device` a gradient, over a source that has a batch every `source`. */
  async function waits(device: number, source: number, ahead: number) {
    const STEPS = 10;
    const time = new Simulation();
    const clock = vi.spyOn(hostTime, 'now').mockImplementation(() => time.now);
    try {
      const batches = (async function* () {
        for (let index = 0; index < STEPS; index++) {
          await time.sleepUntil((index + 1) * source);
          yield { index } as LoadedBatch;
        }
      })() as AsyncIterator<LoadedBatch, undefined>;
      let free = 0;
      const flight = new Flight({
        batches,
        ahead,
        signal: new AbortController().signal,
        begin() {
          free = Math.max(free, time.now) + device;
          return { gradient: time.sleepUntil(free) };
        },
        finish: async ({ gradient }) => gradient,
        onWait() {},
        onIdle() {},
      });
      const flown = (async () => {
        for await (const _ of flight);
      })();
      await time.run(flown);
      await flown;
      return { took: time.now, ...flight.waits };
    } finally {
      clock.mockRestore();
    }
  }

  it.each([
    0, 3,
  ])('a device and a source take as long as the slower of both, which is what is waited for: %i steps ahead', async (ahead) => {
    // Batches are there when they are wanted, but for the first.
    expect(await waits(120, 100, ahead)).toMatchObject({ took: 100 + 10 * 120, data: 100 });
    expect(await waits(120, 0, ahead)).toMatchObject({ took: 10 * 120, data: 0 });
    // Nine times the device is through 80 before the next batch comes.
    expect(await waits(20, 100, ahead)).toMatchObject({ took: 10 * 100 + 20, data: 100 + 9 * 80 });
  });

  it('of the device is what is left of its steps when the next batch is there', async () => {
    expect((await waits(120, 0, 0)).device).toBe(10 * 120);
    expect((await waits(120, 100, 0)).device).toBe(20 + 40 + 60 + 80 + 100 + 4 * 120 + 120);
    expect((await waits(20, 100, 0)).device).toBe(20);
  });
});
