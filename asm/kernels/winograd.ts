// Convolutions with a 3×3 kernel, stride 1 and `same` padding by Winograd's method (asm/lib/winograd.ts): the convolution, which
// with reversed weights is the gradient for the input too, and the gradient for the weights. asm/lowering/winograd.ts says
// where they are used.
//
// An image is cut into tiles of 4×4 results; those at the right and the bottom may reach beyond it. A task transforms some
// tiles (all their channels) into 36 matrices, packed as the micro-kernel reads them, multiplies, and transforms back, all in its scratch:
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
  WinogradConvArgs,
  WinogradGradWeightArgs,
  WinogradReversedWeightsArgs,
  WinogradWeightsArgs,
} from '../lib/abi';
import { finish, finishTile } from '../lib/epilogue';
import { ceilDiv, DEPTH, dealToA, MR, multiply, NR, packRows, TILE_BYTES } from '../lib/gemm';
import { copyFloats, storeLanes, zeroFloats } from '../lib/simd';
import { addToTotals, beginTile, joinTile, placeTileSums, storeTile, storeTotals, TileSums, tileSumsBytes } from '../lib/totals';
import {
  HALFWAY_BYTES,
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

/** Channels that are transformed together before they are packed: whole panels and whole vectors. */
const GROUP: i32 = 4 * MR;
/** Tiles that are transformed together before they are packed, at most: the convolution packs MR, the gradient deals out whole cache lines. */
const STAGED: i32 = 8;
/** Tiles of a line that are summed in f32: 128 pixels (lib/totals.ts). */
const SUM_TILES: i32 = 8;

// The thread's scratch.
const EDGE = SCRATCH;
const HALFWAY = EDGE + TILE_BYTES;
/** STAGED addresses. */
const POINTERS = HALFWAY + HALFWAY_BYTES;
/** The 3×3 weights of four channels. */
const TAPS = POINTERS + 4 * STAGED;
const WINDOW = changetype<Window>(TAPS + 9 * 16);
/** Points of some tiles, for each point [STAGED, GROUP]. */
const STAGE = TAPS + 9 * 16 + 48;
const STAGE_POINT: usize = 4 * STAGED * GROUP;
/** Results of a tile [4, 4, BLOCK_COLUMNS]. */
const RESULTS = STAGE + <usize>POINTS * STAGE_POINT;
/** A `TileSums` of a task's columns. */
const TILE_SUMS = RESULTS + 4 * TILE * TILE * BLOCK_COLUMNS;
/** The 36 matrices of each kind. */
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
      for (let column = first; column < last; column += 4) {
        const from = call.weights + ((<usize>(k * columns + column)) << 2);
        const lanes = min(4, last - column);
        const target = to + ((<usize>(column - first)) << 2);
        if (lanes == 4) transformWeights(from, tap, target, point, HALFWAY);
        else transformWeights(gatherTaps(from, tap, lanes), 16, target, point, HALFWAY);
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
    for (let k = start; k < start + length; k += 4, to += 4 * 4 * NR) {
      const lanes = min(4, start + length - k);
      for (let column = first; column < last; column++) {
        // Four channels of the depth: the lanes of a vector go to four rows of the panel. Backwards from the last tap.
        const from = call.weights + 8 * tap + ((<usize>(column * depth + k)) << 2);
        if (lanes == 4) transformWeights(from, -tap, STAGE, 16, HALFWAY);
        else transformWeights(gatherTaps(from, -tap, lanes), 16, STAGE, 16, HALFWAY);
        let target = to + ((<usize>(column - first)) << 2);
        for (let p = 0; p < POINTS; p++, target += point) {
          const v = STAGE + ((<usize>p) << 4);
          for (let i = 0; i < lanes; i++) store<f32>(target + <usize>(i * NR * 4), load<f32>(v + ((<usize>i) << 2)));
        }
      }
    }
  }
}

/** Nine vectors, of which only the first `lanes` lanes can be read. */
function gatherTaps(from: usize, tap: usize, lanes: i32): usize {
  for (let t: usize = 0; t < 9; t++) {
    zeroFloats(TAPS + t * 16, 4);
    copyFloats(TAPS + t * 16, from + t * tap, lanes);
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

/** Transforms `n` channels of a tile of the input into row `i` of STAGE. */
// @ts-ignore: decorator
@inline
function stageInput(image: TiledImage, tile: i32, channel: i32, n: i32, i: i32): void {
  moveWindow(image, tile, 1, REACH);
  const from = (<usize>channel) << 2;
  const to = STAGE + ((<usize>(i * GROUP)) << 2);
  for (let k = 0; k < n; k += 4) {
    const at = (<usize>k) << 2;
    transformInput(WINDOW, from + at, min(4, n - k), to + at, STAGE_POINT, HALFWAY);
  }
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
      packTiles(image, call.blockTiles, tile, tiles);
      for (let column = left; column < right; column += BLOCK_COLUMNS) {
        const columns = min(BLOCK_COLUMNS, right - column);
        multiplyTiles(image.channels, call, tiles, column, columns);
        finishTiles(image, call, epilogue, tile, tiles, column, columns, column - left);
      }
    }
  }
}

/** Fills MATRICES with the panels of A of `tiles` tiles. What the last panel lacks is left as it is: nobody reads its results. */
function packTiles(image: TiledImage, blockTiles: i32, first: i32, tiles: i32): void {
  const channels = image.channels;
  const point = pointBytes(blockTiles * channels);
  for (let i = 0; i < tiles; i += MR) {
    for (let start = 0; start < channels; start += DEPTH) {
      const length = min(DEPTH, channels - start);
      const panel = MATRICES + ((<usize>(start * blockTiles + i * length)) << 2);
      for (let k = 0; k < length; k += GROUP) {
        const n = min(GROUP, length - k);
        for (let j = 0; j < min(MR, tiles - i); j++) stageInput(image, first + i + j, start + k, n, j);
        let row = STAGE;
        let to = panel + ((<usize>(k * MR)) << 2);
        for (let p = 0; p < POINTS; p++, row += STAGE_POINT, to += point) {
          for (let j = 0; j < MR; j++) store<usize>(POINTERS + ((<usize>j) << 2), row + <usize>(j * 4 * GROUP));
          packRows(to, POINTERS, n);
        }
      }
    }
  }
}

/** The 36 products of the packed tiles with `columns` columns of the weights, behind the tiles. */
function multiplyTiles(depth: i32, call: WinogradConvArgs, tiles: i32, column: i32, columns: i32): void {
  const pointA = pointBytes(call.blockTiles * depth);
  const pointB = pointBytes(depth * ceilDiv(call.outputs, NR) * NR);
  const pointC = pointBytes(call.blockTiles * BLOCK_COLUMNS);
  const products = MATRICES + <usize>POINTS * pointA;
  // Whole panels: there is room for them, and whole tiles of the micro-kernel are faster.
  const height = ceilDiv(tiles, MR) * MR;
  const width = ceilDiv(columns, NR) * NR;
  for (let p: usize = 0; p < <usize>POINTS; p++) {
    for (let start = 0; start < depth; start += DEPTH) {
      const length = min(DEPTH, depth - start);
      const a = MATRICES + p * pointA + ((<usize>(start * call.blockTiles)) << 2);
      const b = call.transformed + p * pointB + panelOffset(start, length, call.outputs, column);
      multiply(a, b, length, products + p * pointC, 4 * BLOCK_COLUMNS, start > 0, height, width, EDGE);
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
  let product = MATRICES + <usize>POINTS * pointBytes(call.blockTiles * image.channels);
  for (let tile = first; tile < first + tiles; tile++, product += 4 * BLOCK_COLUMNS) {
    const line = tile / tilesX;
    const sample = line / tilesY;
    const y = (line - sample * tilesY) * TILE;
    const x = (tile - line * tilesX) * TILE;
    for (let c: usize = 0; c < (<usize>columns) << 2; c += 16) {
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
  const pointA = pointBytes(call.blockTiles * height);
  const pointB = pointBytes(call.blockTiles * width);
  const pointC = pointBytes(height * width);
  const b = MATRICES + <usize>POINTS * pointA;
  const c = b + <usize>POINTS * pointB;
  const perSample = tilesOf(image);
  const first = chunk * call.chunkTiles;
  const end = min(rows() * perSample, first + call.chunkTiles);
  for (let tile = first; tile < end; tile += call.blockTiles) {
    const tiles = min(call.blockTiles, end - tile);
    dealInputs(image, tile, tiles, row, inputs, pointA);
    dealGradients(gradient, tile, tiles, column, outputs, b, pointB);
    for (let p: usize = 0; p < <usize>POINTS; p++) {
      multiply(MATRICES + p * pointA, b + p * pointB, tiles, c + p * pointC, (<usize>width) << 2, tile > first, height, width, EDGE);
    }
  }
  // Back from the points to the 3×3 weights, vector by vector.
  const tap = (<usize>(image.channels * gradient.channels)) << 2;
  for (let i = 0; i < inputs; i++) {
    for (let j = 0; j < outputs; j += 4) {
      transformWeightGradient(c + ((<usize>(i * width + j)) << 2), pointC, TAPS, 16, HALFWAY);
      const lanes = min(4, outputs - j);
      let at = (<usize>((row + i) * gradient.channels + column + j)) << 2;
      for (let t: usize = 0; t < 9; t++, at += tap) {
        if (totals) {
          const total = totals + 2 * at;
          if (chunk == 0) memory.fill(total, 0, (<usize>lanes) << 3);
          addToTotals(total, TAPS + t * 16, lanes);
          storeTotals(target + at, total, lanes);
        } else {
          storeLanes(target + at, v128.load(TAPS + t * 16), lanes);
        }
      }
    }
  }
}

/** Panels of A, at all points, of `n` input channels from `channel` on: their rows are the tiles. */
function dealInputs(image: TiledImage, first: i32, tiles: i32, channel: i32, n: i32, point: usize): void {
  const panel = (<usize>(tiles * MR)) << 2;
  for (let k = 0; k < n; k += GROUP) {
    const group = min(GROUP, n - k);
    for (let i = 0; i < tiles; i += STAGED) {
      const staged = min(STAGED, tiles - i);
      for (let j = 0; j < staged; j++) stageInput(image, first + i + j, channel + k, group, j);
      let to = MATRICES + ((<usize>(k * tiles + i * MR)) << 2);
      for (let p: usize = 0; p < <usize>POINTS; p++, to += point) {
        for (let j: usize = 0; j < <usize>staged; j++) store<usize>(POINTERS + 4 * j, STAGE + p * STAGE_POINT + j * 4 * GROUP);
        dealToA(to, panel, POINTERS, staged, group);
      }
    }
  }
}

/** Panels of B, at all points, of `n` output channels from `channel` on: NR is whole vectors, which are stored where they belong. */
function dealGradients(gradient: TiledImage, first: i32, tiles: i32, channel: i32, n: i32, to: usize, point: usize): void {
  for (let k = 0; k < n; k += NR, to += (<usize>(tiles * NR)) << 2) {
    const columns = min(NR, n - k);
    for (let i = 0; i < tiles; i++) {
      moveWindow(gradient, first + i, 0, TILE);
      const row = to + ((<usize>(i * NR)) << 2);
      for (let j = 0; j < columns; j += 4) {
        const from = (<usize>(channel + k + j)) << 2;
        transformGradient(WINDOW, from, min(4, columns - j), row + ((<usize>j) << 2), point, HALFWAY);
      }
    }
  }
}
