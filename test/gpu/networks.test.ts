// Networks that Keras wrote as a whole on a software adapter: logits, the losses of three steps and the logits after them are those of Keras.

import { beforeAll, describe, expect, it } from 'vitest';
import { openWebGpuDevice } from '../../gpu/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { openKerasNetwork, relative, runNetwork } from '../support/keras-network.ts';
import { hasSwiftShader, useSwiftShader } from '../support/swiftshader.ts';

const FOLDER = new URL('../golden/keras', import.meta.url).pathname;

describe.runIf(hasSwiftShader)('on SwiftShader', () => {
  let device: Device;
  beforeAll(async () => {
    useSwiftShader();
    device = await openWebGpuDevice();
    return () => device.close();
  });

  it.each(['attending', 'resized', 'binary'])('%s', async (name) => {
    const network = await openKerasNetwork(FOLDER, name);
    const { logits, losses, after } = await runNetwork(device, network);
    expect(relative(logits, network.logits)).toBeLessThan(1e-4);
    for (const [i, loss] of losses.entries()) expect(Math.abs(loss / network.losses[i] - 1)).toBeLessThan(1e-3);
    expect(relative(after, network.after as Float64Array)).toBeLessThan(1e-3);
  });
});
