// Numbers of 16 bits in files: IEEE 754 binary16, and bfloat16, the upper half of a float32. Node 20 has no array of either.

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

const LARGEST_MANTISSA = 0x3ff;

/** Exact: every half is a float32. */
export function fromHalf(halves: Uint16Array): Float32Array {
  return Float32Array.from(halves, (half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 0x1f;
    const mantissa = half & LARGEST_MANTISSA;
    if (exponent === 0) return sign * mantissa * 2 ** -24;
    if (exponent === 0x1f) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
  });
}

/** Exact. */
export function fromBfloat16(uppers: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(uppers, (upper) => upper << 16).buffer);
}

/** The nearest half, of two the even one; from 65,520 on infinity. */
export function toHalf(values: Float32Array): Uint16Array {
  return Uint16Array.from(values, (value) => {
    float[0] = value;
    const sign = (word[0] >>> 16) & 0x8000;
    const size = word[0] & 0x7fff_ffff;
    if (size > 0x7f80_0000) return sign | 0x7e00; // not a number
    if (size >= 0x477f_f000) return sign | 0x7c00;
    // Of bits that fall away, more than half of the last that stays carries into it, and half does where that is odd.
    if (size >= 0x3880_0000) return sign | ((size - 0x3800_0000 + 0xfff + ((size >> 13) & 1)) >> 13);
    // Below 2^-14 halves lie 2^-24 apart, as float32 do from a half to one: this addition rounds where a half is rounded.
    float[0] = 0.5 + Math.abs(value);
    return sign | (word[0] - 0x3f00_0000);
  });
}
