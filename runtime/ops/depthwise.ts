// Depthwise convolution (stride 1, `same`): every channel is convolved with a k×k kernel of its own. And its two gradients,
// one by one or together.

import { invariant } from '../base/errors.ts';
import type { TensorSpec } from '../ir/graph.ts';
import type { OpDefinition, ReferenceTensor } from '../ir/op.ts';
import {
  accept,
  activation,
  isActivation,
  isParameter,
  isVector,
  operandBytes,
  parameter,
  refuse,
  sameSpec,
  throughFirstOutput,
} from './check.ts';
import { acceptsEpilogue, applyEpilogue, type Epilogue, epilogueSpecs, formatEpilogue } from './epilogue.ts';

/** What is done to x before it is used, so that a normalised image need not be stored. Set by a fusion rule. */
export interface Prologue {
  /** The last two inputs, scale and shift [C], are applied: x·scale + shift. The zeros around the image stay zeros. */
  readonly normalize?: boolean;
}

export interface DepthwiseAttrs {
  readonly prologue?: Prologue;
  readonly epilogue?: Epilogue;
}

export interface DepthwiseGradWeightAttrs {
  readonly prologue?: Prologue;
  readonly weightShape: readonly number[];
}

/** The inputs without those of the prologue, and those: none, or scale and shift. */
export function splitPrologue<T>(inputs: readonly T[], prologue: Prologue = {}): [others: readonly T[], affine: readonly T[]] {
  const end = inputs.length - (prologue.normalize ? 2 : 0);
  return [inputs.slice(0, end), inputs.slice(end)];
}

const fitsPrologue = (affine: readonly TensorSpec[], x: TensorSpec): boolean => affine.every((spec) => isVector(spec, x.shape[2]));
const formatPrologue = (prologue: Prologue = {}): string => (prologue.normalize ? ', scale, shift [C]' : '');

/** Reference: x as the op sees it. */
function prologued(x: ReferenceTensor, [scale, shift]: readonly ReferenceTensor[]): Float64Array {
  const data = x.data as Float64Array;
  return scale ? data.map((value, i) => value * scale.data[i % scale.data.length] + shift.data[i % scale.data.length]) : data;
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
  return { h, w, c, k, pad: Math.floor((k - 1) / 2) };
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

export const depthwise: OpDefinition = {
  infer(inputs, attrs) {
    const { prologue, epilogue } = attrs as unknown as DepthwiseAttrs;
    const expected = `x [n, h, w, C], w [k, k, C, 1]${formatEpilogue(epilogue)}${formatPrologue(prologue)}`;
    const [operands, affine] = splitPrologue(inputs, prologue);
    const [x, w] = operands;
    accept('depthwise', inputs, operands.length >= 2 && isActivation(x) && isParameter(w), expected);
    depthwiseGeometry(x.shape, w.shape);
    accept('depthwise', inputs, acceptsEpilogue(operands, x, epilogue) && fitsPrologue(affine, x), expected);
    return epilogueSpecs(activation(x.shape), epilogue);
  },
  gradient: throughFirstOutput((g, node, dy, wanted) => {
    invariant(
      !node.attrs.epilogue && !node.attrs.prologue,
      `a fused depthwise cannot be differentiated (${node.label}): autodiff runs before fusion`,
    );
    const [x, w] = node.inputs;
    return [
      wanted[0] ? g.one('depthwiseGradInput', [dy, w]) : null,
      wanted[1] ? g.one('depthwiseGradWeight', [x, dy], { weightShape: g.spec(w).shape }) : null,
    ];
  }),
  reference(io, attrs) {
    const { prologue, epilogue } = attrs as unknown as DepthwiseAttrs;
    const geometry = depthwiseGeometry(io.inputs[0].shape.slice(1), io.inputs[1].shape);
    const x = prologued(io.inputs[0], splitPrologue(io.inputs, prologue)[1]);
    const w = io.inputs[1].data as Float64Array;
    const y = io.outputs[0].data as Float64Array;
    forEachTap(geometry, io.step.rows, (xAt, yAt, wAt) => {
      for (let c = 0; c < geometry.c; c++) y[yAt + c] += x[xAt + c] * w[wAt + c];
    });
    applyEpilogue(io, epilogue);
  },
  cost(inputs, outputs, _attrs, rows) {
    return { flops: flops(depthwiseGeometry(inputs[0].shape, inputs[1].shape), rows), bytes: operandBytes(inputs, outputs, rows) };
  },
};

export const depthwiseGradInput: OpDefinition = {
  infer(inputs) {
    const [dy, w] = inputs;
    accept('depthwiseGradInput', inputs, inputs.length === 2 && isActivation(dy) && isParameter(w), 'dy [n, h, w, C], w [k, k, C, 1]');
    depthwiseGeometry(dy.shape, w.shape);
    return [dy];
  },
  reference(io) {
    const geometry = depthwiseGeometry(io.inputs[0].shape.slice(1), io.inputs[1].shape);
    const dy = io.inputs[0].data as Float64Array;
    const w = io.inputs[1].data as Float64Array;
    const dx = io.outputs[0].data as Float64Array;
    forEachTap(geometry, io.step.rows, (xAt, yAt, wAt) => {
      for (let c = 0; c < geometry.c; c++) dx[xAt + c] += dy[yAt + c] * w[wAt + c];
    });
  },
  cost(inputs, outputs, _attrs, rows) {
    return { flops: flops(depthwiseGeometry(inputs[0].shape, inputs[1].shape), rows), bytes: operandBytes(inputs, outputs, rows) };
  },
};

export const depthwiseGradWeight: OpDefinition = {
  infer(inputs, attrs) {
    const { prologue, weightShape } = attrs as unknown as DepthwiseGradWeightAttrs;
    const [operands, affine] = splitPrologue(inputs, prologue);
    const [x, dy] = operands;
    const fits = operands.length === 2 && isActivation(x) && sameSpec(x, dy) && fitsPrologue(affine, x);
    accept('depthwiseGradWeight', inputs, fits, `x and dy [n, h, w, C] of one shape${formatPrologue(prologue)}`);
    depthwiseGeometry(x.shape, weightShape);
    return [parameter(weightShape)];
  },
  reference(io, attrs) {
    const { prologue, weightShape } = attrs as unknown as DepthwiseGradWeightAttrs;
    const geometry = depthwiseGeometry(io.inputs[0].shape.slice(1), weightShape);
    const x = prologued(io.inputs[0], splitPrologue(io.inputs, prologue)[1]);
    const dy = io.inputs[1].data as Float64Array;
    const dw = io.outputs[0].data as Float64Array;
    forEachTap(geometry, io.step.rows, (xAt, yAt, wAt) => {
      for (let c = 0; c < geometry.c; c++) dw[wAt + c] += x[xAt + c] * dy[yAt + c];
    });
  },
  cost(inputs, outputs, attrs, rows) {
    const { weightShape } = attrs as unknown as DepthwiseGradWeightAttrs;
    return { flops: flops(depthwiseGeometry(inputs[0].shape, weightShape), rows), bytes: operandBytes(inputs, outputs, rows) };
  },
};

export type DepthwiseGradAttrs = {
  readonly prologue?: Prologue & {
    /** dy is taken through batch normalisation and GELU first, as by `bnGradApply` with a derivative. */
    readonly bnGrad?: boolean;
  };
  /** A further input, of the shape of dx, is added to it. */
  readonly residual?: boolean;
  /** A further output dbias [C]: the sum of dy as the convolution sees it. */
  readonly biasGrad?: boolean;
};

/** The inputs of a `depthwiseGrad` by their part in it; empty where they are absent. */
export function depthwiseGradInputs<T>(inputs: readonly T[], { prologue = {} }: DepthwiseGradAttrs) {
  const [others, affine] = splitPrologue(inputs, prologue);
  const after = prologue.bnGrad ? 8 : 3;
  /** bnGrad: activation, scale, alpha, kappa, derivative. */
  return { operands: others.slice(0, 3), bnGrad: others.slice(3, after), residual: others.slice(after), affine };
}

export const depthwiseGrad: OpDefinition = {
  outputNames: ['dx', 'dw', 'dbias'],
  infer(inputs, attrs) {
    const { prologue, residual, biasGrad } = attrs as unknown as DepthwiseGradAttrs;
    const parts = depthwiseGradInputs(inputs, attrs as unknown as DepthwiseGradAttrs);
    const [dy, x, w] = parts.operands;
    const [activation, scale, alpha, kappa, derivative] = parts.bnGrad;
    const fits =
      parts.operands.length === 3 &&
      isActivation(x) &&
      isParameter(w) &&
      [dy, ...parts.residual].every((spec) => sameSpec(spec, x)) &&
      parts.bnGrad.length === (prologue?.bnGrad ? 5 : 0) &&
      parts.residual.length === (residual ? 1 : 0) &&
      (!prologue?.bnGrad || [activation, derivative].every((spec) => sameSpec(spec, x))) &&
      (!prologue?.bnGrad || fitsPrologue([scale, alpha, kappa], x)) &&
      fitsPrologue(parts.affine, x);
    const expected = [
      'dy, x [n, h, w, C] of one shape, w [k, k, C, 1]',
      ...(prologue?.bnGrad ? ['activation, scale, alpha, kappa [C], derivative'] : []),
      ...(residual ? ['residual'] : []),
    ];
    accept('depthwiseGrad', inputs, fits, `${expected.join(', ')}${formatPrologue(prologue)}`);
    depthwiseGeometry(x.shape, w.shape);
    return [x, w, ...(biasGrad ? [parameter(x.shape.slice(2))] : [])];
  },
  reference({ step, inputs, outputs }, attrs) {
    const parts = depthwiseGradInputs(inputs, attrs as unknown as DepthwiseGradAttrs);
    const [dyInput, xInput, wInput] = parts.operands;
    const [activation, scale, alpha, kappa, derivative] = parts.bnGrad.map(({ data }) => data);
    const geometry = depthwiseGeometry(xInput.shape.slice(1), wInput.shape);
    const channels = geometry.c;
    const x = prologued(xInput, parts.affine);
    const w = wInput.data;
    const dy = (dyInput.data as Float64Array).map((value, i) => {
      const c = i % channels;
      return scale ? (scale[c] * value + alpha[c] + kappa[c] * activation[i]) * derivative[i] : value;
    });
    const [dx, dw, dbias] = outputs.map(({ data }) => data);
    forEachTap(geometry, step.rows, (xAt, yAt, wAt) => {
      for (let c = 0; c < channels; c++) {
        dx[xAt + c] += dy[yAt + c] * w[wAt + c];
        dw[wAt + c] += x[xAt + c] * dy[yAt + c];
      }
    });
    for (const { data } of parts.residual) for (let i = 0; i < dx.length; i++) dx[i] += data[i];
    if (dbias) for (let i = 0; i < dy.length; i++) dbias[i % channels] += dy[i];
  },
  cost(inputs, outputs, _attrs, rows) {
    return { flops: 2 * flops(depthwiseGeometry(inputs[1].shape, inputs[2].shape), rows), bytes: operandBytes(inputs, outputs, rows) };
  },
};
