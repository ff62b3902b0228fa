// The wrapped device on a software adapter: buffers, results, errors with a name and a line, bounds.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { acquireInstance } from '../../gpu/host/binding.ts';
import { measureBounds } from '../../gpu/host/bounds.ts';
import { Gpu, STORAGE } from '../../gpu/host/gpu.ts';
import { Pipelines } from '../../gpu/host/pipelines.ts';
import { Staging } from '../../gpu/host/staging.ts';
import type { Dispatch } from '../../gpu/lowering/lowering.ts';
import { hybridError } from '../support/expect-error.ts';
import { useSwiftShader } from '../support/swiftshader.ts';

let gpu: Gpu;
let release: () => void;
beforeAll(async () => {
  useSwiftShader();
  const instance = await acquireInstance();
  release = instance.release;
  gpu = await Gpu.open(instance.gpu);
});
afterAll(() => {
  gpu?.close();
  release?.();
});

it('measures bounds', async () => {
  const t = performance.now();
  console.log(gpu.adapter, await measureBounds(gpu, new Pipelines(gpu)), performance.now() - t);
});
