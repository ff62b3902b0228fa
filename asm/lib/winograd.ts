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
// Every function below transforms four channels at once: an element of a tile is a vector.

import { madd, WINOGRAD_POINTS, WINOGRAD_TILE } from './abi';
import { loadLanes } from './simd';

export { WINOGRAD_POINTS as POINTS, WINOGRAD_TILE as TILE };
/** Rows and columns of what a tile of results is made of. */
export const REACH: i32 = 6;
/** Bytes of room for what is transformed in one direction only, and a column of a window. */
export const HALFWAY_BYTES: usize = 36 * 16 + 6 * 16;

const A: f64 = 5.0 / 8;
const B: f64 = 3.0 / 2;
const M: f64 = 1 / (2 * A * A * (A * A - B * B));
const N: f64 = 1 / (2 * B * B * (B * B - A * A));

// Variables for speed, as in gelu.ts.
let a: v128 = f32x4.splat(<f32>A);
let minusA: v128 = f32x4.splat(<f32>-A);
let a2: v128 = f32x4.splat(<f32>(A * A));
let minusA2: v128 = f32x4.splat(<f32>(-A * A));
let a3: v128 = f32x4.splat(<f32>(A * A * A));
let b: v128 = f32x4.splat(<f32>B);
let minusB: v128 = f32x4.splat(<f32>-B);
let b2: v128 = f32x4.splat(<f32>(B * B));
let minusB2: v128 = f32x4.splat(<f32>(-B * B));
let b3: v128 = f32x4.splat(<f32>(B * B * B));
let q: v128 = f32x4.splat(<f32>(A * A * B * B));
let minusS: v128 = f32x4.splat(<f32>(-A * A - B * B));
let inverseQ: v128 = f32x4.splat(<f32>(1 / (A * A * B * B)));
let m: v128 = f32x4.splat(<f32>M);
let ma: v128 = f32x4.splat(<f32>(M * A));
let n: v128 = f32x4.splat(<f32>N);
let nb: v128 = f32x4.splat(<f32>(N * B));

/** Bᵀ·x: six vectors `step` bytes apart become six, `toStep` bytes apart. */
// @ts-ignore: decorator
@inline
function inputLine(from: usize, step: usize, to: usize, toStep: usize): void {
  const x0 = v128.load(from);
  const x1 = v128.load(from + step);
  const x2 = v128.load(from + 2 * step);
  const x3 = v128.load(from + 3 * step);
  const x4 = v128.load(from + 4 * step);
  const x5 = v128.load(from + 5 * step);
  // The rows of ±a and of ±b share their even and their odd part.
  const evenA = madd(x2, minusB2, x4);
  const oddA = madd(x1, minusB2, x3);
  const evenB = madd(x2, minusA2, x4);
  const oddB = madd(x1, minusA2, x3);
  v128.store(to, madd(x0, q, madd(x2, minusS, x4)));
  v128.store(to + toStep, madd(oddA, a, evenA));
  v128.store(to + 2 * toStep, madd(oddA, minusA, evenA));
  v128.store(to + 3 * toStep, madd(oddB, b, evenB));
  v128.store(to + 4 * toStep, madd(oddB, minusB, evenB));
  v128.store(to + 5 * toStep, madd(x1, q, madd(x3, minusS, x5)));
}

/** Aᵀ·x: six vectors become four. */
// @ts-ignore: decorator
@inline
function outputLine(from: usize, step: usize, to: usize, toStep: usize): void {
  const x1 = v128.load(from + step);
  const x2 = v128.load(from + 2 * step);
  const x3 = v128.load(from + 3 * step);
  const x4 = v128.load(from + 4 * step);
  const evenA = f32x4.add(x1, x2);
  const oddA = f32x4.sub(x1, x2);
  const evenB = f32x4.add(x3, x4);
  const oddB = f32x4.sub(x3, x4);
  v128.store(to, f32x4.add(f32x4.add(v128.load(from), evenA), evenB));
  v128.store(to + toStep, madd(oddA, a, f32x4.mul(oddB, b)));
  v128.store(to + 2 * toStep, madd(evenA, a2, f32x4.mul(evenB, b2)));
  v128.store(to + 3 * toStep, madd(oddA, a3, madd(oddB, b3, v128.load(from + 5 * step))));
}

/** A·x: four vectors become six. */
// @ts-ignore: decorator
@inline
function gradientLine(from: usize, step: usize, to: usize, toStep: usize): void {
  const x0 = v128.load(from);
  const x1 = v128.load(from + step);
  const x2 = v128.load(from + 2 * step);
  const x3 = v128.load(from + 3 * step);
  const evenA = madd(x2, a2, x0);
  const oddA = madd(x3, a2, x1);
  const evenB = madd(x2, b2, x0);
  const oddB = madd(x3, b2, x1);
  v128.store(to, x0);
  v128.store(to + toStep, madd(oddA, a, evenA));
  v128.store(to + 2 * toStep, madd(oddA, minusA, evenA));
  v128.store(to + 3 * toStep, madd(oddB, b, evenB));
  v128.store(to + 4 * toStep, madd(oddB, minusB, evenB));
  v128.store(to + 5 * toStep, x3);
}

/** G·x: three vectors become six. */
// @ts-ignore: decorator
@inline
function weightLine(from: usize, step: usize, to: usize, toStep: usize): void {
  const x0 = v128.load(from);
  const x1 = v128.load(from + step);
  const x2 = v128.load(from + 2 * step);
  const evenA = f32x4.mul(madd(x2, a2, x0), m);
  const oddA = f32x4.mul(x1, ma);
  const evenB = f32x4.mul(madd(x2, b2, x0), n);
  const oddB = f32x4.mul(x1, nb);
  v128.store(to, f32x4.mul(x0, inverseQ));
  v128.store(to + toStep, f32x4.add(evenA, oddA));
  v128.store(to + 2 * toStep, f32x4.sub(evenA, oddA));
  v128.store(to + 3 * toStep, f32x4.add(evenB, oddB));
  v128.store(to + 4 * toStep, f32x4.sub(evenB, oddB));
  v128.store(to + 5 * toStep, x2);
}

/** Gᵀ·x: six vectors become three. */
// @ts-ignore: decorator
@inline
function weightGradientLine(from: usize, step: usize, to: usize, toStep: usize): void {
  const x1 = v128.load(from + step);
  const x2 = v128.load(from + 2 * step);
  const x3 = v128.load(from + 3 * step);
  const x4 = v128.load(from + 4 * step);
  const evenA = f32x4.mul(f32x4.add(x1, x2), m);
  const evenB = f32x4.mul(f32x4.add(x3, x4), n);
  v128.store(to, f32x4.add(madd(v128.load(from), inverseQ, evenA), evenB));
  v128.store(to + toStep, madd(f32x4.sub(x1, x2), ma, f32x4.mul(f32x4.sub(x3, x4), nb)));
  v128.store(to + 2 * toStep, madd(evenA, a2, madd(evenB, b2, v128.load(from + 5 * step))));
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

/** Bᵀ·d·B: 6×6 pixels of an image become 36 points. `channel`: bytes before the channels, of which there are `lanes`. */
export function transformInput(window: Window, channel: usize, lanes: i32, to: usize, point: usize, halfway: usize): void {
  for (let j = 0; j < 6; j++) {
    const line = halfway + ((<usize>j) << 4);
    if (j < window.left || j >= window.right) {
      for (let i: usize = 0; i < 6; i++) v128.store(line + i * 96, f32x4.splat(0));
    } else if (lanes == 4 && window.bottom - window.top == 6) {
      inputLine(window.corner + channel + <usize>j * window.column, window.row, line, 6 * 16);
    } else {
      inputLine(columnOf(window, j, 6, channel, lanes, halfway + 36 * 16), 16, line, 6 * 16);
    }
  }
  for (let i: usize = 0; i < 6; i++) inputLine(halfway + i * 96, 16, to + i * 6 * point, point);
}

/** A·dY·Aᵀ: 4×4 gradients of results become 36 points. */
export function transformGradient(window: Window, channel: usize, lanes: i32, to: usize, point: usize, halfway: usize): void {
  for (let j = 0; j < 4; j++) {
    const line = halfway + ((<usize>j) << 4);
    if (j >= window.right) {
      for (let i: usize = 0; i < 6; i++) v128.store(line + i * 64, f32x4.splat(0));
    } else if (lanes == 4 && window.bottom == 4) {
      gradientLine(window.corner + channel + <usize>j * window.column, window.row, line, 4 * 16);
    } else {
      gradientLine(columnOf(window, j, 4, channel, lanes, halfway + 36 * 16), 16, line, 4 * 16);
    }
  }
  for (let i: usize = 0; i < 6; i++) gradientLine(halfway + i * 64, 16, to + i * 6 * point, point);
}

/** Copies a column with its zeros, and returns where it is. */
function columnOf(window: Window, j: i32, size: i32, channel: usize, lanes: i32, to: usize): usize {
  let from = window.corner + channel + <usize>j * window.column;
  for (let i = 0; i < size; i++, from += window.row) {
    const inside = i >= window.top && i < window.bottom;
    v128.store(to + ((<usize>i) << 4), inside ? loadLanes(from, lanes) : f32x4.splat(0));
  }
  return to;
}

/** Aᵀ·m·A: 36 points become 4×4 results, `row` and `column` bytes apart. */
export function transformOutput(from: usize, point: usize, to: usize, row: usize, column: usize, halfway: usize): void {
  for (let j: usize = 0; j < 6; j++) outputLine(from + j * point, 6 * point, halfway + j * 16, 6 * 16);
  for (let i: usize = 0; i < 4; i++) outputLine(halfway + i * 96, 16, to + i * row, column);
}

/** G·g·Gᵀ: 3×3 weights, `tap` bytes apart in the order of the rows, become 36 points. */
export function transformWeights(from: usize, tap: usize, to: usize, point: usize, halfway: usize): void {
  for (let j: usize = 0; j < 3; j++) weightLine(from + j * tap, 3 * tap, halfway + j * 16, 3 * 16);
  for (let i: usize = 0; i < 6; i++) weightLine(halfway + i * 48, 16, to + i * 6 * point, point);
}

/** Gᵀ·m·G: 36 points become the gradients of 3×3 weights. */
export function transformWeightGradient(from: usize, point: usize, to: usize, tap: usize, halfway: usize): void {
  for (let j: usize = 0; j < 6; j++) weightGradientLine(from + j * point, 6 * point, halfway + j * 16, 6 * 16);
  for (let i: usize = 0; i < 3; i++) weightGradientLine(halfway + i * 96, 16, to + i * 3 * tap, tap);
}
