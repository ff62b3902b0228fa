// The self-test that accompanies a run: what is kept of it, and who hears of a device that computes wrongly or not at all.

import { expect, test } from 'vitest';
import { selfCheck } from '../../app/run/self-check.ts';
import type { Executable } from '../../runtime/entries/graph.ts';
import { type Device, openDevice } from '../../runtime/index.ts';

async function check(device: Pick<Device, 'compile'>) {
  const warnings: string[] = [];
  const kept: object[] = [];
  const folder = { amendEnvironment: async (more: object) => void kept.push(more) };
  await selfCheck(device, folder, (text) => void warnings.push(text));
  return { warnings, kept };
}

test('a device that is right: kept, and nobody is bothered', async () => {
  await using device = await openDevice('reference');
  const { warnings, kept } = await check(device);
  expect(warnings).toEqual([]);
  expect(kept).toMatchObject([{ selfTest: { passed: true, tensor: expect.any(String) } }]);
});

test('a device that computes a gradient wrongly: a warning with the tensor and how far it is off', async () => {
  await using device = await openDevice('reference');
  const wrong: Pick<Device, 'compile'> = {
    async compile(graphs, options) {
      const executable = await device.compile(graphs, options);
      const read: Executable['read'] = async (name) => {
        const values = await executable.read(name);
        return name.startsWith('gradients/') ? values.map((value) => 1.5 * value) : values;
      };
      return new Proxy(executable, {
        get: (target, key) => {
          if (key === 'read') return read;
          const value = Reflect.get(target, key);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    },
  };
  const { warnings, kept } = await check(wrong);
  expect(warnings).toEqual([
    expect.stringMatching(
      /failed its self-test \(at most 5\.0e-1 off the reference, in gradients\/.+\): the results of this run are not reliable/,
    ),
  ]);
  expect(kept).toMatchObject([{ selfTest: { passed: false } }]);
});

test('a device that fails, and a folder that cannot be written: still no error', async () => {
  const broken: Pick<Device, 'compile'> = { compile: () => Promise.reject(new Error('no memory for it')) };
  const { warnings, kept } = await check(broken);
  expect(warnings).toEqual([expect.stringContaining('(no memory for it)')]);
  expect(kept).toEqual([{ selfTest: { passed: false, failure: 'no memory for it' } }]);
  await selfCheck(broken, { amendEnvironment: () => Promise.reject(new Error('disk full')) }, () => {});
});
