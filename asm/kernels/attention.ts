// Products of matrices of each sample, and softmax over the last axis. Every element of a product is one chain of multiply-adds, or four lanes
// of them that are added at the end: which thread takes which rows changes nothing.

import { madd, MatmulArgs, MatmulTransposedArgs, nextTask, rows, SoftmaxArgs, SoftmaxGradArgs } from '../lib/abi';
import { exp } from '../lib/exp';
import { loadLanes, storeLanes, sumLanes } from '../lib/simd';

/** Rows of a product that are a task. */
const ROWS: i32 = 16;
/** Pixels of a task of softmax. */
const PIXELS: i32 = 16;

/** y [m, n] = a·b, b [k, n] by rows. Four rows of y at once. */
export function matmul(args: MatmulArgs): void {
  const m = args.m;
  const n = args.n;
  const aRow = (<usize>args.aRow) << 2;
  const aColumn = (<usize>args.aColumn) << 2;
  const bRow = (<usize>n) << 2;
  const blocks = (m + ROWS - 1) / ROWS;
  const tasks = rows() * args.matrices * blocks;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const matrix = task / blocks;
    const first = (task - matrix * blocks) * ROWS;
    const a = args.a + ((<usize>(matrix * m * args.k)) << 2);
    const b = args.b + ((<usize>(matrix * args.k * n)) << 2);
    const y = args.y + ((<usize>(matrix * m * n)) << 2);
    const end = min(first + ROWS, m);
    for (let i = first; i < end; i += 4) {
      // Rows beyond the last are the last once more, and are not stored.
      const a0 = a + <usize>i * aRow;
      const a1 = a + <usize>min(i + 1, m - 1) * aRow;
      const a2 = a + <usize>min(i + 2, m - 1) * aRow;
      const a3 = a + <usize>min(i + 3, m - 1) * aRow;
      for (let j = 0; j < n; j += 4) {
        const lanes = min(4, n - j);
        let s0 = f32x4.splat(0);
        let s1 = s0;
        let s2 = s0;
        let s3 = s0;
        let from = b + ((<usize>j) << 2);
        let at: usize = 0;
        if (lanes == 4) {
          for (let l = 0; l < args.k; l++, at += aColumn, from += bRow) {
            const v = v128.load(from);
            s0 = madd(v128.load32_splat(a0 + at), v, s0);
            s1 = madd(v128.load32_splat(a1 + at), v, s1);
            s2 = madd(v128.load32_splat(a2 + at), v, s2);
            s3 = madd(v128.load32_splat(a3 + at), v, s3);
          }
        } else {
          for (let l = 0; l < args.k; l++, at += aColumn, from += bRow) {
            const v = loadLanes(from, lanes);
            s0 = madd(v128.load32_splat(a0 + at), v, s0);
            s1 = madd(v128.load32_splat(a1 + at), v, s1);
            s2 = madd(v128.load32_splat(a2 + at), v, s2);
            s3 = madd(v128.load32_splat(a3 + at), v, s3);
          }
        }
        const to = y + <usize>i * bRow + ((<usize>j) << 2);
        storeLanes(to, s0, lanes);
        if (i + 1 < end) storeLanes(to + bRow, s1, lanes);
        if (i + 2 < end) storeLanes(to + 2 * bRow, s2, lanes);
        if (i + 3 < end) storeLanes(to + 3 * bRow, s3, lanes);
      }
    }
  }
}

/** y [m, n] = a·bᵀ, b [n, k]: products of rows, four columns of y at once. */
export function matmulTransposed(args: MatmulTransposedArgs): void {
  const m = args.m;
  const n = args.n;
  const k = args.k;
  const row = (<usize>k) << 2;
  const blocks = (m + ROWS - 1) / ROWS;
  const tasks = rows() * args.matrices * blocks;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const matrix = task / blocks;
    const first = (task - matrix * blocks) * ROWS;
    const a = args.a + <usize>(matrix * m) * row;
    const b = args.b + <usize>(matrix * n) * row;
    const y = args.y + ((<usize>(matrix * m * n)) << 2);
    const end = min(first + ROWS, m);
    for (let j = 0; j < n; j += 4) {
      const b0 = b + <usize>j * row;
      const b1 = b + <usize>min(j + 1, n - 1) * row;
      const b2 = b + <usize>min(j + 2, n - 1) * row;
      const b3 = b + <usize>min(j + 3, n - 1) * row;
      for (let i = first; i < end; i++) {
        const from = a + <usize>i * row;
        let s0 = f32x4.splat(0);
        let s1 = s0;
        let s2 = s0;
        let s3 = s0;
        for (let l = 0; l < k; l += 4) {
          const lanes = min(4, k - l);
          const at = (<usize>l) << 2;
          const v = loadLanes(from + at, lanes);
          s0 = madd(v, loadLanes(b0 + at, lanes), s0);
          s1 = madd(v, loadLanes(b1 + at, lanes), s1);
          s2 = madd(v, loadLanes(b2 + at, lanes), s2);
          s3 = madd(v, loadLanes(b3 + at, lanes), s3);
        }
        const sums = f32x4.replace_lane(
          f32x4.replace_lane(f32x4.replace_lane(f32x4.splat(sumLanes(s0)), 1, sumLanes(s1)), 2, sumLanes(s2)),
          3,
          sumLanes(s3),
        );
        storeLanes(y + ((<usize>(i * n + j)) << 2), sums, min(4, n - j));
      }
    }
  }
}

/** NaN in a row makes the whole of it NaN: the largest skips it, and the sum does not. */
export function softmax(args: SoftmaxArgs): void {
  const channels = args.channels;
  const stride = (<usize>channels) << 2;
  const pixels = rows() * args.pixels;
  const tasks = (pixels + PIXELS - 1) / PIXELS;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const end = min((task + 1) * PIXELS, pixels);
    for (let pixel = task * PIXELS; pixel < end; pixel++) {
      const x = args.x + <usize>pixel * stride;
      const y = args.y + <usize>pixel * stride;
      let most = -f32.MAX_VALUE;
      for (let c = 0; c < channels; c++) {
        const value = load<f32>(x + ((<usize>c) << 2));
        if (value > most) most = value;
      }
      const largest = f32x4.splat(most);
      let sum: f32 = 0;
      let sums = f32x4.splat(0);
      for (let c = 0; c < channels; c += 4) {
        const at = (<usize>c) << 2;
        const lanes = min(4, channels - c);
        const value = exp(f32x4.sub(loadLanes(x + at, lanes), largest));
        storeLanes(y + at, value, lanes);
        // Lanes beyond the end do not count.
        sums = f32x4.add(sums, lanes == 4 ? value : loadLanes(y + at, lanes));
      }
      sum = sumLanes(sums);
      const factor = f32x4.splat(1 / sum);
      for (let c = 0; c < channels; c += 4) {
        const at = (<usize>c) << 2;
        const lanes = min(4, channels - c);
        storeLanes(y + at, f32x4.mul(loadLanes(y + at, lanes), factor), lanes);
      }
    }
  }
}

export function softmaxGrad(args: SoftmaxGradArgs): void {
  const channels = args.channels;
  const stride = (<usize>channels) << 2;
  const pixels = rows() * args.pixels;
  const tasks = (pixels + PIXELS - 1) / PIXELS;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const end = min((task + 1) * PIXELS, pixels);
    for (let pixel = task * PIXELS; pixel < end; pixel++) {
      const offset = <usize>pixel * stride;
      const dy = args.dy + offset;
      const y = args.y + offset;
      let sums = f32x4.splat(0);
      for (let c = 0; c < channels; c += 4) {
        const at = (<usize>c) << 2;
        const lanes = min(4, channels - c);
        sums = madd(loadLanes(dy + at, lanes), loadLanes(y + at, lanes), sums);
      }
      const sum = f32x4.splat(sumLanes(sums));
      for (let c = 0; c < channels; c += 4) {
        const at = (<usize>c) << 2;
        const lanes = min(4, channels - c);
        storeLanes(args.dx + offset + at, f32x4.mul(loadLanes(y + at, lanes), f32x4.sub(loadLanes(dy + at, lanes), sum)), lanes);
      }
    }
  }
}
