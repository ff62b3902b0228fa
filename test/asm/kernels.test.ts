// The memory-bound kernels against the reference, in both builds, at sizes that hurt, on three threads.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasFma } from '../../asm/host/modules.ts';
import { conv } from '../../asm/lowering/conv.ts';
import { depthwise } from '../../asm/lowering/depthwise.ts';
import { lowerings } from '../../asm/lowering/index.ts';
import { host } from '../../runtime/hosts/index.ts';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import { ofEach } from '../../runtime/optim/index.ts';
import { type OpCase, opCases, updateCase } from '../support/cases.ts';
import { expectClose, type Tolerance } from '../support/close.ts';
import { errorOfStatistics, FAR_MEANS } from '../support/far-means.ts';
import { NodeRunner } from '../support/node-runner.ts';
import { runReference } from '../support/reference.ts';
import { copy, fixed, integers, samples, type TestTensor, uniform } from '../support/tensors.ts';

/** All but those of conv.test.ts and depthwise.test.ts, whichever family a new one is of. */
const OPS = (Object.keys(lowerings) as KernelOpName[]).filter((op) => !(op in conv || op in depthwise));

/** One rounding, or none: nothing else happens to an element. */
const EXACT: Tolerance = { relative: 6e-8 };
const TOLERANCES: Partial<Record<KernelOpName, Tolerance>> = {
  rescale: EXACT,
  add: EXACT,
  bias: EXACT,
  relu: EXACT,
  reluGrad: EXACT,
  dropout: EXACT,
  maxPool: EXACT,
  frame: EXACT,
  globalAvgPoolGrad: EXACT,
  finiteCheck: EXACT,
  countStep: EXACT,
  softmaxCrossEntropy: EXACT,
  // The difference of a probability and one, in doubles; what cancels is the f32 of the logits, equal on both sides.
  softmaxCrossEntropyGrad: { absolute: 1e-12, relative: 1e-6 },
};
const ROUNDING: Tolerance = { absolute: 5e-6, relative: 5e-6 };

/** Ops whose results after the first may be statistics of tiles. */
const PARTIALS = new Set<string>(['normalize', 'depthwiseWindows']);

const large = (rows: number, shape: readonly number[], seed = 1): TestTensor => samples(rows, shape, uniform(seed, -2, 2));

/** Parameters of several chunks. */
const LARGE = [[33_333], [7], [3, 5, 11, 101]];

/** Cases beyond those of all devices: several chunks, several tiles on every thread, numbers that are hard to sum. */
const MORE: Partial<Record<KernelOpName, () => OpCase[]>> = {
  rescale: () => [{ name: 'chunks', rows: 7, inputs: [samples(7, [32, 33, 3], integers(1, 256), 'u8')], attrs: { scale: 1 / 255 } }],
  gelu: () => [{ name: 'chunks', rows: 3, inputs: [samples(3, [16411], uniform(1, -8, 8))], attrs: {} }],
  geluGrad: () =>
    ['input', 'derivative'].map((from) => ({
      name: `chunks, from ${from}`,
      rows: 3,
      inputs: [large(3, [16411]), samples(3, [16411], uniform(2, -8, 8))],
      attrs: { from },
    })),
  bias: () => [{ name: 'chunks', rows: 9, inputs: [large(9, [16, 17, 64]), fixed([64], uniform(2))], attrs: {} }],
  biasGrad: () => [{ name: 'tiles', rows: 9, inputs: [large(9, [16, 17, 36])], attrs: {} }],
  normalize: () => [
    {
      name: 'chunks',
      rows: 9,
      inputs: [large(9, [16, 17, 37]), fixed([37], uniform(2)), fixed([37], uniform(3)), large(9, [16, 17, 37], 4)],
      attrs: {},
    },
    {
      name: 'chunks and blocks, GELU',
      rows: 9,
      inputs: [large(9, [16, 17, 37]), fixed([37], uniform(2)), fixed([37], uniform(3)), large(9, [16, 17, 37], 4)],
      attrs: { epilogue: { activation: 'gelu', derivative: true } },
    },
    {
      name: 'chunks, the residual scaled',
      rows: 9,
      inputs: [large(9, [16, 17, 37]), large(9, [16, 17, 37], 4)].flatMap((x) => [x, fixed([37], uniform(2)), fixed([37], uniform(3))]),
      attrs: {},
    },
  ],
  bnStats: () => [
    {
      name: 'a mean far from zero',
      rows: 9,
      inputs: [samples(9, [7, 7, 6], uniform(1, 999.5, 1000.5))],
      attrs: { from: 'input', pixels: 49 },
    },
    { name: 'a constant', rows: 9, inputs: [samples(9, [7, 7, 6], () => 0.1)], attrs: { from: 'input', pixels: 49 } },
  ],
  finiteCheck: () =>
    [0, 16383, 16384, 40000].flatMap((at) =>
      [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38].map((value) => ({
        name: `${value} at ${at} of 40,001`,
        rows: 1,
        inputs: [fixed([1], [2]), fixed([5], uniform(1)), fixed([40_001], (i) => (i === at ? value : 1)), fixed([2], [0, -0])],
        attrs: {},
      })),
    ),
  ...ofEach((rule) => () => [
    ...[0, 1, 99_999].map((steps) => updateCase(rule, `chunks, step ${steps}`, LARGE, { steps })),
    updateCase(rule, 'chunks of groups', LARGE, {
      groups: [
        { count: 1, rate: 0.5, decay: 0 },
        { count: 2, rate: 1, decay: 2 },
      ],
    }),
  ]),
};

describe.each(['fma', 'plain'] as const)('%s', (build) => {
  let runner: NodeRunner;
  beforeAll(async () => {
    runner = await NodeRunner.open(build, 3);
  });
  afterAll(() => runner.close());

  for (const op of OPS) {
    it.each([...opCases[op](), ...(MORE[op]?.() ?? [])].map((one) => [one.name, one] as const))(`${op}: %s`, async (_name, one) => {
      const updates = one.updates?.map(copy);
      const expected = runReference(op, one.inputs, one.attrs, { rows: one.rows, step: one.step, updates });
      const tolerance = TOLERANCES[op] ?? ROUNDING;
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
          expectClose(actual.updates[i], data, { absolute: 1e-7, relative: 1e-6 }, `update ${i}`);
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
    const activated = await runner.run('relu', { name: '', rows: 1, inputs: [x], attrs: {} });
    expect(activated.outputs[0][6]).toBeNaN();
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
