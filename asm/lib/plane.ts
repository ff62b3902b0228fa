// Planes: how the depthwise kernels keep an image in scratch. A plane has eight channels, side by side for each pixel.

/** Channels of a plane, and the bytes of its pixels. */
export const PLANE: i32 = 8;
export const PIXEL: usize = 32;

/** Where the four channels from `at` on begin in planes of `planeBytes` bytes. */
// @ts-ignore: decorator
@inline
export function half(at: i32, planeBytes: usize): usize {
  return (<usize>at >> 3) * planeBytes + ((<usize>at & 4) << 2);
}
