// The compiled kernels: which build this engine runs best, compiled once on the main thread and handed to the threads.
//
// V8 flags hold for the whole process, but only code that is compiled while they are set is affected. So they are set
// around compiling and taken back after it, and only where the caller allows it.

import { readdir, readFile } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { HybridError, invariant } from '../../runtime/base/errors.ts';
import { KERNEL_FOLDER } from './assets.ts';
import { compareKernels } from './self-test.ts';

export interface KernelModules {
  /** Fused multiply-add, or multiply, then add: the two differ in the last bits. */
  readonly fma: boolean;
  /** Whether V8 joined 128-bit operations into 256-bit ones. The same bits, faster. */
  readonly revectorized: boolean;
  readonly modules: readonly WebAssembly.Module[];
  /** Names of all kernels. A program names a kernel by its index in this list. */
  readonly kernels: readonly string[];
}

export interface LoadOptions {
  /**
   * Allows setting V8 flags while the kernels are compiled: to compile all of them with the optimising compiler at once, to
   * revectorize, and for relaxed SIMD on Node below 22 (that one stays set, because threads need it too).
   */
  readonly v8Flags?: boolean;
  /** Which build to load; by default the fused one where the engine has it. */
  readonly fma?: boolean;
  /** Loads the micro-kernel that is made for the revectorizer without it: slow, for tests. */
  readonly wide?: boolean;
  /** False: never revectorize. By default where flags are allowed, the engine can, and a test finds it equal and faster. */
  readonly revectorize?: boolean;
}

const NODE = Number.parseInt(process.versions.node, 10);

/** `(func (param v128 v128 v128) (result v128) (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))` */
const RELAXED_MADD = new Uint8Array([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x08, 0x01, 0x60, 0x03, 0x7b, 0x7b, 0x7b, 0x01, 0x7b],
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x0a, 0x0d, 0x01, 0x0b, 0x00, 0x20, 0x00, 0x20, 0x01, 0x20, 0x02, 0xfd, 0x85, 0x02, 0x0b],
]);

/** Whether this engine has fused multiply-add; with `v8Flags` it is switched on where it is behind a flag. */
export function hasFma({ v8Flags = false }: LoadOptions = {}): boolean {
  if (v8Flags && NODE < 22) setFlagsFromString('--experimental-wasm-relaxed-simd');
  return WebAssembly.validate(RELAXED_MADD);
}

/** Loads and compiles all kernels. Throws E_ENVIRONMENT where they were not built. */
export async function loadKernels(options: LoadOptions = {}): Promise<KernelModules> {
  const { v8Flags = false, revectorize = true } = options;
  const available = hasFma(options);
  const fma = options.fma ?? available;
  const files = await readKernels();
  const plain = pick(files, options.wide ? ['.wide.fma', '.fma'] : fma ? ['.fma'] : ['']);
  const modules = await compile(plain, v8Flags ? EAGERLY : []);
  const kernels = exportsOf(modules);

  // The revectorizer is in V8 for x64 only; Node 24 is the first in which it was found to work.
  if (v8Flags && revectorize && fma && !options.wide && NODE >= 24 && process.arch === 'x64') {
    // V8 keeps compiled code by the bytes of the module: another custom section makes other bytes.
    const marked = pick(files, ['.wide.fma', '.fma']).map((bytes) => Buffer.concat([bytes, REVECTORIZED_SECTION]));
    const wide = await compile(marked, [...EAGERLY, REVECTORIZE]);
    const { equal, faster } = compareKernels(wide, modules, kernels);
    if (equal && faster) return { fma, revectorized: true, modules: wide, kernels };
  }
  return { fma, revectorized: false, modules, kernels };
}

/** A V8 flag to set while modules are compiled and the one that takes it back. */
interface Flag {
  readonly set: string;
  readonly reset: string;
}
const EAGERLY: readonly Flag[] = [
  { set: '--no-liftoff', reset: '--liftoff' },
  { set: '--no-wasm-lazy-compilation', reset: '--wasm-lazy-compilation' },
];
const REVECTORIZE: Flag = { set: '--experimental-wasm-revectorize', reset: '--no-experimental-wasm-revectorize' };
/** A custom section, three bytes long, with the name `r` and one byte of content. */
const REVECTORIZED_SECTION = Uint8Array.of(0, 3, 1, 0x72, 1);

async function compile(bytes: readonly Uint8Array<ArrayBuffer>[], flags: readonly Flag[]): Promise<WebAssembly.Module[]> {
  for (const { set } of flags) setFlagsFromString(set);
  // Compiling in the background does not keep the process alive, and an await for it would be the end.
  const alive = setInterval(() => {}, 1000);
  try {
    return await Promise.all(bytes.map((module) => WebAssembly.compile(module)));
  } finally {
    clearInterval(alive);
    for (const { reset } of flags) setFlagsFromString(reset);
  }
}

/** All built modules by their names without the ending, such as `conv.wide.fma`. */
async function readKernels(): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const names = (await readdir(KERNEL_FOLDER).catch(() => [])).filter((file) => file.endsWith('.wasm')).sort();
  if (names.length === 0) {
    throw new HybridError('E_ENVIRONMENT', `no compiled kernels in ${KERNEL_FOLDER.pathname}`, 'Run `npm run build` in the package.');
  }
  const files = names.map(async (file) => [file.slice(0, -'.wasm'.length), await readFile(new URL(file, KERNEL_FOLDER))] as const);
  return new Map(await Promise.all(files));
}

/** Of each kernel file the first of the builds that there is. */
function pick(files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>, builds: readonly string[]): Uint8Array<ArrayBuffer>[] {
  const nouns = [...files.keys()].filter((name) => !name.includes('.'));
  return nouns.map((noun) => {
    const found = builds.map((build) => files.get(noun + build)).find((bytes) => bytes !== undefined);
    invariant(found, `${noun} was not built as ${builds.join(' or ')}`);
    return found;
  });
}

function exportsOf(modules: readonly WebAssembly.Module[]): string[] {
  const kernels = modules
    .flatMap((module) => WebAssembly.Module.exports(module))
    .filter(({ kind }) => kind === 'function')
    .map(({ name }) => name)
    .sort();
  for (let i = 1; i < kernels.length; i++) invariant(kernels[i] !== kernels[i - 1], `two kernels are called ${kernels[i]}`);
  return kernels;
}
