// The webgpu device: any vendor's GPU, through WGSL compute shaders and Dawn.

import { HybridError, invariant } from '../../runtime/base/errors.ts';
import { mebibytes } from '../../runtime/base/units.ts';
import type { CompiledGraphs } from '../../runtime/compile/programs.ts';
import type { Bounds, CompileOptions, Device, Executable, ModelGraphs, Precision } from '../../runtime/device.ts';
import { host } from '../../runtime/hosts/index.ts';
import { profileOf } from '../lowering/profile.ts';
import { kernelOptions, unitOf } from './adapter.ts';
import type { AdapterReport } from './adapter-report.ts';
import { acquireInstance, type BindingOptions } from './binding.ts';
import { measureBounds } from './bounds.ts';
import { WebGpuExecutable } from './executable.ts';
import { Gpu, type GpuOptions } from './gpu.ts';
import { GpuTrace } from './gpu-trace.ts';
import { Pipelines } from './pipelines.ts';
import { compileAll, type KernelOptions, type Layout, layOut, printPrograms } from './program.ts';
import { RecoveringExecutable } from './recovery.ts';
import { largestBuffer, largestPart, RESIDENT_OTHERS } from './resident.ts';
import { type TuneOptions, Tuner } from './tune.ts';

/** WebGPU does not tell how much memory a GPU has: so much for images is a quarter of a small one. */
const RESIDENT_BYTES = 512 << 20;

/** To be counted up whenever kernels come to give other bits: a run that is resumed is then told (runtime/train/resume.ts). Those of matrix units by themselves. */
const ARITHMETIC_VERSION = 3;
const MATRICES_VERSION = 4;

const formatMebibytes = (bytes: number): string => `${mebibytes(bytes)} MiB`;

export interface WebGpuDeviceOptions extends BindingOptions, GpuOptions {
  /** Stands for what the binding gives: how tests make a GPU fail. */
  readonly gpu?: GPU;
  /** Whether the loss is scaled: by default in the tiers where gradients pass through f16. */
  readonly lossScale?: boolean;
  /** Told in a sentence that a GPU was lost and another one goes on. */
  readonly onNotice?: (text: string) => void;
}

/** Opens the device. Throws E_ENVIRONMENT where the package `webgpu`, a GPU, or the tier of one is missing. */
export async function openWebGpuDevice(options: WebGpuDeviceOptions = {}): Promise<WebGpuDevice> {
  const instance = options.gpu ? { gpu: options.gpu, release: () => {} } : await acquireInstance(options);
  try {
    return new WebGpuDevice(await Gpu.open(instance.gpu, options), instance, options);
  } catch (error) {
    instance.release();
    throw error;
  }
}

/** Whether two adapters compute the same bits: a laptop that loses its GPU has another one left, and a software adapter may be the last. */
const isSameGpu = (a: AdapterReport, b: AdapterReport): boolean =>
  (['vendor', 'architecture', 'device', 'description', 'software'] as const).every((key) => a[key] === b[key]);

export class WebGpuDevice implements Device {
  readonly name = 'webgpu';
  readonly description: string;
  readonly arithmetic: string;
  readonly precision: Precision;
  /** Of the CPU: the one that submits. */
  readonly threads = 1;
  /** WebGPU does not tell how much memory a GPU has. */
  readonly memoryLimit = Number.MAX_SAFE_INTEGER;
  readonly adapter: AdapterReport;
  readonly #instance: { readonly gpu: GPU; release(): void };
  readonly #options: WebGpuDeviceOptions;
  #tuner: Tuner | undefined;
  #gpu: Gpu;
  #pipelines: Pipelines;
  #renewal: Promise<void> | null = null;
  readonly #executables = new Set<RecoveringExecutable>();
  #closed = false;

  constructor(gpu: Gpu, instance: { readonly gpu: GPU; release(): void }, options: WebGpuDeviceOptions) {
    this.#gpu = gpu;
    this.#instance = instance;
    this.#options = options;
    this.#pipelines = new Pipelines(gpu);
    this.adapter = gpu.adapter;
    const { name, description, device, vendor, architecture, software } = gpu.adapter;
    this.precision = options.precision ?? 'f32';
    // The driver as well: its compiler contracts, and its exp and division round, as they do.
    const { arithmetic: choices } = profileOf({ vendor, device }, host.platform);
    const unit = unitOf(gpu.adapter, this.precision);
    const version = unit ? MATRICES_VERSION : ARITHMETIC_VERSION;
    const of = [vendor, architecture, device, description, this.precision].filter(Boolean).join(' ');
    const matrices = unit?.component === 'f32' ? ['matrices of f32'] : [];
    this.arithmetic = [of, ...(choices ? [choices] : []), ...matrices, `version ${version}`].join(', ');
    this.description = `WebGPU, ${name}${software ? ' (software: computes on the CPU)' : ''}, ${this.precision}`;
  }

  async compile(graphs: ModelGraphs, options: CompileOptions): Promise<Executable> {
    if (this.#closed) throw new HybridError('E_USAGE', 'the device is closed', 'Open a new one.');
    const { capacity, seed, exchange, resident, trace } = options;
    if (exchange) {
      throw new HybridError(
        'E_USAGE',
        'the webgpu device does not exchange statistics with others',
        'Use `device: wasm`, or leave `syncBatchNorm` out.',
      );
    }
    const compiled = this.#compileAll(graphs, options);
    const executable = await RecoveringExecutable.create({
      onNotice: this.#options.onNotice,
      create: async (lost) => {
        // A GPU may be lost while nothing runs on it, too.
        if (lost || this.#gpu.isLost) await this.#renew(lost?.gpu ?? this.#gpu);
        invariant(!this.#closed, 'the device is closed');
        const lane = trace && (await GpuTrace.open(this.#gpu, trace));
        if (lane === null) this.#options.onNotice?.('This GPU does not support timestamp queries: the trace has no GPU track.');
        const layout = await this.#tunedLayout(compiled, capacity);
        const parts = { gpu: this.#gpu, graphs: compiled, layout, capacity, seed, resident, trace: lane ?? undefined };
        return WebGpuExecutable.create(parts, this.#pipelines).catch((error: unknown) => {
          const isMemory = error instanceof HybridError && error.code === 'E_MEMORY';
          throw isMemory ? new HybridError('E_MEMORY', `a batch of ${capacity}: ${error.message}`, error.remedy, { cause: error }) : error;
        });
      },
      onClose: () => this.#executables.delete(executable),
    });
    this.#executables.add(executable);
    if (this.#closed) await executable.close(); // closed while the shaders were compiled
    return executable;
  }

  /** From now on kernels that give the same bits are raced, once for each GPU and product. Without, the maker's profile alone decides. */
  tune(options: TuneOptions): void {
    this.#tuner = new Tuner(this.#gpu, this.precision, { onNotice: this.#options.onNotice, ...options });
  }

  memoryFor(graphs: ModelGraphs, options: CompileOptions): number {
    return layOut(this.#compileAll(graphs, options), options.capacity, this.#kernelOptions).plan.bytes;
  }

  inspect(graphs: ModelGraphs, options: CompileOptions): string {
    return printPrograms(layOut(this.#compileAll(graphs, options), options.capacity, this.#kernelOptions), options.capacity);
  }

  holds(bytes: number): { worthwhile: boolean; possible: boolean; reason: string } {
    const { software } = this.adapter;
    const { device } = this.#gpu;
    const most = largestPart(device) * (device.limits.maxStorageBuffersPerShaderStage - RESIDENT_OTHERS);
    if (bytes > most) return { worthwhile: false, possible: false, reason: `this GPU can bind ${formatMebibytes(most)} of them at most` };
    if (software) return { worthwhile: false, possible: true, reason: 'the memory of a software adapter is that of the host' };
    if (bytes > RESIDENT_BYTES)
      return {
        worthwhile: false,
        possible: true,
        reason: `the set is larger than ${formatMebibytes(RESIDENT_BYTES)}, the limit for automatic placement`,
      };
    return { worthwhile: true, possible: true, reason: '' };
  }

  bounds(): Promise<Bounds> {
    return measureBounds(this.#gpu, this.#pipelines);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all([...this.#executables].map((executable) => executable.close()));
    await this.#renewal?.catch(() => {});
    this.#gpu.close();
    this.#instance.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #compileAll(graphs: ModelGraphs, options: CompileOptions): CompiledGraphs {
    return compileAll(graphs, options, this.#options.lossScale ?? this.precision !== 'f32');
  }

  get #kernelOptions(): KernelOptions {
    return {
      precision: this.precision,
      ...kernelOptions(this.#gpu.device, this.#gpu.adapter, this.precision),
      choose: this.#tuner?.choose,
    };
  }

  /** Opens a new adapter and device in place of a lost one, once for all executables that had it. */
  #renew(lost: Gpu): Promise<void> {
    if (this.#gpu !== lost) return Promise.resolve();
    this.#renewal ??= Gpu.open(this.#instance.gpu, this.#options)
      .then((gpu) => {
        if (!isSameGpu(gpu.adapter, lost.adapter)) {
          gpu.close();
          throw new HybridError(
            'E_DEVICE',
            `${lost.adapter.name} was lost, and this machine now offers ${gpu.adapter.name}, which computes different bits`,
            'Resume the run when the GPU is back, or resume it on the other one: `hybrid train --resume RUN --allow-changed arithmetic`.',
          );
        }
        lost.close();
        this.#gpu = gpu;
        this.#pipelines = new Pipelines(gpu);
      })
      .finally(() => {
        this.#renewal = null;
      });
    return this.#renewal;
  }

  /** The layout with the kernels that races have found. A GPU that is lost in a race is opened anew, and does not race for these again. */
  async #tunedLayout(graphs: CompiledGraphs, capacity: number): Promise<Layout> {
    const layout = this.#layOut(graphs, capacity);
    if (!this.#tuner) return layout;
    try {
      await this.#tuner.tune({
        ...{ gpu: this.#gpu, pipelines: this.#pipelines, capacity },
        layOut: (choose) => layOut(graphs, capacity, { ...this.#kernelOptions, choose }),
      });
    } catch (error) {
      if (!this.#gpu.isLost) throw error;
    }
    if (this.#gpu.isLost) await this.#renew(this.#gpu);
    return this.#layOut(graphs, capacity);
  }

  /** The layout, if every buffer can be made and bound as a whole. Throws E_MEMORY with the largest batch of which that is true. */
  #layOut(graphs: CompiledGraphs, capacity: number): Layout {
    const limit = largestBuffer(this.#gpu.device);
    const largestOf = ({ plan }: Layout) => plan.buffers.reduce((a, b) => (b.bytes > a.bytes ? b : a));
    const layout = layOut(graphs, capacity, this.#kernelOptions);
    const largest = largestOf(layout);
    if (largest.bytes <= limit) return layout;
    let fits = 0;
    for (let above = capacity; above - fits > 1; ) {
      const middle = Math.floor((fits + above) / 2);
      if (largestOf(layOut(graphs, middle, this.#kernelOptions)).bytes <= limit) fits = middle;
      else above = middle;
    }
    throw new HybridError(
      'E_MEMORY',
      `a batch of ${capacity} needs a buffer of ${formatMebibytes(largest.bytes)} (${largest.label}), but this GPU takes at most ${formatMebibytes(limit)}`,
      fits > 0 ? `Use a smaller batch: \`batch: ${fits}\` is the largest that fits.` : 'Use a smaller model.',
      { field: 'batch', suggested: fits > 0 ? fits : undefined },
    );
  }
}
