// Where things lie in the shared memory, seen from the host. What kernels have to know as well is asm/abi/constants.ts.

import { ceilTo } from '../../runtime/base/units.ts';
import { type StepScalars, writeStep as writeBlock } from '../../runtime/ir/step.ts';

export { ARENA, SCRATCH_BYTES } from '../abi/constants.ts';

/** Address of the step block: what changes from run to run without being a tensor. */
export const STEP = 1024;
/** Address of the task counter, on a cache line of its own: every thread adds to it. */
export const TASKS = 1152;
/** Address of the words by which the gang and its host talk (protocol.ts). */
export const GANG_WORDS = 1280;
/** Scratch areas, argument blocks and regions of the arena start at multiples of a cache line. */
export const ALIGNMENT = 64;

export const align = (address: number, to = ALIGNMENT): number => ceilTo(address, to);

export const writeStep = (buffer: ArrayBufferLike, step: StepScalars): void => writeBlock(buffer, STEP, step);
