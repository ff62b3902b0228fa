// The inner loops of a 5×5 depthwise convolution, for a plane of eight channels: four channels at a time, so that sums, weights
// and input fit in 16 registers. stencil.wide.ts is the form for V8's revectorizer; the bits are the same.

import { madd } from './abi';
import { ceilDiv } from './gemm';
import { PIXEL } from './plane';

/** Eight columns of results, `stride` bytes apart, of the rows of `rowBytes` bytes from `x` on. */
export function convolve5(x: usize, rowBytes: usize, w: usize, to: usize, stride: usize): void {
  convolveHalf(x, rowBytes, w, to, stride);
  convolveHalf(x + 16, rowBytes, w + 16, to + 16, stride);
}

/** Adds to a row of the weights' gradient, of `band` rows of x and dy. */
export function correlate5(x: usize, dy: usize, rowBytes: usize, band: i32, width: i32, to: usize): void {
  correlateHalf(x, dy, rowBytes, band, width, to);
  correlateHalf(x + 16, dy + 16, rowBytes, band, width, to + 16);
}

/**
 * Five weights stay in registers for a kernel row and each input is loaded once for it; a result still adds its taps one
 * after the other.
 */
function convolveHalf(x: usize, rowBytes: usize, w: usize, to: usize, stride: usize): void {
  let c0 = f32x4.splat(0);
  let c1 = c0;
  let c2 = c0;
  let c3 = c0;
  let c4 = c0;
  let c5 = c0;
  let c6 = c0;
  let c7 = c0;
  const end = w + 25 * PIXEL;
  while (w < end) {
    const w0 = v128.load(w);
    const w1 = v128.load(w, 32);
    const w2 = v128.load(w, 64);
    const w3 = v128.load(w, 96);
    const w4 = v128.load(w, 128);
    let v = v128.load(x);
    c0 = madd(v, w0, c0);
    v = v128.load(x, 32);
    c0 = madd(v, w1, c0);
    c1 = madd(v, w0, c1);
    v = v128.load(x, 64);
    c0 = madd(v, w2, c0);
    c1 = madd(v, w1, c1);
    c2 = madd(v, w0, c2);
    v = v128.load(x, 96);
    c0 = madd(v, w3, c0);
    c1 = madd(v, w2, c1);
    c2 = madd(v, w1, c2);
    c3 = madd(v, w0, c3);
    v = v128.load(x, 128);
    c0 = madd(v, w4, c0);
    c1 = madd(v, w3, c1);
    c2 = madd(v, w2, c2);
    c3 = madd(v, w1, c3);
    c4 = madd(v, w0, c4);
    v = v128.load(x, 160);
    c1 = madd(v, w4, c1);
    c2 = madd(v, w3, c2);
    c3 = madd(v, w2, c3);
    c4 = madd(v, w1, c4);
    c5 = madd(v, w0, c5);
    v = v128.load(x, 192);
    c2 = madd(v, w4, c2);
    c3 = madd(v, w3, c3);
    c4 = madd(v, w2, c4);
    c5 = madd(v, w1, c5);
    c6 = madd(v, w0, c6);
    v = v128.load(x, 224);
    c3 = madd(v, w4, c3);
    c4 = madd(v, w3, c4);
    c5 = madd(v, w2, c5);
    c6 = madd(v, w1, c6);
    c7 = madd(v, w0, c7);
    v = v128.load(x, 256);
    c4 = madd(v, w4, c4);
    c5 = madd(v, w3, c5);
    c6 = madd(v, w2, c6);
    c7 = madd(v, w1, c7);
    v = v128.load(x, 288);
    c5 = madd(v, w4, c5);
    c6 = madd(v, w3, c6);
    c7 = madd(v, w2, c7);
    v = v128.load(x, 320);
    c6 = madd(v, w4, c6);
    c7 = madd(v, w3, c7);
    v = v128.load(x, 352);
    c7 = madd(v, w4, c7);
    x += rowBytes;
    w += 5 * PIXEL;
  }
  v128.store(to, c0);
  v128.store(to + stride, c1);
  v128.store(to + 2 * stride, c2);
  v128.store(to + 3 * stride, c3);
  v128.store(to + 4 * stride, c4);
  v128.store(to + 5 * stride, c5);
  v128.store(to + 6 * stride, c6);
  v128.store(to + 7 * stride, c7);
}

/**
 * Even and odd columns apart: twice as many sums as taps keep the adders busy. Four columns at a time, because Node 20 moves all
 * sums from register to register at the end of each turn.
 */
function correlateHalf(x: usize, dy: usize, rowBytes: usize, band: i32, width: i32, to: usize): void {
  const runBytes = <usize>ceilDiv(width, 4) * 4 * PIXEL;
  let a0 = v128.load(to);
  let a1 = v128.load(to, 32);
  let a2 = v128.load(to, 64);
  let a3 = v128.load(to, 96);
  let a4 = v128.load(to, 128);
  let b0 = f32x4.splat(0);
  let b1 = b0;
  let b2 = b0;
  let b3 = b0;
  let b4 = b0;
  for (let y = 0; y < band; y++) {
    const end = dy + runBytes;
    while (dy < end) {
      const d0 = v128.load(dy);
      const d1 = v128.load(dy, 32);
      const d2 = v128.load(dy, 64);
      const d3 = v128.load(dy, 96);
      a0 = madd(v128.load(x), d0, a0);
      let v = v128.load(x, 32);
      a1 = madd(v, d0, a1);
      b0 = madd(v, d1, b0);
      v = v128.load(x, 64);
      a2 = madd(v, d0, a2);
      b1 = madd(v, d1, b1);
      a0 = madd(v, d2, a0);
      v = v128.load(x, 96);
      a3 = madd(v, d0, a3);
      b2 = madd(v, d1, b2);
      a1 = madd(v, d2, a1);
      b0 = madd(v, d3, b0);
      v = v128.load(x, 128);
      a4 = madd(v, d0, a4);
      b3 = madd(v, d1, b3);
      a2 = madd(v, d2, a2);
      b1 = madd(v, d3, b1);
      v = v128.load(x, 160);
      b4 = madd(v, d1, b4);
      a3 = madd(v, d2, a3);
      b2 = madd(v, d3, b2);
      v = v128.load(x, 192);
      a4 = madd(v, d2, a4);
      b3 = madd(v, d3, b3);
      b4 = madd(v128.load(x, 224), d3, b4);
      dy += 4 * PIXEL;
      x += 4 * PIXEL;
    }
    x += rowBytes - runBytes;
    dy += rowBytes - runBytes;
  }
  v128.store(to, f32x4.add(a0, b0));
  v128.store(to, f32x4.add(a1, b1), 32);
  v128.store(to, f32x4.add(a2, b2), 64);
  v128.store(to, f32x4.add(a3, b3), 96);
  v128.store(to, f32x4.add(a4, b4), 128);
}
