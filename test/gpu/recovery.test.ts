// The order in which calls are repeated after a GPU was lost, over a fake executable whose runs end late, as a GPU's do, and whose writes are
// over at once. (What a real one does is in faults.test.ts and device.test.ts.)

import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { WebGpuExecutable } from '../../gpu/host/executable.ts';
import { RecoveringExecutable } from '../../gpu/host/recovery.ts';
import { abortError } from '../../runtime/base/errors.ts';

const HYPER = { learningRate: 1, weightDecay: 0, bnMomentum: 0.9 };
const batch = { rows: 1, images: new Uint8Array(1), labels: new Int32Array(1) };

/** An executable with one weight, to which every update adds 1. */
class Fake {
  readonly gpu = { isLost: false };
  readonly state = [];
  weight = 0;

  async #run<T>(compute: () => T, signal?: AbortSignal): Promise<T> {
    if (this.gpu.isLost) throw new Error('lost');
    const value = compute(); // the order on a GPU is that of the calls
    await setTimeout(5, undefined, { signal }).catch(() => {
      throw abortError(signal);
    });
    if (this.gpu.isLost) throw new Error('lost');
    return value;
  }

  gradient = (_: unknown, { signal }: { signal?: AbortSignal } = {}) => this.#run(() => ({ loss: 0, correct: 0 }), signal);
  update = () =>
    this.#run(() => {
      this.weight++;
      return { applied: true };
    });
  async write(_: string, [value]: ArrayLike<number> & Iterable<number>): Promise<void> {
    if (this.gpu.isLost) throw new Error('lost');
    this.weight = value;
  }
  read = () => this.#run(() => Float32Array.of(this.weight));
  snapshot = () => this.#run(() => this.weight);
  async restore(weight: number): Promise<void> {
    this.weight = weight;
  }
  async close(): Promise<void> {}
}

async function recovering() {
  const fakes: Fake[] = [];
  const create = async () => {
    fakes.push(new Fake());
    return fakes.at(-1) as unknown as WebGpuExecutable;
  };
  return { fakes, executable: await RecoveringExecutable.create({ create, onClose() {} }) };
}

describe('after the loss of a GPU', () => {
  it('a write is repeated behind the updates that were called before it and ended after it', async () => {
    const { fakes, executable } = await recovering();
    await Promise.all([executable.gradient(batch), executable.update(HYPER), executable.write('w', [100])]);
    await Promise.all([executable.gradient(batch), executable.update(HYPER)]);
    expect([...(await executable.read('w'))]).toEqual([101]);
    fakes[0].gpu.isLost = true;
    expect([...(await executable.read('w'))]).toEqual([101]);
    expect(fakes.length).toBe(2);
  });

  it('who hears that a call has failed makes another one, and has an answer', async () => {
    const { fakes, executable } = await recovering();
    const controller = new AbortController();
    const gradient = executable.gradient(batch, { signal: controller.signal });
    const update = executable.update(HYPER);
    controller.abort();
    const answer = update.then(
      () => expect.unreachable(),
      () => executable.read('w'), // at once, not a few ticks later
    );
    await expect(gradient).rejects.toMatchObject({ name: 'AbortError' });
    fakes[0].gpu.isLost = true;
    expect([...(await answer)]).toEqual([0]);
  });
});
