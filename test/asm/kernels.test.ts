// The memory-bound kernels against the reference, in both builds, at sizes that hurt, on three threads.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasFma } from '../../asm/host/modules.ts';
import { conv } from '../../asm/lowering/conv.ts';
import { depthwise } from '../../asm/lowering/depthwise.ts';
import { lowerings } from '../../asm/lowering/index.ts';
import { host } from '../../runtime/hosts/index.ts';
import { ACTIVATION_NAMES } from '../../runtime/ops/activations.ts';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import { opCases, opTests, tolerancesOf, updateTolerancesOf } from '../support/cases.ts';
import { expectClose } from '../support/close.ts';
import { errorOfStatistics, FAR_MEANS } from '../support/far-means.ts';
import { NodeRunner } from '../support/node-runner.ts';
import { large, type OpCase } from '../support/op-case.ts';
import { runReference } from '../support/reference.ts';
import { copy, fixed, samples, uniform } from '../support/tensors.ts';

/** All but those of conv.test.ts and depthwise.test.ts, whichever family a new one is of. */
const OPS = (Object.keys(lowerings) as KernelOpName[]).filter((op) => !(op in conv || op in depthwise));

/** Ops whose results after the first may be statistics of tiles. */
const PARTIALS = new Set<string>(['normalize', 'depthwiseWindows']);

describe.each(['fma', 'plain'] as const)('%s', (build) => {
  let runner: NodeRunner;
  beforeAll(async () => {
    runner = await NodeRunner.open(build, 3);
  });
  afterAll(() => runner.close());

  for (const op of OPS) {
    it.each(
      [...opCases[op](), ...(opTests[op]?.large?.() ?? [])].map((one) => [one.name, one] as const),
    )(`${op}: %s`, async (_name, one) => {
      const updates = one.updates?.map(copy);
      const expected = runReference(op, one.inputs, one.attrs, { rows: one.rows, step: one.step, updates });
      const tolerance = tolerancesOf(op).wasm;
      // At capacity and below it.
      for (const capacity of [one.rows, one.rows + 3]) {
        const actual = await runner.run(op, one, capacity);
        for (const [i, { data, spec }] of expected.entries()) {
          // Entries of partials beyond the tiles are nobody's.
          const partials = PARTIALS.has(op) && i > 0 && spec.shape[0] === 2;
          const found = partials ? actual.outputs[i].map((value, at) => (data[at] === 0 ? 0 : value)) : actual.outputs[i];
          expectClose(found, data, tolerance, `output ${i}`);
        }
        for (const [i, { data }] of (updates ?? []).entries())
          expectClose(actual.updates[i], data, updateTolerancesOf(op).wasm, `update ${i}`);
      }
    });
  }

  it.each(FAR_MEANS.map((far) => [`${far.op} ${far.one.name}`, far] as const))('statistics of %s keep their digits', async (_name, far) => {
    const error = await errorOfStatistics(far, async (op, one) => (await runner.run(op, one)).outputs);
    expect(error).toBeLessThan(far.tolerance);
  });

  it('lets NaN through wherever a maximum is taken, so that the loss shows it', async () => {
    const x = samples(1, [2, 2, 5], (i) => (i < 20 && i % 5 === 1 ? Number.NaN : i));
    const pooled = await runner.run('maxPool', { name: '', rows: 1, inputs: [x], attrs: {} });
    expect([...pooled.outputs[0]]).toEqual([15, Number.NaN, 17, 18, 19]);
    for (const op of ACTIVATION_NAMES) {
      const large = samples(1, [5], [Number.NaN, -1e30, 1e30, Number.NEGATIVE_INFINITY, Number.NaN]);
      const { outputs } = await runner.run(op, { name: '', rows: 1, inputs: [large], attrs: {} });
      const [first, low, high, , last] = outputs[0];
      expect([first, last], op).toEqual([Number.NaN, Number.NaN]);
      expect([low, high].some(Number.isNaN), `${op} of ±1e30`).toBe(false);
    }
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const logits = samples(2, [3], [1, 2, 3, 4, bad, 6]);
      const labels = samples(2, [], [0, 0], 'i32');
      const { outputs } = await runner.run('softmaxCrossEntropy', { name: '', rows: 2, inputs: [logits, labels], attrs: {} });
      expect(outputs[0][0]).toBeNaN();
    }
  });

  it('keeps the bits when the work falls to other threads', async () => {
    const one: OpCase = {
      name: '',
      rows: 23,
      inputs: [large(23, [9, 9, 37], 5), large(23, [9, 9, 37]), fixed([37], uniform(2))],
      attrs: {},
    };
    const first = await runner.run('bnGradStats', one);
    for (let i = 0; i < 10; i++) expect(await runner.run('bnGradStats', one)).toEqual(first);
    const alone = await NodeRunner.open(build, 1);
    try {
      expect(await alone.run('bnGradStats', one, 40)).toEqual(first);
    } finally {
      await alone.close();
    }
  });
});

it('kernels keep their static data between address 64 and the zeros at 512, the same in every module that has any', async () => {
  hasFma({ v8Flags: true });
  const seen = new Set<string>();
  for (const file of (await host.assets('kernels')).filter((name) => name.endsWith('.wasm'))) {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
    const module = await WebAssembly.compile(await host.asset(`kernels/${file}`));
    new WebAssembly.Instance(module, { env: { memory, step: 1024, tasks: 1152, scratch: 4096 } });
    const bytes = Buffer.from(new Uint8Array(memory.buffer).slice());
    const constants = bytes.subarray(64, 512);
    expect(
      [...bytes.subarray(0, 64), ...bytes.subarray(512)].every((byte) => byte === 0),
      file,
    ).toBe(true);
    if (constants.some((byte) => byte !== 0)) seen.add(constants.toString('hex'));
  }
  expect(seen.size).toBe(1);
});
