// Sums over the pixels of a tile, channel by channel: row-major, four pixels at a time, with the sums in memory. They stay in
// the first cache, and reading pixel by pixel is twice as fast as walking down columns.

/** sum[c] += Σ x[p][c] over `pixels` pixels of `width` bytes. */
// @ts-ignore: decorator
@inline
export function addColumns(sum: usize, x: usize, pixels: i32, width: usize): void {
  const vectors = width & ~15;
  let at = x;
  let left = pixels;
  for (; left >= 4; left -= 4, at += 4 * width) {
    const p1 = at + width;
    const p2 = p1 + width;
    const p3 = p2 + width;
    let c: usize = 0;
    for (; c < vectors; c += 16) {
      const four = f32x4.add(f32x4.add(v128.load(at + c), v128.load(p1 + c)), f32x4.add(v128.load(p2 + c), v128.load(p3 + c)));
      v128.store(sum + c, f32x4.add(v128.load(sum + c), four));
    }
    for (; c < width; c += 4) {
      const four: f32 = load<f32>(at + c) + load<f32>(p1 + c) + (load<f32>(p2 + c) + load<f32>(p3 + c));
      store<f32>(sum + c, load<f32>(sum + c) + four);
    }
  }
  for (; left > 0; left--, at += width) {
    let c: usize = 0;
    for (; c < vectors; c += 16) v128.store(sum + c, f32x4.add(v128.load(sum + c), v128.load(at + c)));
    for (; c < width; c += 4) store<f32>(sum + c, load<f32>(sum + c) + load<f32>(at + c));
  }
}
