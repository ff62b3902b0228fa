// Convolution over NHWC images and its two gradients. A dense layer is a 1×1 convolution of a 1×1 image: x [ci], w [ci, co].

import { defineOp } from '../ir/define-op.ts';
import type { ReferenceTensor } from '../ir/op.ts';
import { type AttrsOf, attr, need, optional } from '../ir/signature.ts';
import type { TensorSpec } from '../ir/tensor.ts';
import { activation, kinds, parameter, refuse, sameShape } from './check.ts';
import { applyEpilogue, epilogueAttr, epilogueResults, epilogueSpecs, needPlain } from './epilogue.ts';
import { type Pair, placeWindow, type WindowAttrs, windowAttr } from './window.ts';

const windowAttrs = {
  stride: windowAttr.size,
  padding: windowAttr.padding,
  dilation: attr.otherwise(1, windowAttr.size),
  /** The channels of x and of the result fall into as many groups; those of one are convolved with each other alone. */
  groups: attr.otherwise(1, attr.count),
};

/** x is u8 and stands for x·f32(inputScale): a `rescale` that was fused in. */
const scaleAttr = { inputScale: attr.optional(attr.number) };

/**
 * All sizes of a convolution: input h×w×ci, kernel kh×kw, output oh×ow×co, rows and columns from window to window and from tap to tap, the rows and
 * columns of zeros before the image, and the groups of channels: weights have ci / groups inputs.
 */
export interface ConvGeometry {
  readonly h: number;
  readonly w: number;
  readonly ci: number;
  readonly kh: number;
  readonly kw: number;
  readonly co: number;
  readonly oh: number;
  readonly ow: number;
  readonly stride: Pair;
  readonly dilation: Pair;
  readonly padTop: number;
  readonly padLeft: number;
  readonly groups: number;
}

/**
 * Sizes of the convolution of x (shape without rows: [h, w, ci] or [ci]) with w ([kh, kw, ci / groups, co] or [ci, co]). Throws
 * E_USAGE where the shapes do not belong together or nothing would come out.
 */
export function convGeometry(
  xShape: readonly number[],
  wShape: readonly number[],
  { stride, padding, dilation, groups = 1 }: WindowAttrs,
): ConvGeometry {
  const [inputs, co] = wShape.slice(-2);
  const ci = inputs * groups;
  const fits =
    (xShape.length === 3 || xShape.length === 1) && (wShape.length === 4 || wShape.length === 2) && xShape[xShape.length - 1] === ci;
  if (!fits)
    refuse(
      `a convolution got x [${xShape}], w [${wShape}]${groups > 1 ? `, ${groups} groups` : ''}; it takes x [h, w, ci] or [ci], w [kh, kw, ci, co] or [ci, co] with the same ci${groups > 1 ? ' for each group' : ''}`,
    );
  if (co % groups !== 0) refuse(`a convolution has ${co} outputs, which ${groups} groups do not divide`);
  const [h, w] = xShape.length === 3 ? xShape : [1, 1];
  const [kh, kw] = wShape.length === 4 ? wShape : [1, 1];
  const window = placeWindow([h, w], [kh, kw], { stride, padding, dilation }, `x [${xShape}] of a convolution`);
  const { out, pads } = window;
  return {
    ...{ h, w, ci, kh, kw, co, oh: out[0], ow: out[1], groups },
    ...{ stride: window.stride, dilation: window.dilation, padTop: pads.top, padLeft: pads.left },
  };
}

/** Shape of the result without rows: an image where x is one. */
const outputShape = (xShape: readonly number[], { oh, ow, co }: ConvGeometry): number[] => (xShape.length === 3 ? [oh, ow, co] : [co]);

/** Two operations a multiply-add, taps on the padding counted, as is usual. */
const convFlops = ({ oh, ow, kh, kw, ci, co, groups }: ConvGeometry, rows: number): number =>
  (2 * rows * oh * ow * kh * kw * ci * co) / groups;

const convInputType = (inputScale: number | undefined): TensorSpec['dtype'] => (inputScale === undefined ? 'f32' : 'u8');

const isConvInput = (x: TensorSpec, inputScale: number | undefined): boolean => x.perSample && x.dtype === convInputType(inputScale);

/** x in doubles, multiplied by the f32 constant that devices multiply by. */
function convInput(x: ReferenceTensor, inputScale: number | undefined): Float64Array {
  if (inputScale === undefined) return x.data as Float64Array;
  const scale = Math.fround(inputScale);
  return Float64Array.from(x.data, (value) => value * scale);
}

/**
 * Calls `visit` once for every output pixel and every tap of the kernel that falls inside the image, with the offsets of
 * the input pixel's channels, the output pixel's channels and the tap's [ci, co] matrix. All three ops are this loop.
 */
function forEachTap(geometry: ConvGeometry, rows: number, visit: (x: number, y: number, w: number) => void): void {
  const { h, w, ci, kh, kw, co, oh, ow, stride, dilation, padTop, padLeft, groups } = geometry;
  const matrix = (ci / groups) * co;
  for (let n = 0; n < rows; n++) {
    for (let oy = 0; oy < oh; oy++) {
      for (let ox = 0; ox < ow; ox++) {
        for (let ky = 0; ky < kh; ky++) {
          const iy = oy * stride[0] + ky * dilation[0] - padTop;
          if (iy < 0 || iy >= h) continue;
          for (let kx = 0; kx < kw; kx++) {
            const ix = ox * stride[1] + kx * dilation[1] - padLeft;
            if (ix < 0 || ix >= w) continue;
            visit(((n * h + iy) * w + ix) * ci, ((n * oh + oy) * ow + ox) * co, (ky * kw + kx) * matrix);
          }
        }
      }
    }
  }
}

/**
 * y += xᵀ·w for one pixel: x [ci], w [ci, co], y [co] at their offsets. Takes four rows of w at a time, which halves the time
 * of the golden tests at full width; `multiplyTransposed` likewise.
 */
function multiply(x: Float64Array, xAt: number, w: Float64Array, wAt: number, y: Float64Array, yAt: number, ci: number, co: number): void {
  let i = 0;
  for (; i + 3 < ci; i += 4) {
    const [x0, x1, x2, x3] = [x[xAt + i], x[xAt + i + 1], x[xAt + i + 2], x[xAt + i + 3]];
    const row = wAt + i * co;
    for (let o = row; o < row + co; o++) y[yAt + o - row] += x0 * w[o] + x1 * w[o + co] + x2 * w[o + 2 * co] + x3 * w[o + 3 * co];
  }
  for (; i < ci; i++) for (let o = 0; o < co; o++) y[yAt + o] += x[xAt + i] * w[wAt + i * co + o];
}

/** x += w·y for one pixel, with the shapes of `multiply`. */
function multiplyTransposed(
  x: Float64Array,
  xAt: number,
  w: Float64Array,
  wAt: number,
  y: Float64Array,
  yAt: number,
  ci: number,
  co: number,
): void {
  let i = 0;
  for (; i + 3 < ci; i += 4) {
    const row = wAt + i * co;
    let [sum0, sum1, sum2, sum3] = [0, 0, 0, 0];
    for (let o = row; o < row + co; o++) {
      const value = y[yAt + o - row];
      sum0 += value * w[o];
      sum1 += value * w[o + co];
      sum2 += value * w[o + 2 * co];
      sum3 += value * w[o + 3 * co];
    }
    x[xAt + i] += sum0;
    x[xAt + i + 1] += sum1;
    x[xAt + i + 2] += sum2;
    x[xAt + i + 3] += sum3;
  }
  for (; i < ci; i++) for (let o = 0; o < co; o++) x[xAt + i] += y[yAt + o] * w[wAt + i * co + o];
}

/** w += x·yᵀ for one pixel, with the shapes of `multiply`. */
function addOuterProduct(
  x: Float64Array,
  xAt: number,
  y: Float64Array,
  yAt: number,
  w: Float64Array,
  wAt: number,
  ci: number,
  co: number,
): void {
  for (let i = 0; i < ci; i++) {
    const value = x[xAt + i];
    const row = wAt + i * co;
    for (let o = 0; o < co; o++) w[row + o] += value * y[yAt + o];
  }
}

/** The same for four pixels at once. */
function addFourOuterProducts(
  x: Float64Array,
  [x0, x1, x2, x3]: readonly number[],
  y: Float64Array,
  [y0, y1, y2, y3]: readonly number[],
  w: Float64Array,
  wAt: number,
  ci: number,
  co: number,
): void {
  for (let i = 0; i < ci; i++) {
    const [v0, v1, v2, v3] = [x[x0 + i], x[x1 + i], x[x2 + i], x[x3 + i]];
    const row = wAt + i * co;
    for (let o = 0; o < co; o++) w[row + o] += v0 * y[y0 + o] + v1 * y[y1 + o] + v2 * y[y2 + o] + v3 * y[y3 + o];
  }
}

/** Calls `visit` for each product of a pixel's channels with those of a result that are in one group, with the offsets of x, y and w. */
function forEachProduct(
  { ci, co, groups }: ConvGeometry,
  [xAt, yAt, wAt]: readonly [number, number, number],
  visit: (x: number, y: number, w: number) => void,
): void {
  const [inputs, outputs] = [ci / groups, co / groups];
  for (let o = 0; o < co; o++) {
    const first = xAt + Math.floor(o / outputs) * inputs;
    for (let i = 0; i < inputs; i++) visit(first + i, yAt + o, wAt + i * co + o);
  }
}

const xOrBytes = { text: '[n, h, w, ci] or [n, ci], f32, or u8 with inputScale', fits: (spec: TensorSpec) => spec.perSample };

const conv = defineOp({
  doc:
    'the convolution of x with w [kh, kw, ci / groups, co]; a dense layer is that of a 1×1 image, x [n, ci], w [ci, co]. bias, activation, derivative ' +
    'and partials are its epilogue. With inputScale x is u8 and multiplied by it',
  inputs: { x: xOrBytes, w: kinds.parameter, bias: optional(kinds.vector) },
  outputs: epilogueResults,
  attrs: { ...windowAttrs, ...epilogueAttr, ...scaleAttr },
  infer({ x, w, bias }, { inputScale, epilogue, ...window }) {
    need(isConvInput(x, inputScale), `x ${convInputType(inputScale)} [n, h, w, ci] or [n, ci]`);
    const geometry = convGeometry(x.shape, w.shape, window);
    return epilogueSpecs(activation(outputShape(x.shape, geometry)), epilogue, bias);
  },
  gradient(g, site) {
    needPlain('conv', site, ['x', 'w', ...Object.keys(windowAttrs)]);
    const { x, w } = site.args;
    const { epilogue: _, inputScale: _scale, ...window } = site.attrs;
    const dy = site.d.y;
    return {
      x: () => g.one('convGradInput', { dy, w }, { ...window, inputShape: g.spec(x).shape }),
      w: () => g.one('convGradWeight', { x, dy }, { ...window, weightShape: g.spec(w).shape }),
    };
  },
  reference({ step, inputs: { x, w, bias }, outputs }, { inputScale, epilogue, ...window }) {
    const geometry = convGeometry(x.shape.slice(1), w.shape, window);
    const { ci, co, groups } = geometry;
    const values = convInput(x, inputScale);
    const [weights, y] = [w.data as Float64Array, outputs.y.data as Float64Array];
    forEachTap(geometry, step.rows, (xAt, yAt, wAt) => {
      if (groups === 1) return multiply(values, xAt, weights, wAt, y, yAt, ci, co);
      forEachProduct(geometry, [xAt, yAt, wAt], (i, o, k) => {
        y[o] += values[i] * weights[k];
      });
    });
    applyEpilogue(outputs, epilogue, bias);
  },
  flops: ({ x, w }, { epilogue: _, inputScale: _scale, ...window }, rows) => convFlops(convGeometry(x.shape, w.shape, window), rows),
  traits: {
    counts: true,
    matrix: 'w',
    epilogue: ['bias', 'activation', 'statistics'],
    prologue: { x: { rescale: { inputScale: 'scale' } } },
  },
});

const convGradInput = defineOp({
  doc: 'dx of a convolution of x [inputShape] with w',
  inputs: { dy: kinds.features, w: kinds.parameter },
  outputs: { dx: kinds.features },
  attrs: { ...windowAttrs, inputShape: attr.shape },
  infer({ dy, w }, { inputShape, ...window }) {
    const geometry = convGeometry(inputShape, w.shape, window);
    need(sameShape(dy.shape, outputShape(inputShape, geometry)), `dy [n, oh, ow, co] or [n, co] of a convolution of x [${inputShape}]`);
    return { dx: activation(inputShape) };
  },
  reference({ step, inputs: { dy, w }, outputs: { dx } }, { inputShape, ...window }) {
    const geometry = convGeometry(inputShape, w.shape, window);
    const { ci, co, groups } = geometry;
    const [to, weights, from] = [dx.data, w.data, dy.data] as Float64Array[];
    forEachTap(geometry, step.rows, (xAt, yAt, wAt) => {
      if (groups === 1) return multiplyTransposed(to, xAt, weights, wAt, from, yAt, ci, co);
      forEachProduct(geometry, [xAt, yAt, wAt], (i, o, k) => {
        to[i] += from[o] * weights[k];
      });
    });
  },
  flops: ({ w }, { inputShape, ...window }, rows) => convFlops(convGeometry(inputShape, w.shape, window), rows),
});

const convGradWeight = defineOp({
  doc: 'dw of a convolution of x with w [weightShape]',
  inputs: { x: xOrBytes, dy: kinds.features },
  outputs: { dw: kinds.parameter },
  attrs: { ...windowAttrs, weightShape: attr.shape, ...scaleAttr },
  infer({ x, dy }, { weightShape, inputScale, ...window }) {
    need(isConvInput(x, inputScale), `x ${convInputType(inputScale)} [n, h, w, ci] or [n, ci]`);
    const geometry = convGeometry(x.shape, weightShape, window);
    need(sameShape(dy.shape, outputShape(x.shape, geometry)), `dy [n, oh, ow, co] or [n, co] of a convolution with w [${weightShape}]`);
    return { dw: parameter(weightShape) };
  },
  reference({ step, inputs, outputs }, { weightShape, inputScale, ...window }) {
    const geometry = convGeometry(inputs.x.shape.slice(1), weightShape, window);
    const { ci, co, groups } = geometry;
    const x = convInput(inputs.x, inputScale);
    const [dy, dw] = [inputs.dy.data, outputs.dw.data] as Float64Array[];
    if (groups > 1) {
      forEachTap(geometry, step.rows, (xAt, yAt, wAt) =>
        forEachProduct(geometry, [xAt, yAt, wAt], (i, o, k) => {
          dw[k] += x[i] * dy[o];
        }),
      );
      return;
    }
    // Four pixels of a tap at a time: going through the large dw for every pixel would take most of the time.
    const pending = Array.from({ length: geometry.kh * geometry.kw }, () => ({ x: [0, 0, 0, 0], y: [0, 0, 0, 0], count: 0 }));
    forEachTap(geometry, step.rows, (xAt, yAt, wAt) => {
      const pixels = pending[wAt / (ci * co)];
      pixels.x[pixels.count] = xAt;
      pixels.y[pixels.count++] = yAt;
      if (pixels.count < 4) return;
      addFourOuterProducts(x, pixels.x, dy, pixels.y, dw, wAt, ci, co);
      pixels.count = 0;
    });
    for (const [tap, pixels] of pending.entries()) {
      for (let k = 0; k < pixels.count; k++) addOuterProduct(x, pixels.x[k], dy, pixels.y[k], dw, tap * ci * co, ci, co);
    }
  },
  flops: ({ x }, { weightShape, inputScale: _, ...window }, rows) => convFlops(convGeometry(x.shape, weightShape, window), rows),
  traits: { prologue: { x: { rescale: { inputScale: 'scale' } } } },
});

export type ConvAttrs = AttrsOf<typeof conv.attrs>;
export type ConvGradInputAttrs = AttrsOf<typeof convGradInput.attrs>;
export type ConvGradWeightAttrs = AttrsOf<typeof convGradWeight.attrs>;

export const convolution = { conv, convGradInput, convGradWeight };
