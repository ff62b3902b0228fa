// Planes: how the depthwise kernels keep an image and weights in scratch, and how they come there. A plane has eight channels, side by side for
// each pixel, and around the image a border of zeros.

import { DepthwiseGeometry, madd, Source } from './abi';
import { ceilDiv } from './gemm';
import { loadLanes, zeroFloats } from './simd';

/** Channels of a plane, and the bytes of its pixels. */
export const PLANE: i32 = 8;
export const PIXEL: usize = 32;

/** Columns that are computed at a time. */
export const COLUMNS: i32 = 8;

/** Where the four channels from `at` on begin in planes of `planeBytes` bytes. */
// @ts-ignore: decorator
@inline
export function half(at: i32, planeBytes: usize): usize {
  return (<usize>at >> 3) * planeBytes + ((<usize>at & 4) << 2);
}

/** Sizes, and how the work is cut. */
// @ts-ignore: decorator
@unmanaged
export class Geometry extends DepthwiseGeometry {
  /** Columns that are computed. */
  get columns(): i32 {
    return ceilDiv(this.width, COLUMNS) * COLUMNS;
  }
  /** Bytes of a row of a plane. */
  get rowBytes(): usize {
    return <usize>(this.columns + this.size - 1) * PIXEL;
  }
  get planeBytes(): usize {
    return <usize>(this.bandRows + this.size - 1) * this.rowBytes;
  }
  /** Bytes of all planes of a group. */
  get imageBytes(): usize {
    return <usize>ceilDiv(this.group, PLANE) * this.planeBytes;
  }
  /** Bytes of the packed weights, as many as there are taps for each plane. */
  get weightBytes(): usize {
    return <usize>(ceilDiv(this.group, PLANE) * this.size * this.size) * PIXEL;
  }
  /** Bytes of a row of results, which has the channels of a pixel side by side. */
  get resultBytes(): usize {
    return (<usize>(this.columns * this.group)) << 2;
  }
  /** Bytes from pixel to pixel of a tensor. */
  get stride(): usize {
    return (<usize>this.channels) << 2;
  }
  /** Offset in bytes of a pixel of a tensor. */
  at(sample: i32, y: i32, channel: i32): usize {
    return (<usize>((sample * this.height + y) * this.width * this.channels + channel)) << 2;
  }
}

/** The weights of `count` channels from `channel` on, plane by plane. */
export function packWeights(g: Geometry, weights: usize, reversed: i32, channel: i32, count: i32, target: usize): void {
  const taps = g.size * g.size;
  for (let at = 0; at < count; at += 4) {
    let to = target + half(at, <usize>taps * PIXEL);
    for (let tap = 0; tap < taps; tap++) {
      const from = reversed ? taps - 1 - tap : tap;
      v128.store(to, loadLanes(weights + ((<usize>(from * g.channels + channel + at)) << 2), min(4, count - at)));
      to += PIXEL;
    }
  }
}

/**
 * Gathers `count` channels from `channel` on of `lines` rows from row `top` on into planes at `to`, `before` columns from
 * their left border. Rows outside the image become zeros; the border columns are zeros already.
 */
export function gather(g: Geometry, source: Source, sample: i32, channel: i32, count: i32, top: i32, lines: i32, before: i32, to: usize): void {
  const planeBytes = g.planeBytes;
  const whole = count & ~(PLANE - 1);
  to += <usize>before * PIXEL;
  for (let y = top; y < top + lines; y++) {
    if (y >= 0 && y < g.height) {
      const from = g.at(sample, y, channel);
      const at = (<usize>channel) << 2;
      gatherRow(source, from, g.stride, g.width, at, (<usize>whole) << 2, planeBytes, to);
      if (whole < count) gatherLanes(source, from, g.stride, g.width, at, whole, count, planeBytes, to);
    } else {
      for (let at = 0; at < count; at += PLANE) zeroFloats(to + half(at, planeBytes), g.width * PLANE);
    }
    to += g.rowBytes;
  }
}

/**
 * A row of whole planes: `bytes` bytes a pixel from `from` on, whose first channel is `at` bytes from channel 0. Strictly in
 * the order of memory, or the processor would not prefetch. (Pairs of vectors, loads before stores: V8's revectorizer.)
 */
function gatherRow(source: Source, from: usize, stride: usize, width: i32, at: usize, bytes: usize, planeBytes: usize, to: usize): void {
  const end = to + <usize>width * PIXEL;
  let p = source.values + from;
  if (!source.scale) {
    for (; to < end; to += PIXEL, p += stride) {
      let plane = to;
      for (let c: usize = 0; c < bytes; c += PIXEL, plane += planeBytes) {
        const v0 = v128.load(p + c);
        const v1 = v128.load(p + c, 16);
        v128.store(plane, v0);
        v128.store(plane, v1, 16);
      }
    }
    return;
  }
  const scale = source.scale + at;
  const shift = source.shift + at;
  if (!source.activation) {
    for (; to < end; to += PIXEL, p += stride) {
      let plane = to;
      for (let c: usize = 0; c < bytes; c += PIXEL, plane += planeBytes) {
        const v0 = madd(v128.load(p + c), v128.load(scale + c), v128.load(shift + c));
        const v1 = madd(v128.load(p + c, 16), v128.load(scale + c, 16), v128.load(shift + c, 16));
        v128.store(plane, v0);
        v128.store(plane, v1, 16);
      }
    }
    return;
  }
  const kappa = source.kappa + at;
  let a = source.activation + from;
  let d = source.derivative + from;
  for (; to < end; to += PIXEL, p += stride, a += stride, d += stride) {
    let plane = to;
    for (let c: usize = 0; c < bytes; c += PIXEL, plane += planeBytes) {
      const u0 = madd(v128.load(scale + c), v128.load(p + c), v128.load(shift + c));
      const u1 = madd(v128.load(scale + c, 16), v128.load(p + c, 16), v128.load(shift + c, 16));
      const v0 = f32x4.mul(madd(v128.load(kappa + c), v128.load(a + c), u0), v128.load(d + c));
      const v1 = f32x4.mul(madd(v128.load(kappa + c, 16), v128.load(a + c, 16), u1), v128.load(d + c, 16));
      v128.store(plane, v0);
      v128.store(plane, v1, 16);
    }
  }
}

/** The same for the channels from `first` to `count` of a last, incomplete plane. */
function gatherLanes(source: Source, from: usize, stride: usize, width: i32, at: usize, first: i32, count: i32, planeBytes: usize, to: usize): void {
  for (; first < count; first += 4) {
    const lanes = min(4, count - first);
    const byte = (<usize>first) << 2;
    let pixel = from + byte;
    let target = to + half(first, planeBytes);
    for (let x = 0; x < width; x++) {
      let v = loadLanes(source.values + pixel, lanes);
      if (source.scale) v = madd(loadLanes(source.scale + at + byte, lanes), v, loadLanes(source.shift + at + byte, lanes));
      if (source.activation) {
        v = madd(loadLanes(source.kappa + at + byte, lanes), loadLanes(source.activation + pixel, lanes), v);
        v = f32x4.mul(v, loadLanes(source.derivative + pixel, lanes));
      }
      v128.store(target, v);
      pixel += stride;
      target += PIXEL;
    }
  }
}
