// What every kernel shares: the task counter, the thread's scratch, and, made of asm/abi, constants, the step block and argument blocks.

export * from './abi.gen';

/** Address of the task counter. The barrier resets it to zero before each kernel call. */
// @ts-ignore: decorator
@external("env", "tasks")
export declare const TASKS: usize;

/** Address of this thread's private scratch area, 64-byte aligned. Each thread's instance imports its own. */
// @ts-ignore: decorator
@external("env", "scratch")
export declare const SCRATCH: usize;

/** Takes the next task of this kernel call. The caller stops at its number of tasks. */
// @ts-ignore: decorator
@inline
export function nextTask(): i32 {
  return atomic.add<i32>(TASKS, 1);
}

/** a·b + c: fused where the module is built with relaxed SIMD, rounded twice where not. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}
