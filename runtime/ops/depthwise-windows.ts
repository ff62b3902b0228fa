// Depthwise convolution over any windows: every channel of the image has a kernel of its own, not square perhaps, with strides, dilation and
// any padding. `depthwise` is the one that most networks are made of, stride 1 and `same`: it fuses with more of its neighbours.

import { defineOp } from '../ir/define-op.ts';
import { type AttrsOf, attr, need, optional } from '../ir/signature.ts';
import type { TensorSpec } from '../ir/tensor.ts';
import { activation, kinds, parameter, refuse, sameShape } from './check.ts';
import { applyEpilogue, epilogueAttr, epilogueResults, epilogueSpecs, needPlain } from './epilogue.ts';
import { forEachTapAlong, placeWindow, type Window, windowAttr } from './window.ts';

const windowAttrs = {
  stride: attr.otherwise(1, windowAttr.size),
  padding: attr.otherwise('valid', windowAttr.padding),
  dilation: attr.otherwise(1, windowAttr.size),
};
type WindowAttrs = AttrsOf<typeof windowAttrs>;

/** The windows of w [kh, kw, C, m] on an image [h, w, C·m]. Throws E_USAGE for other shapes, and where no window fits. */
export function depthwiseWindow(xShape: readonly number[], wShape: readonly number[], { stride, padding, dilation }: WindowAttrs): Window {
  if (xShape.length !== 3 || wShape.length !== 4 || wShape[2] * wShape[3] !== xShape[2])
    refuse(`a depthwise convolution got x [${xShape}], w [${wShape}] and takes x [h, w, C·m], w [kh, kw, C, m]`);
  return placeWindow(
    [xShape[0], xShape[1]],
    [wShape[0], wShape[1]],
    { stride, padding, dilation },
    `x [${xShape}] of a depthwise convolution`,
  );
}

const convolved = (x: readonly number[], w: readonly number[], attrs: WindowAttrs): TensorSpec =>
  activation([...depthwiseWindow(x, w, attrs).out, x[2]]);

const flopsOf = (x: readonly number[], w: readonly number[], attrs: WindowAttrs, rows: number): number => {
  const { kernel, out } = depthwiseWindow(x, w, attrs);
  return 2 * rows * out[0] * out[1] * kernel[0] * kernel[1] * x[2];
};

/** Calls `visit` for every result pixel and every tap of its window inside the image, with the offsets of input pixel, result pixel and tap. */
function forEachTap(
  [h, w, channels]: readonly number[],
  window: Window,
  rows: number,
  visit: (x: number, y: number, w: number) => void,
): void {
  const { out, kernel } = window;
  forEachTapAlong(window, 0, (oy, ky, iy) =>
    forEachTapAlong(window, 1, (ox, kx, ix) => {
      for (let n = 0; n < rows; n++)
        visit(((n * h + iy) * w + ix) * channels, ((n * out[0] + oy) * out[1] + ox) * channels, (ky * kernel[1] + kx) * channels);
    }),
  );
}

const depthwiseWindows = defineOp({
  doc:
    'each channel of x convolved with its kernel of w [kh, kw, C, m], whose channels are as many as those of x, C·m; by default stride 1, valid. ' +
    'bias, activation, derivative and partials are its epilogue',
  inputs: { x: kinds.image, w: kinds.parameter, bias: optional(kinds.vector) },
  outputs: epilogueResults,
  attrs: { ...windowAttrs, ...epilogueAttr },
  infer({ x, w, bias }, { epilogue, ...attrs }) {
    return epilogueSpecs(convolved(x.shape, w.shape, attrs), epilogue, bias);
  },
  gradient(g, site) {
    needPlain('depthwiseWindows', site, ['x', 'w', 'stride', 'padding', 'dilation']);
    const { x, w } = site.args;
    const { epilogue: _, ...attrs } = site.attrs;
    const dy = site.d.y;
    return {
      x: () => g.one('depthwiseWindowsGradInput', { dy, w }, { ...attrs, inputShape: g.spec(x).shape }),
      w: () => g.one('depthwiseWindowsGradWeight', { x, dy }, { ...attrs, weightShape: g.spec(w).shape }),
    };
  },
  reference({ step, inputs: { x, w, bias }, outputs }, { epilogue, ...attrs }) {
    const shape = x.shape.slice(1);
    const { y } = outputs;
    forEachTap(shape, depthwiseWindow(shape, w.shape, attrs), step.rows, (xAt, yAt, wAt) => {
      for (let c = 0; c < shape[2]; c++) y.data[yAt + c] += x.data[xAt + c] * w.data[wAt + c];
    });
    applyEpilogue(outputs, epilogue, bias);
  },
  flops: ({ x, w }, { epilogue: _, ...attrs }, rows) => flopsOf(x.shape, w.shape, attrs, rows),
  traits: { counts: true, epilogue: ['bias', 'activation', 'statistics'] },
});

const depthwiseWindowsGradInput = defineOp({
  doc: 'dx of `depthwiseWindows` of x [inputShape]',
  inputs: { dy: kinds.image, w: kinds.parameter },
  outputs: { dx: kinds.image },
  attrs: { ...windowAttrs, inputShape: attr.shape },
  infer({ dy, w }, { inputShape, ...attrs }) {
    need(sameShape(dy.shape, convolved(inputShape, w.shape, attrs).shape), `dy of the shape of the result for x [${inputShape}]`);
    return { dx: activation(inputShape) };
  },
  reference({ step, inputs: { dy, w }, outputs: { dx } }, { inputShape, ...attrs }) {
    forEachTap(inputShape, depthwiseWindow(inputShape, w.shape, attrs), step.rows, (xAt, yAt, wAt) => {
      for (let c = 0; c < inputShape[2]; c++) dx.data[xAt + c] += dy.data[yAt + c] * w.data[wAt + c];
    });
  },
  flops: ({ w }, { inputShape, ...attrs }, rows) => flopsOf(inputShape, w.shape, attrs, rows),
});

const depthwiseWindowsGradWeight = defineOp({
  doc: 'dw of `depthwiseWindows` with w [weightShape]',
  inputs: { x: kinds.image, dy: kinds.image },
  outputs: { dw: kinds.parameter },
  attrs: { ...windowAttrs, weightShape: attr.shape },
  infer({ x, dy }, { weightShape, ...attrs }) {
    need(sameShape(dy.shape, convolved(x.shape, weightShape, attrs).shape), `dy of the shape of the result with w [${weightShape}]`);
    return { dw: parameter(weightShape) };
  },
  reference({ step, inputs: { x, dy }, outputs: { dw } }, { weightShape, ...attrs }) {
    const shape = x.shape.slice(1);
    forEachTap(shape, depthwiseWindow(shape, weightShape, attrs), step.rows, (xAt, yAt, wAt) => {
      for (let c = 0; c < shape[2]; c++) dw.data[wAt + c] += x.data[xAt + c] * dy.data[yAt + c];
    });
  },
  flops: ({ x }, { weightShape, ...attrs }, rows) => flopsOf(x.shape, weightShape, attrs, rows),
});

export const depthwiseOverWindows = { depthwiseWindows, depthwiseWindowsGradInput, depthwiseWindowsGradWeight };
