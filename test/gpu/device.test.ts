import { afterAll, beforeAll, expect, it } from 'vitest';
import { openWebGpuDevice, type WebGpuDevice } from '../../gpu/host/device.ts';
import { selfTest } from '../../runtime/compile/self-test.ts';
import { useSwiftShader } from '../support/swiftshader.ts';

let device: WebGpuDevice;
beforeAll(async () => {
  useSwiftShader();
  device = await openWebGpuDevice();
});
afterAll(() => device?.close());

it('self-test', async () => {
  console.log(await selfTest(device));
});
