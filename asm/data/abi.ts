// What every data kernel shares. A data kernel changes images as bytes, one image at a time; it belongs to no gang and has no
// barrier: each data worker (and the calling thread, where it prepares batches itself) has an instance with a memory of its own.
//
//   export function name(rows: i32, from: usize, to: usize, samples: usize, args: NameArgs): void
//
// `from` holds `rows` images, NHWC, one after the other, and at least a row of pixels and 16 bytes before and after them may be
// read; the result goes to `to`, which either does not overlap or, for kernels that work in place, is equal. Nothing is written
// outside of the images. `samples` is an i32 an image: with seed and epoch it keys the random draws, so that neither batch nor
// worker nor order changes a byte. `args` are doubles, those that every kernel has and its own by name: runtime/data/words.ts, and the `words` of an
// augmentation (runtime/data/augment/), from which asm/build.mjs writes args.gen.ts.

import { philox4x32 } from "../lib/philox";
import { DataArgs } from "./args.gen";

// @ts-ignore: decorator
@inline
export function height(args: DataArgs): i32 {
  return <i32>args.height;
}
// @ts-ignore: decorator
@inline
export function width(args: DataArgs): i32 {
  return <i32>args.width;
}
// @ts-ignore: decorator
@inline
export function channels(args: DataArgs): i32 {
  return <i32>args.channels;
}
/** Address of 8 rows of pixels and 2,048 bytes that a kernel may use as it likes. */
// @ts-ignore: decorator
@inline
export function scratch(args: DataArgs): usize {
  return <usize>args.scratch;
}

/** The four words of a block of draws for the image at `row`. */
// @ts-ignore: decorator
@inline
export function draw(args: DataArgs, samples: usize, row: i32, purpose: u32, block: u32): v128 {
  return drawAt(args, samples, row, purpose, block, epoch(args));
}
/** The same of another epoch. */
// @ts-ignore: decorator
@inline
export function drawAt(args: DataArgs, samples: usize, row: i32, purpose: u32, block: u32, epoch: u32): v128 {
  const sample = load<u32>(samples + ((<usize>row) << 2));
  return philox4x32(<u32>args.seedLow, <u32>args.seedHigh, sample, epoch, purpose, block);
}
// @ts-ignore: decorator
@inline
export function epoch(args: DataArgs): u32 {
  return <u32>args.epoch;
}

/** A random word as a whole number from 0 to below `count`. */
// @ts-ignore: decorator
@inline
export function below(word: u32, count: i32): i32 {
  return <i32>((<u64>word * <u64>count) >> 32);
}
