// Geometric changes: every pixel of the result is looked up in the image, between four pixels of it (runtime/data/augment/warp.ts draws the
// same and says what the words mean). Places and weights are whole numbers in steps of 2⁻¹⁶ and 2⁻⁸ of a pixel: no rounding
// depends on the engine, and four channels are blended at a time as they would be one by one.

import { below, channels, draw, height, width } from "./abi";
import { WarpArgs, WARP_PURPOSE } from "./args.gen";

const WORD: f64 = 4294967296;
const TURN: f64 = 6.283185307179586;

/** `grow`: pixels by which images are made larger before they are cut to their size; `rotate`: as a share of a turn. */
export function warp(rows: i32, from: usize, to: usize, samples: usize, args: WarpArgs): void {
  const h = height(args);
  const w = width(args);
  const c = channels(args);
  const grow = <i32>args.grow;
  const turn = args.rotate;
  const zoom = args.zoom;
  const imageBytes = h * w * c;
  const sx = <f64>w / <f64>(w + grow);
  const sy = <f64>h / <f64>(h + grow);

  for (let row = 0; row < rows; row++, from += imageBytes, to += imageBytes) {
    const words = draw(args, samples, row, WARP_PURPOSE, 0);
    const angle = turn * TURN * both(i32x4.extract_lane(words, 0));
    const scale = 1 + zoom * both(i32x4.extract_lane(words, 1));
    const dx = <f64>below(i32x4.extract_lane(words, 2), grow + 1) - <f64>grow / 2;
    const dy = <f64>below(i32x4.extract_lane(words, 3), grow + 1) - <f64>grow / 2;
    const cos = cosine(angle) * scale;
    const sin = sine(angle) * scale;
    const m00 = fixed(sx * cos);
    const m01 = fixed(-sx * sin);
    const m10 = fixed(sy * sin);
    const m11 = fixed(sy * cos);
    resample(from, to, h, w, c, m00, m01, m10, m11, fixed(sx * dx), fixed(sy * dy));
  }
}

/** A random word as a number from −1 to below 1. */
// @ts-ignore: decorator
@inline
export function both(word: u32): f64 {
  return (2 * <f64>word) / WORD - 1;
}

/** In steps of 2⁻¹⁶. */
// @ts-ignore: decorator
@inline
export function fixed(value: f64): i32 {
  return <i32>Math.floor(value * 65536 + 0.5);
}

/** By its series, so that it is the same everywhere; good to ten digits within half a turn. */
export function sine(x: f64): f64 {
  let term = x;
  let sum = x;
  for (let k = 1; k <= 12; k++) {
    term = (-term * x * x) / <f64>(2 * k * (2 * k + 1));
    sum += term;
  }
  return sum;
}

export function cosine(x: f64): f64 {
  let term: f64 = 1;
  let sum: f64 = 1;
  for (let k = 1; k <= 12; k++) {
    term = (-term * x * x) / <f64>((2 * k - 1) * (2 * k));
    sum += term;
  }
  return sum;
}

/**
 * The image through a map from the result to the image, around their middles: place = m·(x, y) + t, in steps of 2⁻¹⁶. Outside it is continued
 * by its mirror image, its edge repeated.
 */
export function resample(
  from: usize,
  to: usize,
  h: i32,
  w: i32,
  c: i32,
  m00: i32,
  m01: i32,
  m10: i32,
  m11: i32,
  tx: i32,
  ty: i32,
): void {
  const last = to + h * w * c - c;
  for (let y = 0, at = to; y < h; y++) {
    for (let x = 0; x < w; x++, at += c) {
      const across = 2 * x + 1 - w;
      const down = 2 * y + 1 - h;
      const px = ((m00 * across + m01 * down) >> 1) + tx + ((w - 1) << 15);
      const py = ((m10 * across + m11 * down) >> 1) + ty + ((h - 1) << 15);
      const left = mirrored(px >> 16, w) * c;
      const right = mirrored((px >> 16) + 1, w) * c;
      const top = from + mirrored(py >> 16, h) * w * c;
      const bottom = from + mirrored((py >> 16) + 1, h) * w * c;
      const fx = (px >> 8) & 255;
      const fy = (py >> 8) & 255;
      // Four bytes are stored: the fourth of three channels is the first of the next pixel, which is still to come.
      if (c <= 4 && (c == 4 || at != last)) {
        const wx = i32x4.splat(fx);
        const vx = i32x4.splat(256 - fx);
        const upper = i32x4.add(i32x4.mul(four(top + left), vx), i32x4.mul(four(top + right), wx));
        const lower = i32x4.add(i32x4.mul(four(bottom + left), vx), i32x4.mul(four(bottom + right), wx));
        const sum = i32x4.add(i32x4.mul(upper, i32x4.splat(256 - fy)), i32x4.mul(lower, i32x4.splat(fy)));
        const bytes = i32x4.shr_u(i32x4.add(sum, i32x4.splat(32768)), 16);
        const words = i16x8.narrow_i32x4_u(bytes, bytes);
        store<u32>(at, <u32>i32x4.extract_lane(i8x16.narrow_i16x8_u(words, words), 0));
        continue;
      }
      for (let k: usize = 0; k < <usize>c; k++) {
        const upper = <i32>load<u8>(top + left + k) * (256 - fx) + <i32>load<u8>(top + right + k) * fx;
        const lower = <i32>load<u8>(bottom + left + k) * (256 - fx) + <i32>load<u8>(bottom + right + k) * fx;
        store<u8>(at + k, <u8>((upper * (256 - fy) + lower * fy + 32768) >> 16));
      }
    }
  }
}

/** Four bytes as four whole numbers. */
// @ts-ignore: decorator
@inline
function four(at: usize): v128 {
  return i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(at)));
}

// @ts-ignore: decorator
@inline
function mirrored(i: i32, size: i32): i32 {
  if (<u32>i < <u32>size) return i;
  let r = i % (2 * size);
  if (r < 0) r += 2 * size;
  return r < size ? r : 2 * size - 1 - r;
}
