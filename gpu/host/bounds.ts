// Measures the GPU's own bounds: multiply-adds out of registers, and a copy from memory to memory.

import type { Bounds } from '../../runtime/device.ts';
import type { Dispatch } from '../lowering/lowering.ts';
import { STEP_BYTES, STEP_WGSL } from '../lowering/step.ts';
import { USAGE } from './binding.ts';
import { type Gpu, STORAGE } from './gpu.ts';
import type { Pipelines } from './pipelines.ts';
import { Stopwatch } from './stopwatch.ts';

const GROUP = 64;
/** Vectors of four lanes in flight in an invocation. */
const CHAINS = 8;
/** The best of so many runs counts. */
const RUNS = 5;
/** Work of a software adapter, and how many times as much a GPU gets, for times that can be told from starting a pass. */
const SOFTWARE = { groups: 256, rounds: 512, bytes: 32 << 20 };
const HARDWARE = { groups: 16_384, rounds: 2048, bytes: 256 << 20 };

const each = (make: (i: number) => string): string => Array.from({ length: CHAINS }, (_, i) => make(i)).join(' ');

const multiplyAdd = (rounds: number): string => `${STEP_WGSL}
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@compute @workgroup_size(${GROUP}) fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = vec4f(f32(step.rows) * 0.5);
  ${each((i) => `var x${i} = vec4f(f32(id.x) + ${i}.0);`)}
  for (var k = 0u; k < ${rounds}u; k++) { ${each((i) => `x${i} = fma(x${i}, a, a);`)} }
  let sum = ${Array.from({ length: CHAINS }, (_, i) => `x${i}`).join(' + ')};
  if (sum.x == 1.5) { out[0] = sum; }
}`;

const copy = `${STEP_WGSL}
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(${GROUP}) fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) i: u32) {
  let k = (group.y * 256u + group.x) * ${GROUP}u + i;
  y[k] = x[k];
}`;

export async function measureBounds(gpu: Gpu, pipelines: Pipelines): Promise<Bounds> {
  const { groups, rounds, bytes: most } = gpu.adapter.software ? SOFTWARE : HARDWARE;
  const bytes = Math.min(most, gpu.device.limits.maxStorageBufferBindingSize);
  const rows = bytes / 16 / GROUP / 256;
  const [step, from, to] = await gpu.allocate([
    { label: 'step', bytes: STEP_BYTES, usage: USAGE.uniform | USAGE.copyDst },
    { label: 'from', bytes, usage: STORAGE },
    { label: 'to', bytes, usage: STORAGE },
  ]);
  try {
    const seconds = async (code: string, buffers: readonly GPUBuffer[], [x, y]: readonly [number, number]): Promise<number> => {
      const bindings = buffers.map((_, i) => ({
        operand: { scratch: i },
        access: i === buffers.length - 1 ? ('read_write' as const) : ('read' as const),
      }));
      const dispatch: Dispatch = { kernel: 'bounds', code, bindings, workgroups: () => [x, y, 1] };
      const pipeline = await pipelines.pipeline(dispatch, 'bounds');
      const entries = [step, ...buffers].map((buffer, binding) => ({ binding, resource: { buffer } }));
      const bindGroup = gpu.device.createBindGroup({ layout: pipelines.layout(dispatch), entries });
      const stopwatch = new Stopwatch(gpu, RUNS + 1);
      try {
        await gpu.submit('bounds', (encoder) => {
          for (let run = 0; run <= RUNS; run++) {
            const pass = encoder.beginComputePass({ timestampWrites: stopwatch.ofPass(run) });
            pass.setPipeline(pipeline);
            pass.setBindGroup(0, bindGroup);
            pass.dispatchWorkgroups(x, y);
            pass.end();
          }
          stopwatch.resolve(encoder);
        });
        // The first run touches the memory for the first time.
        return Math.min(...(await stopwatch.read()).slice(1)) / 1000;
      } finally {
        stopwatch.destroy();
      }
    };
    const flops = groups * GROUP * rounds * CHAINS * 4 * 2;
    return {
      flopsPerSecond: flops / (await seconds(multiplyAdd(rounds), [to], [groups, 1])),
      bytesPerSecond: (2 * bytes) / (await seconds(copy, [from, to], [256, rows])),
    };
  } finally {
    for (const buffer of [step, from, to]) buffer.destroy();
  }
}
