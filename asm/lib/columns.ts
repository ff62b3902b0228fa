// Sums over the pixels of a tile, channel by channel.

/**
 * sum[c] += Σ x[p][c] over `pixels` pixels of `width` bytes. Reads x strictly in its order, with the sums in memory, where they
 * stay in the first cache: taking several pixels at a time spares loads of the sums but was three times slower, because the
 * processor prefetches only what is read in order; walking down columns was slower still.
 */
// @ts-ignore: decorator
@inline
export function addColumns(sum: usize, x: usize, pixels: i32, width: usize): void {
  const vectors = width & ~15;
  const end = x + <usize>pixels * width;
  for (let at = x; at < end; at += width) {
    let c: usize = 0;
    for (; c < vectors; c += 16) v128.store(sum + c, f32x4.add(v128.load(sum + c), v128.load(at + c)));
    for (; c < width; c += 4) store<f32>(sum + c, load<f32>(sum + c) + load<f32>(at + c));
  }
}
