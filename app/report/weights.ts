// Pictures of what a layer has learned: one tile for each filter, whatever their number and size.

import { grouped } from '../../runtime/base/units.ts';
import { type Bitmap, bitmap, signedMap } from './bitmap.ts';
import type { Figure } from './svg.ts';
import { tilesFigure } from './tiles.ts';

export interface KernelTensor {
  /** Keras' layouts: [h, w, in, out], depthwise [h, w, channels, 1], dense [in, out]. */
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface WeightsOptions {
  readonly name: string;
  readonly title: string;
  readonly kernel: KernelTensor;
  readonly depthwise: boolean;
}

/** More tiles than this say no more. */
const MOST_TILES = 1024;

/**
 * - a filter that reads three channels: as colours, brought from the smallest to the largest weight of the layer to 0 to 1;
 * - a depthwise filter, or one that reads a single channel: as numbers around zero;
 * - any other filter: the part of each input channel side by side would be unreadable, so its root mean square over them;
 * - 1×1 convolutions and dense layers: one picture of the matrix, inputs downwards, outputs to the right.
 */
export async function weightsFigure({ name, title, kernel, depthwise }: WeightsOptions): Promise<Figure> {
  const [height, width, inputs, outputs] = kernel.shape.length === 2 ? [1, 1, ...kernel.shape] : kernel.shape;
  const { data } = kernel;
  const finite = data.filter(Number.isFinite);
  const low = finite.reduce((least, value) => Math.min(least, value), finite[0] ?? 0);
  const high = finite.reduce((most, value) => Math.max(most, value), finite[0] ?? 0);
  const limit = Math.max(Math.abs(low), Math.abs(high));
  const range = `${short(low)} to ${short(high)}`;

  if (height === 1 && width === 1 && !depthwise) {
    const matrix = signedMap(inputs, outputs, (y, x) => data[y * outputs + x], limit);
    const size = Math.max(256, Math.min(768, Math.max(inputs, outputs)));
    const caption = `${inputs} inputs (downwards) × ${outputs} outputs. Blue is negative, red positive; weights from ${range}.`;
    return tilesFigure({ name, title, caption, tiles: [{ picture: matrix }], size, columns: 1 });
  }
  const count = depthwise ? inputs : outputs;
  const shown = Math.min(count, MOST_TILES);
  const at = (filter: number, y: number, x: number, channel: number) =>
    depthwise ? data[(y * width + x) * inputs + filter] : data[((y * width + x) * inputs + channel) * outputs + filter];
  const picture = (filter: number): Bitmap => {
    if (depthwise || inputs === 1) return signedMap(height, width, (y, x) => at(filter, y, x, 0), limit);
    if (inputs === 3) {
      const level = (y: number, x: number, c: number) => Math.round((255 * (at(filter, y, x, c) - low)) / (high - low || 1));
      return bitmap(height, width, (y, x) => [level(y, x, 0), level(y, x, 1), level(y, x, 2)]);
    }
    let square = 0;
    const strength = (y: number, x: number) => {
      square = 0;
      for (let c = 0; c < inputs; c++) square += at(filter, y, x, c) ** 2;
      return Math.sqrt(square / inputs);
    };
    return signedMap(height, width, strength, limit / 2);
  };
  const many = shown < count ? `the first ${grouped(shown)} of ${grouped(count)} filters` : `${grouped(count)} filters`;
  const how =
    depthwise || inputs === 1
      ? 'Blue is negative, red positive, white zero; one scale for all'
      : inputs === 3
        ? 'Colours are the weights for red, green and blue; one scale for all'
        : `Each pixel is the root mean square over ${inputs} input channels, the stronger the redder`;
  return tilesFigure({
    name,
    title,
    caption: `${many} of ${height}×${width}. ${how}, weights from ${range}.`.replace(/^t/, 'T'),
    tiles: Array.from({ length: shown }, (_, filter) => ({ picture: picture(filter) })),
    size: 48,
  });
}

const short = (value: number): string => `${Number(value.toPrecision(3))}`.replace('-', '−');
