import { expect, test } from 'vitest';
import { type DeviceName, type DeviceOptions, openDevice } from '../runtime/devices.ts';

test('without a name it is auto', async () => {
  const reasons: string[] = [];
  await using device = await openDevice(undefined, { onChoice: (reason) => reasons.push(reason) });
  expect(reasons).toHaveLength(1);
  expect(['wasm', 'webgpu']).toContain(device.name);
});

test.each([
  ['wasn', 'wasm'],
  ['cpu', 'wasm'],
  ['GPU', 'webgpu'],
  ['cuda', 'webgpu'],
])('the device %s is not there: %s is meant', async (name, meant) => {
  await expect(openDevice(name as DeviceName)).rejects.toMatchObject({
    code: 'E_USAGE',
    message: `unknown device "${name}"; did you mean ${meant}?`,
  });
});

test('an unknown option is refused, with the nearest name', async () => {
  await expect(openDevice('wasm', { thread: 2 } as DeviceOptions)).rejects.toMatchObject({
    code: 'E_USAGE',
    message: 'openDevice has no "thread"; did you mean threads?',
  });
});
