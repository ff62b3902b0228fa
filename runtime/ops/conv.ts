// Convolution over NHWC images and its two gradients. A dense layer is a 1×1 convolution of a 1×1 image: x [ci], w [ci, co].

import { invariant } from '../base/errors.ts';
import type { TensorSpec } from '../ir/graph.ts';
import type { OpDefinition, ReferenceTensor } from '../ir/op.ts';
import {
  accept,
  activation,
  isActivation,
  isParameter,
  isPositiveInteger,
  operandBytes,
  parameter,
  refuse,
  sameShape,
  throughFirstOutput,
} from './check.ts';
import { acceptsEpilogue, applyEpilogue, type Epilogue, epilogueSpecs, formatEpilogue } from './epilogue.ts';

/** Keras' rules: `valid` reads no pixel outside the image; `same` pads with zeros to ⌈n/stride⌉ results. */
export type Padding = 'valid' | 'same';

export interface ConvAttrs {
  readonly stride: number;
  readonly padding: Padding;
  readonly epilogue?: Epilogue;
  /** x is u8 and stands for x·f32(inputScale): a `rescale` that was fused in. */
  readonly inputScale?: number;
}

export interface ConvGradInputAttrs {
  readonly stride: number;
  readonly padding: Padding;
  /** Shape of x without rows. */
  readonly inputShape: readonly number[];
}

export interface ConvGradWeightAttrs {
  readonly stride: number;
  readonly padding: Padding;
  readonly weightShape: readonly number[];
  readonly inputScale?: number;
}

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
 * Sizes of the convolution of x (shape without rows: [h, w, ci] or [ci]) with w ([kh, kw, ci, co] or [ci, co]).
 *
 * With `same`, an odd total of padding puts the extra row at the bottom and the extra column at the right. Throws
 * E_USAGE where the shapes do not belong together or nothing would come out.
 */
export function convGeometry(xShape: readonly number[], wShape: readonly number[], stride: number, padding: Padding): ConvGeometry {
  const fits =
    (xShape.length === 3 || xShape.length === 1) &&
    (wShape.length === 4 || wShape.length === 2) &&
    xShape[xShape.length - 1] === wShape[wShape.length - 2] &&
    isPositiveInteger(stride) &&
    (padding === 'valid' || padding === 'same');
  const [h, w] = xShape.length === 3 ? xShape : [1, 1];
  const [kh, kw] = wShape.length === 4 ? wShape : [1, 1];
  const [ci, co] = wShape.slice(-2);
  const outputs = (n: number, k: number): number => (padding === 'same' ? Math.ceil(n / stride) : Math.floor((n - k) / stride) + 1);
  const before = (n: number, k: number): number =>
    padding === 'same' ? Math.floor(Math.max((outputs(n, k) - 1) * stride + k - n, 0) / 2) : 0;
  const [oh, ow] = [outputs(h, kh), outputs(w, kw)];
  if (!(fits && oh > 0 && ow > 0))
    refuse(
      `a convolution got x [${xShape}], w [${wShape}], stride ${stride}, padding ${padding}; it takes x [h, w, ci] or [ci], w [kh, kw, ci, co] or [ci, co] ` +
        'with the same ci, a whole stride, padding valid or same, and at least one pixel must come out',
    );
  return { h, w, ci, kh, kw, co, oh, ow, stride, padTop: before(h, kh), padLeft: before(w, kw) };
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

export const conv: OpDefinition = {
  infer(inputs, attrs) {
    const { stride, padding, epilogue, inputScale } = attrs as unknown as ConvAttrs;
    const expected = `x ${convInputType(inputScale)} [n, h, w, ci] or [n, ci], w f32 [kh, kw, ci, co] or [ci, co]${formatEpilogue(epilogue)}`;
    const [x, w] = inputs;
    accept('conv', inputs, inputs.length >= 2 && isConvInput(x, inputScale) && isParameter(w), expected);
    const y = activation(outputShape(x.shape, convGeometry(x.shape, w.shape, stride, padding)));
    accept('conv', inputs, acceptsEpilogue(inputs, y, epilogue), expected);
    return epilogueSpecs(y, epilogue);
  },
  gradient: throughFirstOutput((g, node, dy, wanted) => {
    const { stride, padding, epilogue, inputScale } = node.attrs as unknown as ConvAttrs;
    invariant(!epilogue && inputScale === undefined, `a fused conv cannot be differentiated (${node.label}): autodiff runs before fusion`);
    const [x, w] = node.inputs;
    return [
      wanted[0] ? g.one('convGradInput', [dy, w], { stride, padding, inputShape: g.spec(x).shape }) : null,
      wanted[1] ? g.one('convGradWeight', [x, dy], { stride, padding, weightShape: g.spec(w).shape }) : null,
    ];
  }),
  reference(io, attrs) {
    const { stride, padding, epilogue, inputScale } = attrs as unknown as ConvAttrs;
    const geometry = convGeometry(io.inputs[0].shape.slice(1), io.inputs[1].shape, stride, padding);
    const { ci, co } = geometry;
    const x = convInput(io.inputs[0], inputScale);
    const w = io.inputs[1].data as Float64Array;
    const y = io.outputs[0].data as Float64Array;
    forEachTap(geometry, io.step.rows, (xAt, yAt, wAt) => multiply(x, xAt, w, wAt, y, yAt, ci, co));
    applyEpilogue(io, epilogue);
  },
  cost(inputs, outputs, attrs, rows) {
    const { stride, padding } = attrs as unknown as ConvAttrs;
    const geometry = convGeometry(inputs[0].shape, inputs[1].shape, stride, padding);
    return { flops: convFlops(geometry, rows), bytes: operandBytes(inputs, outputs, rows) };
  },
};

export const convGradInput: OpDefinition = {
  infer(inputs, attrs) {
    const { stride, padding, inputShape } = attrs as unknown as ConvGradInputAttrs;
    const expected = `dy [n, oh, ow, co] or [n, co], w [kh, kw, ci, co] or [ci, co] of a convolution of x [${inputShape}]`;
    const [dy, w] = inputs;
    accept('convGradInput', inputs, inputs.length === 2 && isActivation(dy) && isParameter(w), expected);
    const geometry = convGeometry(inputShape, w.shape, stride, padding);
    accept('convGradInput', inputs, sameShape(dy.shape, outputShape(inputShape, geometry)), expected);
    return [activation(inputShape)];
  },
  reference(io, attrs) {
    const { stride, padding, inputShape } = attrs as unknown as ConvGradInputAttrs;
    const geometry = convGeometry(inputShape, io.inputs[1].shape, stride, padding);
    const { ci, co } = geometry;
    const dy = io.inputs[0].data as Float64Array;
    const w = io.inputs[1].data as Float64Array;
    const dx = io.outputs[0].data as Float64Array;
    forEachTap(geometry, io.step.rows, (xAt, yAt, wAt) => multiplyTransposed(dx, xAt, w, wAt, dy, yAt, ci, co));
  },
  cost(inputs, outputs, attrs, rows) {
    const { stride, padding, inputShape } = attrs as unknown as ConvGradInputAttrs;
    const geometry = convGeometry(inputShape, inputs[1].shape, stride, padding);
    return { flops: convFlops(geometry, rows), bytes: operandBytes(inputs, outputs, rows) };
  },
};

export const convGradWeight: OpDefinition = {
  infer(inputs, attrs) {
    const { stride, padding, weightShape, inputScale } = attrs as unknown as ConvGradWeightAttrs;
    const expected = `x ${convInputType(inputScale)} [n, h, w, ci] or [n, ci], dy f32 [n, oh, ow, co] or [n, co] of a convolution with w [${weightShape}]`;
    const [x, dy] = inputs;
    accept('convGradWeight', inputs, inputs.length === 2 && isConvInput(x, inputScale) && isActivation(dy), expected);
    const geometry = convGeometry(x.shape, weightShape, stride, padding);
    accept('convGradWeight', inputs, sameShape(dy.shape, outputShape(x.shape, geometry)), expected);
    return [parameter(weightShape)];
  },
  reference(io, attrs) {
    const { stride, padding, weightShape, inputScale } = attrs as unknown as ConvGradWeightAttrs;
    const geometry = convGeometry(io.inputs[0].shape.slice(1), weightShape, stride, padding);
    const { ci, co } = geometry;
    const x = convInput(io.inputs[0], inputScale);
    const dy = io.inputs[1].data as Float64Array;
    const dw = io.outputs[0].data as Float64Array;
    // Four pixels of a tap at a time: going through the large dw for every pixel would take most of the time.
    const pending = Array.from({ length: geometry.kh * geometry.kw }, () => ({ x: [0, 0, 0, 0], y: [0, 0, 0, 0], count: 0 }));
    forEachTap(geometry, io.step.rows, (xAt, yAt, wAt) => {
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
  cost(inputs, outputs, attrs, rows) {
    const { stride, padding, weightShape } = attrs as unknown as ConvGradWeightAttrs;
    const geometry = convGeometry(inputs[0].shape, weightShape, stride, padding);
    return { flops: convFlops(geometry, rows), bytes: operandBytes(inputs, outputs, rows) };
  },
};
