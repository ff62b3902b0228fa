// Pieces of vectors (the ends of rows whose length is not a multiple of four), sums across lanes, and short runs of floats.

/** Loads `n` (1 to 4) floats; the other lanes are zero. Reads nothing beyond them. */
// @ts-ignore: decorator
@inline
export function loadLanes(p: usize, n: i32): v128 {
  if (n == 4) return v128.load(p);
  if (n == 1) return v128.load32_zero(p);
  const two = v128.load64_zero(p);
  return n == 2 ? two : f32x4.replace_lane(two, 2, load<f32>(p, 8));
}

/** Stores the first `n` (1 to 4) lanes. Writes nothing beyond them. */
// @ts-ignore: decorator
@inline
export function storeLanes(p: usize, v: v128, n: i32): void {
  if (n == 4) {
    v128.store(p, v);
  } else {
    store<f32>(p, f32x4.extract_lane(v, 0));
    if (n > 1) store<f32>(p, f32x4.extract_lane(v, 1), 4);
    if (n > 2) store<f32>(p, f32x4.extract_lane(v, 2), 8);
  }
}

/** (lane 0 + lane 1) + (lane 2 + lane 3). */
// @ts-ignore: decorator
@inline
export function sumLanes(v: v128): f32 {
  return (
    f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3))
  );
}

/** Four bytes at `p` as floats. */
// @ts-ignore: decorator
@inline
export function loadBytes(p: usize): v128 {
  return f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(p))));
}

/** Copies `n` floats; for the short runs that `memory.copy` is slow at. */
export function copyFloats(to: usize, from: usize, n: i32): void {
  const end = from + ((<usize>n) << 2);
  for (; from + 16 <= end; from += 16, to += 16) v128.store(to, v128.load(from));
  for (; from < end; from += 4, to += 4) store<f32>(to, load<f32>(from));
}

/** Adds `n` floats to others. */
export function addFloats(to: usize, from: usize, n: i32): void {
  const end = from + ((<usize>n) << 2);
  for (; from + 16 <= end; from += 16, to += 16) v128.store(to, f32x4.add(v128.load(to), v128.load(from)));
  for (; from < end; from += 4, to += 4) store<f32>(to, load<f32>(to) + load<f32>(from));
}

/** Sets `n` floats to zero. */
export function zeroFloats(to: usize, n: i32): void {
  const end = to + ((<usize>n) << 2);
  for (; to + 16 <= end; to += 16) v128.store(to, f32x4.splat(0));
  for (; to < end; to += 4) store<f32>(to, 0);
}
