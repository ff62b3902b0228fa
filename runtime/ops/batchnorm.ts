// Batch normalisation. Models and autodiff speak of it as two ops, `batchnorm` and `batchnormGrad`. The pass `expand` splits
// each into a reduction, arithmetic on [C] vectors ("fold") and one affine map per element, which is what devices run and
// what fusion joins with its neighbours:
//
//   batchnorm      = bnStats     → bnFold     → normalize
//   batchnormGrad  = bnGradStats → bnGradFold → bnGradApply
//
// Variance is the biased one everywhere.

import { defineOp, once } from '../ir/define-op.ts';
import { attr, need, optional } from '../ir/signature.ts';
import type { TensorSpec } from '../ir/tensor.ts';
import { channelSums, channelsOf, isVector, kinds, moments, parameter, perElement, pixelsOf, sameSpec, samplesPerTile } from './check.ts';
import { applyEpilogue, epilogueAttr, epilogueResults, epilogueSpecs, needPlain } from './epilogue.ts';

const { features, vector } = kinds;

/** Added to a variance before its root is taken. */
const epsilonAttr = { epsilon: attr.positive };
/** Of the moving statistics that move towards its mean and variance; absent: that of the run. */
const momentumAttr = { momentum: attr.optional(attr.fraction) };

/** That all vectors, those that are there, have an element for each channel of x. */
function needVectors(x: TensorSpec, ...vectors: readonly (TensorSpec | undefined)[]): void {
  const channels = channelsOf(x.shape);
  need(
    vectors.every((spec) => !spec || isVector(spec, channels)),
    `vectors [${channels}]`,
  );
}

const needEqual = (first: TensorSpec, ...others: readonly TensorSpec[]): void =>
  need(
    others.every((spec) => sameSpec(spec, first)),
    'operands of one shape',
  );

const batchnorm = defineOp({
  doc: 'y = (x − mean)/√(variance + ε)·gamma + beta; mean and biased variance of the batch, over rows and pixels',
  inputs: { x: features, gamma: vector, beta: vector },
  outputs: { y: features, mean: vector, variance: vector },
  attrs: { ...epsilonAttr, ...momentumAttr },
  infer({ x, gamma, beta }) {
    needVectors(x, gamma, beta);
    return { y: x, mean: gamma, variance: gamma };
  },
  gradient(g, { args: { x, gamma }, results: { mean, variance }, attrs: { epsilon }, d: { y: dy } }) {
    const all = once(() => g.add('batchnormGrad', { dy, x, gamma, mean, variance }, { epsilon }));
    return { x: () => all().dx, gamma: () => all().dgamma, beta: () => all().dbeta };
  },
  reference({ inputs: { x, gamma, beta }, outputs }, { epsilon }) {
    const { y } = outputs;
    const channels = gamma.data.length;
    const { mean, squares } = moments(x.data, channels);
    const variance = squares.map((sum) => (sum * channels) / x.data.length);
    outputs.mean.data.set(mean);
    outputs.variance.data.set(variance);
    for (let i = 0; i < y.data.length; i++) {
      const c = i % channels;
      y.data[i] = ((x.data[i] - mean[c]) / Math.sqrt(variance[c] + epsilon)) * gamma.data[c] + beta.data[c];
    }
  },
  flops: perElement(7),
  expand(e, { args: { x, gamma, beta }, results: { y, mean, variance }, attrs: { epsilon } }) {
    const pixels = pixelsOf(e.spec(x).shape);
    e.add('bnStats', { x }, { from: 'input', pixels }, { mean, variance });
    const { scale, shift } = e.add('bnFold', { mean, variance, gamma, beta }, { epsilon });
    e.add('normalize', { x, scale, shift }, {}, { y });
  },
});

const batchnormGrad = defineOp({
  doc: 'dx, dgamma, dbeta of `batchnorm`',
  inputs: { dy: features, x: features, gamma: vector, mean: vector, variance: vector },
  outputs: { dx: features, dgamma: vector, dbeta: vector },
  attrs: epsilonAttr,
  infer({ dy, x, gamma, mean, variance }) {
    needEqual(dy, x);
    needVectors(x, gamma, mean, variance);
    return { dx: dy, dgamma: gamma, dbeta: gamma };
  },
  reference({ inputs, outputs }, { epsilon }) {
    const [dy, x, gamma, mean, variance] = [inputs.dy, inputs.x, inputs.gamma, inputs.mean, inputs.variance].map(
      ({ data }) => data as Float64Array,
    );
    const [dx, dgamma, dbeta] = [outputs.dx.data, outputs.dgamma.data, outputs.dbeta.data];
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
  flops: perElement(12),
  expand(e, { args: { dy, x, gamma, mean, variance }, results: { dx, dgamma, dbeta }, attrs: { epsilon } }) {
    const pixels = pixelsOf(e.spec(x).shape);
    // All temporaries are named after dx.
    const { dySum, dyxSum } = e.add('bnGradStats', { dy, x, mean });
    const fold = e.add('bnGradFold', { dySum, dyxSum, mean, variance, gamma }, { epsilon, pixels }, { dgamma, dbeta });
    e.add('bnGradApply', { dy, x, scale: fold.scale, alpha: fold.alpha, kappa: fold.kappa }, {}, { dx });
  },
});

const bnStats = defineOp({
  doc: 'mean and biased variance of each channel of x, over rows and pixels; from: partials: of the partials of an epilogue, merged tile by tile (Chan)',
  inputs: { x: features },
  outputs: { mean: vector, variance: vector },
  attrs: {
    /** What the input is: x itself, or the `partials` of an epilogue. */
    from: attr.choice('input', 'partials'),
    /** Pixels of a sample of x. */
    pixels: attr.count,
  },
  infer({ x }, { from, pixels }) {
    const fits = from === 'partials' ? kinds.partials.fits(x) : pixelsOf(x.shape) === pixels;
    need(
      fits,
      `x [n, …, C] of ${pixels} pixels (from: input) or partials [n, 2, C] (from: partials), given from: ${from}, pixels: ${pixels}`,
    );
    const channels = parameter([channelsOf(x.shape)]);
    return { mean: channels, variance: channels };
  },
  reference({ step, inputs: { x }, outputs }, { from, pixels }) {
    const channels = channelsOf(x.shape);
    const data = x.data as Float64Array;
    const { mean, squares } = from === 'input' ? moments(data, channels) : mergePartials(data, channels, step.rows, pixels);
    outputs.mean.data.set(mean);
    outputs.variance.data.set(squares.map((sum) => sum / (step.rows * pixels)));
  },
  flops: perElement(3),
  traits: { is: 'statistics', exchanges: 'moments' },
});

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

const bnFold = defineOp({
  doc: 'scale = gamma/√(variance + ε), shift = beta − mean·scale',
  inputs: { mean: vector, variance: vector, gamma: vector, beta: vector },
  outputs: { scale: vector, shift: vector },
  attrs: epsilonAttr,
  infer({ mean, variance, gamma, beta }) {
    needEqual(mean, variance, gamma, beta);
    return { scale: mean, shift: mean };
  },
  // With statistics that are not differentiated: those of a trained model.
  gradient: (g, { args: { mean, variance }, attrs, d }) => ({
    gamma: () => g.one('bnFoldGrad', { dscale: d.scale, dshift: d.shift, mean, variance }, attrs),
    beta: () => d.shift ?? null,
  }),
  reference({ inputs: { mean, variance, gamma, beta }, outputs: { scale, shift } }, { epsilon }) {
    for (let c = 0; c < scale.data.length; c++) {
      scale.data[c] = gamma.data[c] / Math.sqrt(variance.data[c] + epsilon);
      shift.data[c] = beta.data[c] - mean.data[c] * scale.data[c];
    }
  },
  flops: perElement(5),
  traits: { differentiable: ['shift'] },
});

const bnFoldGrad = defineOp({
  doc: 'dgamma of `bnFold`: (dscale − mean·dshift)/√(variance + ε)',
  inputs: { dscale: vector, dshift: vector, mean: vector, variance: vector },
  outputs: { dgamma: vector },
  attrs: epsilonAttr,
  infer({ dscale, dshift, mean, variance }) {
    needEqual(dscale, dshift, mean, variance);
    return { dgamma: dscale };
  },
  reference({ inputs: { dscale, dshift, mean, variance }, outputs: { dgamma } }, { epsilon }) {
    for (let c = 0; c < dgamma.data.length; c++)
      dgamma.data[c] = (dscale.data[c] - mean.data[c] * dshift.data[c]) / Math.sqrt(variance.data[c] + epsilon);
  },
  flops: perElement(4),
});

const normalize = defineOp({
  doc: 'y = x·scale + shift, + residual, or + residual·residualScale + residualShift; activation, derivative and partials are its epilogue',
  inputs: {
    x: features,
    scale: vector,
    shift: vector,
    residual: optional(features),
    residualScale: optional(vector),
    residualShift: optional(vector),
  },
  outputs: epilogueResults,
  attrs: epilogueAttr,
  infer({ x, scale, shift, residual, residualScale, residualShift }, { epilogue }) {
    if (residual) needEqual(x, residual);
    need(
      (residualScale === undefined) === (residualShift === undefined) && (residual || !residualScale),
      'residualScale and residualShift together, and of a residual',
    );
    needVectors(x, scale, shift, residualScale, residualShift);
    return epilogueSpecs(x, epilogue);
  },
  gradient(g, site) {
    needPlain('normalize', site, ['x', 'scale', 'shift']);
    const { x, scale } = site.args;
    const dy = site.d.y;
    return {
      x: () => g.one('mul', { a: dy, b: scale }),
      scale: () => g.one('biasGrad', { dy: g.one('mul', { a: dy, b: x }) }),
      shift: () => g.one('biasGrad', { dy }),
    };
  },
  reference({ inputs: { x, scale, shift, residual, residualScale, residualShift }, outputs }, { epilogue }) {
    const y = outputs.y.data;
    for (let i = 0; i < y.length; i++) {
      const c = i % scale.data.length;
      y[i] = x.data[i] * scale.data[c] + shift.data[c];
      if (!residual) continue;
      y[i] += residualScale && residualShift ? residual.data[i] * residualScale.data[c] + residualShift.data[c] : residual.data[i];
    }
    applyEpilogue(outputs, epilogue);
  },
  flops: perElement(3),
  traits: {
    is: 'normalize',
    inPlace: 'x',
    epilogue: ['activation', 'statistics', 'add'],
    prologue: { residual: { normalize: { residualScale: 'scale', residualShift: 'shift' } } },
  },
});

const bnGradStats = defineOp({
  doc: 'dySum = Σdy, dyxSum = Σdy·(x − mean)',
  inputs: { dy: features, x: features, mean: vector },
  outputs: { dySum: vector, dyxSum: vector },
  infer({ dy, x, mean }) {
    needEqual(dy, x);
    needVectors(x, mean);
    return { dySum: mean, dyxSum: mean };
  },
  reference({ inputs, outputs: { dySum, dyxSum } }) {
    const [dy, x, mean] = [inputs.dy, inputs.x, inputs.mean].map(({ data }) => data as Float64Array);
    dySum.data.set(channelSums(dy.length, mean.length, (i) => dy[i]));
    dyxSum.data.set(channelSums(dy.length, mean.length, (i, c) => dy[i] * (x[i] - mean[c])));
  },
  flops: perElement(4),
  traits: { exchanges: 'sums' },
});

const bnGradFold = defineOp({
  doc:
    'with r = 1/√(variance + ε) and N = rows·pixels: scale = gamma·r, dgamma = r·dyxSum, dbeta = dySum, kappa = −scale·r·dgamma/N, ' +
    'alpha = −scale·dySum/N − kappa·mean',
  inputs: { dySum: vector, dyxSum: vector, mean: vector, variance: vector, gamma: vector },
  outputs: { scale: vector, alpha: vector, kappa: vector, dgamma: vector, dbeta: vector },
  attrs: { ...epsilonAttr, pixels: attr.count },
  infer({ dySum, dyxSum, mean, variance, gamma }) {
    needEqual(dySum, dyxSum, mean, variance, gamma);
    return { scale: dySum, alpha: dySum, kappa: dySum, dgamma: dySum, dbeta: dySum };
  },
  reference({ step, inputs: { dySum, dyxSum, mean, variance, gamma }, outputs }, { epsilon, pixels }) {
    const [scale, alpha, kappa, dgamma, dbeta] = Object.values(outputs).map(({ data }) => data);
    const count = step.rows * pixels;
    for (let c = 0; c < scale.length; c++) {
      const r = 1 / Math.sqrt(variance.data[c] + epsilon);
      scale[c] = gamma.data[c] * r;
      dgamma[c] = r * dyxSum.data[c];
      dbeta[c] = dySum.data[c];
      kappa[c] = (-scale[c] * r * dgamma[c]) / count;
      alpha[c] = (-scale[c] * dySum.data[c]) / count - kappa[c] * mean.data[c];
    }
  },
  flops: perElement(14),
});

const bnGradApply = defineOp({
  doc: 'dx = (scale·dy + alpha + kappa·x)(·derivative); with biasGrad dbias = Σdx',
  inputs: { dy: features, x: features, scale: vector, alpha: vector, kappa: vector, derivative: optional(features) },
  outputs: { dx: features, dbias: optional(vector) },
  attrs: { biasGrad: attr.optional(attr.flag) },
  infer({ dy, x, scale, alpha, kappa, derivative }, { biasGrad }) {
    needEqual(dy, x, ...(derivative ? [derivative] : []));
    needVectors(x, scale, alpha, kappa);
    return { dx: dy, dbias: biasGrad ? scale : undefined };
  },
  reference({ inputs: { dy, x, scale, alpha, kappa, derivative }, outputs: { dx, dbias } }) {
    const channels = scale.data.length;
    for (let i = 0; i < dx.data.length; i++) {
      const c = i % channels;
      dx.data[i] = (scale.data[c] * dy.data[i] + alpha.data[c] + kappa.data[c] * x.data[i]) * (derivative ? derivative.data[i] : 1);
    }
    dbias?.data.set(channelSums(dx.data.length, channels, (i) => dx.data[i]));
  },
  flops: perElement(6),
  traits: { is: 'normalizeGrad', inPlace: 'dy', epilogue: ['activationGrad', 'biasGrad'] },
});

export const batchNormalization = { bnStats, bnFold, bnFoldGrad, normalize, bnGradStats, bnGradFold, bnGradApply };

/** What models and autodiff speak: `expand` replaces them. */
export const composites = { batchnorm, batchnormGrad };
