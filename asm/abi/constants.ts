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

/** Most channels of a group of a depthwise convolution. */
export const DEPTHWISE_GROUP = 2048;

/** Columns that a task of a convolution can have. */
export const TASK_COLUMNS = 512;
/** Rows and columns of results of a tile of Winograd's convolution, and the number of products that it takes. */
export const WINOGRAD_TILE = 4;
export const WINOGRAD_POINTS = 36;
/** Longest depth block of a product of matrices. */
export const DEPTH = 256;
/**
 * Bytes between the points of a transformed tile: a depth block of channels, and a line, so that the points are in different sets of
 * the cache.
 */
export const WINOGRAD_POINT_BYTES = 4 * DEPTH + 64;
/** Bytes of a depth block of a transformed tile, all its points: a row of the matrix that the micro-kernel reads unpacked. */
export const WINOGRAD_ROW_BYTES = WINOGRAD_POINTS * WINOGRAD_POINT_BYTES;
/** Columns of these products that are made, and transformed back, at a time. */
export const WINOGRAD_BLOCK_COLUMNS = 64;
/** Bytes between the matrices of two points, beyond their elements. */
export const WINOGRAD_GAP = 64;

/** Activations of an epilogue that kernels write by hand, by their codes (asm/abi/elementwise.ts). */
export const ACTIVATION_NONE = 0;
export const ACTIVATION_GELU = 1;
export const ACTIVATION_RELU = 2;
