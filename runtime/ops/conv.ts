// Convolution over NHWC images and its two gradients. A dense layer is a 1×1 convolution of a 1×1 image: x [ci], w [ci, co].

import { defineOp } from '../ir/define-op.ts';
import type { ReferenceTensor } from '../ir/op.ts';
import { type AttrsOf, attr, need, optional } from '../ir/signature.ts';
import type { TensorSpec } from '../ir/tensor.ts';
import { activation, kinds, parameter, refuse, sameShape } from './check.ts';
import { applyEpilogue, epilogueAttr, epilogueResults, epilogueSpecs, needPlain } from './epilogue.ts';
import { type Padding, placeWindow, windowAttr } from './window.ts';

export type { Padding } from './window.ts';

const windowAttrs = { stride: attr.count, padding: windowAttr.padding };

/** x is u8 and stands for x·f32(inputScale): a `rescale` that was fused in. */
const scaleAttr = { inputScale: attr.optional(attr.number) };

/** All sizes of a convolution: input h×w×ci, kernel kh×kw, output oh×ow×co, and the rows and columns of zeros before the image. */
export interface ConvGeometry {
  readonly h: number;
  readonly w: number;
  readonly ci: number;
  readonly kh: number;
  readonly kw: number;
  readonly co: number;
  readonly oh: number;
  readonly ow: number;
  readonly stride: number;
  readonly padTop: number;
  readonly padLeft: number;
}

/**
 * Sizes of the convolution of x (shape without rows: [h, w, ci] or [ci]) with w ([kh, kw, ci, co] or [ci, co]). Throws
 * E_USAGE where the shapes do not belong together or nothing would come out.
 */
export function convGeometry(xShape: readonly number[], wShape: readonly number[], stride: number, padding: Padding): ConvGeometry {
  const fits =
    (xShape.length === 3 || xShape.length === 1) &&
    (wShape.length === 4 || wShape.length === 2) &&
    xShape[xShape.length - 1] === wShape[wShape.length - 2];
  if (!fits)
    refuse(
      `a convolution got x [${xShape}], w [${wShape}]; it takes x [h, w, ci] or [ci], w [kh, kw, ci, co] or [ci, co] with the same ci`,
    );
  const [h, w] = xShape.length === 3 ? xShape : [1, 1];
  const [kh, kw] = wShape.length === 4 ? wShape : [1, 1];
  const [ci, co] = wShape.slice(-2);
  const { out, pads } = placeWindow([h, w], [kh, kw], { stride, padding }, `x [${xShape}] of a convolution`);
  return { h, w, ci, kh, kw, co, oh: out[0], ow: out[1], stride, padTop: pads.top, padLeft: pads.left };
}

/** Shape of the result without rows: an image where x is one. */
const outputShape = (xShape: readonly number[], { oh, ow, co }: ConvGeometry): number[] => (xShape.length === 3 ? [oh, ow, co] : [co]);

/** Two operations a multiply-add, taps on the padding counted, as is usual. */
const convFlops = ({ oh, ow, kh, kw, ci, co }: ConvGeometry, rows: number): number => 2 * rows * oh * ow * kh * kw * ci * co;

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
  const { h, w, ci, kh, kw, co, oh, ow, stride, padTop, padLeft } = geometry;
  for (let n = 0; n < rows; n++) {
    for (let oy = 0; oy < oh; oy++) {
      for (let ox = 0; ox < ow; ox++) {
        for (let ky = 0; ky < kh; ky++) {
          const iy = oy * stride + ky - padTop;
          if (iy < 0 || iy >= h) continue;
          for (let kx = 0; kx < kw; kx++) {
            const ix = ox * stride + kx - padLeft;
            if (ix < 0 || ix >= w) continue;
            visit(((n * h + iy) * w + ix) * ci, ((n * oh + oy) * ow + ox) * co, (ky * kw + kx) * ci * co);
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

const xOrBytes = { text: '[n, h, w, ci] or [n, ci], f32, or u8 with inputScale', fits: (spec: TensorSpec) => spec.perSample };

const conv = defineOp({
  doc:
    'the convolution of x with w [kh, kw, ci, co]; a dense layer is that of a 1×1 image, x [n, ci], w [ci, co]. bias, activation, derivative and ' +
    'partials are its epilogue. With inputScale x is u8 and multiplied by it',
  inputs: { x: xOrBytes, w: kinds.parameter, bias: optional(kinds.vector) },
  outputs: epilogueResults,
  attrs: { ...windowAttrs, ...epilogueAttr, ...scaleAttr },
  infer({ x, w, bias }, { stride, padding, inputScale, epilogue }) {
    need(isConvInput(x, inputScale), `x ${convInputType(inputScale)} [n, h, w, ci] or [n, ci]`);
    const geometry = convGeometry(x.shape, w.shape, stride, padding);
    return epilogueSpecs(activation(outputShape(x.shape, geometry)), epilogue, bias);
  },
  gradient(g, site) {
    needPlain('conv', site, ['x', 'w', 'stride', 'padding']);
    const { x, w } = site.args;
    const { stride, padding } = site.attrs;
    const dy = site.d.y;
    return {
      x: () => g.one('convGradInput', { dy, w }, { stride, padding, inputShape: g.spec(x).shape }),
      w: () => g.one('convGradWeight', { x, dy }, { stride, padding, weightShape: g.spec(w).shape }),
    };
  },
  reference({ step, inputs: { x, w, bias }, outputs }, { stride, padding, inputScale, epilogue }) {
    const geometry = convGeometry(x.shape.slice(1), w.shape, stride, padding);
    const { ci, co } = geometry;
    const values = convInput(x, inputScale);
    const [weights, y] = [w.data as Float64Array, outputs.y.data as Float64Array];
    forEachTap(geometry, step.rows, (xAt, yAt, wAt) => multiply(values, xAt, weights, wAt, y, yAt, ci, co));
    applyEpilogue(outputs, epilogue, bias);
  },
  flops: ({ x, w }, { stride, padding }, rows) => convFlops(convGeometry(x.shape, w.shape, stride, padding), rows),
  traits: { epilogue: ['bias', 'activation', 'statistics'], prologue: { x: { rescale: { inputScale: 'scale' } } } },
});

const convGradInput = defineOp({
  doc: 'dx of a convolution of x [inputShape] with w',
  inputs: { dy: kinds.features, w: kinds.parameter },
  outputs: { dx: kinds.features },
  attrs: { ...windowAttrs, inputShape: attr.shape },
  infer({ dy, w }, { stride, padding, inputShape }) {
    const geometry = convGeometry(inputShape, w.shape, stride, padding);
    need(sameShape(dy.shape, outputShape(inputShape, geometry)), `dy [n, oh, ow, co] or [n, co] of a convolution of x [${inputShape}]`);
    return { dx: activation(inputShape) };
  },
  reference({ step, inputs: { dy, w }, outputs: { dx } }, { stride, padding, inputShape }) {
    const geometry = convGeometry(inputShape, w.shape, stride, padding);
    const { ci, co } = geometry;
    const [to, weights, from] = [dx.data, w.data, dy.data] as Float64Array[];
    forEachTap(geometry, step.rows, (xAt, yAt, wAt) => multiplyTransposed(to, xAt, weights, wAt, from, yAt, ci, co));
  },
  flops: ({ w }, { stride, padding, inputShape }, rows) => convFlops(convGeometry(inputShape, w.shape, stride, padding), rows),
});

const convGradWeight = defineOp({
  doc: 'dw of a convolution of x with w [weightShape]',
  inputs: { x: xOrBytes, dy: kinds.features },
  outputs: { dw: kinds.parameter },
  attrs: { ...windowAttrs, weightShape: attr.shape, ...scaleAttr },
  infer({ x, dy }, { stride, padding, weightShape, inputScale }) {
    need(isConvInput(x, inputScale), `x ${convInputType(inputScale)} [n, h, w, ci] or [n, ci]`);
    const geometry = convGeometry(x.shape, weightShape, stride, padding);
    need(sameShape(dy.shape, outputShape(x.shape, geometry)), `dy [n, oh, ow, co] or [n, co] of a convolution with w [${weightShape}]`);
    return { dw: parameter(weightShape) };
  },
  reference({ step, inputs, outputs }, { stride, padding, weightShape, inputScale }) {
    const geometry = convGeometry(inputs.x.shape.slice(1), weightShape, stride, padding);
    const { ci, co } = geometry;
    const x = convInput(inputs.x, inputScale);
    const [dy, dw] = [inputs.dy.data, outputs.dw.data] as Float64Array[];
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
  flops: ({ x }, { stride, padding, weightShape }, rows) => convFlops(convGeometry(x.shape, weightShape, stride, padding), rows),
  traits: { prologue: { x: { rescale: { inputScale: 'scale' } } } },
});

export type ConvAttrs = AttrsOf<typeof conv.attrs>;
export type ConvGradInputAttrs = AttrsOf<typeof convGradInput.attrs>;
export type ConvGradWeightAttrs = AttrsOf<typeof convGradWeight.attrs>;

export const convolution = { conv, convGradInput, convGradWeight };
