// f16 for tests: Node 20 has no Float16Array.

/** Bits of the f16 nearest to a number, ties to even; what is too large is infinite. */
export function toHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(size)) return 0x7e00;
  // Below 2^-14 all f16 are multiples of 2^-24; above, of 2^-10 of their power of two.
  const exponent = size < 2 ** -14 ? -14 : Math.floor(Math.log2(size));
  const units = nearestEven(size / 2 ** (exponent - 10));
  const bits = size < 2 ** -14 ? units : ((exponent + 14) << 10) + units; // units has 2^10 in it; a carry is the next power
  return sign | Math.min(bits, 0x7c00);
}

export function fromHalf(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 0x3ff;
  const size =
    exponent === 31
      ? fraction
        ? Number.NaN
        : Number.POSITIVE_INFINITY
      : exponent
        ? (1024 + fraction) * 2 ** (exponent - 25)
        : fraction * 2 ** -24;
  return bits & 0x8000 ? -size : size;
}

function nearestEven(x: number): number {
  const below = Math.floor(x);
  const over = x - below;
  return over > 0.5 || (over === 0.5 && below % 2 === 1) ? below + 1 : below;
}
