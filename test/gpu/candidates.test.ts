// What may be raced (gpu/host/tune.ts) gives the same bits: each candidate of each kind of product, of each maker's profile, on SwiftShader; by
// matrices with a unit that is emulated. And samples of results are taken from where kernels write.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { acquireInstance, USAGE } from '../../gpu/host/binding.ts';
import { Program } from '../../gpu/host/encode.ts';
import { Gpu, STORAGE } from '../../gpu/host/gpu.ts';
import { Pipelines } from '../../gpu/host/pipelines.ts';
import { fill, resultsOf } from '../../gpu/host/same-bits.ts';
import type { Dispatch, LoweringContext } from '../../gpu/lowering/lowering.ts';
import { PROFILES, type Profile } from '../../gpu/lowering/profile.ts';
import { packStep, STEP_BYTES, STEP_WGSL } from '../../gpu/lowering/step.ts';
import { NO_SCALARS } from '../../runtime/ir/step.ts';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import { DispatchRunner } from '../support/dispatch-runner.ts';
import { emulatedUnit } from '../support/matrix-unit.ts';
import type { OpCase } from '../support/op-case.ts';
import { hasSwiftShader, useSwiftShader } from '../support/swiftshader.ts';
import { fixed, samples, uniform } from '../support/tensors.ts';

const window = { stride: 1, padding: 'same' };
const images = (channels: number, values = uniform(1), size: readonly [number, number] = [12, 12]) =>
  samples(2, [...size, channels], values);
const one = (inputs: OpCase['inputs'], attrs: OpCase['attrs']): OpCase => ({ name: '', rows: 2, inputs, attrs });

/** Products of all kinds, with more columns than the narrow tiles take: of large images, whose rows of sums are 144, and of small ones. */
const PRODUCTS: Readonly<Record<string, readonly [KernelOpName, OpCase]>> = {
  'with statistics': [
    'conv',
    one([images(20), fixed([1, 1, 20, 72], uniform(2)), fixed([72], uniform(4))], { ...window, epilogue: { stats: true } }),
  ],
  'with statistics of small images': [
    'conv',
    one([images(20, uniform(1), [6, 9]), fixed([1, 1, 20, 72], uniform(2)), fixed([72], uniform(4))], {
      ...window,
      epilogue: { stats: true },
    }),
  ],
  'of windows': ['conv', one([images(7), fixed([3, 3, 7, 70], uniform(2))], window)],
  'a gradient of x': ['convGradInput', one([images(20), fixed([1, 1, 72, 20], uniform(2))], { ...window, inputShape: [12, 12, 72] })],
  'a gradient of patches': [
    'convGradInput',
    one([images(20, uniform(1), [6, 6]), fixed([2, 2, 18, 20], uniform(2))], { stride: 2, padding: 'valid', inputShape: [12, 12, 18] }),
  ],
  'a gradient of weights': ['convGradWeight', one([images(70), images(72, uniform(3))], { ...window, weightShape: [1, 1, 70, 72] })],
};

type Features = LoweringContext['features'];

/** Runs a product with each of its candidates; outputs by their names. */
async function candidatesOf(
  runner: DispatchRunner,
  op: KernelOpName,
  product: OpCase,
  features: Features,
  precision: 'f32' | 'f16x3' = 'f32',
) {
  const found = new Map<string, unknown>();
  for (let i = 0, count = 1; i < count; i++) {
    let name = 'the only one';
    const choose: LoweringContext['choose'] = ({ candidates }) => {
      count = candidates.length;
      name = candidates[i];
      return i;
    };
    const limits = { ...runner.context(1).limits, workgroupStorage: 32_768, invocations: 256 };
    const { outputs } = await runner.run(op, product, { change: { precision, features, limits, choose } });
    expect(found.has(name)).toBe(false);
    found.set(name, outputs);
  }
  return found;
}

describe.runIf(hasSwiftShader)('candidates of a race', () => {
  let runner: DispatchRunner;
  beforeAll(async () => {
    runner = await DispatchRunner.open();
  });
  afterAll(() => runner?.close());

  const profiles = Object.entries(PROFILES).filter(([name]) => name !== 'qualcomm') as [string, Profile][]; // Qualcomm's tiles are Apple's
  it.each(
    profiles.flatMap(([maker, profile]) => Object.keys(PRODUCTS).map((name) => [maker, name, profile] as const)),
  )('%s: %s, have the same bits', async (_, name, profile) => {
    const features = { f16: false, subgroups: false, subgroupMatrix: false as const, barriers: true, profile };
    const found = await candidatesOf(runner, ...PRODUCTS[name], features);
    expect(found.size, [...found.keys()].join('; ')).toBeGreaterThan(1);
    const [expected] = found.values();
    for (const [candidate, outputs] of found) expect(outputs, candidate).toEqual(expected);
  });

  it('by matrices have them too', async () => {
    const features = { f16: false, subgroups: false, subgroupMatrix: emulatedUnit(4, 4, 4), barriers: true };
    const products: readonly (readonly [KernelOpName, OpCase])[] = [
      ['conv', one([images(36), fixed([1, 1, 36, 68], uniform(2)), fixed([68], uniform(4))], { ...window, epilogue: { stats: true } })],
      ['convGradWeight', one([images(36), images(68, uniform(3))], { ...window, weightShape: [1, 1, 36, 68] })],
    ];
    for (const [op, product] of products) {
      const found = await candidatesOf(runner, op, product, features, 'f16x3');
      expect(found.size, [...found.keys()].join('; ')).toBeGreaterThan(1);
      const [expected] = found.values();
      for (const [candidate, outputs] of found) {
        expect(candidate).toContain('by matrices');
        expect(outputs, candidate).toEqual(expected);
      }
    }
  });
});

describe.runIf(hasSwiftShader)('samples of results', () => {
  it('tell two kernels apart that differ at an end or in some element of each tile, and are zeros where nothing is written', async () => {
    useSwiftShader();
    const instance = await acquireInstance();
    const gpu = await Gpu.open(instance.gpu);
    const pipelines = new Pipelines(gpu);
    const elements = 1 << 20;
    const kernel = async (value: string) => {
      const code = `${STEP_WGSL}
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < step.rows) { y[id.x] = ${value}; }
}`;
      const bindings = [
        { operand: { scratch: 0 }, access: 'read' as const },
        { operand: { scratch: 1 }, access: 'read_write' as const },
      ];
      const dispatch: Dispatch = { kernel: 'test', code, bindings, workgroups: () => [elements / 64, 1, 1] };
      const pipeline = await pipelines.pipeline(dispatch, 'test');
      const bindGroup = gpu.device.createBindGroup({
        layout: pipelines.layout(dispatch),
        entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
      });
      return new Program([{ dispatch, pipeline, bindGroup }]);
    };
    const buffers = await gpu.allocate([
      { label: 'step', bytes: STEP_BYTES, usage: USAGE.uniform | USAGE.copyDst },
      { label: 'x', bytes: 4 * elements, usage: STORAGE },
      { label: 'y', bytes: 4 * elements, usage: STORAGE },
    ]);
    const block = new ArrayBuffer(STEP_BYTES);
    packStep({ rows: elements - 1, epoch: 0, seed: 0n, ...NO_SCALARS }, block);
    gpu.write(buffers[0], 0, new Uint8Array(block));
    await fill(gpu, buffers.slice(1));
    const results = async (value: string) => Buffer.from(await resultsOf(gpu, await kernel(value), elements, [buffers[2]]));
    const expected = await results('x[id.x]');
    expect(new Set(expected).size).toBeGreaterThan(200);
    expect(expected.subarray(-4)).toEqual(Buffer.alloc(4)); // beyond the rows
    const halves = new Uint16Array(expected.buffer, expected.byteOffset, expected.length / 2 - 2);
    for (const half of halves) expect((half & 0x7c00) >> 10).toBe(14); // from 0.5 to 1 as f16; and no NaN as f32
    expect((await results('x[id.x] + 0u')).equals(expected)).toBe(true);
    for (const where of ['id.x == 0u', `id.x == ${elements - 2}u`, 'id.x % 8192u == 4711u'])
      expect((await results(`x[id.x] + select(0u, 1u, ${where})`)).equals(expected), where).toBe(false);
    for (const buffer of buffers) buffer.destroy();
    gpu.close();
    instance.release();
  });
});
