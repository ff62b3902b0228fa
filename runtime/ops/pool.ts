// Pooling over the pixels of an image: the mean of all (before the classifier), the maximum or the mean of windows.

import { defineOp } from '../ir/define-op.ts';
import { type AttrsOf, attr, need } from '../ir/signature.ts';
import type { TensorSpec } from '../ir/tensor.ts';
import { activation, channelsOf, kinds, pixelsOf, refuse, sameShape } from './check.ts';
import { placeWindow, type Window, windowAttr } from './window.ts';

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

const poolAttrs = {
  /** Rows and columns of a window. */
  size: attr.otherwise(2, windowAttr.size),
  /** From window to window; where it is not given, windows lie side by side. */
  stride: attr.optional(windowAttr.size),
  padding: attr.otherwise('valid', windowAttr.padding),
};

type PoolAttrs = AttrsOf<typeof poolAttrs>;

/** The windows of pooling on an image; what pads it belongs to none. Throws E_USAGE where one would have no pixel. */
export function poolWindow([h, w]: readonly number[], { size = 2, stride = size, padding }: PoolAttrs): Window {
  const window = placeWindow([h, w], size, { stride, padding }, 'pooling');
  const { kernel, pads } = window;
  if (Math.max(pads.top, pads.bottom) >= kernel[0] || Math.max(pads.left, pads.right) >= kernel[1])
    refuse(
      `pooling pads ${JSON.stringify(pads)} around windows of ${kernel.join('×')}: one would have no pixel`,
      'Pad by less than the size.',
    );
  return window;
}

const pooled = (x: TensorSpec, attrs: PoolAttrs): TensorSpec => activation([...poolWindow(x.shape, attrs).out, x.shape[2]]);

/** Calls `visit` for every element of the result with its offset and the offsets of its window's pixels in x, in row-major order. */
function forEachWindow(
  xShape: readonly number[],
  attrs: PoolAttrs,
  rows: number,
  visit: (y: number, pixels: readonly number[]) => void,
): void {
  const [h, w, channels] = xShape;
  const { kernel, stride, pads, out } = poolWindow(xShape, attrs);
  for (let i = 0; i < rows * out[0] * out[1] * channels; i++) {
    const c = i % channels;
    const [n, oy, ox] = [
      Math.floor(i / (out[0] * out[1] * channels)),
      Math.floor(i / (out[1] * channels)) % out[0],
      Math.floor(i / channels) % out[1],
    ];
    const pixels: number[] = [];
    for (let ky = 0; ky < kernel[0]; ky++) {
      for (let kx = 0; kx < kernel[1]; kx++) {
        const [iy, ix] = [oy * stride[0] + ky - pads.top, ox * stride[1] + kx - pads.left];
        if (iy >= 0 && iy < h && ix >= 0 && ix < w) pixels.push(((n * h + iy) * w + ix) * channels + c);
      }
    }
    visit(i, pixels);
  }
}

const flopsOf = (x: TensorSpec, attrs: PoolAttrs, rows: number): number => {
  const { kernel, out } = poolWindow(x.shape, attrs);
  return rows * out[0] * out[1] * kernel[0] * kernel[1] * x.shape[2];
};

const maxPool = defineOp({
  doc: 'y = the maximum of each window; size 2 side by side by default',
  inputs: { x: image },
  outputs: { y: image },
  attrs: poolAttrs,
  infer: ({ x }, attrs) => ({ y: pooled(x, attrs) }),
  gradient: (g, { args: { x }, attrs, d: { y: dy } }) => ({ x: () => g.one('maxPoolGrad', { dy, x }, attrs) }),
  reference({ step, inputs: { x }, outputs: { y } }, attrs) {
    forEachWindow(x.shape.slice(1), attrs, step.rows, (at, pixels) => {
      y.data[at] = pixels.reduce((most, pixel) => Math.max(most, x.data[pixel]), Number.NEGATIVE_INFINITY);
    });
  },
  flops: ({ x }, attrs, rows) => flopsOf(x, attrs, rows),
});

const maxPoolGrad = defineOp({
  doc: 'dx of `maxPool`: dy goes to the first maximum of each window in row-major order',
  inputs: { dy: image, x: image },
  outputs: { dx: image },
  attrs: poolAttrs,
  infer({ dy, x }, attrs) {
    need(sameShape(dy.shape, pooled(x, attrs).shape), 'dy of the shape of the result for x');
    return { dx: activation(x.shape) };
  },
  reference({ step, inputs: { dy, x }, outputs: { dx } }, attrs) {
    forEachWindow(x.shape.slice(1), attrs, step.rows, (at, pixels) => {
      dx.data[pixels.reduce((most, pixel) => (x.data[pixel] > x.data[most] ? pixel : most), pixels[0])] += dy.data[at];
    });
  },
  flops: ({ x }, attrs, rows) => flopsOf(x, attrs, rows),
});

const avgPool = defineOp({
  doc: 'y = the mean of the pixels of each window, those that pad it not counted; size 2 side by side by default',
  inputs: { x: image },
  outputs: { y: image },
  attrs: poolAttrs,
  infer: ({ x }, attrs) => ({ y: pooled(x, attrs) }),
  gradient: (g, { args: { x }, attrs, d: { y: dy } }) => ({
    x: () => g.one('avgPoolGrad', { dy }, { ...attrs, inputShape: g.spec(x).shape }),
  }),
  reference({ step, inputs: { x }, outputs: { y } }, attrs) {
    forEachWindow(x.shape.slice(1), attrs, step.rows, (at, pixels) => {
      y.data[at] = pixels.reduce((sum, pixel) => sum + x.data[pixel], 0) / pixels.length;
    });
  },
  flops: ({ x }, attrs, rows) => flopsOf(x, attrs, rows),
});

const avgPoolGrad = defineOp({
  doc: 'dx of `avgPool` of x [inputShape]',
  inputs: { dy: image },
  outputs: { dx: image },
  attrs: { ...poolAttrs, inputShape: attr.shape },
  infer({ dy }, { inputShape, ...attrs }) {
    need(
      inputShape.length === 3 && sameShape(dy.shape, pooled(activation(inputShape), attrs).shape),
      `dy of the shape of the result for x [${inputShape}]`,
    );
    return { dx: activation(inputShape) };
  },
  reference({ step, inputs: { dy }, outputs: { dx } }, { inputShape, ...attrs }) {
    forEachWindow(inputShape, attrs, step.rows, (at, pixels) => {
      for (const pixel of pixels) dx.data[pixel] += dy.data[at] / pixels.length;
    });
  },
  flops: ({ dx }, { inputShape: _, ...attrs }, rows) => flopsOf(dx, attrs, rows),
});

export const pooling = { globalAvgPool, globalAvgPoolGrad, maxPool, maxPoolGrad, avgPool, avgPoolGrad };
