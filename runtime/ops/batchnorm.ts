// Batch normalisation. Models and autodiff speak of it as two ops, `batchnorm` and `batchnormGrad`. The pass `expand` splits
// each into a reduction, arithmetic on [C] vectors ("fold") and one affine map per element, which is what devices run and
// what fusion joins with its neighbours:
//
//   batchnorm      = bnStats     → bnFold     → normalize
//   batchnormGrad  = bnGradStats → bnGradFold → bnGradApply
//
// Variance is the biased one everywhere.

import type { OpDefinition } from '../ir/op.ts';
import {
  accept,
  channelSums,
  channelsOf,
  elementwiseCost,
  isActivation,
  isParameter,
  isPositiveInteger,
  isVector,
  moments,
  parameter,
  pixelsOf,
  sameSpec,
  samplesPerTile,
  throughFirstOutput,
} from './check.ts';
import { applyEpilogue, type Epilogue, epilogueSpecs, fitsEpilogue } from './epilogue.ts';

export interface BatchnormAttrs {
  readonly epsilon: number;
}

export interface BnStatsAttrs {
  /** What the input is: x itself, or the `partials` of an epilogue. */
  readonly from: 'input' | 'partials';
  /** Pixels of a sample of x. */
  readonly pixels: number;
}

export interface NormalizeAttrs {
  /** Without bias: shift is one. */
  readonly epilogue?: Epilogue;
}

export interface BnGradFoldAttrs {
  readonly epsilon: number;
  readonly pixels: number;
}

/** What bnGradApply does besides: multiply by a stored derivative, sum the result to the gradient of a bias. */
export interface BnGradEpilogue {
  readonly derivative?: boolean;
  readonly biasGrad?: boolean;
}

export interface BnGradApplyAttrs {
  readonly epilogue?: BnGradEpilogue;
}

const isEpsilon = (epsilon: unknown): boolean => typeof epsilon === 'number' && epsilon > 0;

export const batchnorm: OpDefinition = {
  outputNames: ['y', 'mean', 'variance'],
  infer(inputs, attrs) {
    const [x, gamma, beta] = inputs;
    const fits = inputs.length === 3 && isActivation(x) && [gamma, beta].every((spec) => isVector(spec, channelsOf(x.shape)));
    accept(
      'batchnorm',
      inputs,
      fits && isEpsilon(attrs.epsilon),
      `x [n, …, C], gamma [C], beta [C] and a positive epsilon (given: ${attrs.epsilon})`,
    );
    return [x, gamma, gamma];
  },
  gradient: throughFirstOutput((g, node, dy, wanted) => {
    const [x, gamma] = node.inputs;
    const [, mean, variance] = node.outputs;
    const gradients = g.add('batchnormGrad', [dy, x, gamma, mean, variance], node.attrs);
    return gradients.map((id, i) => (wanted[i] ? id : null));
  }),
  reference({ inputs, outputs }, attrs) {
    const { epsilon } = attrs as unknown as BatchnormAttrs;
    const x = inputs[0].data as Float64Array;
    const [gamma, beta] = [inputs[1].data, inputs[2].data];
    const y = outputs[0].data;
    const channels = gamma.length;
    const { mean, squares } = moments(x, channels);
    const variance = squares.map((sum) => (sum * channels) / x.length);
    outputs[1].data.set(mean);
    outputs[2].data.set(variance);
    for (let i = 0; i < y.length; i++) {
      const c = i % channels;
      y[i] = ((x[i] - mean[c]) / Math.sqrt(variance[c] + epsilon)) * gamma[c] + beta[c];
    }
  },
  cost: elementwiseCost(7),
};

export const batchnormGrad: OpDefinition = {
  outputNames: ['dx', 'dgamma', 'dbeta'],
  infer(inputs, attrs) {
    const [dy, x, ...vectors] = inputs;
    const fits = inputs.length === 5 && isActivation(dy) && sameSpec(dy, x) && vectors.every((spec) => isVector(spec, channelsOf(x.shape)));
    const expected = `dy, x [n, …, C] of one shape, gamma, mean, variance [C] and a positive epsilon (given: ${attrs.epsilon})`;
    accept('batchnormGrad', inputs, fits && isEpsilon(attrs.epsilon), expected);
    return [dy, vectors[0], vectors[0]];
  },
  reference({ inputs, outputs }, attrs) {
    const { epsilon } = attrs as unknown as BatchnormAttrs;
    const [dy, x, gamma, mean, variance] = inputs.map(({ data }) => data as Float64Array);
    const [dx, dgamma, dbeta] = outputs.map(({ data }) => data as Float64Array);
    const channels = gamma.length;
    const count = x.length / channels;
    const normalized = (i: number, c: number): number => (x[i] - mean[c]) / Math.sqrt(variance[c] + epsilon);
    dbeta.set(channelSums(dy.length, channels, (i) => dy[i]));
    dgamma.set(channelSums(dy.length, channels, (i, c) => dy[i] * normalized(i, c)));
    for (let i = 0; i < dx.length; i++) {
      const c = i % channels;
      const centred = dy[i] - dbeta[c] / count - (normalized(i, c) * dgamma[c]) / count;
      dx[i] = (gamma[c] / Math.sqrt(variance[c] + epsilon)) * centred;
    }
  },
  cost: elementwiseCost(12),
};

export const bnStats: OpDefinition = {
  outputNames: ['mean', 'variance'],
  infer(inputs, attrs) {
    const { from, pixels } = attrs as unknown as BnStatsAttrs;
    const [x] = inputs;
    const fits =
      inputs.length === 1 &&
      isActivation(x) &&
      (from === 'partials' ? x.shape.length === 2 && x.shape[0] === 2 : from === 'input' && pixelsOf(x.shape) === pixels);
    const expected = `x [n, …, C] of ${pixels} pixels (from: input) or partials [n, 2, C] (from: partials), given from: ${from}, pixels: ${pixels}`;
    accept('bnStats', inputs, fits && isPositiveInteger(pixels), expected);
    const vector = parameter([channelsOf(x.shape)]);
    return [vector, vector];
  },
  reference({ step, inputs, outputs }, attrs) {
    const { from, pixels } = attrs as unknown as BnStatsAttrs;
    const channels = channelsOf(inputs[0].shape);
    const data = inputs[0].data as Float64Array;
    const { mean, squares } = from === 'input' ? moments(data, channels) : mergePartials(data, channels, step.rows, pixels);
    outputs[0].data.set(mean);
    outputs[1].data.set(squares.map((sum) => sum / (step.rows * pixels)));
  },
  cost: elementwiseCost(3),
};

/** The moments of all tiles, merged in order by Chan's formula. */
function mergePartials(
  partials: Float64Array,
  channels: number,
  rows: number,
  pixels: number,
): { mean: Float64Array; squares: Float64Array } {
  const tile = samplesPerTile(pixels);
  const mean = new Float64Array(channels);
  const squares = new Float64Array(channels);
  for (let t = 0; t * tile < rows; t++) {
    const before = t * tile * pixels;
    const count = Math.min(tile, rows - t * tile) * pixels;
    for (let c = 0; c < channels; c++) {
      const delta = partials[2 * t * channels + c] - mean[c];
      mean[c] += (delta * count) / (before + count);
      squares[c] += partials[(2 * t + 1) * channels + c] + (delta * delta * before * count) / (before + count);
    }
  }
  return { mean, squares };
}

export const bnFold: OpDefinition = {
  outputNames: ['scale', 'shift'],
  infer(inputs, attrs) {
    const fits = inputs.length === 4 && isParameter(inputs[0]) && inputs.every((spec) => isVector(spec, inputs[0].shape[0]));
    accept(
      'bnFold',
      inputs,
      fits && isEpsilon(attrs.epsilon),
      `mean, variance, gamma, beta [C] and a positive epsilon (given: ${attrs.epsilon})`,
    );
    return [inputs[0], inputs[0]];
  },
  reference({ inputs, outputs }, attrs) {
    const { epsilon } = attrs as unknown as BatchnormAttrs;
    const [mean, variance, gamma, beta] = inputs.map(({ data }) => data);
    const [scale, shift] = outputs.map(({ data }) => data);
    for (let c = 0; c < scale.length; c++) {
      scale[c] = gamma[c] / Math.sqrt(variance[c] + epsilon);
      shift[c] = beta[c] - mean[c] * scale[c];
    }
  },
  cost: elementwiseCost(5),
};

export const normalize: OpDefinition = {
  infer(inputs, attrs) {
    const { epilogue = {} } = attrs as unknown as NormalizeAttrs;
    const [x, scale, shift, residual, ...residualAffine] = inputs;
    const fits =
      [3, 4, 6].includes(inputs.length) &&
      isActivation(x) &&
      fitsEpilogue(epilogue) &&
      !epilogue.bias &&
      (!residual || sameSpec(residual, x)) &&
      [scale, shift, ...residualAffine].every((spec) => isVector(spec, channelsOf(x.shape)));
    const expected = 'x [n, …, C], scale, shift [C], perhaps a residual of the shape of x, and perhaps scale and shift of that';
    accept('normalize', inputs, fits, `${expected} (epilogue ${JSON.stringify(epilogue)}; without bias, derivative needs gelu)`);
    return epilogueSpecs(x, epilogue);
  },
  reference(io, attrs) {
    const [x, scale, shift, residual, residualScale, residualShift] = io.inputs.map(({ data }) => data);
    const y = io.outputs[0].data;
    for (let i = 0; i < y.length; i++) {
      const c = i % scale.length;
      y[i] = x[i] * scale[c] + shift[c];
      if (residual) y[i] += residualScale ? residual[i] * residualScale[c] + residualShift[c] : residual[i];
    }
    applyEpilogue(io, (attrs as unknown as NormalizeAttrs).epilogue);
  },
  cost: elementwiseCost(3),
  inPlace: 0,
};

export const bnGradStats: OpDefinition = {
  outputNames: ['dySum', 'dyxSum'],
  infer(inputs) {
    const [dy, x, mean] = inputs;
    const fits = inputs.length === 3 && isActivation(dy) && sameSpec(dy, x) && isVector(mean, channelsOf(x.shape));
    accept('bnGradStats', inputs, fits, 'dy, x [n, …, C] of one shape, mean [C]');
    return [mean, mean];
  },
  reference({ inputs, outputs }) {
    const [dy, x, mean] = inputs.map(({ data }) => data as Float64Array);
    outputs[0].data.set(channelSums(dy.length, mean.length, (i) => dy[i]));
    outputs[1].data.set(channelSums(dy.length, mean.length, (i, c) => dy[i] * (x[i] - mean[c])));
  },
  cost: elementwiseCost(4),
};

export const bnGradFold: OpDefinition = {
  outputNames: ['scale', 'alpha', 'kappa', 'dgamma', 'dbeta'],
  infer(inputs, attrs) {
    const { epsilon, pixels } = attrs as unknown as BnGradFoldAttrs;
    const fits = inputs.length === 5 && isParameter(inputs[0]) && inputs.every((spec) => isVector(spec, inputs[0].shape[0]));
    const expected = `dySum, dyxSum, mean, variance, gamma [C], a positive epsilon and pixels (given: ${epsilon}, ${pixels})`;
    accept('bnGradFold', inputs, fits && isEpsilon(epsilon) && isPositiveInteger(pixels), expected);
    return Array.from({ length: 5 }, () => inputs[0]);
  },
  reference({ step, inputs, outputs }, attrs) {
    const { epsilon, pixels } = attrs as unknown as BnGradFoldAttrs;
    const [dySum, dyxSum, mean, variance, gamma] = inputs.map(({ data }) => data);
    const [scale, alpha, kappa, dgamma, dbeta] = outputs.map(({ data }) => data);
    const count = step.rows * pixels;
    for (let c = 0; c < scale.length; c++) {
      const r = 1 / Math.sqrt(variance[c] + epsilon);
      scale[c] = gamma[c] * r;
      dgamma[c] = r * dyxSum[c];
      dbeta[c] = dySum[c];
      kappa[c] = (-scale[c] * r * dgamma[c]) / count;
      alpha[c] = (-scale[c] * dySum[c]) / count - kappa[c] * mean[c];
    }
  },
  cost: elementwiseCost(14),
};

export const bnGradApply: OpDefinition = {
  outputNames: ['dx', 'dbias'],
  infer(inputs, attrs) {
    const { epilogue = {} } = attrs as unknown as BnGradApplyAttrs;
    const [dy, x, scale, alpha, kappa, derivative] = inputs;
    const fits =
      inputs.length === (epilogue.derivative ? 6 : 5) &&
      isActivation(dy) &&
      sameSpec(dy, x) &&
      [scale, alpha, kappa].every((spec) => isVector(spec, channelsOf(x.shape))) &&
      (!epilogue.derivative || sameSpec(derivative, dy));
    const expected = `dy, x [n, …, C] of one shape, scale, alpha, kappa [C]${epilogue.derivative ? ', derivative of the shape of dy' : ''}`;
    accept('bnGradApply', inputs, fits, `${expected} (epilogue ${JSON.stringify(epilogue)})`);
    return epilogue.biasGrad ? [dy, scale] : [dy];
  },
  reference({ inputs, outputs }, attrs) {
    const { epilogue = {} } = attrs as unknown as BnGradApplyAttrs;
    const [dy, x, scale, alpha, kappa] = inputs.map(({ data }) => data);
    const derivative = epilogue.derivative ? inputs[5].data : null;
    const dx = outputs[0].data;
    for (let i = 0; i < dx.length; i++) {
      const c = i % scale.length;
      dx[i] = (scale[c] * dy[i] + alpha[c] + kappa[c] * x[i]) * (derivative ? derivative[i] : 1);
    }
    if (epilogue.biasGrad) outputs[1].data.set(channelSums(dx.length, scale.length, (i) => dx[i]));
  },
  cost: elementwiseCost(6),
  inPlace: 0,
};
