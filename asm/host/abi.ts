// The kernel ABI, seen from the host: where things lie in the shared memory. The kernels' side is asm/lib/abi.ts: change
// both together.
//
//   | constants | zeros | step block | task counter | gang words | arena | shared scratch | a scratch area per thread | programs |
//   64          512     1024         1152           1280         4096
//
// Address 0 stands for "absent" in argument blocks. The constants are the kernel modules' static data (asm/lib/gelu.ts), the
// same in each of them.

import type { StepScalars } from '../../runtime/ir/op.ts';

/** Address of the step block: what changes from run to run without being a tensor. */
export const STEP = 1024;
/** Address of the task counter, on a cache line of its own: every thread adds to it. */
export const TASKS = 1152;
/** Address of the words by which the gang and its host talk (protocol.ts). */
export const GANG_WORDS = 1280;
/** Address of the first tensor. */
export const ARENA = 4096;
/** Bytes of the private scratch area of a thread. */
export const SCRATCH_BYTES = 4 << 20;
/** Scratch areas, argument blocks and regions of the arena start at multiples of a cache line. */
export const ALIGNMENT = 64;

export const align = (address: number, to = ALIGNMENT): number => Math.ceil(address / to) * to;

export function writeStep(buffer: ArrayBufferLike, step: StepScalars): void {
  const view = new DataView(buffer, STEP, 28);
  view.setInt32(0, step.rows, true);
  view.setUint32(4, step.epoch, true);
  view.setBigUint64(8, BigInt.asUintN(64, step.seed), true);
  view.setFloat32(16, step.learningRate, true);
  view.setFloat32(20, step.weightDecay, true);
  view.setFloat32(24, step.bnMomentum, true);
}
