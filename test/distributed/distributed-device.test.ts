// A device as one rank's part of a group: what the ranks make together of a batch, in a group within this process.

import { afterAll, describe, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { isAbortError } from '../../runtime/base/errors.ts';
import { type Batch, type CompileOptions, type Device, type Executable, GRADIENTS } from '../../runtime/device.ts';
import { agree } from '../../runtime/distributed/agree.ts';
import type { Communicator } from '../../runtime/distributed/communicator.ts';
import { distribute } from '../../runtime/distributed/distribute.ts';
import { shareOf } from '../../runtime/distributed/rank.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { expectClose } from '../support/close.ts';
import { hybridError } from '../support/expect-error.ts';
import { localGroup } from '../support/local-group.ts';
import { randomBatch } from '../support/models.ts';

const HYPER = { learningRate: 1e-2, weightDecay: 1e-3, bnMomentum: 0.8 };
const SEED = 7n;
const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 12, depth: 2, kernel: 3, patch: 2 });
const graphs = trainingGraphs(model);

const open: Device[] = [];
afterAll(() => Promise.all(open.map((device) => device.close())));

async function compiled(device: Device, capacity: number): Promise<Executable> {
  const executable = await device.compile(graphs, { capacity, seed: SEED });
  for (const [name, data] of initialize(model, SEED)) await executable.write(name, data);
  return executable;
}

async function wasm(): Promise<Device> {
  const device = await openWasmDevice({ threads: 1 });
  open.push(device);
  return device;
}

/** An executable for every rank, each over a device of its own. */
async function ranks(size: number, capacity: number, { signals, ...options }: { syncBatchNorm?: boolean; signals?: AbortSignal[] } = {}) {
  const group = localGroup(size);
  return Promise.all(
    group.map(async (communicator, rank) => {
      const distributed = distribute({ device: await wasm(), communicator, signal: signals?.[rank], ...options });
      return { executable: await compiled(distributed.device, capacity), signal: distributed.signal };
    }),
  );
}

async function stateOf(executable: Executable): Promise<Map<string, Float32Array>> {
  return new Map(await Promise.all(executable.state.map(async ({ name }) => [name, await executable.read(name)] as const)));
}

async function step(executable: Executable, batch: Batch) {
  const metrics = await executable.gradient(batch);
  const { applied } = await executable.update(HYPER);
  expect(applied).toBe(true);
  return metrics;
}

describe('shares', () => {
  it.each([
    [1, 1],
    [7, 3],
    [2, 5],
    [128, 4],
    [129, 64],
  ])('%i rows over %i ranks: each row once, in order, as evenly as can be', (rows, size) => {
    const shares = Array.from({ length: size }, (_, rank) => shareOf(rows, rank, size));
    let next = 0;
    for (const { begin, rows: count } of shares) {
      expect(begin).toBe(next);
      next += count;
      expect(count).toBeGreaterThanOrEqual(Math.floor(rows / size));
      expect(count).toBeLessThanOrEqual(Math.ceil(rows / size));
    }
    expect(next).toBe(rows);
  });
});

describe('with synchronised batch normalisation', () => {
  it.each([
    [2, 8],
    [2, 7],
    [3, 7],
    [4, 3], // a rank without rows
  ])('%i ranks and %i rows give what one process gives', async (size, rows) => {
    const alone = await compiled(await wasm(), rows);
    const group = await ranks(size, rows, { syncBatchNorm: true });
    for (const seed of [1, 2, 3]) {
      const batch = randomBatch(model, rows, seed);
      const expected = await step(alone, batch);
      const metrics = await Promise.all(group.map(({ executable }) => step(executable, batch)));
      for (const { loss, correct } of metrics) {
        expect(loss).toBeCloseTo(expected.loss, 3);
        expect(correct).toBe(expected.correct);
      }
    }
    const expected = await stateOf(alone);
    for (const { executable } of group) {
      for (const [name, data] of await stateOf(executable)) {
        // AdamW divides by the root of the second moment: where a gradient is rounding noise, its sign decides a whole step.
        if (!name.startsWith('optimizer')) expectClose(data, expected.get(name) as Float32Array, { absolute: 2e-3, relative: 2e-3 }, name);
      }
    }
    const batch = randomBatch(model, rows, 9);
    const { logits } = await alone.evaluate(batch);
    for (const predicted of await Promise.all(group.map(({ executable }) => executable.predict(batch))))
      expect(predicted.length).toBe(logits.length);
  });

  it('the gradients are those of one process, to rounding', async () => {
    const batch = randomBatch(model, 7);
    const alone = await compiled(await wasm(), 7);
    await alone.gradient(batch);
    const expected = await alone.read(GRADIENTS);
    const group = await ranks(3, 7, { syncBatchNorm: true });
    await Promise.all(group.map(({ executable }) => executable.gradient(batch)));
    const scale = Math.max(...expected.map(Math.abs));
    for (const { executable } of group)
      expectClose(await executable.read(GRADIENTS), expected, { absolute: 1e-5 * scale, relative: 1e-4 }, 'gradients');
  });

  it('is refused by a device that cannot', async () => {
    const [communicator] = localGroup(1);
    const { device } = distribute({ device: openReferenceDevice(), communicator, syncBatchNorm: true });
    const error = await hybridError('E_USAGE', device.compile(graphs, { capacity: 4, seed: SEED }));
    expect(error.message).toContain('does not exchange');
  });
});

describe('with batch normalisation of each rank', () => {
  it('gradients are the mean over the rows, statistics that over the ranks', async () => {
    const rows = 5;
    const batch = randomBatch(model, rows);
    const [h, w, c] = model.input;
    const parts = [0, 1].map((rank) => {
      const { begin, rows: count } = shareOf(rows, rank, 2);
      return {
        ...batch,
        rows: count,
        images: batch.images.slice(begin * h * w * c),
        labels: batch.labels.slice(begin),
        samples: batch.samples.slice(begin),
      };
    });
    const single = await Promise.all(parts.map(async (part) => ({ part, executable: await compiled(await wasm(), rows) })));
    const expected = { loss: 0, gradients: new Float32Array(0), statistic: new Float32Array(0) };
    const name = model.variables.find(({ kind }) => kind === 'statistic')?.name as string;
    for (const { part, executable } of single) {
      const { loss } = await executable.gradient(part);
      expected.loss += (loss * part.rows) / rows;
      const gradients = await executable.read(GRADIENTS);
      await executable.update(HYPER);
      const statistic = await executable.read(name);
      expected.gradients = gradients.map((value, i) => (expected.gradients[i] ?? 0) + (value * part.rows) / rows);
      expected.statistic = statistic.map((value, i) => (expected.statistic[i] ?? 0) + (value * part.rows) / rows);
    }
    const group = await ranks(2, rows);
    const metrics = await Promise.all(group.map(({ executable }) => executable.gradient(batch)));
    for (const { loss } of metrics) expect(loss).toBeCloseTo(expected.loss, 5);
    for (const { executable } of group) {
      expectClose(await executable.read(GRADIENTS), expected.gradients, { absolute: 1e-6, relative: 1e-5 }, 'gradients');
    }
    await Promise.all(group.map(({ executable }) => executable.update(HYPER)));
    for (const { executable } of group)
      expectClose(await executable.read(name), expected.statistic, { absolute: 1e-6, relative: 1e-5 }, name);
  });

  it('statistics are weighed by the rows of the step, whatever came between gradient and update', async () => {
    // Of five rows the ranks have three and two; of one, all or none.
    const [step, other] = [randomBatch(model, 5), randomBatch(model, 1, 7)];
    const updated = async (between: boolean) => {
      const group = await ranks(2, 5);
      await Promise.all(
        group.map(async ({ executable }) => {
          await executable.gradient(step);
          if (between) await executable.evaluate(other);
          await executable.update(HYPER);
        }),
      );
      return stateOf(group[0].executable);
    };
    expect(await updated(true)).toEqual(await updated(false));
  });

  it('takes no older gradient for an update behind one that was aborted or refused', async () => {
    const group = await ranks(2, 5);
    const good = randomBatch(model, 5);
    await Promise.all(group.map(({ executable }) => executable.gradient(good)));
    const before = await Promise.all(group.map(({ executable }) => stateOf(executable)));
    const signal = AbortSignal.abort(new Error('enough'));
    for (const call of [
      (executable: Executable) => executable.gradient(good, { signal }),
      (executable: Executable) => executable.gradient({ ...good, rows: 6 }),
    ]) {
      const outcomes = group.map(async ({ executable }) => Promise.allSettled([call(executable), executable.update(HYPER)]));
      for (const [refused, update] of await Promise.all(outcomes)) {
        expect(refused.status).toBe('rejected');
        expect(update).toEqual(refused);
      }
    }
    expect(await Promise.all(group.map(({ executable }) => stateOf(executable)))).toEqual(before);
  });

  it('all ranks have the same bits, and have them again', async () => {
    const digests: string[] = [];
    for (let run = 0; run < 2; run++) {
      const group = await ranks(3, 8);
      for (const [seed, rows] of [8, 8, 5].entries()) {
        await Promise.all(group.map(({ executable }) => step(executable, randomBatch(model, rows, seed))));
      }
      for (const { executable } of group) {
        const state = await stateOf(executable);
        digests.push([...state].map(([name, data]) => `${name} ${Buffer.from(data.buffer).toString('base64')}`).join());
      }
    }
    expect(new Set(digests).size).toBe(1);
  });

  it('evaluation gives the logits of all rows in order', async () => {
    const batch = randomBatch(model, 7);
    const alone = await compiled(await wasm(), 7);
    const expected = await alone.evaluate(batch);
    const group = await ranks(3, 7);
    const results = await Promise.all(group.map(({ executable }) => executable.evaluate(batch)));
    for (const { loss, correct, logits } of results) {
      expect(logits).toEqual(expected.logits);
      expect(correct).toBe(expected.correct);
      expect(loss).toBeCloseTo(expected.loss, 5);
    }
    await Promise.all(group.map(({ executable }) => executable.calibrate(batch, 0.5)));
  });
});

describe('gradients on their way while the rest is computed', () => {
  // Wide enough for its gradients (1.4 MB) to leave in parts.
  const wide = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 256, depth: 4, kernel: 5, patch: 2 });
  const graphs = trainingGraphs(wide);
  const batch = randomBatch(wide, 5);

  const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) => Buffer.from(buffer, byteOffset, byteLength);

  async function compiled(device: Device, options: Partial<CompileOptions> = {}): Promise<Executable> {
    const executable = await device.compile(graphs, { capacity: 5, seed: SEED, ...options });
    for (const [name, data] of initialize(wide, SEED)) await executable.write(name, data);
    return executable;
  }

  it.each([
    [1, false],
    [2, false],
    [2, true],
  ])('the device tells parts that are final, from the end on (%i threads, statistics exchanged: %s)', async (threads, exchanges) => {
    const device = await openWasmDevice({ threads });
    open.push(device);
    const told: { begin: number; part: Float32Array }[] = [];
    const executable = await compiled(device, {
      onGradients: (begin, part) => told.push({ begin, part: part.slice() }),
      exchange: exchanges ? async () => {} : undefined,
    });
    await executable.gradient(batch);
    const gradients = await executable.read(GRADIENTS);
    expect(told.length).toBe(3);
    let end = gradients.length;
    for (const { begin, part } of told) {
      expect(begin + part.length).toBe(end);
      expect(part.length).toBeGreaterThanOrEqual(gradients.length / 4);
      expect(Buffer.compare(bytesOf(part), bytesOf(gradients.subarray(begin, end)))).toBe(0);
      end = begin;
    }
    expect(end).toBeGreaterThan(0);
    const alone = await compiled(device);
    await alone.gradient(batch);
    expect(Buffer.compare(bytesOf(await alone.read(GRADIENTS)), bytesOf(gradients))).toBe(0);
  });

  it('the ranks exchange them in as many parts, and sum what they sum as a whole', async () => {
    const lengths: number[][] = [[], []];
    const group = await Promise.all(
      localGroup(2).map(async (communicator, rank) => {
        const counting: Communicator = {
          ...communicator,
          sum: async (data) => {
            lengths[rank].push(data.length);
            await communicator.sum(data);
          },
        };
        const { device } = distribute({ device: await wasm(), communicator: counting });
        return compiled(device);
      }),
    );
    const metrics = await Promise.all(group.map((executable) => executable.gradient(batch)));
    expect(metrics[1]).toEqual(metrics[0]);
    expect(lengths[0].length).toBe(4);
    expect(lengths[1]).toEqual(lengths[0]);
    const [own, other] = await Promise.all(
      [0, 1].map(async (rank) => {
        const { begin, rows } = shareOf(5, rank, 2);
        const executable = await compiled(await wasm());
        const bytes = wide.input.reduce((product, n) => product * n, 1);
        const [images, labels, samples] = [batch.images.slice(begin * bytes), batch.labels.slice(begin), batch.samples.slice(begin)];
        await executable.gradient({ ...batch, rows, images, labels, samples });
        return executable.read(GRADIENTS);
      }),
    );
    const expected = own.map((value, i) => Math.fround(value * 0.6) + Math.fround(other[i] * 0.4));
    for (const executable of group)
      expectClose(await executable.read(GRADIENTS), expected, { absolute: 1e-9, relative: 1e-6 }, 'gradients');
  });

  it('a rank that is lost meanwhile fails the step with what the exchange said', async () => {
    const [communicator] = localGroup(2, { timeoutMs: 50 });
    const { device } = distribute({ device: await wasm(), communicator });
    await expect((await compiled(device)).gradient(batch)).rejects.toThrow('a rank did not come');
  });
});

describe('stopping and failing', () => {
  it('one rank that is asked to stop stops all, after the step, and leaves them usable', async () => {
    const controllers = [new AbortController(), new AbortController()];
    const group = await ranks(2, 4, { signals: controllers.map(({ signal }) => signal) });
    const batch = randomBatch(model, 4);
    await Promise.all(group.map(({ executable }) => step(executable, batch)));
    controllers[1].abort('SIGTERM');
    const results = await Promise.allSettled(group.map(({ executable }) => executable.gradient(batch)));
    for (const result of results) expect(result.status === 'rejected' && isAbortError(result.reason)).toBe(true);
    for (const { signal } of group) expect(signal.aborted).toBe(true);
    expect(group[1].signal.reason).toBe('SIGTERM');
  });

  it('what is not finite on one rank is applied on none, and the rank is named', async () => {
    const group = await ranks(2, 4);
    const before = await stateOf(group[0].executable);
    // Only rank 1 sees the poisoned weights, as after a fault of its memory.
    const name = model.variables[0].name;
    await group[1].executable.write(name, (await group[1].executable.read(name)).fill(Number.NaN));
    const batch = randomBatch(model, 4);
    await Promise.all(group.map(({ executable }) => executable.gradient(batch)));
    const updates = await Promise.all(group.map(({ executable }) => executable.update(HYPER)));
    expect(updates).toEqual([
      { applied: false, cause: 'of rank 1' },
      { applied: false, cause: 'of rank 1' },
    ]);
    expect(await stateOf(group[0].executable)).toEqual(before);
  });

  it('ranks that were started differently refuse, and say how', async () => {
    const group: Communicator[] = localGroup(3);
    const facts = [{ batch: '8' }, { batch: '8' }, { batch: '16' }];
    for (const attempt of group.map((communicator, rank) => agree(communicator, facts[rank]))) {
      expect((await hybridError('E_RANK', attempt)).message).toContain('batch is 8 on rank 0, but 16 on rank 2');
    }
    await Promise.all(localGroup(2).map((communicator) => agree(communicator, { batch: '8' })));
  });
});
