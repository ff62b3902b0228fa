// Times whole training steps, gradient and update, on made-up images: what a device does, without data and disk. As in training, the
// next step is on its way while the device is at work on one; a step lasts from the end of the one before it to its own.

import { trainingGraphs } from '../runtime/entries/graph.ts';
import { initialize } from '../runtime/entries/layers.ts';
import type { Device, Model } from '../runtime/index.ts';

export interface TrainBenchOptions {
  readonly device: Device;
  readonly model: Model;
  readonly batch: number;
  /** Steps that are timed, at least 1. */
  readonly steps: number;
  /** Steps before them that are not, at least 1. */
  readonly warmup: number;
  readonly signal?: AbortSignal;
}

export interface TrainBenchResult {
  readonly arch: string;
  readonly device: string;
  readonly batch: number;
  readonly threads: number;
  readonly stepMs: { readonly median: number; readonly min: number; readonly max: number };
  /** Of the median step. */
  readonly imagesPerSecond: number;
  /** From the start of the process to the end of the first step: what a person waits for. */
  readonly firstStepSeconds: number;
  readonly peakRssMiB: number;
}

export async function benchTrain({ device, model, batch, steps, warmup, signal }: TrainBenchOptions): Promise<TrainBenchResult> {
  // The programs of a training run, so that memory is what such a run takes.
  const executable = await device.compile(trainingGraphs(model), {
    capacity: batch,
    seed: 0n,
    programs: ['train', 'calibrate', 'evaluate'],
  });
  try {
    for (const [name, values] of initialize(model, 0n)) await executable.write(name, values);
    const input = madeUpBatch(model, batch);
    const times: number[] = [];
    let firstStepSeconds = 0;
    const start = () => Promise.all([executable.gradient(input, { signal }), executable.update(HYPER)]);
    let running = start();
    let begin = performance.now();
    for (let step = 0; step < warmup + steps; step++) {
      const next = step + 1 < warmup + steps ? start() : running;
      next.catch(() => {}); // told in its turn
      await running;
      running = next;
      const end = performance.now();
      // performance.now() counts from performance.timeOrigin, the start of the process.
      if (step === 0) firstStepSeconds = end / 1000;
      if (step >= warmup) times.push(end - begin);
      begin = end;
    }
    const middle = median(times);
    return {
      arch: model.arch,
      device: device.name,
      batch,
      threads: device.threads,
      stepMs: { median: middle, min: times.reduce((a, b) => Math.min(a, b)), max: times.reduce((a, b) => Math.max(a, b)) },
      imagesPerSecond: (1000 * batch) / middle,
      firstStepSeconds,
      peakRssMiB: process.resourceUsage().maxRSS / 1024,
    };
  } finally {
    await executable.close();
  }
}

export const HYPER = { learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.99 };

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/** The same bytes every time; their values do not matter for speed, but they differ, as those of images do. */
export function madeUpBatch(model: Model, rows: number) {
  const [height, width, channels] = model.input;
  const images = Uint8Array.from({ length: rows * height * width * channels }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 24) & 0xff);
  const labels = Int32Array.from({ length: rows }, (_, i) => i % model.classes);
  return { rows, images, labels, samples: Int32Array.from(labels.keys()), epoch: 1 };
}
