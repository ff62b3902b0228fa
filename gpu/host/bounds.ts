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
/** Milliseconds that a run lasts, at least: what starts and ends a pass is little of it, and no watchdog takes notice. */
const LONG = 5;
/** Work to begin with, enough for a software adapter, and its bounds. */
const GROUPS = 256;
const MOST_GROUPS = 2 ** 22;
const ROUNDS = 512;
const SOFTWARE_BYTES = 32 << 20;
const BYTES = 256 << 20;
const MOST_COPIES = 256;

/**
 * The work, and the milliseconds that it takes, of the first of `first`, 2·first, 4·first… that takes `LONG`; the last one looked at is not beyond
 * `most`. A slow GPU is not given the work of a fast one, whose pass would be over before it is measured.
 */
export async function untilLong(
  milliseconds: (work: number) => Promise<number>,
  first: number,
  most: number,
): Promise<{ readonly work: number; readonly ms: number }> {
  for (let work = first; ; work *= 2) {
    const ms = await milliseconds(work);
    if (ms >= LONG || 2 * work > most) return { work, ms };
  }
}

const each = (make: (i: number) => string): string => Array.from({ length: CHAINS }, (_, i) => make(i)).join(' ');

/** Multiply-adds out of registers: as WGSL. */
export const MULTIPLY_ADD = `${STEP_WGSL}
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@compute @workgroup_size(${GROUP}) fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = vec4f(f32(step.rows) * 0.5);
  ${each((i) => `var x${i} = vec4f(f32(id.x) + ${i}.0);`)}
  for (var k = 0u; k < ${ROUNDS}u; k++) { ${each((i) => `x${i} = fma(x${i}, a, a);`)} }
  let sum = ${Array.from({ length: CHAINS }, (_, i) => `x${i}`).join(' + ')};
  if (sum.x == 1.5) { out[0] = sum; }
}`;

/** From memory to memory. */
export const COPY = `${STEP_WGSL}
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(${GROUP}) fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) i: u32) {
  let k = (group.y * 256u + group.x) * ${GROUP}u + i;
  y[k] = x[k];
}`;

export async function measureBounds(gpu: Gpu, pipelines: Pipelines): Promise<Bounds> {
  const bytes = Math.min(gpu.adapter.software ? SOFTWARE_BYTES : BYTES, gpu.device.limits.maxStorageBufferBindingSize);
  const rows = bytes / 16 / GROUP / 256;
  const [step, from, to] = await gpu.allocate([
    { label: 'step', bytes: STEP_BYTES, usage: USAGE.uniform | USAGE.copyDst },
    { label: 'from', bytes, usage: STORAGE },
    { label: 'to', bytes, usage: STORAGE },
  ]);
  /** Of a shader: milliseconds of the best of a few runs of so many dispatches of x · y workgroups. */
  const timer = async (code: string, buffers: readonly GPUBuffer[]) => {
    const bindings = buffers.map((_, i) => ({
      operand: { scratch: i },
      access: i === buffers.length - 1 ? ('read_write' as const) : ('read' as const),
    }));
    const dispatch: Dispatch = { kernel: 'bounds', code, bindings, workgroups: () => [1, 1, 1] };
    const pipeline = await pipelines.pipeline(dispatch, 'bounds');
    const entries = [step, ...buffers].map((buffer, binding) => ({ binding, resource: { buffer } }));
    const bindGroup = gpu.device.createBindGroup({ layout: pipelines.layout(dispatch), entries });
    return async (x: number, y: number, dispatches = 1): Promise<number> => {
      const stopwatch = new Stopwatch(gpu, RUNS + 1);
      try {
        await gpu.submit('bounds', (encoder) => {
          for (let run = 0; run <= RUNS; run++) {
            const pass = encoder.beginComputePass({ timestampWrites: stopwatch.ofPass(run) });
            pass.setPipeline(pipeline);
            pass.setBindGroup(0, bindGroup);
            for (let i = 0; i < dispatches; i++) pass.dispatchWorkgroups(x, y);
            pass.end();
          }
          stopwatch.resolve(encoder);
        });
        // The first run touches the memory for the first time.
        return Math.min(...(await stopwatch.read()).slice(1));
      } finally {
        stopwatch.destroy();
      }
    };
  };
  try {
    const multiply = await timer(MULTIPLY_ADD, [to]);
    const { work: groups, ms } = await untilLong((all) => multiply(GROUPS, all / GROUPS), GROUPS, MOST_GROUPS);
    const copy = await timer(COPY, [from, to]);
    const copied = await untilLong((copies) => copy(256, rows, copies), 1, MOST_COPIES);
    const flops = groups * GROUP * ROUNDS * CHAINS * 4 * 2;
    return { flopsPerSecond: (1000 * flops) / ms, bytesPerSecond: (1000 * 2 * bytes * copied.work) / copied.ms };
  } finally {
    for (const buffer of [step, from, to]) buffer.destroy();
  }
}
