// Brightness, contrast and saturation, in place (runtime/data/augment/colour.ts draws the same and says what the words mean). Factors are whole
// numbers of 64ths up to 2, so that everything fits into 16 bits, and grey is (77 r + 150 g + 29 b) / 256.

import { channels, draw, height, width } from "./abi";
import { ColourArgs, COLOUR_PURPOSE } from "./args.gen";
import { both } from "./warp";

/** A factor of one. */
export const SAME = 64;

/** The arguments are the strengths of the changes. */
export function colour(rows: i32, from: usize, to: usize, samples: usize, args: ColourArgs): void {
  const pixels = height(args) * width(args);
  const c = channels(args);
  for (let row = 0; row < rows; row++, to += pixels * c) {
    const words = draw(args, samples, row, COLOUR_PURPOSE, 0);
    jitter(
      to,
      pixels,
      c,
      factor(args.brightness, i32x4.extract_lane(words, 0)),
      factor(args.contrast, i32x4.extract_lane(words, 1)),
      factor(args.saturation, i32x4.extract_lane(words, 2)),
    );
  }
}

function factor(strength: f64, word: u32): i32 {
  return SAME + <i32>Math.floor(strength * both(word) * 64 + 0.5);
}

export function jitter(image: usize, pixels: i32, c: i32, brightness: i32, contrast: i32, saturation: i32): void {
  if (c == 3) jitter3(image, pixels, brightness, contrast, saturation);
  else jitterAny(image, pixels, c, brightness, contrast);
}

/** Of other numbers of channels, where saturation means nothing: each channel is grey. */
function jitterAny(image: usize, pixels: i32, c: i32, brightness: i32, contrast: i32): void {
  const bytes = pixels * c;
  let sum = 0;
  for (let i = 0; i < bytes; i++) {
    const value = bright(load<u8>(image + i), brightness);
    store<u8>(image + i, <u8>value);
    sum += value;
  }
  const mean = sum / bytes;
  for (let i = 0; i < bytes; i++) store<u8>(image + i, <u8>apart(load<u8>(image + i), mean, contrast));
}

// @ts-ignore: decorator
@inline
function bright(value: i32, factor: i32): i32 {
  return min(255, (value * factor + 32) >> 6);
}

/** A value as far from the centre as the factor says. */
// @ts-ignore: decorator
@inline
function apart(value: i32, centre: i32, factor: i32): i32 {
  return max(0, min(255, centre + (((value - centre) * factor + 32) >> 6)));
}

// @ts-ignore: decorator
@inline
export function grey(r: i32, g: i32, b: i32): i32 {
  return (77 * r + 150 * g + 29 * b + 128) >> 8;
}

function jitter3(image: usize, pixels: i32, brightness: i32, contrast: i32, saturation: i32): void {
  // First the brightness, of bytes as they come, and the sum of the greys for the contrast.
  const bytes = pixels * 3;
  let i = 0;
  const by = i16x8.splat(<i16>brightness);
  const half = i16x8.splat(32);
  for (; i + 16 <= bytes; i += 16) {
    const v = v128.load(image + i);
    const low = i16x8.shr_u(i16x8.add(i16x8.mul(i16x8.extend_low_i8x16_u(v), by), half), 6);
    const high = i16x8.shr_u(i16x8.add(i16x8.mul(i16x8.extend_high_i8x16_u(v), by), half), 6);
    v128.store(image + i, i8x16.narrow_i16x8_u(low, high));
  }
  for (; i < bytes; i++) store<u8>(image + i, <u8>bright(load<u8>(image + i), brightness));

  let sum = 0;
  let p = 0;
  if (contrast != SAME) {
    let sums = i32x4.splat(0);
    for (; p + 16 <= pixels; p += 16) {
      take(image + p * 3);
      sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(greys())));
    }
    sum = i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) + i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3);
    for (; p < pixels; p++) sum += grey(load<u8>(image + p * 3), load<u8>(image + p * 3, 1), load<u8>(image + p * 3, 2));
  }
  const mean = sum / pixels;

  if (contrast == SAME && saturation == SAME) return;
  const centre = i16x8.splat(<i16>mean);
  const byContrast = i16x8.splat(<i16>contrast);
  const bySaturation = i16x8.splat(<i16>saturation);
  for (p = 0; p + 16 <= pixels; p += 16) {
    const at = image + p * 3;
    take(at);
    red = apart16(red, centre, centre, byContrast);
    green = apart16(green, centre, centre, byContrast);
    blue = apart16(blue, centre, centre, byContrast);
    const g = greys();
    const low = i16x8.extend_low_i8x16_u(g);
    const high = i16x8.extend_high_i8x16_u(g);
    red = apart16(red, low, high, bySaturation);
    green = apart16(green, low, high, bySaturation);
    blue = apart16(blue, low, high, bySaturation);
    put(at);
  }
  for (; p < pixels; p++) {
    const at = image + p * 3;
    const r = apart(load<u8>(at), mean, contrast);
    const g = apart(load<u8>(at, 1), mean, contrast);
    const b = apart(load<u8>(at, 2), mean, contrast);
    const own = grey(r, g, b);
    store<u8>(at, <u8>apart(r, own, saturation));
    store<u8>(at, <u8>apart(g, own, saturation), 1);
    store<u8>(at, <u8>apart(b, own, saturation), 2);
  }
}

/** The colours of 16 pixels. */
let red = i8x16.splat(0);
let green = i8x16.splat(0);
let blue = i8x16.splat(0);

// @ts-ignore: decorator
@inline
function take(at: usize): void {
  const a = v128.load(at);
  const b = v128.load(at, 16);
  const c = v128.load(at, 32);
  const r = v128.shuffle<u8>(a, b, 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0);
  const g = v128.shuffle<u8>(a, b, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0);
  const u = v128.shuffle<u8>(a, b, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0);
  red = v128.shuffle<u8>(r, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29);
  green = v128.shuffle<u8>(g, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30);
  blue = v128.shuffle<u8>(u, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31);
}

// @ts-ignore: decorator
@inline
function put(at: usize): void {
  const rg0 = v128.shuffle<u8>(red, green, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
  const rg1 = v128.shuffle<u8>(red, green, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
  const rg2 = v128.shuffle<u8>(red, green, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
  v128.store(at, v128.shuffle<u8>(rg0, blue, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15));
  v128.store(at, v128.shuffle<u8>(rg1, blue, 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15), 16);
  v128.store(at, v128.shuffle<u8>(rg2, blue, 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31), 32);
}

/** The greys of 16 pixels. Sums reach 65,408: unsigned 16 bits just hold them. */
// @ts-ignore: decorator
@inline
function greys(): v128 {
  return i8x16.narrow_i16x8_u(
    greys8(i16x8.extend_low_i8x16_u(red), i16x8.extend_low_i8x16_u(green), i16x8.extend_low_i8x16_u(blue)),
    greys8(i16x8.extend_high_i8x16_u(red), i16x8.extend_high_i8x16_u(green), i16x8.extend_high_i8x16_u(blue)),
  );
}

// @ts-ignore: decorator
@inline
function greys8(r: v128, g: v128, b: v128): v128 {
  const sum = i16x8.add(i16x8.add(i16x8.mul(r, i16x8.splat(77)), i16x8.mul(g, i16x8.splat(150))), i16x8.mul(b, i16x8.splat(29)));
  return i16x8.shr_u(i16x8.add(sum, i16x8.splat(128)), 8);
}

/** `apart` of 16 values; the centres of the first and the last eight. */
// @ts-ignore: decorator
@inline
function apart16(values: v128, low: v128, high: v128, factor: v128): v128 {
  return i8x16.narrow_i16x8_u(
    apart8(i16x8.extend_low_i8x16_u(values), low, factor),
    apart8(i16x8.extend_high_i8x16_u(values), high, factor),
  );
}

// @ts-ignore: decorator
@inline
function apart8(values: v128, centre: v128, factor: v128): v128 {
  const far = i16x8.mul(i16x8.sub(values, centre), factor);
  return i16x8.add(centre, i16x8.shr_s(i16x8.add(far, i16x8.splat(32)), 6));
}
