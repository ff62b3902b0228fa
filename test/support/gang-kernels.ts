// Kernels that only tests of the gang need, compiled from source when a test asks for them.

import { readFile } from 'node:fs/promises';
import asc from 'assemblyscript/asc';

const SOURCE = `
import { nextTask } from '../lib/abi';

/** args: from, to, n. to[i] = from[n − 1 − i] + 1, a task each: wrong as soon as a thread runs ahead of the others. */
export function mirror(args: usize): void {
  const n = load<i32>(args, 8);
  for (let i = nextTask(); i < n; i = nextTask()) {
    store<i32>(load<usize>(args, 4) + ((<usize>i) << 2), load<i32>(load<usize>(args) + ((<usize>(n - 1 - i)) << 2)) + 1);
  }
}

/** args: address, turns. Every thread counts; the loop takes about a nanosecond a turn. */
export function slow(args: usize): void {
  const address = load<usize>(args);
  let sum = 0;
  for (let i = 0; i < load<i32>(args, 4); i++) sum += load<i32>(address) ^ i;
  store<i32>(address + 4, sum);
}

/** Fails on the thread that gets the first task. */
export function trap(args: usize): void {
  if (nextTask() == 0) unreachable();
}
`;

export async function compileGangKernels(): Promise<{ modules: WebAssembly.Module[]; kernels: string[] }> {
  const entry = 'asm/kernels/gang-test.ts';
  let binary: Uint8Array | undefined;
  const flags = [
    '-O1',
    '--noAssert',
    '--runtime',
    'stub',
    '--importMemory',
    '--sharedMemory',
    '--initialMemory',
    '1',
    '--maximumMemory',
    '65536',
  ];
  const { error, stderr } = await asc.main([entry, ...flags, '--enable', 'simd,threads,bulk-memory', '-o', 'out.wasm'], {
    readFile: async (name, folder) =>
      name === entry
        ? SOURCE
        : readFile(new URL(`../../${folder === '.' ? '' : `${folder}/`}${name}`, import.meta.url), 'utf8').catch(() => null),
    writeFile: (_name, contents) => {
      if (typeof contents !== 'string') binary = contents;
    },
    listFiles: () => null,
  });
  if (error || !binary) throw new Error(`${stderr}`, { cause: error });
  return { modules: [await WebAssembly.compile(binary)], kernels: ['mirror', 'slow', 'trap'] };
}
