// Images in another size, and the gradient. The places of pixels are computed as `between` of runtime/ops/resize.ts computes them.

import { madd, nextTask, ResizeArgs, ResizeGradArgs, rows } from '../lib/abi';
import { loadLanes, storeLanes, zeroFloats } from '../lib/simd';

/** Where pixel `i` of the result lies among those of an axis; its whole part is the first of the two around it. */
// @ts-ignore: decorator
@inline
function placeOf(i: i32, scale: f32, bilinear: i32): f32 {
  const centre = (<f32>i + 0.5) * scale;
  return bilinear ? centre - 0.5 : floor<f32>(centre);
}

/** A task is a row of the result. */
export function resize(args: ResizeArgs): void {
  const channels = args.channels;
  const pixel = (<usize>channels) << 2;
  const line = <usize>args.width * pixel;
  const newHeight = args.newHeight;
  const tasks = rows() * newHeight;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const sample = task / newHeight;
    const image = args.x + <usize>(sample * args.height) * line;
    const y = placeOf(task - sample * newHeight, args.rowScale, args.bilinear);
    const row = <i32>floor<f32>(y);
    const rowShare = f32x4.splat(y - <f32>row);
    const top = image + <usize>min(max(row, 0), args.height - 1) * line;
    const bottom = image + <usize>min(row + 1, args.height - 1) * line;
    let to = args.y + <usize>task * <usize>args.newWidth * pixel;
    for (let i = 0; i < args.newWidth; i++, to += pixel) {
      const x = placeOf(i, args.columnScale, args.bilinear);
      const column = <i32>floor<f32>(x);
      const left = <usize>min(max(column, 0), args.width - 1) * pixel;
      const right = <usize>min(column + 1, args.width - 1) * pixel;
      const share = f32x4.splat(x - <f32>column);
      for (let c = 0; c < channels; c += 4) {
        const lanes = min(4, channels - c);
        const at = (<usize>c) << 2;
        const a = loadLanes(top + left + at, lanes);
        if (!args.bilinear) {
          storeLanes(to + at, a, lanes);
          continue;
        }
        const b = loadLanes(bottom + left + at, lanes);
        const above = madd(f32x4.sub(loadLanes(top + right + at, lanes), a), share, a);
        const below = madd(f32x4.sub(loadLanes(bottom + right + at, lanes), b), share, b);
        storeLanes(to + at, madd(f32x4.sub(below, above), rowShare, above), lanes);
      }
    }
  }
}

/** Adds `factor` times a pixel of dy to one of dx. */
// @ts-ignore: decorator
@inline
function addPixel(to: usize, from: usize, channels: i32, factor: f32): void {
  const factors = f32x4.splat(factor);
  for (let c = 0; c < channels; c += 4) {
    const lanes = min(4, channels - c);
    const at = (<usize>c) << 2;
    storeLanes(to + at, madd(loadLanes(from + at, lanes), factors, loadLanes(to + at, lanes)), lanes);
  }
}

/** dx is `x`, dy is `y`. A task is a sample, to which each pixel of dy is added in order. */
export function resizeGrad(args: ResizeGradArgs): void {
  const channels = args.channels;
  const pixel = (<usize>channels) << 2;
  const line = <usize>args.width * pixel;
  const tasks = rows();
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const image = args.x + <usize>(task * args.height) * line;
    zeroFloats(image, args.height * args.width * channels);
    let from = args.y + <usize>(task * args.newHeight * args.newWidth) * pixel;
    for (let j = 0; j < args.newHeight; j++) {
      const y = placeOf(j, args.rowScale, args.bilinear);
      const row = <i32>floor<f32>(y);
      const rowShare = y - <f32>row;
      const top = image + <usize>min(max(row, 0), args.height - 1) * line;
      const bottom = image + <usize>min(row + 1, args.height - 1) * line;
      for (let i = 0; i < args.newWidth; i++, from += pixel) {
        const x = placeOf(i, args.columnScale, args.bilinear);
        const column = <i32>floor<f32>(x);
        const left = <usize>min(max(column, 0), args.width - 1) * pixel;
        const right = <usize>min(column + 1, args.width - 1) * pixel;
        const share = x - <f32>column;
        addPixel(top + left, from, channels, (1 - rowShare) * (1 - share));
        if (!args.bilinear) continue;
        addPixel(top + right, from, channels, (1 - rowShare) * share);
        addPixel(bottom + left, from, channels, rowShare * (1 - share));
        addPixel(bottom + right, from, channels, rowShare * share);
      }
    }
  }
}
