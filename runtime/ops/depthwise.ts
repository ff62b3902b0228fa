// Depthwise convolution (stride 1, `same`): every channel is convolved with a k×k kernel of its own. And its two gradients.

import { invariant } from '../base/errors.ts';
import type { OpDefinition } from '../ir/op.ts';
import { accept, activation, isActivation, isParameter, operandBytes, parameter, sameSpec, throughFirstOutput } from './check.ts';
import { acceptsEpilogue, applyEpilogue, type Epilogue, epilogueSpecs, formatEpilogue } from './epilogue.ts';

export interface DepthwiseAttrs {
  readonly epilogue?: Epilogue;
}

export interface DepthwiseGradWeightAttrs {
  readonly weightShape: readonly number[];
}

/** Image h×w×c, kernel k×k, and the rows and columns of zeros before the image: ⌊(k−1)/2⌋. An even k pads one more after it. */
export interface DepthwiseGeometry {
  readonly h: number;
  readonly w: number;
  readonly c: number;
  readonly k: number;
  readonly pad: number;
}

/** Sizes of the depthwise convolution of x [h, w, C] (shape without rows) with w [k, k, C, 1]. Throws E_INTERNAL for other shapes. */
export function depthwiseGeometry(xShape: readonly number[], wShape: readonly number[]): DepthwiseGeometry {
  const [h, w, c] = xShape;
  const k = wShape[0];
  const fits = xShape.length === 3 && wShape.length === 4 && wShape[1] === k && wShape[2] === c && wShape[3] === 1;
  invariant(fits, `a depthwise convolution got x [${xShape}], w [${wShape}] and takes x [h, w, C], w [k, k, C, 1]`);
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
    const { epilogue } = attrs as unknown as DepthwiseAttrs;
    const expected = `x [n, h, w, C], w [k, k, C, 1]${formatEpilogue(epilogue)}`;
    const [x, w] = inputs;
    accept('depthwise', inputs, inputs.length >= 2 && isActivation(x) && isParameter(w), expected);
    depthwiseGeometry(x.shape, w.shape);
    accept('depthwise', inputs, acceptsEpilogue(inputs, x, epilogue), expected);
    return epilogueSpecs(activation(x.shape), epilogue);
  },
  gradient: throughFirstOutput((g, node, dy, wanted) => {
    invariant(!node.attrs.epilogue, `a fused depthwise cannot be differentiated (${node.label}): autodiff runs before fusion`);
    const [x, w] = node.inputs;
    return [
      wanted[0] ? g.one('depthwiseGradInput', [dy, w]) : null,
      wanted[1] ? g.one('depthwiseGradWeight', [x, dy], { weightShape: g.spec(w).shape }) : null,
    ];
  }),
  reference(io, attrs) {
    const geometry = depthwiseGeometry(io.inputs[0].shape.slice(1), io.inputs[1].shape);
    const x = io.inputs[0].data as Float64Array;
    const w = io.inputs[1].data as Float64Array;
    const y = io.outputs[0].data as Float64Array;
    forEachTap(geometry, io.step.rows, (xAt, yAt, wAt) => {
      for (let c = 0; c < geometry.c; c++) y[yAt + c] += x[xAt + c] * w[wAt + c];
    });
    applyEpilogue(io, (attrs as unknown as DepthwiseAttrs).epilogue);
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
    const { weightShape } = attrs as unknown as DepthwiseGradWeightAttrs;
    const [x, dy] = inputs;
    accept('depthwiseGradWeight', inputs, inputs.length === 2 && isActivation(x) && sameSpec(x, dy), 'x and dy [n, h, w, C] of one shape');
    depthwiseGeometry(x.shape, weightShape);
    return [parameter(weightShape)];
  },
  reference(io, attrs) {
    const { weightShape } = attrs as unknown as DepthwiseGradWeightAttrs;
    const geometry = depthwiseGeometry(io.inputs[0].shape.slice(1), weightShape);
    const x = io.inputs[0].data as Float64Array;
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
