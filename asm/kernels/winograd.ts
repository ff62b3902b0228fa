// Convolutions with a 3×3 kernel, stride 1 and `same` padding by Winograd's method (asm/lib/winograd.ts): the convolution, which
// with reversed weights is the gradient for the input too, and the gradient for the weights. asm/lowering/winograd.ts says
// where they are used.
//
// An image is cut into tiles of 4×4 results; those at the right and the bottom may reach beyond it. A task transforms some
// tiles (all their channels) into 36 matrices, as the micro-kernel reads them, multiplies, and transforms back, all in its scratch:
// tensors are read and written once. Each point is a chain of multiply-adds over the channels (or tiles) in order, so
// neither the cut into tasks nor the size of the micro-kernel's tiles changes a bit.

import {
  Epilogue,
  nextTask,
  rows,
  SCRATCH,
  TASK_COLUMNS,
  TiledImage,
  WINOGRAD_BLOCK_COLUMNS as BLOCK_COLUMNS,
  WINOGRAD_GAP,
  WINOGRAD_POINT_BYTES,
  WINOGRAD_ROW_BYTES as ROW_BYTES,
  WinogradConvArgs,
  WinogradGradWeightArgs,
  WinogradReversedWeightsArgs,
  WinogradWeightsArgs,
} from '../lib/abi';
import { finish, finishTile } from '../lib/epilogue';
import { ceilDiv, DEPTH, MR, multiplyRows, multiplyTransposed, NR } from '../lib/gemm';
import { copyFloats, zeroFloats } from '../lib/simd';
import { addToTotals, beginTile, joinTile, placeTileSums, storeTile, storeTotals, TileSums, tileSumsBytes } from '../lib/totals';
import {
  CHANNELS,
  HALFWAY_BYTES,
  PAIR,
  POINTS,
  REACH,
  TILE,
  transformGradient,
  transformInput,
  transformOutput,
  transformWeightGradient,
  transformWeights,
  Window,
} from '../lib/winograd';

/** Tiles of a line that are summed in f32: 128 pixels (lib/totals.ts). */
const SUM_TILES: i32 = 8;

// The thread's scratch.
const HALFWAY = SCRATCH;
/** The 3×3 weights of as many channels as are transformed at once, and those at the points. */
const TAPS = HALFWAY + HALFWAY_BYTES;
const TRANSFORMED = TAPS + 9 * PAIR;
const WINDOW = changetype<Window>(TRANSFORMED + <usize>POINTS * PAIR);
/** Results of a tile [4, 4, BLOCK_COLUMNS]. */
const RESULTS = changetype<usize>(WINDOW) + 64;
/** A `TileSums` of a task's columns. */
const TILE_SUMS = RESULTS + 4 * TILE * TILE * BLOCK_COLUMNS;
/** The matrices of the 36 points, of each kind. */
const MATRICES = TILE_SUMS + tileSumsBytes(TASK_COLUMNS);

/**
 * Bytes of a matrix of `elements` elements in a set of 36. The line beyond the elements keeps the same element of all points out of
 * the same set of the cache, where only eight of them would have room.
 */
// @ts-ignore: decorator
@inline
function pointBytes(elements: i32): usize {
  return ((<usize>elements) << 2) + WINOGRAD_GAP;
}

/** Where, in a matrix B of `columns` columns, the panel lies that starts at `column` of the depth block `start`, `length`. */
// @ts-ignore: decorator
@inline
function panelOffset(start: i32, length: i32, columns: i32, column: i32): usize {
  return (<usize>(start * ceilDiv(columns, NR) * NR + column * length)) << 2;
}

/** The weights at the 36 points. */
export function winogradWeights(call: WinogradWeightsArgs): void {
  const depth = call.inputs;
  const columns = call.outputs;
  const tap = (<usize>(depth * columns)) << 2;
  const point = pointBytes(depth * ceilDiv(columns, NR) * NR);
  const panels = ceilDiv(columns, NR);
  const tasks = ceilDiv(depth, DEPTH) * panels;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const start = (task / panels) * DEPTH;
    const length = min(DEPTH, depth - start);
    const first = (task % panels) * NR;
    const last = min(columns, first + NR);
    let to = call.transformed + panelOffset(start, length, columns, first);
    for (let k = start; k < start + length; k++, to += 4 * NR) {
      for (let column = first; column < last; column += CHANNELS) {
        const from = call.weights + ((<usize>(k * columns + column)) << 2);
        const lanes = min(CHANNELS, last - column);
        const target = to + ((<usize>(column - first)) << 2);
        if (lanes == CHANNELS) transformWeights(from, tap, target, point, HALFWAY);
        else transformWeights(gatherTaps(from, tap, lanes), PAIR, target, point, HALFWAY);
      }
    }
  }
}

/** The weights of the reversed kernel, with input and output channels in each other's place, at the 36 points. */
export function winogradReversedWeights(call: WinogradReversedWeightsArgs): void {
  const columns = call.inputs;
  const depth = call.outputs;
  const tap = (<usize>(depth * columns)) << 2;
  const point = pointBytes(depth * ceilDiv(columns, NR) * NR);
  const panels = ceilDiv(columns, NR);
  const tasks = ceilDiv(depth, DEPTH) * panels;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const start = (task / panels) * DEPTH;
    const length = min(DEPTH, depth - start);
    const first = (task % panels) * NR;
    const last = min(columns, first + NR);
    let to = call.transformed + panelOffset(start, length, columns, first);
    for (let k = start; k < start + length; k += CHANNELS, to += 4 * CHANNELS * NR) {
      const lanes = min(CHANNELS, start + length - k);
      for (let column = first; column < last; column++) {
        // Channels of the depth: the lanes of a vector go to as many rows of the panel. Backwards from the last tap.
        const from = call.weights + 8 * tap + ((<usize>(column * depth + k)) << 2);
        if (lanes == CHANNELS) transformWeights(from, -tap, TRANSFORMED, PAIR, HALFWAY);
        else transformWeights(gatherTaps(from, -tap, lanes), PAIR, TRANSFORMED, PAIR, HALFWAY);
        let target = to + ((<usize>(column - first)) << 2);
        for (let p = 0; p < POINTS; p++, target += point) {
          const v = TRANSFORMED + <usize>p * PAIR;
          for (let i = 0; i < lanes; i++) store<f32>(target + <usize>(i * NR * 4), load<f32>(v + ((<usize>i) << 2)));
        }
      }
    }
  }
}

/** Nine taps, of which only the first `lanes` channels can be read. */
function gatherTaps(from: usize, tap: usize, lanes: i32): usize {
  for (let t: usize = 0; t < 9; t++) {
    zeroFloats(TAPS + t * PAIR, CHANNELS);
    copyFloats(TAPS + t * PAIR, from + t * tap, lanes);
  }
  return TAPS;
}

// @ts-ignore: decorator
@inline
function tilesOf(image: TiledImage): i32 {
  return ceilDiv(image.height, TILE) * ceilDiv(image.width, TILE);
}

/** Sets WINDOW to the square of `size` pixels that begins `before` pixels above and to the left of a tile. */
function moveWindow(image: TiledImage, tile: i32, before: i32, size: i32): void {
  const height = image.height;
  const width = image.width;
  const tilesX = ceilDiv(width, TILE);
  const tilesY = ceilDiv(height, TILE);
  const line = tile / tilesX;
  const sample = line / tilesY;
  const top = (line - sample * tilesY) * TILE - before;
  const left = (tile - line * tilesX) * TILE - before;
  const pixel = (<usize>image.channels) << 2;
  WINDOW.corner = image.data + <usize>((sample * height + top) * width + left) * pixel;
  WINDOW.row = <usize>width * pixel;
  WINDOW.column = pixel;
  WINDOW.top = max(0, -top);
  WINDOW.bottom = min(size, height - top);
  WINDOW.left = max(0, -left);
  WINDOW.right = min(size, width - left);
}

/** y = epilogue(conv(x, w)) with transformed weights. */
export function winogradConv(call: WinogradConvArgs): void {
  const image = call.x;
  const epilogue = call.epilogue;
  const perSample = tilesOf(image);
  const columnTasks = ceilDiv(call.outputs, call.taskColumns);
  const tasks = ceilDiv(rows(), call.taskSamples) * columnTasks;
  placeTileSums(TILE_SUMS, TASK_COLUMNS);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const first = (task / columnTasks) * call.taskSamples;
    const end = min(rows(), first + call.taskSamples) * perSample;
    const left = (task % columnTasks) * call.taskColumns;
    const right = min(call.outputs, left + call.taskColumns);
    for (let tile = first * perSample; tile < end; tile += call.blockTiles) {
      const tiles = min(call.blockTiles, end - tile);
      transformTiles(image, call.blockTiles, tile, tiles);
      for (let column = left; column < right; column += BLOCK_COLUMNS) {
        const columns = min(BLOCK_COLUMNS, right - column);
        multiplyTiles(image.channels, call, tiles, column, columns);
        finishTiles(image, call, epilogue, tile, tiles, column, columns, column - left);
      }
    }
  }
}

/** Bytes of a depth block of as many tiles as are transformed at a time: [tile, point, channel]. */
// @ts-ignore: decorator
@inline
function tilesBytes(blockTiles: i32): usize {
  return <usize>blockTiles * ROW_BYTES;
}

/**
 * Fills MATRICES with the depth blocks of A of `tiles` tiles: rows of channels, all points of a tile side by side. All channels of a tile
 * in turn, so that its 36 pixels are read from front to back. The rows that the last panel lacks are left as they are: nobody reads their results.
 */
function transformTiles(image: TiledImage, blockTiles: i32, first: i32, tiles: i32): void {
  const channels = image.channels;
  const block = tilesBytes(blockTiles);
  for (let i = 0; i < tiles; i++) {
    moveWindow(image, first + i, 1, REACH);
    for (let channel = 0; channel < channels; channel += CHANNELS) {
      const to = MATRICES + <usize>(channel / DEPTH) * block + <usize>i * ROW_BYTES + ((<usize>(channel % DEPTH)) << 2);
      transformInput(WINDOW, (<usize>channel) << 2, min(CHANNELS, channels - channel), to, WINOGRAD_POINT_BYTES, HALFWAY);
    }
  }
}

/** The 36 products of the tiles with `columns` columns of the weights, behind the tiles. */
function multiplyTiles(depth: i32, call: WinogradConvArgs, tiles: i32, column: i32, columns: i32): void {
  const block = tilesBytes(call.blockTiles);
  const pointB = pointBytes(depth * ceilDiv(call.outputs, NR) * NR);
  const pointC = pointBytes(call.blockTiles * BLOCK_COLUMNS);
  const products = MATRICES + <usize>ceilDiv(depth, DEPTH) * block;
  // Whole panels: there is room for them, and whole tiles of the micro-kernel are faster.
  const height = ceilDiv(tiles, MR) * MR;
  const width = ceilDiv(columns, NR) * NR;
  for (let p: usize = 0; p < <usize>POINTS; p++) {
    for (let start = 0; start < depth; start += DEPTH) {
      const length = min(DEPTH, depth - start);
      const a = MATRICES + <usize>(start / DEPTH) * block + p * WINOGRAD_POINT_BYTES;
      const b = call.transformed + p * pointB + panelOffset(start, length, call.outputs, column);
      multiplyRows(a, b, length, products + p * pointC, 4 * BLOCK_COLUMNS, start > 0, height, width);
    }
  }
}

/** Transforms the products of `tiles` tiles back and stores them, with the epilogue. `at`: the column's place in the task's. */
function finishTiles(
  image: TiledImage,
  call: WinogradConvArgs,
  epilogue: Epilogue,
  first: i32,
  tiles: i32,
  column: i32,
  columns: i32,
  at: i32,
): void {
  const height = image.height;
  const width = image.width;
  const tilesX = ceilDiv(width, TILE);
  const tilesY = ceilDiv(height, TILE);
  const pixel = (<usize>call.outputs) << 2;
  const bytes = (<usize>column) << 2;
  const point = pointBytes(call.blockTiles * BLOCK_COLUMNS);
  const bias = epilogue.bias ? epilogue.bias + bytes : 0;
  const sums = changetype<TileSums>(TILE_SUMS);
  const place = (<usize>at) << 2;
  const samplesPerTile = epilogue.partials ? epilogue.rowsPerTile / (height * width) : 1;
  let product = MATRICES + <usize>ceilDiv(image.channels, DEPTH) * tilesBytes(call.blockTiles);
  for (let tile = first; tile < first + tiles; tile++, product += 4 * BLOCK_COLUMNS) {
    const line = tile / tilesX;
    const sample = line / tilesY;
    const y = (line - sample * tilesY) * TILE;
    const x = (tile - line * tilesX) * TILE;
    for (let c: usize = 0; c < (<usize>columns) << 2; c += PAIR) {
      transformOutput(product + c, point, RESULTS + c, 4 * TILE * BLOCK_COLUMNS, 4 * BLOCK_COLUMNS, HALFWAY);
    }
    const begins = x == 0 && y == 0 && sample % samplesPerTile == 0;
    if (epilogue.partials && begins) beginTile(sums, place, columns);
    const pixels = min(TILE, width - x);
    const lines = min(TILE, height - y);
    for (let i = 0; i < lines; i++) {
      const from = RESULTS + <usize>(i * 4 * TILE * BLOCK_COLUMNS);
      const offset = <usize>((sample * height + y + i) * width + x) * pixel + bytes;
      const to = call.output + offset;
      const derivative = epilogue.derivative ? epilogue.derivative + offset : 0;
      if (epilogue.partials) {
        finishTile(from, 4 * BLOCK_COLUMNS, to, derivative, pixel, pixels, columns, bias, epilogue.activation, sums, place, begins && i == 0);
      } else {
        finish(from, 4 * BLOCK_COLUMNS, to, derivative, pixel, pixels, columns, bias, epilogue.activation, 0, 0, 0);
      }
    }
    if (!epilogue.partials) continue;
    const right = x + TILE;
    const index = sample / samplesPerTile;
    // The part that is summed in f32: some tiles of a line, but the very first for itself.
    let part = (x / (SUM_TILES * TILE)) * SUM_TILES * TILE;
    const partEnd = min(begins ? TILE : part + SUM_TILES * TILE, width);
    if (part == 0 && y == 0 && sample == index * samplesPerTile && !begins) part = TILE;
    if (right >= partEnd) {
      const before = ((sample - index * samplesPerTile) * height + y) * width + part * lines;
      joinTile(sums, place, columns, before, (partEnd - part) * lines);
    }
    const ends = sample - index * samplesPerTile == samplesPerTile - 1 || sample == rows() - 1;
    if (ends && right >= width && y + TILE >= height) {
      const mean = epilogue.partials + <usize>index * 2 * pixel + bytes;
      storeTile(sums, place, columns, mean, mean + pixel);
    }
  }
}

/** dw in chunks of samples that are added in order. */
export function winogradGradWeight(call: WinogradGradWeightArgs): void {
  const image = call.x;
  const gradient = call.dy;
  const elements = <usize>(9 * image.channels * gradient.channels);
  const chunks = ceilDiv(rows() * tilesOf(image), call.chunkTiles);
  const columnTasks = ceilDiv(gradient.channels, call.taskOutputs);
  const blockTasks = ceilDiv(image.channels, call.taskInputs) * columnTasks;
  const tasks = call.partials ? blockTasks * chunks : blockTasks;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const block = task % blockTasks;
    const row = (block / columnTasks) * call.taskInputs;
    const column = (block % columnTasks) * call.taskOutputs;
    if (call.partials) {
      const chunk = task / blockTasks;
      gradWeightBlock(image, gradient, call, chunk, row, column, call.partials + ((<usize>chunk * elements) << 2), 0);
    } else {
      for (let chunk = 0; chunk < chunks; chunk++) gradWeightBlock(image, gradient, call, chunk, row, column, call.weights, call.totals);
    }
  }
}

/** Bytes of a row of `n` channels of a tile at a point: whole lines, and one more, so that few rows are in the same set of the cache. */
// @ts-ignore: decorator
@inline
function rowBytes(n: i32): usize {
  return ((((<usize>n) << 2) + 63) & ~63) + 64;
}

/**
 * A block of the dw of one chunk, from row `row` and column `column` on, stored in `target`; with `totals` it is the sum of all chunks so far, which
 * these hold in doubles.
 */
function gradWeightBlock(
  image: TiledImage,
  gradient: TiledImage,
  call: WinogradGradWeightArgs,
  chunk: i32,
  row: i32,
  column: i32,
  target: usize,
  totals: usize,
): void {
  const inputs = min(call.taskInputs, image.channels - row);
  const outputs = min(call.taskOutputs, gradient.channels - column);
  const height = ceilDiv(inputs, MR) * MR;
  const width = ceilDiv(outputs, NR) * NR;
  const rowA = rowBytes(height);
  const rowB = rowBytes(width);
  const pointA = <usize>call.blockTiles * rowA;
  const pointB = <usize>call.blockTiles * rowB;
  const pointC = pointBytes(height * width);
  const b = MATRICES + <usize>POINTS * pointA;
  const c = b + <usize>POINTS * pointB;
  const perSample = tilesOf(image);
  const first = chunk * call.chunkTiles;
  const end = min(rows() * perSample, first + call.chunkTiles);
  for (let tile = first; tile < end; tile += call.blockTiles) {
    const tiles = min(call.blockTiles, end - tile);
    for (let i = 0; i < tiles; i++) {
      moveWindow(image, tile + i, 1, REACH);
      for (let k = 0; k < inputs; k += CHANNELS) {
        const to = MATRICES + <usize>i * rowA + ((<usize>k) << 2);
        transformInput(WINDOW, (<usize>(row + k)) << 2, min(CHANNELS, inputs - k), to, pointA, HALFWAY);
      }
      moveWindow(gradient, tile + i, 0, TILE);
      for (let k = 0; k < outputs; k += CHANNELS) {
        const to = b + <usize>i * rowB + ((<usize>k) << 2);
        transformGradient(WINDOW, (<usize>(column + k)) << 2, min(CHANNELS, outputs - k), to, pointB, HALFWAY);
      }
    }
    for (let p: usize = 0; p < <usize>POINTS; p++) {
      const at = c + p * pointC;
      multiplyTransposed(MATRICES + p * pointA, rowA, b + p * pointB, rowB, tiles, at, (<usize>width) << 2, tile > first, height, width);
    }
  }
  // Back from the points to the 3×3 weights, vector by vector.
  const tap = (<usize>(image.channels * gradient.channels)) << 2;
  for (let i = 0; i < inputs; i++) {
    for (let j = 0; j < outputs; j += CHANNELS) {
      transformWeightGradient(c + ((<usize>(i * width + j)) << 2), pointC, TAPS, PAIR, HALFWAY);
      const lanes = min(CHANNELS, outputs - j);
      let at = (<usize>((row + i) * gradient.channels + column + j)) << 2;
      for (let t: usize = 0; t < 9; t++, at += tap) {
        if (totals) {
          const total = totals + 2 * at;
          if (chunk == 0) memory.fill(total, 0, (<usize>lanes) << 3);
          addToTotals(total, TAPS + t * PAIR, lanes);
          storeTotals(target + at, total, lanes);
        } else {
          copyFloats(target + at, TAPS + t * PAIR, lanes);
        }
      }
    }
  }
}
