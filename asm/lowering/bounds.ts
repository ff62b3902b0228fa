// The kernels that measure the machine, asm/kernels/bounds.ts: no op has them.

import { callsOf, type Kernels } from './lowering.ts';

export const boundsKernels = {
  boundsMultiplyAdd: { tasks: 'i32', rounds: 'i32', operands: 'ptr', result: 'ptr' },
  boundsMultiplyAddPairs: { tasks: 'i32', rounds: 'i32', operands: 'ptr', chains: 'ptr' },
  boundsCopy: { blocks: 'i32', bytes: 'i32', from: 'ptr', to: 'ptr' },
} as const satisfies Kernels;

export const boundsCall = callsOf(boundsKernels);
