// The compiled kernels: which build this engine can run, compiled once on the main thread and handed to the threads.

import { readdir, readFile } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { HybridError, invariant } from '../../runtime/base/errors.ts';
import { KERNEL_FOLDER } from './assets.ts';

export interface KernelModules {
  /** Fused multiply-add, or multiply, then add: the two differ in the last bits. */
  readonly fma: boolean;
  readonly modules: readonly WebAssembly.Module[];
  /** Names of all kernels. A program names a kernel by its index in this list. */
  readonly kernels: readonly string[];
}

export interface LoadOptions {
  /** Allows setting V8 flags, which hold for the whole process. Node below 22 has relaxed SIMD behind one. */
  readonly v8Flags?: boolean;
  /** Which build to load; by default the fused one where the engine has it. */
  readonly fma?: boolean;
}

/** `(func (param v128 v128 v128) (result v128) (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))` */
const RELAXED_MADD = new Uint8Array([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x08, 0x01, 0x60, 0x03, 0x7b, 0x7b, 0x7b, 0x01, 0x7b],
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x0a, 0x0d, 0x01, 0x0b, 0x00, 0x20, 0x00, 0x20, 0x01, 0x20, 0x02, 0xfd, 0x85, 0x02, 0x0b],
]);

/** Whether this engine has fused multiply-add; with `v8Flags` it is switched on where it is behind a flag. */
export function hasFma({ v8Flags = false }: LoadOptions = {}): boolean {
  if (v8Flags && Number.parseInt(process.versions.node, 10) < 22) setFlagsFromString('--experimental-wasm-relaxed-simd');
  return WebAssembly.validate(RELAXED_MADD);
}

/** Loads and compiles all kernels. Throws E_ENVIRONMENT where they were not built. */
export async function loadKernels(options: LoadOptions = {}): Promise<KernelModules> {
  const available = hasFma(options);
  const fma = options.fma ?? available;
  const suffix = fma ? '.fma.wasm' : '.wasm';
  const files = (await readdir(KERNEL_FOLDER).catch(() => []))
    .filter((file) => file.endsWith(suffix) && file.endsWith('.fma.wasm') === fma)
    .sort();
  if (files.length === 0) {
    throw new HybridError('E_ENVIRONMENT', `no compiled kernels in ${KERNEL_FOLDER.pathname}`, 'Run `npm run build` in the package.');
  }
  const modules = await Promise.all(files.map(async (file) => WebAssembly.compile(await readFile(new URL(file, KERNEL_FOLDER)))));
  const kernels = modules
    .flatMap((module) => WebAssembly.Module.exports(module))
    .filter(({ kind }) => kind === 'function')
    .map(({ name }) => name)
    .sort();
  for (let i = 1; i < kernels.length; i++) invariant(kernels[i] !== kernels[i - 1], `two kernels are called ${kernels[i]}`);
  return { fma, modules, kernels };
}
