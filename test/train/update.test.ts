// What settings of a run say to its update: how long the gradients of a step may be, and what decays.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { initialize } from '../../runtime/model/init.ts';
import type { Checkpoint } from '../../runtime/train/checkpoint.ts';
import type { TrainOptions } from '../../runtime/train/events.ts';
import { hybridError } from '../support/expect-error.ts';
import { digestOf, MemoryStore, runPart, smallModel, smallOptions } from '../support/runs.ts';

let device: Device;
let two: Device;
beforeAll(async () => {
  [device, two] = [await openWasmDevice({ threads: 1 }), await openWasmDevice({ threads: 2 })];
});
afterAll(async () => {
  await device.close();
  await two.close();
});

async function lastOf(changes: Partial<TrainOptions>, stopAt?: number): Promise<Checkpoint> {
  const store = new MemoryStore();
  await runPart(smallOptions({ device, validation: null, test: null, store, ...changes }), stopAt);
  return (await store.load('last')) as Checkpoint;
}

/** One step with all images. */
const ONE = { epochs: 1, batch: 43, schedule: { name: 'constant' } } as const;

describe('clipNorm', () => {
  const plain = { ...ONE, optimizer: { name: 'sgd', momentum: 0, nesterov: false }, learningRate: 1, weightDecay: 0 } as const;
  const before = initialize(smallModel, 7n);
  const moved = ({ weights }: Checkpoint): number => {
    let sum = 0;
    for (const { name, kind } of smallModel.variables) {
      if (kind !== 'parameter') continue;
      const [from, to] = [before.get(name) as Float32Array, weights.get(name)?.data as Float32Array];
      for (let i = 0; i < from.length; i++) sum += (to[i] - from[i]) ** 2;
    }
    return Math.sqrt(sum);
  };

  it('a step with the gradients alone is as long as they may be, all parameters together', async () => {
    const free = moved(await lastOf(plain));
    expect(free).toBeGreaterThan(0.1);
    expect(moved(await lastOf({ ...plain, clipNorm: 0.05 }))).toBeCloseTo(0.05, 6);
    expect(moved(await lastOf({ ...plain, clipNorm: 2 * free }))).toBeCloseTo(free, 6);
  });

  it('changes no bit where no gradients are longer', async () => {
    expect(digestOf(await lastOf({ clipNorm: 1e6 }))).toBe(digestOf(await lastOf({})));
  });

  it('has the same bits on two threads, and after a restart; a run with another one is not resumed', async () => {
    const limited = { clipNorm: 0.05 };
    const whole = digestOf(await lastOf(limited));
    expect(whole).not.toBe(digestOf(await lastOf({})));
    expect(digestOf(await lastOf({ ...limited, device: two }))).toBe(whole);
    const resume = await lastOf(limited, 8);
    expect(digestOf(await lastOf({ ...limited, resume }))).toBe(whole);
    expect((await hybridError('E_CHECKPOINT', lastOf({ clipNorm: 0.5, resume }))).message).toContain('`clipNorm` is 0.5, but was 0.05');
  });
});

describe('decayOn', () => {
  it('kernels: of a step the decay of all other parameters is missing, and nothing else', async () => {
    const [learningRate, weightDecay] = [0.02, 0.5];
    const of = async (decayOn: 'all' | 'kernels') => (await lastOf({ ...ONE, learningRate, weightDecay, decayOn })).weights;
    const [all, kernels] = [await of('all'), await of('kernels')];
    const before = initialize(smallModel, 7n);
    for (const { name, kind, role } of smallModel.variables) {
      if (kind !== 'parameter') continue;
      const start = before.get(name) as Float32Array;
      const missing = role.endsWith('kernel') ? 0 : learningRate * weightDecay;
      const [a, k] = [all, kernels].map((weights) => weights.get(name)?.data as Float32Array);
      for (let i = 0; i < start.length; i++) expect(k[i] - a[i], `${name} ${i}`).toBeCloseTo(start[i] * missing, 6);
    }
  });

  it('kernels: goes with frozen layers and rates that grow, on any number of threads alike', async () => {
    const both = { decayOn: 'kernels', freeze: 1 } as const;
    expect(digestOf(await lastOf({ ...both, device: two }))).toBe(digestOf(await lastOf(both)));
  });
});
