// Case 25 in the library (signals to the process are in test/cli/main.test.ts), and case 26: memory that cannot be had.

import { describe, expect, it, vi } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { train } from '../../runtime/train/run.ts';
import { hybridError } from '../support/expect-error.ts';
import { digestOf, MemoryStore, runPart, smallOptions } from '../support/runs.ts';

const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 16, depth: 2, kernel: 5, patch: 2 });

describe('case 25: an AbortSignal', () => {
  it('stops a run within a second, saves its state, and leaves the threads usable', async () => {
    const device = await openWasmDevice({ threads: 2 });
    try {
      const whole = new MemoryStore();
      await runPart(smallOptions({ device, model, store: whole }));
      for (const delay of [0, 3, 10, 30]) {
        const store = new MemoryStore();
        const controller = new AbortController();
        const run = train(smallOptions({ device, model, epochs: 10_000, store, signal: controller.signal }));
        for await (const event of run) {
          if (event.type !== 'step') continue;
          setTimeout(() => controller.abort(), delay);
          break;
        }
        await new Promise((resolve) => controller.signal.addEventListener('abort', resolve));
        const start = performance.now();
        await expect(run.result).resolves.toMatchObject({ reason: 'aborted', test: null });
        expect(performance.now() - start).toBeLessThan(1000);
        // The state is that after a whole number of steps.
        const last = await store.load('last');
        const { epoch, step } = last?.progress as { epoch: number; step: number };
        expect(last?.optimizer.get('optimizer/vars/0')?.data[0]).toBe((epoch - 1) * 6 + step);
        // The same device goes on to compute the same.
        const again = new MemoryStore();
        await runPart(smallOptions({ device, model, store: again }));
        expect(digestOf((await again.load('last')) as never)).toBe(digestOf((await whole.load('last')) as never));
      }
    } finally {
      await device.close();
    }
  });
});

describe('case 26: memory that the system refuses', () => {
  it('is an error with what was asked for and what to do, and the device stays usable', async () => {
    const device = await openWasmDevice({ threads: 1 });
    try {
      const { Memory } = WebAssembly;
      const refuse = vi.spyOn(WebAssembly, 'Memory').mockImplementation(function refusing() {
        throw new RangeError('WebAssembly.Memory(): could not allocate memory');
      } as never);
      const error = await hybridError('E_MEMORY', runPart(smallOptions({ device, model })));
      expect(error.message).toMatch(/^a batch of 8 needs [\d,]+ MiB of memory, and the operating system refused the allocation$/);
      expect(error.remedy).toMatch(/`batch: \d+`|smaller model/);
      refuse.mockRestore();
      expect(WebAssembly.Memory).toBe(Memory);
      await expect(runPart(smallOptions({ device, model }))).resolves.toMatchObject({ result: { reason: 'completed' } });
    } finally {
      await device.close();
    }
  });
});
