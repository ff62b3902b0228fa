// A RandAugment-style policy: a few operations out of thirteen for each image (runtime/data/augment/policy.ts draws the same and lists them).
// The geometric ones are joined to one map and done first, the others follow in the order in which they were drawn.

import { below, channels, draw, height, scratch, width } from "./abi";
import { PolicyArgs, POLICY_PURPOSE } from "./args.gen";
import { jitter, SAME } from "./colour";
import { cosine, fixed, resample, sine } from "./warp";

const OPERATIONS = 13;
const SHEAR_X = 1;
const SHEAR_Y = 2;
const MOVE_X = 3;
const MOVE_Y = 4;
const ROTATE = 5;
const BRIGHTNESS = 6;
const SATURATION = 7;
const CONTRAST = 8;
const POSTERIZE = 9;
const SOLARIZE = 10;
const STRETCH = 11;
const EQUALIZE = 12;

/** `operations`: how many; `magnitude`: from 0 to 1. */
export function policy(rows: i32, from: usize, to: usize, samples: usize, args: PolicyArgs): void {
  const h = height(args);
  const w = width(args);
  const c = channels(args);
  const count = <i32>args.operations;
  const magnitude = args.magnitude;
  const imageBytes = h * w * c;
  const table = scratch(args);

  for (let row = 0; row < rows; row++, from += imageBytes, to += imageBytes) {
    let m00: f64 = 1;
    let m01: f64 = 0;
    let m10: f64 = 0;
    let m11: f64 = 1;
    let tx: f64 = 0;
    let ty: f64 = 0;
    let moved = false;
    for (let k = 0; k < count; k++) {
      const words = draw(args, samples, row, POLICY_PURPOSE, k);
      const operation = below(i32x4.extract_lane(words, 0), OPERATIONS);
      if (operation < SHEAR_X || operation > ROTATE) continue;
      const by = i32x4.extract_lane(words, 1) < 0 ? -magnitude : magnitude;
      let g00: f64 = 1;
      let g01: f64 = 0;
      let g10: f64 = 0;
      let g11: f64 = 1;
      let gx: f64 = 0;
      let gy: f64 = 0;
      if (operation == SHEAR_X) g01 = 0.3 * by;
      else if (operation == SHEAR_Y) g10 = 0.3 * by;
      else if (operation == MOVE_X) gx = 0.3 * by * <f64>w;
      else if (operation == MOVE_Y) gy = 0.3 * by * <f64>h;
      else {
        const angle = 0.5235987755982988 * by;
        g00 = cosine(angle);
        g01 = -sine(angle);
        g10 = -g01;
        g11 = g00;
      }
      const n00 = m00 * g00 + m01 * g10;
      const n01 = m00 * g01 + m01 * g11;
      const n10 = m10 * g00 + m11 * g10;
      const n11 = m10 * g01 + m11 * g11;
      tx = tx + m00 * gx + m01 * gy;
      ty = ty + m10 * gx + m11 * gy;
      m00 = n00;
      m01 = n01;
      m10 = n10;
      m11 = n11;
      moved = true;
    }
    if (moved) {
      resample(from, to, h, w, c, fixed(m00), fixed(m01), fixed(m10), fixed(m11), fixed(tx), fixed(ty));
    } else memory.copy(to, from, imageBytes);

    for (let k = 0; k < count; k++) {
      const words = draw(args, samples, row, POLICY_PURPOSE, k);
      const operation = below(i32x4.extract_lane(words, 0), OPERATIONS);
      if (operation < BRIGHTNESS) continue;
      const by = i32x4.extract_lane(words, 1) < 0 ? -magnitude : magnitude;
      const factor = SAME + <i32>Math.floor(0.9 * by * 64 + 0.5);
      if (operation == BRIGHTNESS) jitter(to, h * w, c, factor, SAME, SAME);
      else if (operation == CONTRAST) jitter(to, h * w, c, SAME, factor, SAME);
      else if (operation == SATURATION) jitter(to, h * w, c, SAME, SAME, factor);
      else for (let channel = 0; channel < c; channel++) {
        if (operation == POSTERIZE) posterize(table, <i32>Math.floor(4 * magnitude + 0.5));
        else if (operation == SOLARIZE) solarize(table, 256 - <i32>Math.floor(256 * magnitude + 0.5));
        else if (operation == STRETCH) stretch(table, to + channel, h * w, c);
        else equalize(table, to + channel, h * w, c);
        for (let p = 0; p < h * w; p++) {
          const at: usize = to + channel + p * c;
          store<u8>(at, load<u8>(table + load<u8>(at)));
        }
      }
    }
  }
}

function posterize(table: usize, bits: i32): void {
  for (let v = 0; v < 256; v++) store<u8>(table + v, <u8>((v >> bits) << bits));
}

function solarize(table: usize, threshold: i32): void {
  for (let v = 0; v < 256; v++) store<u8>(table + v, <u8>(v < threshold ? v : 255 - v));
}

/** The darkest value of a channel becomes 0, the lightest 255. */
function stretch(table: usize, channel: usize, pixels: i32, step: i32): void {
  let least = 255;
  let most = 0;
  for (let p = 0; p < pixels; p++) {
    const value = <i32>load<u8>(channel + p * step);
    least = min(least, value);
    most = max(most, value);
  }
  const range = most - least;
  for (let v = 0; v < 256; v++) {
    store<u8>(table + v, <u8>(range == 0 ? v : max(0, min(255, ((v - least) * 510 + range) / (2 * range)))));
  }
}

/** All values become equally frequent, as far as they can. */
function equalize(table: usize, channel: usize, pixels: i32, step: i32): void {
  const counts = table + 256;
  memory.fill(counts, 0, 1024);
  let last = 0;
  for (let p = 0; p < pixels; p++) {
    const value = <i32>load<u8>(channel + p * step);
    last = max(last, value);
    const at = counts + (value << 2);
    store<i32>(at, load<i32>(at) + 1);
  }
  const share = (pixels - load<i32>(counts + (last << 2))) / 255;
  let sum = share >> 1;
  for (let v = 0; v < 256; v++) {
    store<u8>(table + v, <u8>(share == 0 ? v : min(255, sum / share)));
    sum += load<i32>(counts + (v << 2));
  }
}
