// Enlarges images that are smaller than a model takes them, about their middle. (The library that decodes, libvips, shifts what it enlarges
// by half a pixel to the right and down; what it scales down stays in its place.)

/** An image of bytes, row by row, three a pixel. */
export interface Pixels {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

const CHANNELS = 3;
/** Pixels of the source that a pixel of the result is made of, in each direction. */
const TAPS = 4;
/** How many of them lie on either side of the nearest two. */
export const MARGIN = 1;

/** `width` × `height` pixels around the middle of the image, each `1 / scale` as wide as before: Catmull-Rom interpolation, as libvips does. */
export function enlarge(image: Pixels, { width, height, scale }: { width: number; height: number; scale: number }): Uint8Array {
  const columns = tapsOf(image.width, width, scale);
  const rows = tapsOf(image.height, height, scale);
  const across = new Float64Array(image.height * width * CHANNELS);
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < CHANNELS; c++) {
        let sum = 0;
        for (let k = x * TAPS; k < (x + 1) * TAPS; k++)
          sum += columns.weights[k] * image.data[(y * image.width + columns.places[k]) * CHANNELS + c];
        across[(y * width + x) * CHANNELS + c] = sum;
      }
    }
  }
  const result = new Uint8ClampedArray(height * width * CHANNELS); // which rounds, and holds overshoot within the range
  const rowBytes = width * CHANNELS;
  for (let y = 0; y < height; y++) {
    for (let i = 0; i < rowBytes; i++) {
      let sum = 0;
      for (let k = y * TAPS; k < (y + 1) * TAPS; k++) sum += rows.weights[k] * across[rows.places[k] * rowBytes + i];
      result[y * rowBytes + i] = sum;
    }
  }
  return new Uint8Array(result.buffer);
}

/** For each pixel of the result along one axis: where its sources are, and how much each counts. The edge goes on beyond itself. */
function tapsOf(source: number, wanted: number, scale: number): { places: Int32Array; weights: Float64Array } {
  const places = new Int32Array(wanted * TAPS);
  const weights = new Float64Array(wanted * TAPS);
  for (let i = 0; i < wanted; i++) {
    const at = source / 2 + (i + 0.5 - wanted / 2) / scale - 0.5;
    const before = Math.floor(at);
    const t = at - before;
    const catmullRom = [
      ((2 - t) * t - 1) * t * 0.5,
      ((3 * t - 5) * t * t + 2) * 0.5,
      ((4 - 3 * t) * t + 1) * t * 0.5,
      (t - 1) * t * t * 0.5,
    ];
    for (const [k, weight] of catmullRom.entries()) {
      places[i * TAPS + k] = Math.min(source - 1, Math.max(0, before - MARGIN + k));
      weights[i * TAPS + k] = weight;
    }
  }
  return { places, weights };
}
