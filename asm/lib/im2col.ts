// A convolution as a matrix product: row r of the im2col matrix holds what the kernel sees at output pixel r, in the order
// kernel row, kernel column, channel. The matrix is never stored: packing asks for pieces of its rows.

import { Im2col } from './abi';
import { copyFloats, loadBytes, zeroFloats } from './simd';

/**
 * Address of the columns `from` to `to` (exclusive) of row `row`: inside the tensor where they are contiguous floats
 * there (a 1×1 kernel above all), else gathered into `buffer`.
 */
export function im2colRow(g: Im2col, row: i32, from: i32, to: i32, buffer: usize): usize {
  const channels = g.channels;
  const kernelWidth = g.kernelWidth;
  const upRows = g.upsamplingRows;
  const upColumns = g.upsamplingColumns;
  const pixels = g.outHeight * g.outWidth;
  // A 1×1 kernel at every pixel: the matrix is the tensor.
  const kernelPixels = g.kernelHeight * kernelWidth;
  if (kernelPixels == 1 && g.strideRows == 1 && g.strideColumns == 1 && upRows == 1 && upColumns == 1 && pixels == g.height * g.width && !g.bytes) {
    return g.input + ((<usize>(row * g.pixelChannels + from)) << 2);
  }
  const sample = row / pixels;
  const pixel = row - sample * pixels;
  const outY = pixel / g.outWidth;
  const top = outY * g.strideRows - g.padTop;
  const left = (pixel - outY * g.outWidth) * g.strideColumns - g.padLeft;
  // Whether taps that lie side by side are one run of floats.
  const runs = g.dilationColumns == 1 && channels == g.pixelChannels;

  let at = buffer;
  for (let column = from; column < to; ) {
    const tap = column / channels;
    const channel = column - tap * channels;
    const kernelY = tap / kernelWidth;
    const kernelX = tap - kernelY * kernelWidth;
    let y = top + kernelY * g.dilationRows;
    let x = left + kernelX * g.dilationColumns;
    let taps = 1;
    let inside = y >= 0 && x >= 0;
    if (upRows > 1 || upColumns > 1) {
      inside = inside && y % upRows == 0 && x % upColumns == 0;
      y /= upRows;
      x /= upColumns;
    } else if (runs && x + kernelWidth - kernelX <= g.width) {
      // Kernel columns that lie side by side in the input: one run to the end of the kernel row.
      taps = kernelWidth - kernelX;
    }
    inside = inside && y < g.height && x < g.width;
    const run = min((inside ? taps : 1) * channels - channel, to - column);
    if (inside) {
      const element = <usize>(((sample * g.height + y) * g.width + x) * g.pixelChannels + channel);
      if (g.bytes) {
        scaleBytes(at, g.input + element, run, g.scale);
      } else {
        const source = g.input + (element << 2);
        if (run == to - from) return source;
        copyFloats(at, source, run);
      }
    } else {
      zeroFloats(at, run);
    }
    at += (<usize>run) << 2;
    column += run;
  }
  return buffer;
}

function scaleBytes(to: usize, from: usize, n: i32, scale: f32): void {
  const end = from + <usize>n;
  for (; from + 4 <= end; from += 4, to += 16) v128.store(to, f32x4.mul(loadBytes(from), f32x4.splat(scale)));
  for (; from < end; from += 1, to += 4) store<f32>(to, <f32>load<u8>(from) * scale);
}
