// Kernels as functions, on the thread that calls this: each has instances of its own over the one memory.

import { STEP, TASKS } from './abi.ts';
import type { ThreadData } from './protocol.ts';

/** Makes a thread's part of a kernel call; `args` is the address of its argument block. */
export type Kernel = (args: number) => void;

/** The kernels in the order of their names, by which programs know them. */
export function instantiate({
  memory,
  modules,
  kernels,
  scratch,
}: Pick<ThreadData, 'memory' | 'modules' | 'kernels' | 'scratch'>): Kernel[] {
  const exported = new Map<string, Kernel>();
  for (const module of modules) {
    const { exports } = new WebAssembly.Instance(module, { env: { memory, step: STEP, tasks: TASKS, scratch } });
    for (const [name, value] of Object.entries(exports)) if (typeof value === 'function') exported.set(name, value as Kernel);
  }
  return kernels.map((name) => exported.get(name) as Kernel);
}
