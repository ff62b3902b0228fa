// Compares what this machine has: wasm on one thread and on all, and a GPU where there is one, each with the host's work in the
// shadow of the device's and without. The variants take turns in one run, so that a disturbance hits all of them.

import { type Executable, trainingGraphs } from '../runtime/entries/graph.ts';
import { abortError } from '../runtime/entries/internal.ts';
import { initialize } from '../runtime/entries/layers.ts';
import { type Device, type DeviceOptions, type Model, openDevice } from '../runtime/index.ts';
import { HYPER, madeUpBatch, median } from './train.ts';

export interface DeviceBenchOptions {
  readonly model: Model;
  readonly batch: number;
  /** Turns of each variant, at least 1; the median of their steps counts. */
  readonly rounds: number;
  /** Takes a GPU that is software as well. */
  readonly software: boolean;
  /** Of the GPU; `auto` by default. */
  readonly precision?: DeviceOptions['precision'];
  readonly signal?: AbortSignal;
}

export interface DeviceBenchRow {
  readonly name: string;
  readonly device: string;
  /** Whether the next batch is made while the device computes. */
  readonly overlap: boolean;
  readonly stepMs: number;
  readonly imagesPerSecond: number;
  /** Of the fastest variant's time. */
  readonly ratio: number;
}

export interface DeviceBenchResult {
  readonly arch: string;
  readonly batch: number;
  readonly rows: readonly DeviceBenchRow[];
  /** What was left out, and why. */
  readonly notes: readonly string[];
}

/** Steps of a turn. */
const STEPS = 3;

export async function benchDevices(options: DeviceBenchOptions): Promise<DeviceBenchResult> {
  const { model, batch, rounds, signal } = options;
  const notes: string[] = [];
  const variants: { name: string; device: Device; executable: Executable; times: Record<'on' | 'off', number[]> }[] = [];
  try {
    for (const { name, device } of await openAll(options, notes)) {
      const executable = await device.compile(trainingGraphs(model), { capacity: batch, seed: 0n, programs: ['train'] });
      variants.push({ name, device, executable, times: { on: [], off: [] } });
      for (const [variable, values] of initialize(model, 0n)) await executable.write(variable, values);
      if (signal?.aborted) throw abortError(signal);
      await steps(executable, model, batch, true, 1); // touches all memory
    }
    for (let round = 0; round < rounds; round++) {
      for (const { executable, times } of variants) {
        if (signal?.aborted) throw abortError(signal);
        times.on.push(await steps(executable, model, batch, true, STEPS));
        times.off.push(await steps(executable, model, batch, false, STEPS));
      }
    }
    const best = variants.flatMap(({ times }) => [median(times.on), median(times.off)]).reduce((a, b) => Math.min(a, b));
    const rows = variants.flatMap(({ name, device, times }) =>
      (['on', 'off'] as const).map((overlap) => {
        const stepMs = median(times[overlap]);
        const imagesPerSecond = (1000 * batch) / stepMs;
        return { name, device: device.description, overlap: overlap === 'on', stepMs, imagesPerSecond, ratio: stepMs / best };
      }),
    );
    return { arch: model.arch, batch, rows, notes };
  } finally {
    for (const { device } of variants) await device.close();
  }
}

async function openAll({ software, precision }: DeviceBenchOptions, notes: string[]): Promise<{ name: string; device: Device }[]> {
  const all = await openDevice('wasm', { v8Flags: true });
  const opened = [{ name: `wasm, ${all.threads} thread${all.threads === 1 ? '' : 's'}`, device: all }];
  if (all.threads > 1) opened.unshift({ name: 'wasm, 1 thread', device: await openDevice('wasm', { threads: 1, v8Flags: true }) });
  try {
    const gpu = await openDevice('webgpu', { precision });
    if (software || !/software/.test(gpu.description)) opened.push({ name: 'webgpu', device: gpu });
    else {
      await gpu.close();
      notes.push(`left out: ${gpu.description}; --software takes it as well`);
    }
  } catch (error) {
    notes.push(`no webgpu: ${(error as Error).message}`);
  }
  return opened;
}

/** Milliseconds of a step, batches made anew included. */
async function steps(executable: Executable, model: Model, batch: number, overlap: boolean, count: number): Promise<number> {
  const begin = performance.now();
  let input = madeUpBatch(model, batch);
  for (let step = 0; step < count; step++) {
    const results = Promise.all([executable.gradient(input), executable.update(HYPER)]);
    if (overlap) input = madeUpBatch(model, batch);
    await results;
    if (!overlap) input = madeUpBatch(model, batch);
  }
  return (performance.now() - begin) / count;
}

/** The table that people read. */
export function formatDevices({ arch, batch, rows, notes }: DeviceBenchResult): string {
  const width = rows.reduce((most, { name }) => Math.max(most, name.length), 0);
  const lines = rows.map(
    ({ name, overlap, stepMs, imagesPerSecond, ratio }) =>
      `${name.padEnd(width)}  overlap ${overlap ? 'on ' : 'off'}  ${stepMs.toFixed(1).padStart(9)} ms a step  ${imagesPerSecond.toFixed(1).padStart(8)} images/s  ${ratio.toFixed(2).padStart(6)}×`,
  );
  const devices = [...new Set(rows.map(({ name, device }) => `${name}: ${device}`))];
  return [`${arch}, batch ${batch}; times as multiples of the best`, '', ...lines, '', ...devices, ...notes, ''].join('\n');
}
