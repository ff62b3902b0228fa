// A step of Muon with a matrix: its momentum, with all singular values near 1, is what it moves by. The matrix goes through the products with its longer
// side as rows, `length` rows of `side` numbers that are `stride` floats apart, of which whole tiles are there (asm/lowering/muon.ts): what is beyond
// the matrix is made of zeros and reaches nothing. Every sum is one chain, or that of chunks of the tensor in order, so that no number of
// threads changes a bit.

import {
  learningRate,
  madd,
  MuonApplyArgs,
  MuonGramArgs,
  MuonMomentumArgs,
  MuonMultiplyArgs,
  MuonNormalizeArgs,
  nextTask,
  SCRATCH,
  weightDecay,
} from '../lib/abi';
import { CHUNK, chunkEnd, chunks } from '../lib/chunks';
import { ceilDiv, DEPTH, MR, multiplyTransposed, packRows } from '../lib/gemm';
import { loadLanes, storeLanes, zeroFloats } from '../lib/simd';

// The thread's scratch.
/** Addresses of the MR rows of a panel. */
const POINTERS = SCRATCH;
/** A panel of A. */
const PACKED = SCRATCH + 64;

/** Rows of a task that goes over a matrix. */
const ROWS: i32 = 32;
/** Rows and columns of a symmetric product, and rows of the other one, that are a task: whole tiles. */
const GRAM_ROWS: i32 = 4 * MR;
const GRAM_COLUMNS: i32 = 64;
const PRODUCT_ROWS: i32 = 2 * MR;

// @ts-ignore: decorator
@inline
function bytes(floats: i32): usize {
  return (<usize>floats) << 2;
}

// @ts-ignore: decorator
@inline
function scaleOf(scale: usize): v128 {
  return scale ? v128.load32_splat(scale) : f32x4.splat(1);
}

/** m ← momentum·m + g, and the squares of what the matrix will be made of. */
export function muonMomentum(args: MuonMomentumArgs): void {
  if (load<i32>(args.ok) == 0) return;
  const elements = args.elements;
  const momentum = f32x4.splat(args.momentum);
  const scale = scaleOf(args.scale);
  const nesterov = args.nesterov != 0;
  const tasks = chunks(elements);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const end = chunkEnd(task * CHUNK, elements);
    let sums = f64x2.splat(0);
    for (let i = task * CHUNK; i < end; i += 4) {
      const lanes = min(4, end - i);
      const g = f32x4.mul(loadLanes(args.gradient + bytes(i), lanes), scale);
      const m = f32x4.add(f32x4.mul(loadLanes(args.moment + bytes(i), lanes), momentum), g);
      storeLanes(args.moment + bytes(i), m, lanes);
      const u = nesterov ? f32x4.add(g, f32x4.mul(m, momentum)) : m;
      const low = f64x2.promote_low_f32x4(u);
      const high = f64x2.promote_low_f32x4(v128.shuffle<i64>(u, u, 1, 1));
      sums = f64x2.add(sums, f64x2.add(f64x2.mul(low, low), f64x2.mul(high, high)));
    }
    store<f64>(args.sums + ((<usize>task) << 3), f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1));
  }
}

/** x = g + momentum·m, or m, over its length. */
export function muonNormalize(args: MuonNormalizeArgs): void {
  if (load<i32>(args.ok) == 0) return;
  const side = args.side;
  const length = args.length;
  const stride = args.stride;
  const nesterov = args.nesterov != 0;
  const momentum = f32x4.splat(args.momentum);
  const scale = scaleOf(args.scale);
  let squares: f64 = 0;
  for (let i = 0; i < args.chunks; i++) squares += load<f64>(args.sums + ((<usize>i) << 3));
  const size = f32x4.splat(<f32>(Math.sqrt(squares) + args.epsilon));
  const rows = ceilDiv(length, MR) * MR;
  const tasks = ceilDiv(rows, ROWS);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const first = task * ROWS;
    const end = min(first + ROWS, rows);
    for (let i = first; i < end; i++) zeroFloats(args.x + bytes(i * stride), stride);
    if (args.transposed) {
      for (let j = 0; j < side; j++) {
        for (let i = first; i < min(end, length); i += 4) {
          const lanes = min(4, length - i);
          const v = direction(args, bytes(j * length + i), lanes, scale, momentum, nesterov, size);
          const to = args.x + bytes(i * stride + j);
          store<f32>(to, f32x4.extract_lane(v, 0));
          if (lanes > 1) store<f32>(to + bytes(stride), f32x4.extract_lane(v, 1));
          if (lanes > 2) store<f32>(to + 2 * bytes(stride), f32x4.extract_lane(v, 2));
          if (lanes > 3) store<f32>(to + 3 * bytes(stride), f32x4.extract_lane(v, 3));
        }
      }
    } else {
      for (let i = first; i < min(end, length); i++) {
        for (let j = 0; j < side; j += 4) {
          const lanes = min(4, side - j);
          const v = direction(args, bytes(i * side + j), lanes, scale, momentum, nesterov, size);
          storeLanes(args.x + bytes(i * stride + j), v, lanes);
        }
      }
    }
  }
}

/** Of the elements at an offset. */
// @ts-ignore: decorator
@inline
function direction(args: MuonNormalizeArgs, at: usize, lanes: i32, scale: v128, momentum: v128, nesterov: bool, size: v128): v128 {
  const m = loadLanes(args.moment + at, lanes);
  const u = nesterov ? f32x4.add(f32x4.mul(loadLanes(args.gradient + at, lanes), scale), f32x4.mul(m, momentum)) : m;
  return f32x4.div(u, size);
}

/**
 * y = xᵀx, symmetric to the last bit. Or, of a symmetric x, the polynomial a·1 + b·x + c·x². A step of the depth is a row of x on both sides, as it lies.
 */
export function muonGram(args: MuonGramArgs): void {
  if (load<i32>(args.ok) == 0) return;
  const x = args.x;
  const stride = bytes(args.stride);
  const depth = args.length;
  // Whole tiles of rows, and columns as many: the columns of a result are the rows of the next.
  const side = ceilDiv(args.side, MR) * MR;
  const b = f32x4.splat(args.b);
  const c = f32x4.splat(args.c);
  const columnTasks = ceilDiv(side, GRAM_COLUMNS);
  const tasks = ceilDiv(side, GRAM_ROWS) * columnTasks;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const row = (task / columnTasks) * GRAM_ROWS;
    const column = (task % columnTasks) * GRAM_COLUMNS;
    const rows = min(GRAM_ROWS, side - row);
    const columns = min(GRAM_COLUMNS, side - column);
    const y = args.y + <usize>row * stride + bytes(column);
    for (let start = 0; start < depth; start += DEPTH) {
      const from = x + <usize>start * stride;
      const steps = min(DEPTH, depth - start);
      multiplyTransposed(from + bytes(row), stride, from + bytes(column), stride, steps, y, stride, start > 0, rows, columns);
    }
    if (!args.polynomial) continue;
    for (let i = 0; i < rows; i++) {
      const to = y + <usize>i * stride;
      const own = x + <usize>(row + i) * stride + bytes(column);
      for (let j = 0; j < columns; j += 4) {
        v128.store(to + bytes(j), madd(v128.load(to + bytes(j)), c, f32x4.mul(v128.load(own + bytes(j)), b)));
      }
      const diagonal = row + i - column;
      if (diagonal >= 0 && diagonal < columns) store<f32>(to + bytes(diagonal), load<f32>(to + bytes(diagonal)) + args.a);
    }
  }
}

/** y = x·right, a square one. */
export function muonMultiply(args: MuonMultiplyArgs): void {
  if (load<i32>(args.ok) == 0) return;
  const stride = bytes(args.stride);
  const depth = args.side;
  const columns = ceilDiv(depth, MR) * MR;
  const tasks = ceilDiv(args.length, PRODUCT_ROWS);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const end = min((task + 1) * PRODUCT_ROWS, args.length);
    for (let i = task * PRODUCT_ROWS; i < end; i += MR) {
      for (let start = 0; start < depth; start += DEPTH) {
        const steps = min(DEPTH, depth - start);
        for (let r = 0; r < MR; r++) {
          store<usize>(POINTERS + ((<usize>r) << 2), args.x + <usize>(i + r) * stride + bytes(start));
        }
        packRows(PACKED, POINTERS, steps);
        const right = args.right + <usize>start * stride;
        multiplyTransposed(PACKED, 4 * MR, right, stride, steps, args.y + <usize>i * stride, stride, start > 0, MR, columns);
      }
    }
  }
}

/** w ← w − w·decay·rate − size·rate·x. */
export function muonApply(args: MuonApplyArgs): void {
  if (load<i32>(args.ok) == 0) return;
  const side = args.side;
  const length = args.length;
  const stride = args.stride;
  const rate = learningRate() * args.rate;
  const decay = f32x4.splat(weightDecay() * args.decay);
  const rates = f32x4.splat(rate);
  const size = f32x4.splat(<f32>(<f64>rate * args.size));
  const tasks = ceilDiv(length, ROWS);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const first = task * ROWS;
    const end = min(first + ROWS, length);
    if (args.transposed) {
      for (let j = 0; j < side; j++) {
        for (let i = first; i < end; i += 4) {
          const lanes = min(4, end - i);
          const from = args.x + bytes(i * stride + j);
          let v = v128.load32_zero(from);
          if (lanes > 1) v = f32x4.replace_lane(v, 1, load<f32>(from + bytes(stride)));
          if (lanes > 2) v = f32x4.replace_lane(v, 2, load<f32>(from + 2 * bytes(stride)));
          if (lanes > 3) v = f32x4.replace_lane(v, 3, load<f32>(from + 3 * bytes(stride)));
          move(args.parameter + bytes(j * length + i), v, lanes, decay, rates, size);
        }
      }
    } else {
      for (let i = first; i < end; i++) {
        for (let j = 0; j < side; j += 4) {
          const lanes = min(4, side - j);
          const v = loadLanes(args.x + bytes(i * stride + j), lanes);
          move(args.parameter + bytes(i * side + j), v, lanes, decay, rates, size);
        }
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function move(to: usize, v: v128, lanes: i32, decay: v128, rate: v128, size: v128): void {
  const w = loadLanes(to, lanes);
  const decayed = f32x4.sub(w, f32x4.mul(f32x4.mul(w, decay), rate));
  storeLanes(to, f32x4.sub(decayed, f32x4.mul(v, size)), lanes);
}
