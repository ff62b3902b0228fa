// From bytes to float32, a scale and a shift for each channel: y = f32(x)·scale + shift, rounded twice, on every engine alike.

import { channels, height, width } from "./abi";
import { NormalizeArgs } from "./args.gen";

/** `to` holds floats. */
export function normalize(rows: i32, from: usize, to: usize, samples: usize, args: NormalizeArgs): void {
  const c = channels(args);
  const bytes = rows * height(args) * width(args) * c;
  let done = 0;
  if (c == 3) {
    // Three vectors of four floats and the channels are where they were.
    const s0 = pattern(args.scale(0), args.scale(1), args.scale(2), 0);
    const s1 = pattern(args.scale(0), args.scale(1), args.scale(2), 1);
    const s2 = pattern(args.scale(0), args.scale(1), args.scale(2), 2);
    const t0 = pattern(args.shift(0), args.shift(1), args.shift(2), 0);
    const t1 = pattern(args.shift(0), args.shift(1), args.shift(2), 1);
    const t2 = pattern(args.shift(0), args.shift(1), args.shift(2), 2);
    for (; done + 48 <= bytes; done += 48, from += 48, to += 192) {
      let low = i16x8.extend_low_i8x16_u(v128.load(from));
      let high = i16x8.extend_high_i8x16_u(v128.load(from));
      put(to, i32x4.extend_low_i16x8_u(low), s0, t0);
      put(to + 16, i32x4.extend_high_i16x8_u(low), s1, t1);
      put(to + 32, i32x4.extend_low_i16x8_u(high), s2, t2);
      put(to + 48, i32x4.extend_high_i16x8_u(high), s0, t0);
      low = i16x8.extend_low_i8x16_u(v128.load(from, 16));
      high = i16x8.extend_high_i8x16_u(v128.load(from, 16));
      put(to + 64, i32x4.extend_low_i16x8_u(low), s1, t1);
      put(to + 80, i32x4.extend_high_i16x8_u(low), s2, t2);
      put(to + 96, i32x4.extend_low_i16x8_u(high), s0, t0);
      put(to + 112, i32x4.extend_high_i16x8_u(high), s1, t1);
      low = i16x8.extend_low_i8x16_u(v128.load(from, 32));
      high = i16x8.extend_high_i8x16_u(v128.load(from, 32));
      put(to + 128, i32x4.extend_low_i16x8_u(low), s2, t2);
      put(to + 144, i32x4.extend_high_i16x8_u(low), s0, t0);
      put(to + 160, i32x4.extend_low_i16x8_u(high), s1, t1);
      put(to + 176, i32x4.extend_high_i16x8_u(high), s2, t2);
    }
  }
  for (let k = 0; done < bytes; done++, from++, to += 4, k = k + 1 == c ? 0 : k + 1) {
    store<f32>(to, <f32>load<u8>(from) * <f32>args.scale(k) + <f32>args.shift(k));
  }
}

/** Values of three channels, over and over, from the 4·i-th on. */
// @ts-ignore: decorator
@inline
function pattern(a: f64, b: f64, c: f64, i: i32): v128 {
  return f32x4(pick(a, b, c, 4 * i), pick(a, b, c, 4 * i + 1), pick(a, b, c, 4 * i + 2), pick(a, b, c, 4 * i + 3));
}

// @ts-ignore: decorator
@inline
function pick(a: f64, b: f64, c: f64, i: i32): f32 {
  return <f32>(i % 3 == 0 ? a : i % 3 == 1 ? b : c);
}

// @ts-ignore: decorator
@inline
function put(to: usize, integers: v128, scale: v128, shift: v128): void {
  v128.store(to, f32x4.add(f32x4.mul(f32x4.convert_i32x4_u(integers), scale), shift));
}
