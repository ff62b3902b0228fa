// Flags of V8: which ones this package has a use for, and who may set them. Nothing else here sets any.
//
// A flag holds for the whole process, for every module that is compiled in it and for every thread. Set while another thread
// compiles, or taken back under code that was compiled with it, it ends processes. So each is set once and stays, and only
// those flags are set that have been tried with exactly this version of V8: there are none for one that nobody knows yet.

import { setFlagsFromString } from 'node:v8';
import { isMainThread } from 'node:worker_threads';

const RELAXED_SIMD = '--experimental-wasm-relaxed-simd';
/** Names of the revectorizer's flag, the newer one first. */
const REVECTORIZE = ['--wasm-revectorize', '--experimental-wasm-revectorize'];

/**
 * By version of V8 (those of Node 20, 22, 24, 25, 26): what is faster with a flag. Liftoff, lazy compilation, inlining and deoptimisation
 * stay as they are: kernels in a loop are optimised within a second anyway, and V8 14 crashes or hangs where parts of that are off.
 */
const FLAGS: Readonly<Record<string, { readonly flags: readonly string[]; readonly inLibraries: boolean }>> = {
  '11.3': { flags: [RELAXED_SIMD], inLibraries: true },
  '12.4': { flags: [], inLibraries: true },
  '13.6': { flags: [REVECTORIZE[1]], inLibraries: true },
  '14.1': { flags: [REVECTORIZE[1]], inLibraries: false },
  '14.6': { flags: [REVECTORIZE[1]], inLibraries: false },
};

/** What is looked at of a process. */
export interface Engine {
  readonly versions: Readonly<Record<string, string | undefined>>;
  readonly arch: string;
  readonly execArgv: readonly string[];
}

/** What may be set in this engine: by a program whose process is its own, and by a library. */
export function v8Flags({ versions, arch, execArgv }: Engine): { readonly own: readonly string[]; readonly library: readonly string[] } {
  // Bun, Deno and Electron name a V8, but it is not Node's. Frozen flags end the process that sets one.
  const version = versions.bun ? undefined : /^(\d+\.\d+)\.[\d.]+-node\.\d+$/.exec(versions.v8 ?? '')?.[1];
  const known = version === undefined || given('--freeze-flags-after-init', execArgv) ? undefined : FLAGS[version];
  if (!known) return { own: [], library: [] };
  // The revectorizer is in V8 for x64 only.
  const own = known.flags.filter((flag) => arch === 'x64' || !REVECTORIZE.includes(flag));
  return { own, library: known.inLibraries ? own : [] };
}

/** Flags that this module has set, on this thread. */
const set = new Set<string>();

/** For the start of a program whose process is its own, before it compiles anything: sets all flags that are of use. */
export function setFlagsOfProcess(): void {
  setOnce(v8Flags(process).own);
}

/** For a library, with leave: sets those flags that may come late, and none from a worker thread. */
export function setFlagsOfLibrary(): void {
  if (isMainThread) setOnce(v8Flags(process).library);
}

function setOnce(flags: readonly string[]): void {
  for (const flag of flags) {
    if (!set.has(flag)) setFlagsFromString(flag);
    set.add(flag);
  }
}

/** Whether the revectorizer is on, as far as can be known: set here, or on the command line of the process. */
export function revectorizerIsOn(): boolean {
  return REVECTORIZE.some((flag) => set.has(flag) || given(flag, process.execArgv));
}

/** The flag with which a program is to be started for the revectorizer's sake. Null: it is on, or of no use in this engine. */
export function missingFlag(): string | null {
  const flag = v8Flags(process).own.find((name) => REVECTORIZE.includes(name));
  return flag === undefined || revectorizerIsOn() ? null : flag;
}

/** Whether a flag is on by arguments such as `--a-b`, `--a_b` or, later, `--no-a-b`. */
function given(flag: string, execArgv: readonly string[]): boolean {
  const name = flag.slice('--'.length);
  const last = execArgv.map((argument) => argument.replaceAll('_', '-')).findLast((argument) => [flag, `--no-${name}`].includes(argument));
  return last === flag;
}
