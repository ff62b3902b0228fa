// The webgpu device keeps the contract, on a software adapter.

import { describe } from 'vitest';
import { openWebGpuDevice } from '../../gpu/host/device.ts';
import { hasSwiftShader, useSwiftShader } from '../support/swiftshader.ts';
import { contract } from './contract.ts';

describe.runIf(hasSwiftShader)('SwiftShader', () => {
  contract('webgpu', {
    open: async () => {
      useSwiftShader();
      return openWebGpuDevice();
    },
    isBad: (loss) => !Number.isFinite(loss),
    calls: /^program \w+: (\d+) dispatches$/gm,
  });
});
