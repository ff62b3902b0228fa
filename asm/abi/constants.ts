// Numbers that the host and the kernels of the wasm device have in common. asm/build.mjs writes every number that is exported
// here into asm/lib/abi.gen.ts, where kernels find it.
//
// The shared memory:
//
//   | constants | zeros | step block | task counter | gang words | arena | shared scratch | a scratch area per thread | programs |
//   64          512     1024         1152           1280         4096
//
// The constants are the kernel modules' static data (asm/lib/gelu.ts), the same in each of them.

/** Where kernel modules may have static data. */
export const STATIC_DATA = 64;
/** Address of 64 bytes that are always zero. */
export const ZERO_LINE = 512;
/** Address of the first tensor. */
export const ARENA = 4096;
/** Bytes of the private scratch area of a thread. */
export const SCRATCH_BYTES = 4 << 20;

/** Elements of a chunk: how memory-bound kernels cut a tensor into tasks. */
export const CHUNK = 16384;
