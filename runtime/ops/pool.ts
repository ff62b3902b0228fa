// Pooling over the pixels of an image: the mean of all (before the classifier), the maximum of 2×2 (stride 2, valid).

import { defineOp } from '../ir/define-op.ts';
import type { ReferenceTensor } from '../ir/op.ts';
import { attr, need } from '../ir/signature.ts';
import { activation, channelsOf, kinds, pixelsOf, sameShape } from './check.ts';

const { image, row } = kinds;

const globalAvgPool = defineOp({
  doc: 'y = the mean over all pixels, for each channel',
  inputs: { x: image },
  outputs: { y: row },
  infer: ({ x }) => ({ y: activation([x.shape[2]]) }),
  gradient: (g, { args: { x }, d: { y: dy } }) => ({ x: () => g.one('globalAvgPoolGrad', { dy }, { inputShape: g.spec(x).shape }) }),
  reference({ inputs: { x }, outputs: { y } }) {
    const [, h, w, channels] = x.shape;
    const pixels = h * w;
    for (let i = 0; i < x.data.length; i++) y.data[Math.floor(i / (pixels * channels)) * channels + (i % channels)] += x.data[i] / pixels;
  },
});

const globalAvgPoolGrad = defineOp({
  doc: 'dx of `globalAvgPool` of x [inputShape]',
  inputs: { dy: row },
  outputs: { dx: image },
  attrs: { inputShape: attr.shape },
  infer({ dy }, { inputShape }) {
    need(inputShape.length === 3 && sameShape(dy.shape, [channelsOf(inputShape)]), `dy [n, C] of x [${inputShape}]`);
    return { dx: activation(inputShape) };
  },
  reference({ inputs: { dy }, outputs: { dx } }, { inputShape }) {
    const pixels = pixelsOf(inputShape);
    const channels = channelsOf(inputShape);
    for (let i = 0; i < dx.data.length; i++) dx.data[i] = dy.data[Math.floor(i / (pixels * channels)) * channels + (i % channels)] / pixels;
  },
});

/** Shape of 2×2 windows with stride 2: an odd last row or column belongs to none. */
const halved = ([h, w, channels]: readonly number[]): number[] => [Math.floor(h / 2), Math.floor(w / 2), channels];

/** Calls `visit` for every output element with its offset and the offset in x of its window's first maximum in row-major order. */
function forEachWindow(x: ReferenceTensor, visit: (y: number, maximum: number) => void): void {
  const [rows, h, w, channels] = x.shape;
  const [oh, ow] = halved([h, w, channels]);
  for (let n = 0; n < rows; n++) {
    for (let oy = 0; oy < oh; oy++) {
      for (let ox = 0; ox < ow; ox++) {
        for (let c = 0; c < channels; c++) {
          const at = (dy: number, dx: number): number => ((n * h + 2 * oy + dy) * w + 2 * ox + dx) * channels + c;
          let maximum = at(0, 0);
          for (const other of [at(0, 1), at(1, 0), at(1, 1)]) if (x.data[other] > x.data[maximum]) maximum = other;
          visit(((n * oh + oy) * ow + ox) * channels + c, maximum);
        }
      }
    }
  }
}

const maxPool = defineOp({
  doc: 'y = the maximum of 2×2 pixels, stride 2, valid',
  inputs: { x: image },
  outputs: { y: image },
  infer({ x }) {
    need(x.shape[0] >= 2 && x.shape[1] >= 2, 'x [n, h, w, C] with h and w of 2 or more');
    return { y: activation(halved(x.shape)) };
  },
  gradient: (g, { args: { x }, d: { y: dy } }) => ({ x: () => g.one('maxPoolGrad', { dy, x }) }),
  reference({ inputs: { x }, outputs: { y } }) {
    forEachWindow(x, (at, maximum) => {
      y.data[at] = x.data[maximum];
    });
  },
});

const maxPoolGrad = defineOp({
  doc: 'dx of `maxPool`: dy goes to the first maximum of each window in row-major order',
  inputs: { dy: image, x: image },
  outputs: { dx: image },
  infer({ dy, x }) {
    need(sameShape(dy.shape, halved(x.shape)), 'dy [n, ⌊h/2⌋, ⌊w/2⌋, C], x [n, h, w, C]');
    return { dx: activation(x.shape) };
  },
  reference({ inputs: { dy, x }, outputs: { dx } }) {
    forEachWindow(x, (at, maximum) => {
      dx.data[maximum] = dy.data[at];
    });
  },
});

export const pooling = { globalAvgPool, globalAvgPoolGrad, maxPool, maxPoolGrad };
