// What every data kernel shares. A data kernel changes images as bytes, one image at a time; it belongs to no gang and has no
// barrier: each data worker (and the calling thread, where it prepares batches itself) has an instance with a memory of its own.
//
//   export function name(rows: i32, from: usize, to: usize, samples: usize, args: usize): void
//
// `from` holds `rows` images, NHWC, one after the other, and at least a row of pixels and 16 bytes before and after them may be
// read; the result goes to `to`, which either does not overlap or, for kernels that work in place, is equal. Nothing is written
// outside of the images. `samples` is an i32 an image: with seed and epoch it keys the random draws, so that neither batch nor
// worker nor order changes a byte. `args` are doubles, laid down by runtime/data/kernels.ts: those below, then the kernel's own
// (the `args` of its entry in runtime/data/augment/augmentations.ts).

import { philox4x32 } from "../lib/philox";

const HEIGHT = 0;
const WIDTH = 1;
const CHANNELS = 2;
const SEED_LOW = 3;
const SEED_HIGH = 4;
const EPOCH = 5;
const SCRATCH = 6;
/** Index of a kernel's first own argument. */
export const OWN = 7;

// @ts-ignore: decorator
@inline
export function arg(args: usize, i: i32): f64 {
  return load<f64>(args + ((<usize>i) << 3));
}
// @ts-ignore: decorator
@inline
export function int(args: usize, i: i32): i32 {
  return <i32>arg(args, i);
}
// @ts-ignore: decorator
@inline
export function height(args: usize): i32 {
  return int(args, HEIGHT);
}
// @ts-ignore: decorator
@inline
export function width(args: usize): i32 {
  return int(args, WIDTH);
}
// @ts-ignore: decorator
@inline
export function channels(args: usize): i32 {
  return int(args, CHANNELS);
}
/** Address of 8 rows of pixels and 2,048 bytes that a kernel may use as it likes. */
// @ts-ignore: decorator
@inline
export function scratch(args: usize): usize {
  return <usize>arg(args, SCRATCH);
}

/** The four words of a block of draws for the image at `row`. */
// @ts-ignore: decorator
@inline
export function draw(args: usize, samples: usize, row: i32, purpose: u32, block: u32): v128 {
  return drawAt(args, samples, row, purpose, block, epoch(args));
}
/** The same of another epoch. */
// @ts-ignore: decorator
@inline
export function drawAt(args: usize, samples: usize, row: i32, purpose: u32, block: u32, epoch: u32): v128 {
  const sample = load<u32>(samples + ((<usize>row) << 2));
  return philox4x32(<u32>arg(args, SEED_LOW), <u32>arg(args, SEED_HIGH), sample, epoch, purpose, block);
}
// @ts-ignore: decorator
@inline
export function epoch(args: usize): u32 {
  return <u32>arg(args, EPOCH);
}

/** A random word as a whole number from 0 to below `count`. */
// @ts-ignore: decorator
@inline
export function below(word: u32, count: i32): i32 {
  return <i32>((<u64>word * <u64>count) >> 32);
}
