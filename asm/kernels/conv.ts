// Convolutions of every geometry, dense layers included, as matrix products: the convolution, its gradient for the input
// (a convolution too) and its gradient for the weights. asm/lowering/conv.ts decides which of these calls a node becomes.

import {
  ConvArgs,
  ConvGradInputPatchesArgs,
  ConvGradWeightArgs,
  ConvGradWeightReduceArgs,
  ConvPackReversedArgs,
  ConvPackWeightsArgs,
  ConvZeroArgs,
  Epilogue,
  Im2col,
  nextTask,
  Product,
  rows,
  SCRATCH,
  TASK_COLUMNS,
} from '../lib/abi';
import { finish, finishTile } from '../lib/epilogue';
import { ceilDiv, DEAL, DEPTH, dealToA, dealToB, MR, multiply, NR, packColumns, packRows, TILE_BYTES } from '../lib/gemm';
import { im2colRow } from '../lib/im2col';
import { copyFloats, zeroFloats } from '../lib/simd';
import { addToTotals, beginTile, FIRST_PIXELS, joinTile, placeTileSums, storeTile, storeTotals, TileSums, tileSumsBytes } from '../lib/totals';

/** Rows that a block of A can have: whole panels of any tile. The lowering sees to it that its blocks are no larger. */
const BLOCK_ROWS: i32 = 264;

// The thread's scratch.
const EDGE = SCRATCH;
/** Addresses of rows, MR or DEAL of them: a line has room for more. */
const POINTERS = EDGE + TILE_BYTES;
/** DEPTH zeros: the rows that a panel lacks. */
const ZEROS = POINTERS + 64;
/** Gathered rows: MR of DEPTH columns, or DEAL of BLOCK_ROWS. */
const GATHERED = ZEROS + 4 * DEPTH;
/** A `TileSums` of a task's columns. */
const TILE_SUMS = GATHERED + 4 * (MR * DEPTH + BLOCK_ROWS * DEAL);
/** A block of A. */
const PACKED = TILE_SUMS + tileSumsBytes(TASK_COLUMNS);
/** The second packed operand or a block of results. */
const BLOCK = PACKED + 4 * BLOCK_ROWS * DEPTH;

// @ts-ignore: decorator
@inline
function setPointer(i: i32, address: usize): void {
  store<usize>(POINTERS + ((<usize>i) << 2), address);
}

/** Panels of B that a task of the packing kernels makes. */
const PANELS: i32 = 16;

/** Packs w [taps, inputs, outputs] as the matrix B [taps·inputs, outputs]. */
export function convPackWeights(call: ConvPackWeightsArgs): void {
  const depth = call.taps * call.inputs;
  const columns = call.outputs;
  const groups = ceilDiv(columns, PANELS * NR);
  const tasks = ceilDiv(depth, DEPTH) * groups;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const start = (task / groups) * DEPTH;
    const first = (task % groups) * PANELS * NR;
    const length = min(DEPTH, depth - start);
    const n = min(PANELS * NR, columns - first);
    const panelBytes = (<usize>(length * NR)) << 2;
    const to = packedPanel(call.packed, start, length, columns, first);
    for (let k = 0; k < length; k += DEAL) {
      const dealt = min(DEAL, length - k);
      for (let i = 0; i < dealt; i++) setPointer(i, call.weights + ((<usize>((start + k + i) * call.stride + first)) << 2));
      dealToB(to + <usize>(k * NR * 4), panelBytes, POINTERS, dealt, n);
    }
  }
}

/**
 * Packs w [taps, inputs, outputs] as the matrix B [taps·outputs, inputs] with the taps in reverse order: the weights of the
 * convolution that the gradient for the input is.
 */
export function convPackReversed(call: ConvPackReversedArgs): void {
  const inputs = call.inputs;
  const outputs = call.outputs;
  const depth = call.taps * outputs;
  const groups = ceilDiv(inputs, PANELS * NR);
  const tasks = ceilDiv(depth, DEPTH) * groups;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const start = (task / groups) * DEPTH;
    const first = (task % groups) * PANELS * NR;
    const length = min(DEPTH, depth - start);
    for (let column = first; column < min(inputs, first + PANELS * NR); column += NR) {
      let to = packedPanel(call.packed, start, length, inputs, column);
      for (let k = start; k < start + length; ) {
        const tap = k / outputs;
        const output = k - tap * outputs;
        const run = min(outputs - output, start + length - k);
        const from = call.weights + ((<usize>(((call.taps - 1 - tap) * inputs + column) * call.stride + output)) << 2);
        packColumns(to, from, (<usize>call.stride) << 2, min(NR, inputs - column), run);
        to += (<usize>(run * NR)) << 2;
        k += run;
      }
    }
  }
}

/** Where the panel of B lies that starts at column `column` of the depth block `start`, `length`. */
// @ts-ignore: decorator
@inline
function packedPanel(packed: usize, start: i32, length: i32, columns: i32, column: i32): usize {
  return packed + ((<usize>(start * ceilDiv(columns, NR) * NR + column * length)) << 2);
}

/** y = epilogue(im2col(x)·B). */
export function conv(args: ConvArgs): void {
  const call = args.product;
  const image = args.x;
  const epilogue = args.epilogue;
  const columns = call.columns;
  const stride = (<usize>call.outputColumns) << 2;
  const total = rows() * image.outHeight * image.outWidth;
  const columnTasks = ceilDiv(columns, call.taskColumns);
  const tasks = ceilDiv(total, call.taskRows) * columnTasks;
  const plain = !epilogue.bias && !epilogue.activation.code && !epilogue.partials;
  zeroFloats(ZEROS, DEPTH);
  placeTileSums(TILE_SUMS, TASK_COLUMNS);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const first = (task / columnTasks) * call.taskRows;
    const column = (task % columnTasks) * call.taskColumns;
    const width = min(call.taskColumns, columns - column);
    const end = min(total, first + call.taskRows);
    for (let row = first; row < end; row += call.blockRows) {
      const height = min(call.blockRows, end - row);
      const offset = <usize>row * stride + ((<usize>column) << 2);
      product(call, image, row, height, column, width, call.output + offset, stride);
      if (!plain) finishBlock(epilogue, call.output, row, height, column, width, call.outputColumns, total);
    }
  }
}

/** `height`×`width` elements of im2col(x)·B from row `row` and column `column` on, stored at `c`. */
function product(
  call: Product,
  image: Im2col,
  row: i32,
  height: i32,
  column: i32,
  width: i32,
  c: usize,
  stride: usize,
): void {
  const depth = image.kernelHeight * image.kernelWidth * image.channels;
  for (let start = 0; start < depth; start += DEPTH) {
    const length = min(DEPTH, depth - start);
    let to = PACKED;
    for (let i = 0; i < height; i += MR) {
      setPointer(0, im2colRow(image, row + i, start, start + length, GATHERED));
      for (let r = 1; r < MR; r++) setPointer(r, gathered(image, row, i + r, height, start, length));
      packRows(to, POINTERS, length);
      to += (<usize>(length * MR)) << 2;
    }
    const b = packedPanel(call.packed, start, length, call.columns, column);
    multiply(PACKED, b, length, c, stride, start > 0, height, width, EDGE);
  }
}

/** Row i of a block, in a place that the MR rows of a panel do not share; zeros beyond the block. */
function gathered(image: Im2col, row: i32, i: i32, height: i32, start: i32, length: i32): usize {
  if (i >= height) return ZEROS;
  return im2colRow(image, row + i, start, start + length, GATHERED + ((<usize>((i % MR) * DEPTH)) << 2));
}

/** Applies the epilogue to a block of results, cut where statistics tiles end: below `total` rows of the product. */
function finishBlock(
  epilogue: Epilogue,
  output: usize,
  row: i32,
  height: i32,
  column: i32,
  width: i32,
  columns: i32,
  total: i32,
): void {
  const stride = (<usize>columns) << 2;
  const bytes = (<usize>column) << 2;
  const bias = epilogue.bias ? epilogue.bias + bytes : 0;
  if (!epilogue.partials) {
    const y = output + <usize>row * stride + bytes;
    const derivative = epilogue.derivative ? epilogue.derivative + (y - output) : 0;
    finish(y, stride, y, derivative, stride, height, width, bias, epilogue.activation, 0, 0, 0);
    return;
  }
  const tile = changetype<TileSums>(TILE_SUMS);
  const rowsPerTile = epilogue.rowsPerTile;
  const end = row + height;
  while (row < end) {
    const index = row / rowsPerTile;
    const begin = index * rowsPerTile;
    const tileEnd = min(total, begin + rowsPerTile);
    const stop = min(row == begin ? begin + FIRST_PIXELS : end, min(end, tileEnd));
    const y = output + <usize>row * stride + bytes;
    const derivative = epilogue.derivative ? epilogue.derivative + (y - output) : 0;
    if (row == begin) beginTile(tile, 0, width);
    finishTile(y, stride, y, derivative, stride, stop - row, width, bias, epilogue.activation, tile, 0, row == begin);
    joinTile(tile, 0, width, row - begin, stop - row);
    if (stop == tileEnd) {
      const mean = epilogue.partials + <usize>index * 2 * stride + bytes;
      storeTile(tile, 0, width, mean, mean + stride);
    }
    row = stop;
  }
}

/**
 * The gradient for the input of a convolution with a k×k kernel, stride k and no padding: dy·B gives the gradient of each
 * patch, and patches do not overlap. To im2col dy has a 1×1 kernel.
 */
export function convGradInputPatches(patches: ConvGradInputPatchesArgs): void {
  const call = patches.product;
  const image = patches.dy;
  const columns = call.columns;
  const run = patches.size * patches.channels;
  const pixels = image.outHeight * image.outWidth;
  const total = rows() * pixels;
  const columnTasks = ceilDiv(columns, call.taskColumns);
  const tasks = ceilDiv(total, call.taskRows) * columnTasks;
  zeroFloats(ZEROS, DEPTH);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const first = (task / columnTasks) * call.taskRows;
    const column = (task % columnTasks) * call.taskColumns;
    const width = min(call.taskColumns, columns - column);
    const end = min(total, first + call.taskRows);
    const stride = (<usize>width) << 2;
    for (let row = first; row < end; row += call.blockRows) {
      const height = min(call.blockRows, end - row);
      product(call, image, row, height, column, width, BLOCK, stride);
      for (let i = 0; i < height; i++) {
        const sample = (row + i) / pixels;
        const pixel = (row + i) % pixels;
        const top = sample * patches.height + (pixel / image.outWidth) * patches.size;
        const left = (pixel % image.outWidth) * patches.size;
        // The columns of a patch are rows of pixels.
        for (let at = column; at < column + width; ) {
          const y = at / run;
          const n = min(run - (at - y * run), column + width - at);
          const element = ((top + y) * patches.width + left) * patches.channels + (at - y * run);
          const from = BLOCK + <usize>i * stride + ((<usize>(at - column)) << 2);
          copyFloats(call.output + ((<usize>element) << 2), from, n);
          at += n;
        }
      }
    }
  }
}

/** Sets a per-sample tensor to zero. */
export function convZero(args: ConvZeroArgs): void {
  const target = args.target;
  const bytes = (<usize>args.elements) << 2;
  const tasks = rows();
  for (let task = nextTask(); task < tasks; task = nextTask()) memory.fill(target + <usize>task * bytes, 0, bytes);
}

/** dw = im2col(x)ᵀ·dy, in chunks of output pixels that are added in order. */
export function convGradWeight(call: ConvGradWeightArgs): void {
  const image = call.x;
  const columns = call.columns;
  const depth = image.kernelHeight * image.kernelWidth * image.channels;
  const total = rows() * image.outHeight * image.outWidth;
  const chunks = ceilDiv(total, call.chunkRows);
  const columnTasks = ceilDiv(columns, call.taskColumns);
  const blockTasks = ceilDiv(depth, call.taskRows) * columnTasks;
  const stride = (<usize>call.stride) << 2;
  const tasks = call.partials ? blockTasks * chunks : blockTasks;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const block = task % blockTasks;
    const row = (block / columnTasks) * call.taskRows;
    const column = (block % columnTasks) * call.taskColumns;
    const height = min(call.taskRows, depth - row);
    const width = min(call.taskColumns, columns - column);
    const offset = <usize>row * stride + ((<usize>column) << 2);
    if (call.partials) {
      const chunk = task / blockTasks;
      const target = call.partials + (<usize>chunk * <usize>depth) * stride + offset;
      gradWeightBlock(call, image, chunk, total, row, height, column, width, target, stride);
    } else if (!call.totals) {
      gradWeightBlock(call, image, 0, total, row, height, column, width, call.weights + offset, stride);
    } else {
      // The block of each chunk is made behind the packed operands and then added.
      const made = BLOCK + ((<usize>((width + NR) * DEPTH)) << 2);
      const totals = call.totals + 2 * offset;
      for (let i = 0; i < height; i++) memory.fill(totals + 2 * <usize>i * stride, 0, (<usize>width) << 3);
      for (let chunk = 0; chunk < chunks; chunk++) {
        gradWeightBlock(call, image, chunk, total, row, height, column, width, made, (<usize>width) << 2);
        for (let i = 0; i < height; i++) addToTotals(totals + 2 * <usize>i * stride, made + ((<usize>(i * width)) << 2), width);
      }
      for (let i = 0; i < height; i++) storeTotals(call.weights + offset + <usize>i * stride, totals + 2 * <usize>i * stride, width);
    }
  }
}

/** A block of the dw of one chunk. */
function gradWeightBlock(
  call: ConvGradWeightArgs,
  image: Im2col,
  chunk: i32,
  total: i32,
  row: i32,
  height: i32,
  column: i32,
  width: i32,
  target: usize,
  stride: usize,
): void {
  const first = chunk * call.chunkRows;
  const end = min(total, first + call.chunkRows);
  for (let start = first; start < end; start += DEPTH) {
    const length = min(DEPTH, end - start);
    const panelA = (<usize>(length * MR)) << 2;
    const panelB = (<usize>(length * NR)) << 2;
    for (let k = 0; k < length; k += DEAL) {
      const dealt = min(DEAL, length - k);
      for (let i = 0; i < dealt; i++) {
        setPointer(i, im2colRow(image, start + k + i, row, row + height, GATHERED + <usize>(i * 4 * BLOCK_ROWS)));
      }
      dealToA(PACKED + <usize>(k * MR * 4), panelA, POINTERS, dealt, height);
      for (let i = 0; i < dealt; i++) setPointer(i, call.gradient + ((<usize>((start + k + i) * call.stride + column)) << 2));
      dealToB(BLOCK + <usize>(k * NR * 4), panelB, POINTERS, dealt, width);
    }
    multiply(PACKED, BLOCK, length, target, stride, start > first, height, width, EDGE);
  }
}

/** Adds the chunks' gradients in order, in doubles. */
export function convGradWeightReduce(args: ConvGradWeightReduceArgs): void {
  const partials = args.partials;
  const weights = args.weights;
  const n = args.elements;
  const chunks = ceilDiv(rows() * args.pixels, args.chunkRows);
  const block = 1024;
  const tasks = ceilDiv(n, block);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const first = task * block;
    const length = min(block, n - first);
    const to = weights + ((<usize>first) << 2);
    memory.fill(SCRATCH, 0, 8 * block);
    for (let chunk = 0; chunk < chunks; chunk++) {
      addToTotals(SCRATCH, partials + ((<usize>chunk * <usize>n + <usize>first) << 2), length);
    }
    storeTotals(to, SCRATCH, length);
  }
}
