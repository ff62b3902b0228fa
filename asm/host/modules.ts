// The compiled kernels: which build this engine runs best, compiled once in each process's thread that opens devices, on the
// thread that opens them, and handed to the threads that compute.

import { HybridError, invariant } from '../../runtime/base/errors.ts';
import { missingPart, requireWebAssembly } from '../../runtime/base/restrictions.ts';
import { revectorizerIsOn, setFlagsOfLibrary } from '../../runtime/base/v8-flags.ts';
import { host } from '../../runtime/hosts/index.ts';
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
  /** Allows setting V8 flags that may come late, once and for good (runtime/base/v8-flags.ts). */
  readonly v8Flags?: boolean;
  /** Which build to load; by default the fused one where the engine has it. */
  readonly fma?: boolean;
  /** Loads the micro-kernel that is made for the revectorizer without it: slow, for tests. */
  readonly wide?: boolean;
  /** False: never revectorize. By default where V8's flag is set and a test finds it equal and faster. */
  readonly revectorize?: boolean;
}

/**
 * `(func (export "f") (param f32 f32 f32) (result f32) (f32x4.extract_lane 0 (f32x4.relaxed_madd (f32x4.splat (local.get 0))
 * (f32x4.splat (local.get 1)) (f32x4.splat (local.get 2)))))`
 */
const RELAXED_MADD = new Uint8Array([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x08, 0x01, 0x60, 0x03, 0x7d, 0x7d, 0x7d, 0x01, 0x7d],
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x07, 0x05, 0x01, 0x01, 0x66, 0x00, 0x00],
  ...[
    0x0a, 0x16, 0x01, 0x14, 0x00, 0x20, 0x00, 0xfd, 0x13, 0x20, 0x01, 0xfd, 0x13, 0x20, 0x02, 0xfd, 0x13, 0xfd, 0x85, 0x02, 0xfd, 0x1f,
    0x00,
  ],
  0x0b,
]);

/**
 * Whether relaxed_madd is fused here: some engines, and x64 without FMA3, know it and multiply, then add. Only running it tells: fused,
 * (1 + 2⁻¹²)² − (1 + 2⁻¹¹) is 2⁻²⁴; rounded in between it is 0.
 */
export function hasFma({ v8Flags = false }: LoadOptions = {}): boolean {
  requireWebAssembly();
  if (v8Flags) setFlagsOfLibrary();
  if (!WebAssembly.validate(RELAXED_MADD)) return false;
  const { f } = new WebAssembly.Instance(new WebAssembly.Module(RELAXED_MADD), {}).exports as {
    f: (a: number, b: number, c: number) => number;
  };
  return f(1 + 2 ** -12, 1 + 2 ** -12, -(1 + 2 ** -11)) === 2 ** -24;
}

/** Loaded kernels by what was asked for: devices share them, because compiled code is memory, and its test is time. */
const loaded = new Map<string, Promise<KernelModules>>();

/** Loads and compiles all kernels. Throws E_ENVIRONMENT where they cannot be read, or this process has no WebAssembly. */
export async function loadKernels(options: LoadOptions = {}): Promise<KernelModules> {
  // Also where the build is named: Node 20 compiles the fused one by a flag.
  if (options.v8Flags) setFlagsOfLibrary();
  const fma = options.fma ?? hasFma(options);
  const wide = options.wide ?? false;
  const revectorize = fma && !wide && (options.revectorize ?? true) && revectorizerIsOn();
  const key = `${fma} ${wide} ${revectorize}`;
  const known = loaded.get(key);
  if (known) return known;
  const loading = load(fma, wide, revectorize);
  loaded.set(key, loading);
  // What failed may be mended.
  loading.catch(() => loaded.delete(key));
  return loading;
}

async function load(fma: boolean, wide: boolean, revectorize: boolean): Promise<KernelModules> {
  const files = await readKernels();
  const modules = await compile(pick(files, wide ? ['.wide.fma', '.fma'] : fma ? ['.fma'] : ['']));
  const kernels = exportsOf(modules);
  if (revectorize) {
    const candidate = await compile(pick(files, ['.wide.fma', '.fma']));
    const { equal, faster } = await compareKernels(candidate, modules, kernels).catch((error: unknown) => {
      // No memory for the test: what is short of it are not the kernels, and the device says so with numbers.
      if (error instanceof RangeError) return { equal: false, faster: false };
      throw error;
    });
    if (equal && faster) return { fma, revectorized: true, modules: candidate, kernels };
  }
  return { fma, revectorized: false, modules, kernels };
}

async function compile(bytes: readonly Uint8Array<ArrayBuffer>[]): Promise<WebAssembly.Module[]> {
  // Compiling in the background does not keep the process alive, and an await for it would be the end.
  const alive = setInterval(() => {}, 1000);
  try {
    return await Promise.all(bytes.map((module) => WebAssembly.compile(module)));
  } catch (cause) {
    if (!/SIMD unsupported/.test((cause as Error).message)) throw cause;
    const message = `this processor has no 128-bit SIMD for WebAssembly: ${(cause as Error).message}`;
    throw new HybridError('E_ENVIRONMENT', message, 'Use a processor with SSE4.1 (x64), or another device.', { cause });
  } finally {
    clearInterval(alive);
  }
}

/** All built modules by their names without the ending, such as `conv.wide.fma`. */
async function readKernels(): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  try {
    const names = (await host.assets('kernels')).filter((file) => file.endsWith('.wasm'));
    if (names.length === 0) throw Object.assign(new Error('the folder is empty'), { code: 'ENOENT' });
    const files = names.map(async (file) => [file.slice(0, -'.wasm'.length), await host.asset(`kernels/${file}`)] as const);
    return new Map(await Promise.all(files));
  } catch (error) {
    throw missingPart('the compiled kernels', host.assetPath('kernels'), error);
  }
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
