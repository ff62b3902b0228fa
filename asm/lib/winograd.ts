// Winograd's convolution F(4×4, 3×3): a tile of 4×4 results of a 3×3 convolution from 36 products instead of 144.
//
// A row of 4 results y of a row of 6 values d and 3 weights g is a product of polynomials in disguise, and a product of
// polynomials is taken point by point once the factors are known at enough points: y = Aᵀ[(G·g) ⊙ (Bᵀ·d)]. In two dimensions
// each matrix is applied to the columns and to the rows: Y = Aᵀ[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]A. Summed over input channels, each of the 36
// products ⊙ becomes a product of matrices, [tiles, inputs] by [inputs, outputs]. The adjoint gives the gradient for the
// weights from the same matrices: dg = Gᵀ[Σ (A·dY·Aᵀ) ⊙ (Bᵀ·d·B)]G, where the sum over tiles makes matrix products again.
//
// The points are 0, ±5/8, ±3/2 and ∞. The usual ±1, ±2 need small integers only, but make errors that are more than twice
// as large (powers of 2 grow fast): measured against doubles with uniform random numbers, the root mean square of the errors is 1.8
// times that of the plain sum of products with these and 4 times with those. Constants of Bᵀ and A are exact in f32.
//
//        ⎡ q   0  −s   0   1   0 ⎤        ⎡ 1/q                ⎤        ⎡ 1   0   0   0 ⎤      a = 5/8, b = 3/2
//        ⎢ 0 −ab² −b²  a   1   0 ⎥        ⎢ m    ma    ma²     ⎥        ⎢ 1   a   a²  a³⎥      q = a²b²
//   Bᵀ = ⎢ 0  ab² −b² −a   1   0 ⎥    G = ⎢ m   −ma    ma²     ⎥    A = ⎢ 1  −a   a² −a³⎥      s = a² + b²
//        ⎢ 0 −ba² −a²  b   1   0 ⎥        ⎢ n    nb    nb²     ⎥        ⎢ 1   b   b²  b³⎥      m = 1 / (2a²(a² − b²))
//        ⎢ 0  ba² −a² −b   1   0 ⎥        ⎢ n   −nb    nb²     ⎥        ⎢ 1  −b   b² −b³⎥      n = 1 / (2b²(b² − a²))
//        ⎣ 0   q   0  −s   0   1 ⎦        ⎣             1      ⎦        ⎣ 0   0   0   1 ⎦
//
// Every function below transforms eight channels at once: an element of a tile is a pair of vectors side by side, which the
// revectorizer joins (asm/lib/tile.wide.ts). It joins two operations only where nothing is stored between them, and two stores
// only where their addresses are one variable and nothing at all lies between them. So a line loads both vectors of all elements, then
// makes both of a result and stores them. (Without the revectorizer that is as fast as one vector after the other, or 3 % faster.)

import { madd, WINOGRAD_POINTS, WINOGRAD_TILE, ZERO_LINE } from './abi';
import { loadLanes } from './simd';
import { all, Constant } from './table';

export { WINOGRAD_POINTS as POINTS, WINOGRAD_TILE as TILE };
/** Rows and columns of what a tile of results is made of. */
export const REACH: i32 = 6;
/** Channels that are transformed at once, and their bytes. */
export const CHANNELS: i32 = 8;
export const PAIR: usize = 32;
/** Bytes of room for what is transformed in one direction only, and a column of a window. */
export const HALFWAY_BYTES: usize = (36 + 6) * PAIR;

/** Bᵀ·x: six elements become six, `toStep` bytes apart. The rows of ±a and of ±b share their even and their odd part. */
// @ts-ignore: decorator
@inline
function inputLine(p0: usize, p1: usize, p2: usize, p3: usize, p4: usize, p5: usize, to: usize, toStep: usize): void {
  const to1 = to + toStep;
  const to2 = to1 + toStep;
  const to3 = to2 + toStep;
  const to4 = to3 + toStep;
  const to5 = to4 + toStep;
  const x0 = v128.load(p0);
  const y0 = v128.load(p0, 16);
  const x1 = v128.load(p1);
  const y1 = v128.load(p1, 16);
  const x2 = v128.load(p2);
  const y2 = v128.load(p2, 16);
  const x3 = v128.load(p3);
  const y3 = v128.load(p3, 16);
  const x4 = v128.load(p4);
  const y4 = v128.load(p4, 16);
  const x5 = v128.load(p5);
  const y5 = v128.load(p5, 16);
  const evenAX = madd(x2, all(Constant.minusB2), x4);
  const evenAY = madd(y2, all(Constant.minusB2), y4);
  const oddAX = madd(x1, all(Constant.minusB2), x3);
  const oddAY = madd(y1, all(Constant.minusB2), y3);
  const evenBX = madd(x2, all(Constant.minusA2), x4);
  const evenBY = madd(y2, all(Constant.minusA2), y4);
  const oddBX = madd(x1, all(Constant.minusA2), x3);
  const oddBY = madd(y1, all(Constant.minusA2), y3);
  const r0 = madd(x0, all(Constant.q), madd(x2, all(Constant.minusS), x4));
  const s0 = madd(y0, all(Constant.q), madd(y2, all(Constant.minusS), y4));
  v128.store(to, r0);
  v128.store(to, s0, 16);
  const r1 = madd(oddAX, all(Constant.a), evenAX);
  const s1 = madd(oddAY, all(Constant.a), evenAY);
  v128.store(to1, r1);
  v128.store(to1, s1, 16);
  const r2 = madd(oddAX, all(Constant.minusA), evenAX);
  const s2 = madd(oddAY, all(Constant.minusA), evenAY);
  v128.store(to2, r2);
  v128.store(to2, s2, 16);
  const r3 = madd(oddBX, all(Constant.b), evenBX);
  const s3 = madd(oddBY, all(Constant.b), evenBY);
  v128.store(to3, r3);
  v128.store(to3, s3, 16);
  const r4 = madd(oddBX, all(Constant.minusB), evenBX);
  const s4 = madd(oddBY, all(Constant.minusB), evenBY);
  v128.store(to4, r4);
  v128.store(to4, s4, 16);
  const r5 = madd(x1, all(Constant.q), madd(x3, all(Constant.minusS), x5));
  const s5 = madd(y1, all(Constant.q), madd(y3, all(Constant.minusS), y5));
  v128.store(to5, r5);
  v128.store(to5, s5, 16);
}

/** Aᵀ·x: six elements, `step` bytes apart, become four. */
// @ts-ignore: decorator
@inline
function outputLine(from: usize, step: usize, to: usize, toStep: usize): void {
  const p1 = from + step;
  const p2 = p1 + step;
  const p3 = p2 + step;
  const p4 = p3 + step;
  const p5 = p4 + step;
  const to1 = to + toStep;
  const to2 = to1 + toStep;
  const to3 = to2 + toStep;
  const x0 = v128.load(from);
  const y0 = v128.load(from, 16);
  const x1 = v128.load(p1);
  const y1 = v128.load(p1, 16);
  const x2 = v128.load(p2);
  const y2 = v128.load(p2, 16);
  const x3 = v128.load(p3);
  const y3 = v128.load(p3, 16);
  const x4 = v128.load(p4);
  const y4 = v128.load(p4, 16);
  const x5 = v128.load(p5);
  const y5 = v128.load(p5, 16);
  const evenAX = f32x4.add(x1, x2);
  const evenAY = f32x4.add(y1, y2);
  const oddAX = f32x4.sub(x1, x2);
  const oddAY = f32x4.sub(y1, y2);
  const evenBX = f32x4.add(x3, x4);
  const evenBY = f32x4.add(y3, y4);
  const oddBX = f32x4.sub(x3, x4);
  const oddBY = f32x4.sub(y3, y4);
  const r0 = f32x4.add(f32x4.add(x0, evenAX), evenBX);
  const s0 = f32x4.add(f32x4.add(y0, evenAY), evenBY);
  v128.store(to, r0);
  v128.store(to, s0, 16);
  const r1 = madd(oddAX, all(Constant.a), f32x4.mul(oddBX, all(Constant.b)));
  const s1 = madd(oddAY, all(Constant.a), f32x4.mul(oddBY, all(Constant.b)));
  v128.store(to1, r1);
  v128.store(to1, s1, 16);
  const r2 = madd(evenAX, all(Constant.a2), f32x4.mul(evenBX, all(Constant.b2)));
  const s2 = madd(evenAY, all(Constant.a2), f32x4.mul(evenBY, all(Constant.b2)));
  v128.store(to2, r2);
  v128.store(to2, s2, 16);
  const r3 = madd(oddAX, all(Constant.a3), madd(oddBX, all(Constant.b3), x5));
  const s3 = madd(oddAY, all(Constant.a3), madd(oddBY, all(Constant.b3), y5));
  v128.store(to3, r3);
  v128.store(to3, s3, 16);
}

/** A·x: four elements become six. */
// @ts-ignore: decorator
@inline
function gradientLine(p0: usize, p1: usize, p2: usize, p3: usize, to: usize, toStep: usize): void {
  const to1 = to + toStep;
  const to2 = to1 + toStep;
  const to3 = to2 + toStep;
  const to4 = to3 + toStep;
  const to5 = to4 + toStep;
  const x0 = v128.load(p0);
  const y0 = v128.load(p0, 16);
  const x1 = v128.load(p1);
  const y1 = v128.load(p1, 16);
  const x2 = v128.load(p2);
  const y2 = v128.load(p2, 16);
  const x3 = v128.load(p3);
  const y3 = v128.load(p3, 16);
  const evenAX = madd(x2, all(Constant.a2), x0);
  const evenAY = madd(y2, all(Constant.a2), y0);
  const oddAX = madd(x3, all(Constant.a2), x1);
  const oddAY = madd(y3, all(Constant.a2), y1);
  const evenBX = madd(x2, all(Constant.b2), x0);
  const evenBY = madd(y2, all(Constant.b2), y0);
  const oddBX = madd(x3, all(Constant.b2), x1);
  const oddBY = madd(y3, all(Constant.b2), y1);
  v128.store(to, x0);
  v128.store(to, y0, 16);
  const r1 = madd(oddAX, all(Constant.a), evenAX);
  const s1 = madd(oddAY, all(Constant.a), evenAY);
  v128.store(to1, r1);
  v128.store(to1, s1, 16);
  const r2 = madd(oddAX, all(Constant.minusA), evenAX);
  const s2 = madd(oddAY, all(Constant.minusA), evenAY);
  v128.store(to2, r2);
  v128.store(to2, s2, 16);
  const r3 = madd(oddBX, all(Constant.b), evenBX);
  const s3 = madd(oddBY, all(Constant.b), evenBY);
  v128.store(to3, r3);
  v128.store(to3, s3, 16);
  const r4 = madd(oddBX, all(Constant.minusB), evenBX);
  const s4 = madd(oddBY, all(Constant.minusB), evenBY);
  v128.store(to4, r4);
  v128.store(to4, s4, 16);
  v128.store(to5, x3);
  v128.store(to5, y3, 16);
}

/** G·x: three elements become six. */
// @ts-ignore: decorator
@inline
function weightLine(from: usize, step: usize, to: usize, toStep: usize): void {
  const p1 = from + step;
  const p2 = p1 + step;
  const to1 = to + toStep;
  const to2 = to1 + toStep;
  const to3 = to2 + toStep;
  const to4 = to3 + toStep;
  const to5 = to4 + toStep;
  const x0 = v128.load(from);
  const y0 = v128.load(from, 16);
  const x1 = v128.load(p1);
  const y1 = v128.load(p1, 16);
  const x2 = v128.load(p2);
  const y2 = v128.load(p2, 16);
  const evenAX = f32x4.mul(madd(x2, all(Constant.a2), x0), all(Constant.m));
  const evenAY = f32x4.mul(madd(y2, all(Constant.a2), y0), all(Constant.m));
  const oddAX = f32x4.mul(x1, all(Constant.ma));
  const oddAY = f32x4.mul(y1, all(Constant.ma));
  const evenBX = f32x4.mul(madd(x2, all(Constant.b2), x0), all(Constant.n));
  const evenBY = f32x4.mul(madd(y2, all(Constant.b2), y0), all(Constant.n));
  const oddBX = f32x4.mul(x1, all(Constant.nb));
  const oddBY = f32x4.mul(y1, all(Constant.nb));
  const r0 = f32x4.mul(x0, all(Constant.inverseQ));
  const s0 = f32x4.mul(y0, all(Constant.inverseQ));
  v128.store(to, r0);
  v128.store(to, s0, 16);
  const r1 = f32x4.add(evenAX, oddAX);
  const s1 = f32x4.add(evenAY, oddAY);
  v128.store(to1, r1);
  v128.store(to1, s1, 16);
  const r2 = f32x4.sub(evenAX, oddAX);
  const s2 = f32x4.sub(evenAY, oddAY);
  v128.store(to2, r2);
  v128.store(to2, s2, 16);
  const r3 = f32x4.add(evenBX, oddBX);
  const s3 = f32x4.add(evenBY, oddBY);
  v128.store(to3, r3);
  v128.store(to3, s3, 16);
  const r4 = f32x4.sub(evenBX, oddBX);
  const s4 = f32x4.sub(evenBY, oddBY);
  v128.store(to4, r4);
  v128.store(to4, s4, 16);
  v128.store(to5, x2);
  v128.store(to5, y2, 16);
}

/** Gᵀ·x: six elements become three. */
// @ts-ignore: decorator
@inline
function weightGradientLine(from: usize, step: usize, to: usize, toStep: usize): void {
  const p1 = from + step;
  const p2 = p1 + step;
  const p3 = p2 + step;
  const p4 = p3 + step;
  const p5 = p4 + step;
  const to1 = to + toStep;
  const to2 = to1 + toStep;
  const x0 = v128.load(from);
  const y0 = v128.load(from, 16);
  const x1 = v128.load(p1);
  const y1 = v128.load(p1, 16);
  const x2 = v128.load(p2);
  const y2 = v128.load(p2, 16);
  const x3 = v128.load(p3);
  const y3 = v128.load(p3, 16);
  const x4 = v128.load(p4);
  const y4 = v128.load(p4, 16);
  const x5 = v128.load(p5);
  const y5 = v128.load(p5, 16);
  const evenAX = f32x4.mul(f32x4.add(x1, x2), all(Constant.m));
  const evenAY = f32x4.mul(f32x4.add(y1, y2), all(Constant.m));
  const evenBX = f32x4.mul(f32x4.add(x3, x4), all(Constant.n));
  const evenBY = f32x4.mul(f32x4.add(y3, y4), all(Constant.n));
  const r0 = f32x4.add(madd(x0, all(Constant.inverseQ), evenAX), evenBX);
  const s0 = f32x4.add(madd(y0, all(Constant.inverseQ), evenAY), evenBY);
  v128.store(to, r0);
  v128.store(to, s0, 16);
  const r1 = madd(f32x4.sub(x1, x2), all(Constant.ma), f32x4.mul(f32x4.sub(x3, x4), all(Constant.nb)));
  const s1 = madd(f32x4.sub(y1, y2), all(Constant.ma), f32x4.mul(f32x4.sub(y3, y4), all(Constant.nb)));
  v128.store(to1, r1);
  v128.store(to1, s1, 16);
  const r2 = madd(evenAX, all(Constant.a2), madd(evenBX, all(Constant.b2), x5));
  const s2 = madd(evenAY, all(Constant.a2), madd(evenBY, all(Constant.b2), y5));
  v128.store(to2, r2);
  v128.store(to2, s2, 16);
}

// In two dimensions. `point` are the bytes between the 36 points, and `halfway` is room for what is transformed in one direction.

/** A square of pixels of an image, of which some may lie outside: those are zeros. */
// @ts-ignore: decorator
@unmanaged
export class Window {
  /** Address of the first channel of the first pixel, even where that is outside. */
  corner: usize;
  /** Bytes between rows and between columns. */
  row: usize;
  column: usize;
  /** Rows and columns inside of the image: from the first to before the second. */
  top: i32;
  bottom: i32;
  left: i32;
  right: i32;
}

/** Where the channels of row `i` of a column are: zeros where it lies outside. */
// @ts-ignore: decorator
@inline
function pixel(window: Window, column: usize, i: i32): usize {
  return i >= window.top && i < window.bottom ? column + <usize>i * window.row : ZERO_LINE;
}

/** Bᵀ·d·B: 6×6 pixels of an image become 36 points. `channel`: bytes before the channels, of which there are `lanes`. */
export function transformInput(window: Window, channel: usize, lanes: i32, to: usize, point: usize, halfway: usize): void {
  const row = window.row;
  for (let j = 0; j < 6; j++) {
    const line = halfway + <usize>j * PAIR;
    let p = window.corner + channel + <usize>j * window.column;
    if (j < window.left || j >= window.right) {
      for (let i: usize = 0; i < 6; i++) clear(line + i * 6 * PAIR);
    } else if (lanes == CHANNELS && window.bottom - window.top == 6) {
      inputLine(p, p + row, p + 2 * row, p + 3 * row, p + 4 * row, p + 5 * row, line, 6 * PAIR);
    } else if (lanes == CHANNELS) {
      const p0 = pixel(window, p, 0);
      const p1 = pixel(window, p, 1);
      const p2 = pixel(window, p, 2);
      const p3 = pixel(window, p, 3);
      const p4 = pixel(window, p, 4);
      inputLine(p0, p1, p2, p3, p4, pixel(window, p, 5), line, 6 * PAIR);
    } else {
      p = columnOf(window, p, 6, lanes, halfway + 36 * PAIR);
      inputLine(p, p + PAIR, p + 2 * PAIR, p + 3 * PAIR, p + 4 * PAIR, p + 5 * PAIR, line, 6 * PAIR);
    }
  }
  for (let i: usize = 0; i < 6; i++) {
    const p = halfway + i * 6 * PAIR;
    inputLine(p, p + PAIR, p + 2 * PAIR, p + 3 * PAIR, p + 4 * PAIR, p + 5 * PAIR, to + i * 6 * point, point);
  }
}

/** A·dY·Aᵀ: 4×4 gradients of results become 36 points. */
export function transformGradient(window: Window, channel: usize, lanes: i32, to: usize, point: usize, halfway: usize): void {
  const row = window.row;
  for (let j = 0; j < 4; j++) {
    const line = halfway + <usize>j * PAIR;
    let p = window.corner + channel + <usize>j * window.column;
    if (j >= window.right) {
      for (let i: usize = 0; i < 6; i++) clear(line + i * 4 * PAIR);
    } else if (lanes == CHANNELS) {
      gradientLine(p, pixel(window, p, 1), pixel(window, p, 2), pixel(window, p, 3), line, 4 * PAIR);
    } else {
      p = columnOf(window, p, 4, lanes, halfway + 36 * PAIR);
      gradientLine(p, p + PAIR, p + 2 * PAIR, p + 3 * PAIR, line, 4 * PAIR);
    }
  }
  for (let i: usize = 0; i < 6; i++) {
    const p = halfway + i * 4 * PAIR;
    gradientLine(p, p + PAIR, p + 2 * PAIR, p + 3 * PAIR, to + i * 6 * point, point);
  }
}

// @ts-ignore: decorator
@inline
function clear(to: usize): void {
  v128.store(to, f32x4.splat(0));
  v128.store(to, f32x4.splat(0), 16);
}

/** Copies a column of which only `lanes` channels can be read, with zeros for what lies outside, and returns where it is. */
function columnOf(window: Window, from: usize, size: i32, lanes: i32, to: usize): usize {
  for (let i = 0; i < size; i++) {
    const p = pixel(window, from, i);
    const element = to + <usize>i * PAIR;
    v128.store(element, loadLanes(p, min(4, lanes)));
    v128.store(element, lanes > 4 ? loadLanes(p + 16, lanes - 4) : f32x4.splat(0), 16);
  }
  return to;
}

/** Aᵀ·m·A: 36 points become 4×4 results, `row` and `column` bytes apart. */
export function transformOutput(from: usize, point: usize, to: usize, row: usize, column: usize, halfway: usize): void {
  for (let j: usize = 0; j < 6; j++) outputLine(from + j * point, 6 * point, halfway + j * PAIR, 6 * PAIR);
  for (let i: usize = 0; i < 4; i++) outputLine(halfway + i * 6 * PAIR, PAIR, to + i * row, column);
}

/** G·g·Gᵀ: 3×3 weights, `tap` bytes apart in the order of the rows, become 36 points. */
export function transformWeights(from: usize, tap: usize, to: usize, point: usize, halfway: usize): void {
  for (let j: usize = 0; j < 3; j++) weightLine(from + j * tap, 3 * tap, halfway + j * PAIR, 3 * PAIR);
  for (let i: usize = 0; i < 6; i++) weightLine(halfway + i * 3 * PAIR, PAIR, to + i * 6 * point, point);
}

/** Gᵀ·m·G: 36 points become the gradients of 3×3 weights. */
export function transformWeightGradient(from: usize, point: usize, to: usize, tap: usize, halfway: usize): void {
  for (let j: usize = 0; j < 6; j++) weightGradientLine(from + j * point, 6 * point, halfway + j * PAIR, 6 * PAIR);
  for (let i: usize = 0; i < 3; i++) weightGradientLine(halfway + i * 6 * PAIR, PAIR, to + i * 3 * tap, tap);
}
