// Ops of the webgpu device alone: what its passes make of several nodes (gpu/lowering/merge.ts) or of one whose loss is scaled
// (gpu/lowering/loss-scale.ts). Defined as all ops are, so that graphs are verified to the end.

import { defineOp, type NodeOf, type Op } from '../../runtime/ir/define-op.ts';
import { attr, list, need, optional } from '../../runtime/ir/signature.ts';
import type { TensorSpec } from '../../runtime/ir/tensor.ts';
import { isVector, kinds, parameter, perElement } from '../../runtime/ops/check.ts';
import { type KernelOpName, ops, opTable } from '../../runtime/ops/index.ts';

const { features, vector } = kinds;

/** A vector of three for each channel: scale, alpha and kappa of `bnGradFold`, one after the other. */
const COEFFICIENTS = 3;

/** What a node has to be given for the `bnGradFold` in it, besides x. */
const foldOperands = { mean: vector, variance: vector, gamma: vector };
/** The results of the fold; with `together` the coefficients are one. */
const foldResults = {
  scale: optional(vector),
  alpha: optional(vector),
  kappa: optional(vector),
  coefficients: optional(vector),
  dgamma: optional(vector),
  dbeta: optional(vector),
};
const foldAttrs = { epsilon: attr.positive, pixels: attr.count, together: attr.optional(attr.flag) };

const coefficientsOf = (one: TensorSpec): TensorSpec => parameter([COEFFICIENTS * one.shape[0]]);

function foldSpecs(channels: TensorSpec, together: boolean | undefined) {
  const apart = together ? undefined : channels;
  const coefficients = together ? coefficientsOf(channels) : undefined;
  return { scale: apart, alpha: apart, kappa: apart, coefficients, dgamma: channels, dbeta: channels };
}

/** These ops are compared with the reference of their parts (test/gpu/merge.test.ts): they have none of their own. */
const reference = (): never => {
  throw new Error('an op of the webgpu device has no reference of its own');
};

const bnStatsFold = defineOp({
  doc: '`bnStats` and the `bnFold` of its results',
  inputs: { x: features, gamma: vector, beta: vector },
  outputs: { mean: vector, variance: vector, scale: vector, shift: vector },
  attrs: { ...ops.bnStats.attrs, epsilon: attr.positive },
  infer({ x, gamma, beta }, attrs) {
    const statistics = ops.bnStats.infer({ x }, attrs);
    need(isVector(gamma, x.shape[x.shape.length - 1]) && isVector(beta, gamma.shape[0]), 'vectors [C]');
    return { ...statistics, scale: gamma, shift: gamma };
  },
  reference,
  flops: perElement(3),
  traits: { is: 'statistics' },
});

const bnGradStatsFold = defineOp({
  doc: '`bnGradStats` and the `bnGradFold` of its results',
  inputs: { dy: features, x: features, ...foldOperands },
  outputs: foldResults,
  attrs: foldAttrs,
  infer({ dy, x, mean, variance, gamma }, { together }) {
    ops.bnGradStats.infer({ dy, x, mean }, {});
    need(isVector(variance, mean.shape[0]) && isVector(gamma, mean.shape[0]), 'vectors [C]');
    return foldSpecs(mean, together);
  },
  reference,
  flops: perElement(4),
});

const convGradInputStats = defineOp({
  doc: '`convGradInput`, and `bnGradStats` with its fold of the result and x',
  inputs: { ...ops.convGradInput.inputs, x: features, ...foldOperands },
  outputs: { dx: features, ...foldResults },
  attrs: { ...ops.convGradInput.attrs, ...foldAttrs },
  infer({ dy, w, x, mean, variance, gamma }, attrs) {
    const { dx } = ops.convGradInput.infer({ dy, w }, attrs);
    ops.bnGradStats.infer({ dy: dx as TensorSpec, x, mean }, {});
    need(isVector(variance, mean.shape[0]) && isVector(gamma, mean.shape[0]), 'vectors [C]');
    return { dx, ...foldSpecs(mean, attrs.together) };
  },
  reference,
  flops: ({ dy, w }, attrs, rows) => ops.convGradInput.flops?.({ dy, w, dx: dy }, attrs, rows) ?? 0,
});

const { slope, alpha, kappa, ...depthwiseOperands } = ops.depthwiseGrad.inputs;

const depthwiseGradMerged = defineOp({
  doc: '`depthwiseGrad`; with mean, variance and gamma also `bnGradStats` with its fold of dx and x; with coefficients in place of slope, alpha and kappa',
  inputs: {
    ...depthwiseOperands,
    slope,
    alpha,
    kappa,
    coefficients: optional(vector),
    mean: optional(vector),
    variance: optional(vector),
    gamma: optional(vector),
  },
  // Those of the fold are not called as those that it is given.
  outputs: {
    ...ops.depthwiseGrad.outputs,
    foldScale: optional(vector),
    foldAlpha: optional(vector),
    foldKappa: optional(vector),
    foldCoefficients: optional(vector),
    dgamma: optional(vector),
    dbeta: optional(vector),
  },
  attrs: {
    ...ops.depthwiseGrad.attrs,
    epsilon: attr.optional(attr.positive),
    pixels: attr.optional(attr.count),
    together: attr.optional(attr.flag),
  },
  infer({ coefficients, mean, variance, gamma, ...operands }, { biasGrad, together }) {
    const channels = parameter(operands.x.shape.slice(2));
    const apart = coefficients ? { slope: channels, alpha: channels, kappa: channels } : {};
    need(
      !coefficients || (!operands.slope && coefficients.shape[0] === COEFFICIENTS * channels.shape[0]),
      'coefficients [3C] or slope, alpha and kappa',
    );
    const own = ops.depthwiseGrad.infer({ ...operands, ...apart }, { biasGrad });
    need(
      [mean, variance, gamma].every((spec) => (spec ? isVector(spec, channels.shape[0]) : !mean)),
      'all of mean, variance and gamma, or none',
    );
    if (!mean) return own;
    const fold = foldSpecs(mean, together);
    return {
      ...own,
      foldScale: fold.scale,
      foldAlpha: fold.alpha,
      foldKappa: fold.kappa,
      foldCoefficients: fold.coefficients,
      dgamma: fold.dgamma,
      dbeta: fold.dbeta,
    };
  },
  reference,
  flops: ({ x, w }, _, rows) => 2 * 2 * rows * x.shape[0] * x.shape[1] * w.shape[0] * w.shape[1] * x.shape[2],
});

const bnGradApplyTogether = defineOp({
  doc: '`bnGradApply` whose scale, alpha and kappa are one operand',
  inputs: { dy: features, x: features, coefficients: vector, derivative: optional(features) },
  outputs: ops.bnGradApply.outputs,
  attrs: ops.bnGradApply.attrs,
  infer({ dy, x, coefficients, derivative }, attrs) {
    const channels = parameter(x.shape.slice(-1));
    need(coefficients.shape[0] === COEFFICIENTS * channels.shape[0], 'coefficients [3C]');
    return ops.bnGradApply.infer({ dy, x, scale: channels, alpha: channels, kappa: channels, derivative }, attrs);
  },
  reference,
  flops: perElement(6),
});

const movingAverages = defineOp({
  doc: '`movingAverage` of several layers of one momentum: batch and updates are mean, variance, mean, variance, …; whole: of all statistics that there are',
  inputs: { ok: kinds.integer, batch: list(vector) },
  outputs: {},
  updates: { moving: list(vector) },
  attrs: { whole: attr.optional(attr.flag), ...ops.movingAverage.attrs },
  infer: () => ({}),
  reference({ step, inputs: { ok, batch }, updates: { moving } }, { momentum }) {
    for (let i = 0; i < batch.length; i += 2) {
      const inputs = { ok, mean: batch[i], variance: batch[i + 1] };
      ops.movingAverage.reference(
        { step, inputs, outputs: {}, updates: { movingMean: moving[i], movingVariance: moving[i + 1] } },
        { momentum },
      );
    }
  },
});

const softmaxCrossEntropyGradScaled = defineOp({
  ...ops.softmaxCrossEntropyGrad,
  doc: '`softmaxCrossEntropyGrad` times the loss scale',
});

const finiteCheckScaled = defineOp({
  doc: '`finiteCheck` that also moves the loss scale; overflow: the exponent of the scale that was too large, 0 if it was not',
  inputs: ops.finiteCheck.inputs,
  outputs: { ok: kinds.integer, overflow: kinds.integer },
  updates: { scale: { text: 'i32 [2]', fits: ({ dtype, shape }: TensorSpec) => dtype === 'i32' && `${shape}` === '2' } },
  infer({ loss, gradients }) {
    const { ok } = ops.finiteCheck.infer({ loss, gradients }, {});
    return { ok, overflow: ok };
  },
  reference,
  flops: () => 0,
});

/** By name. */
export const deviceOps = {
  bnStatsFold,
  bnGradStatsFold,
  convGradInputStats,
  depthwiseGradMerged,
  bnGradApplyTogether,
  movingAverages,
  softmaxCrossEntropyGradScaled,
  finiteCheckScaled,
} as const satisfies Record<string, Op>;

export type DeviceOpName = keyof typeof deviceOps;

/** Ops that need a lowering. */
export type GpuOpName = KernelOpName | DeviceOpName;

/** A node of the op of that name. */
export type GpuNode<K extends GpuOpName> = NodeOf<(typeof ops & typeof deviceOps)[K]>;

/** Those of all devices and those of this one. */
export const gpuOps: Readonly<Record<string, Op>> = { ...opTable, ...deviceOps };
