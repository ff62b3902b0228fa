// Depthwise convolution (stride 1, `same`): every channel is convolved with a k×k kernel of its own. And its two gradients,
// one by one or together.

import { defineOp } from '../ir/define-op.ts';
import type { ReferenceTensor } from '../ir/op.ts';
import { attr, need, optional } from '../ir/signature.ts';
import type { TensorSpec } from '../ir/tensor.ts';
import { isVector, kinds, parameter, refuse, sameSpec } from './check.ts';
import { applyEpilogue, epilogueAttr, epilogueResults, epilogueSpecs, needPlain } from './epilogue.ts';
import { placeWindow } from './window.ts';

/**
 * Scale and shift [C]: x·scale + shift is computed before x is used, so that a normalised image need not be stored. The zeros around the image
 * stay zeros.
 */
const affine = { scale: optional(kinds.vector), shift: optional(kinds.vector) };
const normalized = { normalize: { scale: 'scale', shift: 'shift' } };

function needVectors(x: TensorSpec, ...vectors: readonly (TensorSpec | undefined)[]): void {
  const present = vectors.filter((spec) => spec !== undefined);
  const fits = present.every((spec) => isVector(spec, x.shape[2]));
  need(fits && (present.length === 0 || present.length === vectors.length), `all or none of its vectors, [${x.shape[2]}] each`);
}

/** Reference: x as the op sees it. */
function prologued(x: ReferenceTensor, scale?: ReferenceTensor, shift?: ReferenceTensor): Float64Array {
  const data = x.data as Float64Array;
  return scale && shift ? data.map((value, i) => value * scale.data[i % scale.data.length] + shift.data[i % shift.data.length]) : data;
}

/** Image h×w×c, kernel k×k, and the rows and columns of zeros before the image: ⌊(k−1)/2⌋. An even k pads one more after it. */
export interface DepthwiseGeometry {
  readonly h: number;
  readonly w: number;
  readonly c: number;
  readonly k: number;
  readonly pad: number;
}

/** Sizes of the depthwise convolution of x [h, w, C] (shape without rows) with w [k, k, C, 1]. Throws E_USAGE for other shapes. */
export function depthwiseGeometry(xShape: readonly number[], wShape: readonly number[]): DepthwiseGeometry {
  const [h, w, c] = xShape;
  const k = wShape[0];
  const fits = xShape.length === 3 && wShape.length === 4 && wShape[1] === k && wShape[2] === c && wShape[3] === 1;
  if (!fits) refuse(`a depthwise convolution got x [${xShape}], w [${wShape}] and takes x [h, w, C], w [k, k, C, 1]`);
  return { h, w, c, k, pad: placeWindow([h, w], k, { padding: 'same' }).pads.top };
}

const flops = ({ h, w, c, k }: DepthwiseGeometry, rows: number): number => 2 * rows * h * w * k * k * c;

/** Calls `visit` for every pixel and every tap inside the image, with the offsets of the tap's input pixel, the output pixel and the tap. */
function forEachTap({ h, w, c, k, pad }: DepthwiseGeometry, rows: number, visit: (x: number, y: number, w: number) => void): void {
  for (let n = 0; n < rows; n++) {
    for (let oy = 0; oy < h; oy++) {
      for (let ox = 0; ox < w; ox++) {
        for (let ky = 0; ky < k; ky++) {
          const iy = oy + ky - pad;
          if (iy < 0 || iy >= h) continue;
          for (let kx = 0; kx < k; kx++) {
            const ix = ox + kx - pad;
            if (ix < 0 || ix >= w) continue;
            visit(((n * h + iy) * w + ix) * c, ((n * h + oy) * w + ox) * c, (ky * k + kx) * c);
          }
        }
      }
    }
  }
}

const depthwise = defineOp({
  doc:
    'each channel of x convolved with its kernel of w [k, k, C, 1], stride 1, same. bias, activation, derivative and partials are its epilogue; scale ' +
    'and shift its prologue: it sees x·scale + shift',
  inputs: { x: kinds.image, w: kinds.parameter, bias: optional(kinds.vector), ...affine },
  outputs: epilogueResults,
  attrs: epilogueAttr,
  infer({ x, w, bias, scale, shift }, { epilogue }) {
    depthwiseGeometry(x.shape, w.shape);
    needVectors(x, scale, shift);
    return epilogueSpecs(x, epilogue, bias);
  },
  gradient(g, site) {
    needPlain('depthwise', site, ['x', 'w']);
    const { x, w } = site.args;
    const dy = site.d.y;
    return {
      x: () => g.one('depthwiseGradInput', { dy, w }),
      w: () => g.one('depthwiseGradWeight', { x, dy }, { weightShape: g.spec(w).shape }),
    };
  },
  reference({ step, inputs: { x, w, bias, scale, shift }, outputs }, { epilogue }) {
    const geometry = depthwiseGeometry(x.shape.slice(1), w.shape);
    const values = prologued(x, scale, shift);
    const { y } = outputs;
    forEachTap(geometry, step.rows, (xAt, yAt, wAt) => {
      for (let c = 0; c < geometry.c; c++) y.data[yAt + c] += values[xAt + c] * w.data[wAt + c];
    });
    applyEpilogue(outputs, epilogue, bias);
  },
  flops: ({ x, w }, _, rows) => flops(depthwiseGeometry(x.shape, w.shape), rows),
  traits: { counts: true, epilogue: ['bias', 'activation', 'statistics'], prologue: { x: normalized } },
});

const depthwiseGradInput = defineOp({
  doc: 'dx of `depthwise`',
  inputs: { dy: kinds.image, w: kinds.parameter },
  outputs: { dx: kinds.image },
  infer({ dy, w }) {
    depthwiseGeometry(dy.shape, w.shape);
    return { dx: dy };
  },
  reference({ step, inputs: { dy, w }, outputs: { dx } }) {
    const geometry = depthwiseGeometry(dy.shape.slice(1), w.shape);
    forEachTap(geometry, step.rows, (xAt, yAt, wAt) => {
      for (let c = 0; c < geometry.c; c++) dx.data[xAt + c] += dy.data[yAt + c] * w.data[wAt + c];
    });
  },
  flops: ({ dy, w }, _, rows) => flops(depthwiseGeometry(dy.shape, w.shape), rows),
});

const depthwiseGradWeight = defineOp({
  doc: 'dw of `depthwise` with w [weightShape]',
  inputs: { x: kinds.image, dy: kinds.image, ...affine },
  outputs: { dw: kinds.parameter },
  attrs: { weightShape: attr.shape },
  infer({ x, dy, scale, shift }, { weightShape }) {
    need(sameSpec(x, dy), 'x and dy [n, h, w, C] of one shape');
    needVectors(x, scale, shift);
    depthwiseGeometry(x.shape, weightShape);
    return { dw: parameter(weightShape) };
  },
  reference({ step, inputs: { x, dy, scale, shift }, outputs: { dw } }, { weightShape }) {
    const geometry = depthwiseGeometry(x.shape.slice(1), weightShape);
    const values = prologued(x, scale, shift);
    forEachTap(geometry, step.rows, (xAt, yAt, wAt) => {
      for (let c = 0; c < geometry.c; c++) dw.data[wAt + c] += values[xAt + c] * dy.data[yAt + c];
    });
  },
  flops: ({ x }, { weightShape }, rows) => flops(depthwiseGeometry(x.shape, weightShape), rows),
  traits: { prologue: { x: normalized }, together: { other: 'depthwiseGradInput', on: 'dy', as: 'depthwiseGrad' } },
});

const depthwiseGrad = defineOp({
  doc:
    'both gradients of `depthwise` from one look at dy. With activation, slope, alpha, kappa and derivative it sees ' +
    '(slope·dy + alpha + kappa·activation)·derivative in place of dy, as `bnGradApply` would have stored it; residual is added to dx; scale and shift are ' +
    'those of x; with biasGrad dbias = Σdy as it sees it',
  inputs: {
    dy: kinds.image,
    x: kinds.image,
    w: kinds.parameter,
    activation: optional(kinds.image),
    slope: optional(kinds.vector),
    alpha: optional(kinds.vector),
    kappa: optional(kinds.vector),
    derivative: optional(kinds.image),
    residual: optional(kinds.image),
    ...affine,
  },
  outputs: { dx: kinds.image, dw: kinds.parameter, dbias: optional(kinds.vector) },
  attrs: { biasGrad: attr.optional(attr.flag) },
  infer({ dy, x, w, activation, slope, alpha, kappa, derivative, residual, scale, shift }, { biasGrad }) {
    need(
      [dy, activation, derivative, residual].every((spec) => !spec || sameSpec(spec, x)),
      'images of one shape',
    );
    need(
      [activation, derivative, slope, alpha, kappa].every((spec) => (spec === undefined) === (slope === undefined)),
      'all of activation, slope, alpha, kappa and derivative, or none of them',
    );
    needVectors(x, slope, alpha, kappa);
    needVectors(x, scale, shift);
    depthwiseGeometry(x.shape, w.shape);
    return { dx: x, dw: w, dbias: biasGrad ? parameter(x.shape.slice(2)) : undefined };
  },
  reference({ step, inputs, outputs: { dx, dw, dbias } }) {
    const { w, activation, slope, alpha, kappa, derivative, residual } = inputs;
    const geometry = depthwiseGeometry(inputs.x.shape.slice(1), w.shape);
    const channels = geometry.c;
    const x = prologued(inputs.x, inputs.scale, inputs.shift);
    const dy = (inputs.dy.data as Float64Array).map((value, i) => {
      const c = i % channels;
      if (!slope || !alpha || !kappa || !activation || !derivative) return value;
      return (slope.data[c] * value + alpha.data[c] + kappa.data[c] * activation.data[i]) * derivative.data[i];
    });
    forEachTap(geometry, step.rows, (xAt, yAt, wAt) => {
      for (let c = 0; c < channels; c++) {
        dx.data[xAt + c] += dy[yAt + c] * w.data[wAt + c];
        dw.data[wAt + c] += x[xAt + c] * dy[yAt + c];
      }
    });
    if (residual) for (let i = 0; i < dx.data.length; i++) dx.data[i] += residual.data[i];
    if (dbias) for (let i = 0; i < dy.length; i++) dbias.data[i % channels] += dy[i];
  },
  flops: ({ x, w }, _, rows) => 2 * flops(depthwiseGeometry(x.shape, w.shape), rows),
  traits: {
    epilogue: ['add'],
    prologue: {
      dy: { normalizeGrad: { activation: 'x', slope: 'scale', alpha: 'alpha', kappa: 'kappa', derivative: 'derivative' } },
    },
  },
});

export const depthwiseConvolution = { depthwise, depthwiseGradInput, depthwiseGradWeight, depthwiseGrad };
