// An image in another size, as TensorFlow and Keras do it: centres of pixels lie on centres, nothing is smoothed beforehand. And its gradient.

import { defineOp } from '../ir/define-op.ts';
import { attr, need } from '../ir/signature.ts';
import { activation, kinds, perElement } from './check.ts';

const { image } = kinds;

/** How pixels come of their neighbours. */
export type Interpolation = 'nearest' | 'bilinear';

/** The two pixels of an axis that one of the result lies between, and how far it is from the first. */
export interface Between {
  readonly low: number;
  readonly high: number;
  readonly share: number;
}

/** Of pixel `i` of `to`, made of `from` of them. The place is computed in floats as every device does it: the nearest pixel hangs on its digits. */
export function between(i: number, from: number, to: number, interpolation: Interpolation): Between {
  const scale = Math.fround(from / to);
  const centre = Math.fround(Math.fround(i + 0.5) * scale);
  if (interpolation === 'nearest') {
    const low = Math.min(Math.floor(centre), from - 1);
    return { low, high: low, share: 0 };
  }
  const place = Math.fround(centre - 0.5);
  const low = Math.floor(place);
  return { low: Math.max(low, 0), high: Math.min(low + 1, from - 1), share: place - low };
}

/** Calls `visit` for every pixel of the result, with the pixels it is made of and their factors, each as its first element. */
function forEachPixel(
  [, h, w]: readonly number[],
  [rows, height, width]: readonly number[],
  channels: number,
  interpolation: Interpolation,
  visit: (made: number, parts: readonly (readonly [pixel: number, factor: number])[]) => void,
): void {
  for (let n = 0, at = 0; n < rows; n++)
    for (let i = 0; i < height; i++) {
      const y = between(i, h, height, interpolation);
      for (let j = 0; j < width; j++, at += channels) {
        const x = between(j, w, width, interpolation);
        const pixel = (row: number, column: number) => ((n * h + row) * w + column) * channels;
        visit(at, [
          [pixel(y.low, x.low), (1 - y.share) * (1 - x.share)],
          [pixel(y.low, x.high), (1 - y.share) * x.share],
          [pixel(y.high, x.low), y.share * (1 - x.share)],
          [pixel(y.high, x.high), y.share * x.share],
        ]);
      }
    }
}

const interpolation = attr.choice('nearest', 'bilinear');

const resize = defineOp({
  doc: 'y = x in another size, centres of pixels on centres; nearest: ⌊(i + 1/2)·from/to⌋, bilinear: between the four pixels around',
  inputs: { x: image },
  outputs: { y: image },
  attrs: { size: attr.pair, interpolation },
  infer: ({ x }, { size }) => ({ y: activation([...size, x.shape[2]]) }),
  gradient: (g, { args: { x }, attrs, d: { y: dy } }) => ({
    x: () => g.one('resizeGrad', { dy }, { size: g.spec(x).shape.slice(0, 2) as [number, number], interpolation: attrs.interpolation }),
  }),
  reference({ inputs: { x }, outputs: { y } }, { interpolation }) {
    const channels = x.shape[3];
    forEachPixel(x.shape, y.shape, channels, interpolation, (made, parts) => {
      for (const [pixel, factor] of parts) for (let c = 0; c < channels; c++) y.data[made + c] += factor * x.data[pixel + c];
    });
  },
  flops: perElement(6),
});

const resizeGrad = defineOp({
  doc: 'dx of `resize` of x of that size',
  inputs: { dy: image },
  outputs: { dx: image },
  attrs: { size: attr.pair, interpolation },
  infer({ dy }, { size }) {
    need(dy.shape.length === 3, 'dy [n, h, w, C]');
    return { dx: activation([...size, dy.shape[2]]) };
  },
  reference({ inputs: { dy }, outputs: { dx } }, { interpolation }) {
    const channels = dx.shape[3];
    forEachPixel(dx.shape, dy.shape, channels, interpolation, (made, parts) => {
      for (const [pixel, factor] of parts) for (let c = 0; c < channels; c++) dx.data[pixel + c] += factor * dy.data[made + c];
    });
  },
  flops: perElement(8),
});

export const resizing = { resize, resizeGrad };
