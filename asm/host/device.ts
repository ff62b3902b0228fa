// The wasm device: every core of the CPU, through SIMD WebAssembly over one shared memory.

import { HybridError } from '../../runtime/base/errors.ts';
import { own } from '../../runtime/base/own.ts';
import { mebibytes } from '../../runtime/base/units.ts';
import { missingFlag } from '../../runtime/base/v8-flags.ts';
import { type CompiledGraphs, compileGraphs } from '../../runtime/compile/programs.ts';
import type { Bounds, CompileOptions, Device, ModelGraphs } from '../../runtime/device.ts';
import { host } from '../../runtime/hosts/index.ts';
import { measureBounds } from './bounds.ts';
import { newGang } from './calling-thread.ts';
import { availableMemory, gangThreads } from './cores.ts';
import { WasmExecutable } from './executable.ts';
import { type KernelModules, loadKernels } from './modules.ts';
import { type Layout, layOut, PAGE_BYTES, printPrograms, writePrograms } from './program.ts';

export interface WasmDeviceOptions {
  /** Threads of a gang; by default one for each usable core, less one from four cores on. */
  readonly threads?: number;
  /** Allows setting V8 flags that may come late (runtime/base/v8-flags.ts). */
  readonly v8Flags?: boolean;
  /** False: never use V8's revectorizer. */
  readonly revectorize?: boolean;
  /** Which arithmetic, for tests; by default fused multiply-add where the engine has it. */
  readonly fma?: boolean;
  /** Told how to start the program where a flag that was allowed must be set before. */
  readonly onNotice?: (text: string) => void;
}

/** 32-bit addresses, less a page so that the length itself fits in 32 bits. */
const ADDRESS_LIMIT = 2 ** 32 - PAGE_BYTES;
const MAX_THREADS = 256;

/** To be counted up whenever kernels come to give other bits: a run that is resumed is then told (runtime/train/resume.ts). */
const ARITHMETIC_VERSION = 2;

/**
 * How often a thread looks at the barrier before it sleeps: some ten microseconds. A barrier without sleep costs less than
 * one, with it some twenty. Where threads share cores they sleep at once: looking would take the time from those that are
 * waited for.
 */
const SPINS = 10_000;
const SPINS_SHARING_CORES = 0;

/** Opens the device. Throws E_USAGE for a bad number of threads, E_ENVIRONMENT where the kernels were not built. */
export async function openWasmDevice(options: WasmDeviceOptions = {}): Promise<Device> {
  const { threads, v8Flags, revectorize, fma, onNotice } = own(options);
  const cores = host.cores();
  const asked = threads ?? Math.min(gangThreads(cores), MAX_THREADS);
  if (!Number.isInteger(asked) || asked < 1 || asked > MAX_THREADS) {
    throw new HybridError('E_USAGE', `${threads} threads`, `Give a whole number from 1 to ${MAX_THREADS}.`);
  }
  const count = host.unshared === null ? asked : 1;
  // Who asks for one thread has what was asked for, but for where it is.
  if (host.unshared !== null && threads !== 1) host.warn(`The wasm device has 1 thread: ${host.unshared}`, onNotice);
  const kernels = await loadKernels({ v8Flags, revectorize, fma });
  const flag = v8Flags && revectorize !== false ? missingFlag() : null;
  if (flag) onNotice?.(`V8 ${process.versions.v8} can be faster here, with a flag that must be set when Node starts: node ${flag}`);
  return new WasmDevice(count, count <= cores ? SPINS : SPINS_SHARING_CORES, kernels);
}

class WasmDevice implements Device {
  readonly name = 'wasm';
  readonly description: string;
  readonly arithmetic: string;
  readonly threads: number;
  readonly memoryLimit = Math.min(ADDRESS_LIMIT, host.memory.physical());
  readonly #spins: number;
  readonly #kernels: KernelModules;
  readonly #executables = new Set<WasmExecutable>();
  #closed = false;

  constructor(threads: number, spins: number, kernels: KernelModules) {
    this.threads = threads;
    this.#spins = spins;
    this.#kernels = kernels;
    const multiplication = kernels.fma ? 'fused multiply-add' : 'multiply, then add';
    this.arithmetic = `${multiplication}, version ${ARITHMETIC_VERSION}`;
    const build = `${multiplication}${kernels.revectorized ? ', revectorized' : ''}`;
    this.description = `WebAssembly SIMD (${build}), ${threads} thread${threads === 1 ? '' : 's'}`;
  }

  async compile(graphs: ModelGraphs, options: CompileOptions): Promise<WasmExecutable> {
    if (this.#closed) throw new HybridError('E_USAGE', 'the device is closed', 'Open a new one.');
    const { capacity, seed, exchange, onGradients, trace } = options;
    const gang = newGang({ threads: this.threads }); // its threads come up meanwhile
    try {
      const compiled = compileGraphs(graphs, options);
      const layout = layOut(compiled, capacity, this.threads);
      const memory = this.#allocate(compiled, capacity, layout);
      const { modules, kernels } = this.#kernels;
      const programs = writePrograms(layout, memory.buffer, kernels);
      await gang.equip({ memory, modules, kernels, scratch: layout.threadScratch, spins: this.#spins });
      const onClose = () => this.#executables.delete(executable);
      const executable = new WasmExecutable({
        graphs: compiled,
        layout,
        memory,
        programs,
        gang,
        capacity,
        seed,
        exchange,
        onGradients,
        trace,
        onClose,
      });
      this.#executables.add(executable);
      if (this.#closed) await executable.close(); // closed while the threads started
      return executable;
    } catch (error) {
      await gang.close();
      throw error;
    }
  }

  memoryFor(graphs: ModelGraphs, options: CompileOptions): number {
    return layOut(compileGraphs(graphs, options), options.capacity, this.threads).bytes;
  }

  bounds(): Promise<Bounds> {
    const { modules, kernels, revectorized } = this.#kernels;
    return measureBounds({ modules, kernels, revectorized, threads: this.threads, spins: this.#spins });
  }

  inspect(graphs: ModelGraphs, options: CompileOptions): string {
    return printPrograms(layOut(compileGraphs(graphs, options), options.capacity, this.threads));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#executables].map((executable) => executable.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The shared memory, at its final size: a shared memory must not grow while threads hold views of it. Throws E_MEMORY. */
  #allocate(graphs: CompiledGraphs, capacity: number, { bytes }: Layout): WebAssembly.Memory {
    const limit = Math.min(this.memoryLimit, availableMemory(this.threads));
    if (bytes > limit) throw this.#tooLarge(graphs, capacity, bytes, limit);
    const pages = bytes / PAGE_BYTES;
    try {
      return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    } catch (error) {
      // The engine does not say how much it could have had: half of it is a guess that the reader can refine.
      throw this.#tooLarge(graphs, capacity, bytes, bytes / 2, error);
    }
  }

  #tooLarge(graphs: CompiledGraphs, capacity: number, bytes: number, limit: number, cause?: unknown): HybridError {
    const fits = (rows: number): boolean => layOut(graphs, rows, this.threads).bytes <= limit;
    let largest = 0;
    for (let above = capacity; above - largest > 1; ) {
      const middle = Math.floor((largest + above) / 2);
      if (fits(middle)) largest = middle;
      else above = middle;
    }
    const what = cause ? 'and the operating system refused the allocation' : `but only ${mebibytes(limit)} MiB are available`;
    const remedy =
      largest > 0 ? `Use a smaller batch: \`batch: ${largest}\`${cause ? '' : ' is the largest that fits'}.` : 'Use a smaller model.';
    return new HybridError('E_MEMORY', `a batch of ${capacity} needs ${mebibytes(bytes)} MiB of memory, ${what}`, remedy, {
      ...{ cause, field: 'batch', suggested: largest > 0 ? largest : undefined },
    });
  }
}
