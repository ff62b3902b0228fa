// Random crops and flips (runtime/data/augment/crop.ts draws the same and says what they mean). Every row of the result is one row of
// the image, read at an address that is shifted by dx pixels; what lies outside of the image is masked out and becomes padding.
// The mask is a window on zeros, ones, zeros: moved by dx pixels it marks the columns that are inside. So each row is the
// same straight run of unaligned loads, whatever the shift.

import { below, channels, draw, drawAt, epoch, height, scratch, width } from "./abi";
import { CropArgs, CROP_PURPOSE } from "./args.gen";

/** Of the argument `flips`. */
const ALTERNATING = 2;

/** `padding`: pixels; `flips`: 0, 1 or ALTERNATING; `colour`: that of the padding, one byte a channel. */
export function crop(rows: i32, from: usize, to: usize, samples: usize, args: CropArgs): void {
  const h = height(args);
  const w = width(args);
  const c = channels(args);
  const padding = <i32>args.padding;
  const flips = <i32>args.flips;
  const odd = (epoch(args) & 1) != 0;
  const reflects = args.reflects != 0;
  const rowBytes = w * c;
  const imageBytes = h * rowBytes;

  // Scratch: zeros, ones, zeros; a row of padding; a reflected row. Vectors may read 16 bytes beyond each.
  const zeros = scratch(args);
  const ones = zeros + rowBytes;
  memory.fill(zeros, 0, 3 * rowBytes + 16);
  memory.fill(ones, 0xff, rowBytes);
  const outside = zeros + 3 * rowBytes + 16;
  for (let x = 0; x < rowBytes; x++) store<u8>(outside + x, <u8>args.colour(x % c));
  const line = outside + rowBytes + 16;

  for (let row = 0; row < rows; row++, from += imageBytes, to += imageBytes) {
    const words = draw(args, samples, row, CROP_PURPOSE, 0);
    const dx = below(i32x4.extract_lane(words, 0), 2 * padding + 1) - padding;
    const dy = below(i32x4.extract_lane(words, 1), 2 * padding + 1) - padding;
    const always = flips == ALTERNATING ? drawAt(args, samples, row, CROP_PURPOSE, 0, 0) : words;
    const bit = i32x4.extract_lane(always, 2) < 0;
    const flip = flips == ALTERNATING ? bit != odd : flips != 0 && bit;
    const inside = dx > -w && dx < w;
    const shift = inside ? dx * c : 0;
    const window = reflects ? ones : inside ? (flip ? ones - shift : ones + shift) : zeros;
    for (let y = 0; y < h; y++) {
      let at = y + dy;
      let mask = window;
      if (reflects) at = mirrored(at, h);
      else if (at < 0 || at >= h) {
        at = 0;
        mask = zeros;
      }
      let source = from + at * rowBytes;
      if (!reflects) source += mask == zeros ? 0 : shift;
      else if (dx != 0) {
        reflectRow(line, source, dx, w, c);
        source = line;
      }
      const target = to + y * rowBytes;
      if (!flip) shiftRow(target, source, mask, outside, rowBytes);
      else if (c == 3) flipRow3(target, source, mask, outside, w);
      else flipRow(target, source, mask, outside, w, c);
    }
  }
}

/** Index of the row or column that is seen at `i` when the image is continued by its mirror image, its edge not repeated. */
// @ts-ignore: decorator
@inline
function mirrored(i: i32, size: i32): i32 {
  return i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i;
}

/** Pixel x of `line` becomes pixel x + dx of the row, mirrored at its ends. */
function reflectRow(line: usize, row: usize, dx: i32, w: i32, c: i32): void {
  const first = max(0, -dx);
  const end = min(w, w - dx);
  memory.copy(line + first * c, row + (first + dx) * c, (end - first) * c);
  for (let x = 0; x < w; x++) {
    if (x == first) x = end;
    if (x >= w) break;
    const source = row + mirrored(x + dx, w) * c;
    for (let k = 0; k < c; k++) store<u8>(line + x * c + k, load<u8>(source + k));
  }
}

function shiftRow(target: usize, source: usize, mask: usize, outside: usize, bytes: i32): void {
  if (bytes < 16) {
    for (let x = 0; x < bytes; x++) store<u8>(target + x, load<u8>(load<u8>(mask + x) ? source + x : outside + x));
    return;
  }
  // The last vector overlaps the one before it where the row is no multiple of 16.
  for (let at = 0; at < bytes; at += 16) {
    const x: usize = min(at, bytes - 16);
    v128.store(target + x, v128.bitselect(v128.load(source + x), v128.load(outside + x), v128.load(mask + x)));
  }
}

/** Three channels, 16 pixels at a time: pixel x becomes pixel w − 1 − x, its bytes in their order. */
function flipRow3(target: usize, source: usize, mask: usize, outside: usize, w: i32): void {
  if (w < 16) {
    flipRow(target, source, mask, outside, w, 3);
    return;
  }
  for (let at = 0; at < w; at += 16) {
    const pixel = min(at, w - 16);
    const x: usize = pixel * 3;
    const p: usize = source + (w - 16 - pixel) * 3;
    const a = v128.load(p);
    const b = v128.load(p, 16);
    const c = v128.load(p, 32);
    const first = v128.shuffle<u8>(b, c, 29, 30, 31, 26, 27, 28, 23, 24, 25, 20, 21, 22, 17, 18, 19, 14);
    // Bytes 15 to 32: one more on each side than a vector has.
    const low = v128.load(p, 15);
    const high = v128.load(p, 17);
    const second = v128.shuffle<u8>(low, high, 30, 31, 12, 13, 14, 9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1);
    const third = v128.shuffle<u8>(a, b, 17, 12, 13, 14, 9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2);
    v128.store(target + x, v128.bitselect(first, v128.load(outside + x), v128.load(mask + x)));
    v128.store(target + x, v128.bitselect(second, v128.load(outside + x, 16), v128.load(mask + x, 16)), 16);
    v128.store(target + x, v128.bitselect(third, v128.load(outside + x, 32), v128.load(mask + x, 32)), 32);
  }
}

function flipRow(target: usize, source: usize, mask: usize, outside: usize, w: i32, c: i32): void {
  for (let x = 0; x < w; x++) {
    const pixel: usize = x * c;
    const mirror: usize = source + (w - 1 - x) * c;
    for (let k: usize = 0; k < <usize>c; k++) {
      const at = pixel + k;
      store<u8>(target + at, load<u8>(load<u8>(mask + at) ? mirror + k : outside + at));
    }
  }
}
