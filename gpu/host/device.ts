// The webgpu device: any vendor's GPU, through WGSL compute shaders and Dawn.

import { HybridError, invariant } from '../../runtime/base/errors.ts';
import type { Bounds, CompileOptions, Device, ModelGraphs } from '../../runtime/device.ts';
import { type AdapterReport, kernelOptions } from './adapter.ts';
import { acquireInstance, type BindingOptions } from './binding.ts';
import { measureBounds } from './bounds.ts';
import { WebGpuExecutable } from './executable.ts';
import { Gpu, type GpuOptions } from './gpu.ts';
import { Pipelines } from './pipelines.ts';
import { type CompiledGraphs, compileAll, type KernelOptions, type Layout, layOut, printPrograms } from './program.ts';

export interface WebGpuDeviceOptions extends BindingOptions, GpuOptions {
  /** Stands for what the binding gives: how tests make a GPU fail. */
  readonly gpu?: GPU;
}

/** Opens the device. Throws E_ENVIRONMENT where the package `webgpu` or a GPU is missing. */
export async function openWebGpuDevice(options: WebGpuDeviceOptions = {}): Promise<WebGpuDevice> {
  const instance = options.gpu ? { gpu: options.gpu, release: () => {} } : await acquireInstance(options);
  try {
    return new WebGpuDevice(await Gpu.open(instance.gpu, options), () => instance.release());
  } catch (error) {
    instance.release();
    throw error;
  }
}

export class WebGpuDevice implements Device {
  readonly name = 'webgpu';
  readonly description: string;
  /** Of the CPU: the one that submits. */
  readonly threads = 1;
  /** WebGPU does not tell how much memory a GPU has. */
  readonly memoryLimit = Number.MAX_SAFE_INTEGER;
  readonly adapter: AdapterReport;
  readonly #gpu: Gpu;
  readonly #pipelines: Pipelines;
  readonly #kernels: KernelOptions;
  readonly #release: () => void;
  readonly #executables = new Set<WebGpuExecutable>();
  #closed = false;

  constructor(gpu: Gpu, release: () => void) {
    this.#gpu = gpu;
    this.#release = release;
    this.#pipelines = new Pipelines(gpu);
    this.#kernels = { precision: 'f32', ...kernelOptions(gpu.device) };
    this.adapter = gpu.adapter;
    const { description, device, vendor, software } = gpu.adapter;
    this.description = `WebGPU, ${description || device || vendor || 'unnamed adapter'}${software ? ' (software: computes on the CPU)' : ''}, f32`;
  }

  async compile(graphs: ModelGraphs, options: CompileOptions): Promise<WebGpuExecutable> {
    invariant(!this.#closed, 'the device is closed');
    const { capacity, seed } = options;
    invariant(Number.isInteger(capacity) && capacity >= 1, `capacity ${capacity}`);
    const compiled = compileAll(graphs, options);
    const layout = this.#layOut(compiled, capacity);
    const onClose = () => this.#executables.delete(executable);
    const parts = { gpu: this.#gpu, graphs: compiled, layout, capacity, seed, onClose };
    const executable = await WebGpuExecutable.create(parts, this.#pipelines).catch((error: unknown) => {
      const isMemory = error instanceof HybridError && error.code === 'E_MEMORY';
      throw isMemory ? new HybridError('E_MEMORY', `a batch of ${capacity}: ${error.message}`, error.remedy, { cause: error }) : error;
    });
    this.#executables.add(executable);
    if (this.#closed) await executable.close(); // closed while the shaders were compiled
    return executable;
  }

  memoryFor(graphs: ModelGraphs, options: CompileOptions): number {
    return layOut(compileAll(graphs, options), options.capacity, this.#kernels).plan.bytes;
  }

  inspect(graphs: ModelGraphs, options: CompileOptions): string {
    return printPrograms(layOut(compileAll(graphs, options), options.capacity, this.#kernels), options.capacity);
  }

  bounds(): Promise<Bounds> {
    return measureBounds(this.#gpu, this.#pipelines);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all([...this.#executables].map((executable) => executable.close()));
    this.#gpu.close();
    this.#release();
  }

  /** The layout, if every buffer can be made and bound as a whole. Throws E_MEMORY with the largest batch of which that is true. */
  #layOut(graphs: CompiledGraphs, capacity: number): Layout {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.#gpu.device.limits;
    const limit = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    const largestOf = ({ plan }: Layout) => plan.buffers.reduce((a, b) => (b.bytes > a.bytes ? b : a));
    const layout = layOut(graphs, capacity, this.#kernels);
    const largest = largestOf(layout);
    if (largest.bytes <= limit) return layout;
    let fits = 0;
    for (let above = capacity; above - fits > 1; ) {
      const middle = Math.floor((fits + above) / 2);
      if (largestOf(layOut(graphs, middle, this.#kernels)).bytes <= limit) fits = middle;
      else above = middle;
    }
    const mebibytes = (n: number) => Math.ceil(n / 2 ** 20).toLocaleString('en');
    throw new HybridError(
      'E_MEMORY',
      `a batch of ${capacity} needs a buffer of ${mebibytes(largest.bytes)} MiB (${largest.label}), but this GPU takes at most ${mebibytes(limit)} MiB`,
      fits > 0 ? `Use a smaller batch: --batch ${fits} is the largest that fits.` : 'Use a smaller model.',
    );
  }
}
