// What decides bits, of the choices that differ between makers: elements never do, sums of columns by the rows of a tile, gradients of depthwise
// weights by the registers of a window. A device whose profile gives other bits says so in `arithmetic`.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MOST, PROFILES, type Profile, profileOf } from '../../gpu/lowering/profile.ts';
import { DEPTHWISE_GRADIENTS, depthwiseGradCase } from '../ops/depthwise.cases.ts';
import { checkDispatches } from '../support/check-dispatches.ts';
import { DispatchRunner, type RunOptions } from '../support/dispatch-runner.ts';
import type { OpCase } from '../support/op-case.ts';
import { hasSwiftShader } from '../support/swiftshader.ts';
import { fixed, samples, uniform } from '../support/tensors.ts';

const of = (profile: Profile): RunOptions => ({
  change: { features: { f16: false, subgroups: false, subgroupMatrix: false, barriers: true, profile } },
});
const names = Object.keys(PROFILES) as (keyof typeof PROFILES)[];

describe('profiles', () => {
  it.each([
    ['nvidia', 'linux', PROFILES.most],
    ['nvidia', 'win32', PROFILES.direct3d],
    ['apple', 'darwin', PROFILES.apple],
    ['intel', 'win32', PROFILES.intel],
    ['qualcomm', 'linux', PROFILES.qualcomm],
    ['amd', 'linux', PROFILES.most],
    ['', 'linux', PROFILES.most],
    ['constructor', 'linux', PROFILES.most],
  ])('of %s on %s', (vendor, platform, profile) => {
    expect(profileOf({ vendor, device: 'x' }, platform)).toBe(profile);
  });

  it("of Apple's GPUs by Mesa, whose vendor is Mesa", () => {
    expect(profileOf({ vendor: 'mesa', device: 'apple-m1-g13g-a0-' }, 'linux')).toBe(PROFILES.apple);
  });

  it('say in `arithmetic` where they give other bits than most do', () => {
    const rows = ({ tiles }: Profile, columns: number) => {
      const { bm, tm } = tiles.find(({ least }) => columns > least) ?? tiles[tiles.length - 1];
      return `${bm} ${tm}`;
    };
    for (const name of names) {
      const profile: Profile = PROFILES[name];
      const same = profile.window === MOST.window && [8, 20, 40, 70, 130, 300].every((n) => rows(profile, n) === rows(MOST, n));
      expect(profile.arithmetic === undefined, name).toBe(same);
    }
  });
});

describe.runIf(hasSwiftShader)('kernels by profile, on SwiftShader', () => {
  let runner: DispatchRunner;
  beforeAll(async () => {
    runner = await DispatchRunner.open();
  });
  afterAll(() => runner?.close());

  // More columns than the narrow tiles take, and tiles of sums that the tall ones fit into.
  const x = samples(2, [12, 12, 20], uniform(1));
  const w = fixed([1, 1, 20, 72], uniform(2));
  const named = { name: '', rows: 2 };
  const window = { stride: 1, padding: 'same' };
  const conv: OpCase = { ...named, inputs: [x, w, fixed([72], uniform(4))], attrs: { ...window, epilogue: { stats: true } } };
  const wideGradient = fixed([1, 1, 72, 20], uniform(2));
  const gradient: OpCase = {
    ...named,
    inputs: [samples(2, [12, 12, 20], uniform(3)), wideGradient],
    attrs: { ...window, inputShape: [12, 12, 72] },
  };

  it.each(names)('%s: products with statistics, and gradients whose second factor is written along its depth', async (name) => {
    const profile: Profile = PROFILES[name];
    await checkDispatches(runner, 'conv', conv, of(profile));
    await checkDispatches(runner, 'convGradInput', gradient, of(profile));
    const [most, own] = [await runner.run('conv', conv, of(MOST)), await runner.run('conv', conv, of(profile))];
    expect(own.outputs[0]).toEqual(most.outputs[0]);
    if (profile.tiles !== PROFILES.intel.tiles) expect(own.outputs).toEqual(most.outputs);
    else expect(own.outputs.slice(1)).not.toEqual(most.outputs.slice(1));
    const [mostGradient, ownGradient] = [
      await runner.run('convGradInput', gradient, of(MOST)),
      await runner.run('convGradInput', gradient, of(profile)),
    ];
    expect(ownGradient.outputs[0]).toEqual(mostGradient.outputs[0]);
  });

  it('depthwise gradients are right for narrow windows, and of other bits', async () => {
    const one: OpCase = { ...named, ...depthwiseGradCase({ rows: 2, shape: [9, 16, 3], k: 5 }, DEPTHWISE_GRADIENTS[0]) };
    await checkDispatches(runner, 'depthwiseGrad', one, of(PROFILES.apple));
    const [most, apple] = [await runner.run('depthwiseGrad', one, of(MOST)), await runner.run('depthwiseGrad', one, of(PROFILES.apple))];
    expect(apple.outputs).not.toEqual(most.outputs);
  });
});
