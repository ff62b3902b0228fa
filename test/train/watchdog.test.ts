import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { train } from '../../runtime/train/run.ts';
import { Watchdog } from '../../runtime/train/watchdog.ts';
import { smallOptions } from '../support/runs.ts';

const told: string[] = [];
beforeEach(() => {
  told.length = 0;
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const watch = () => new Watchdog({ limitMs: 60_000, onStall: (text) => told.push(text) });

it('speaks once when nothing happens, and when it goes on', () => {
  const dog = watch();
  dog.begin('the device', 'gradient of epoch 1, step 1');
  vi.advanceTimersByTime(55_000);
  expect(told).toEqual([]);
  vi.advanceTimersByTime(200_000);
  expect(told).toEqual(['No progress for 60 s: waiting for the device (gradient of epoch 1, step 1).']);
  dog.begin('the next images', 'epoch 1, step 2');
  expect(told[1]).toBe('The run continues: the device (gradient of epoch 1, step 1) took 255 s.');
  dog.stop();
  vi.advanceTimersByTime(1e6);
  expect(told).toHaveLength(2);
});

it('is patient with what is slow by nature', () => {
  const dog = watch();
  dog.begin('the device', 'step 1');
  vi.advanceTimersByTime(50_000);
  dog.begin('the device', 'step 2');
  vi.advanceTimersByTime(490_000);
  expect(told).toEqual([]);
  vi.advanceTimersByTime(30_000);
  expect(told).toHaveLength(1);
  dog.stop();
});

it('a run whose device hangs says where', async () => {
  vi.useRealTimers();
  const device = openReferenceDevice();
  const controller = new AbortController();
  const run = train(
    smallOptions({
      stallSeconds: 0.05,
      signal: controller.signal,
      device: {
        ...device,
        async compile(graphs, options) {
          const executable = await device.compile(graphs, options);
          const gradient = executable.gradient.bind(executable);
          let runs = 0;
          executable.gradient = (batch, options) => {
            if (++runs < 4) return gradient(batch, options);
            return new Promise((_, reject) => {
              options?.signal?.addEventListener('abort', () => reject(Object.assign(new Error('aborted'), { name: 'AbortError' })));
            });
          };
          return executable;
        },
      },
    }),
  );
  for await (const event of run) {
    // Bringing everything up may take longer than that as well.
    if (event.type !== 'message' || !/^No progress .* the device \(gradient of epoch 1, step 4\)\.$/.test(event.text)) continue;
    expect(event.level).toBe('warning');
    told.push(event.text);
    controller.abort();
  }
  await expect(run.result).resolves.toMatchObject({ reason: 'aborted' });
  expect(told).toHaveLength(1);
});
