// Images a second of the data kernels, and of the whole pipeline: order, gather, crop, flip, ring, hand-over. On noise in memory, of
// CIFAR-10's shape and number. Per core: by the CPU time of the process, which a busy machine does not change as much as the time.

import { availableParallelism } from 'node:os';
import { DataPipeline, normalization } from '../runtime/entries/data.ts';
import { abortError, copyBytes, ImageKernels, kernelCalls, loadDataKernels } from '../runtime/entries/internal.ts';
import { type AugmentOptions, type Dataset, memoryDataset } from '../runtime/index.ts';

export interface DataBenchOptions {
  /** Images of the set. */
  readonly images: number;
  /** Most workers; 1 to this many are measured. */
  readonly workers: number;
  /** Sizes of tasks. */
  readonly rows: readonly number[];
  /** Of each measurement, in s. */
  readonly seconds: number;
  readonly signal?: AbortSignal;
}

interface Rate {
  readonly imagesPerSecond: number;
  readonly imagesPerCoreSecond: number;
}

export interface DataBenchResult {
  readonly cores: number;
  readonly kernels: readonly (Rate & { readonly name: string })[];
  readonly pipeline: readonly (Rate & { readonly workers: number; readonly rows: number; readonly handOver: boolean })[];
}

const SHAPE = [32, 32, 3] as const;
const IMAGE_BYTES = 32 * 32 * 3;
const AUGMENT: AugmentOptions = { crop: 4, flip: true };
const NORMALIZE = { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };
/** A measurement is the best of so many pieces. */
const PIECES = 5;

export async function benchData({ images, workers, rows, seconds, signal }: DataBenchOptions): Promise<DataBenchResult> {
  const dataset = noise(images);
  const kernels: DataBenchResult['kernels'][number][] = [];
  for (const entry of await kernelLoops()) {
    if (signal?.aborted) throw abortError(signal);
    kernels.push({ name: entry.name, ...(await rate(entry.run, seconds)) });
  }
  const pipeline: DataBenchResult['pipeline'][number][] = [];
  for (let count = 0; count <= workers; count++) {
    for (const chunk of rows) {
      for (const handOver of [false, true]) {
        if (signal?.aborted) throw abortError(signal);
        pipeline.push({ workers: count, rows: chunk, handOver, ...(await pipelineRate(dataset, count, chunk, handOver, seconds)) });
      }
    }
  }
  return { cores: availableParallelism(), kernels, pipeline };
}

/** Loops over blocks that stay in the cache: what a kernel can do. Each returns how many images it has done. */
async function kernelLoops(): Promise<{ name: string; run: () => number }[]> {
  const module = await loadDataKernels();
  const set = { shape: SHAPE, mean: [0, 0, 0] };
  const loop = (name: string, layout: 'interleaved' | 'planar', augment: AugmentOptions | undefined, floats: boolean) => {
    const calls = kernelCalls(layout, augment, set);
    const normalize = floats ? normalization(NORMALIZE.mean, NORMALIZE.std) : undefined;
    const kernels = new ImageKernels(module, { shape: SHAPE, seed: 1n, calls, normalize });
    const samples = Int32Array.from({ length: kernels.rows }, (_, i) => i);
    const run = (): number => {
      for (let i = 0; i < samples.length; i++) samples[i] += samples.length;
      kernels.run(samples, 1);
      if (floats) kernels.floats(samples.length);
      return samples.length;
    };
    return { name, run };
  };
  return [
    loop('crop and flip, uint8', 'interleaved', AUGMENT, false),
    loop('crop and flip, float32', 'interleaved', AUGMENT, true),
    loop('crop and flip, reflecting, uint8', 'interleaved', { ...AUGMENT, padding: 'reflect' }, false),
    loop('planar to NHWC, crop and flip, uint8', 'planar', AUGMENT, false),
    loop('crop, flip and erase, uint8', 'interleaved', { ...AUGMENT, erase: { probability: 0.5, area: [0.02, 0.33], ratio: 3.3 } }, false),
  ];
}

async function pipelineRate(dataset: Dataset, workers: number, chunk: number, handOver: boolean, seconds: number): Promise<Rate> {
  const batch = chunk;
  const feed = { dataset, batch, chunk, seed: 1n, shuffle: true, augment: AUGMENT, prefetch: 2 * Math.max(1, workers) };
  await using pipeline = await DataPipeline.open({ train: feed }, { workers });
  const loader = pipeline.loader('train');
  const taken = new Uint8Array(batch * IMAGE_BYTES);
  let epoch = 1;
  let batches = loader.epoch(epoch);
  const next = async (): Promise<number> => {
    let { value } = await batches.next();
    if (!value) {
      batches = loader.epoch(++epoch);
      ({ value } = await batches.next());
    }
    if (!value) return 0;
    // What a device does with it: a copy into memory of its own.
    if (handOver) copyBytes(taken, value.images);
    return value.rows;
  };
  for (let i = 0; i < 2 * feed.prefetch; i++) await next(); // past the start
  return await rate(next, seconds);
}

async function rate(step: () => number | Promise<number>, seconds: number): Promise<Rate> {
  let imagesPerSecond = 0;
  let imagesPerCoreSecond = 0;
  for (let piece = 0; piece < PIECES; piece++) {
    let images = 0;
    const cpu = process.cpuUsage();
    const begin = performance.now();
    while (performance.now() - begin < (1000 * seconds) / PIECES) {
      const done = step();
      images += typeof done === 'number' ? done : await done;
    }
    const elapsed = (performance.now() - begin) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    imagesPerSecond = Math.max(imagesPerSecond, images / elapsed);
    imagesPerCoreSecond = Math.max(imagesPerCoreSecond, (1e6 * images) / (user + system));
  }
  return { imagesPerSecond, imagesPerCoreSecond };
}

function noise(size: number): Dataset {
  const images = new Uint8Array(new SharedArrayBuffer(size * IMAGE_BYTES));
  for (let i = 0; i < images.length; i++) images[i] = Math.imul(i + 1, 0x9e3779b1) >>> 24;
  const labels = Uint8Array.from({ length: size }, (_, i) => i % 10);
  return memoryDataset({ name: 'noise', shape: SHAPE, classes: Array.from({ length: 10 }, (_, i) => `${i}`), labels, images });
}

export function formatData({ cores, kernels, pipeline }: DataBenchResult): string {
  const millions = (n: number) => `${(n / 1e6).toFixed(2)} M`.padStart(10);
  const lines = [
    `images of 32 × 32 × 3 a second; ${cores} cores`,
    '',
    `${'kernels, one core'.padEnd(48)}${'per core'.padStart(10)}`,
    ...kernels.map(({ name, imagesPerCoreSecond }) => `  ${name.padEnd(46)}${millions(imagesPerCoreSecond)}`),
    '',
    `${'pipeline, from the set to the batch'.padEnd(48)}${'per core'.padStart(10)}${'in all'.padStart(10)}`,
    ...pipeline.map(({ workers, rows, handOver, imagesPerSecond, imagesPerCoreSecond }) => {
      const who = workers === 0 ? 'calling thread' : `${workers} worker${workers > 1 ? 's' : ''}`;
      const what = `${who}, ${rows} rows a task${handOver ? ', handed over' : ''}`;
      return `  ${what.padEnd(46)}${millions(imagesPerCoreSecond)}${millions(imagesPerSecond)}`;
    }),
  ];
  const scaling = pipeline.flatMap((two) => {
    const one = pipeline.find(({ workers, rows, handOver }) => workers === 1 && rows === two.rows && handOver === two.handOver);
    if (two.workers !== 2 || two.handOver || !one) return [];
    return [`  from one worker to two, ${two.rows} rows a task: ${(two.imagesPerSecond / one.imagesPerSecond).toFixed(2)}×`];
  });
  return `${[...lines, ...scaling].join('\n')}\n`;
}
