// Depthwise convolutions to kernels of gpu/kernels/depthwise.ts.

import type { ValueId } from '../../runtime/ir/graph.ts';
import { samplesPerTile } from '../../runtime/ops/check.ts';
import { type DepthwiseGeometry, depthwiseGeometry } from '../../runtime/ops/depthwise.ts';
import * as kernels from '../kernels/depthwise.ts';
import { sumsMerge } from '../kernels/tiles.ts';
import { lanesFor } from '../kernels/wgsl.ts';
import type { GpuNode } from '../ops/index.ts';
import { foldResults, gradientMergeOf, mergeGradient } from './batchnorm.ts';
import { epilogueOf, epilogueOperands } from './epilogue.ts';
import { KernelOperands } from './kernel.ts';
import type { Dispatch, LoweringContext, Lowerings } from './lowering.ts';
import type { MergedFold } from './merge.ts';
import { MOST } from './profile.ts';
import { dispatchMerges, mergeOutputs } from './tiles.ts';

/** Pixels behind one part of a weight gradient, at least. */
const PART_PIXELS = 128;

/** Buffers that the merge of all sums binds: sums, dw, dbias, three vectors and three outputs of the fold. */
const TOGETHER = 9;

/** Workgroups: channels in x, groups of `samples` rows folded into y and z. */
export const channelGroups =
  ({ c }: Pick<DepthwiseGeometry, 'c'>, samples: number): Dispatch['workgroups'] =>
  (rows) => {
    const groups = Math.ceil(rows / samples);
    const z = Math.ceil(groups / 65535);
    return [Math.ceil(c / kernels.CHANNELS_PER_GROUP), Math.ceil(groups / z), z];
  };

interface Convolution {
  readonly x: ValueId;
  readonly w: ValueId;
  readonly bias?: ValueId;
  readonly scale?: ValueId;
  readonly shift?: ValueId;
}

/** `reversed`: with the kernel turned around, for the gradient of x. */
function lowerConvolution(
  node: Parameters<typeof epilogueOperands>[0],
  { x, w, bias, scale, shift }: Convolution,
  reversed: boolean,
  context: LoweringContext,
): Dispatch[] {
  const forward = depthwiseGeometry(context.spec(x).shape, context.spec(w).shape);
  const g = reversed ? { ...forward, pad: forward.k - 1 - forward.pad } : forward;
  const epilogue = epilogueOf(node);
  const samples = epilogue.stats ? samplesPerTile(g.h * g.w) : 1;
  const { window } = context.features.profile ?? MOST;
  const operands = new KernelOperands('depthwise', context).read('x', x).vectors({ w, bias, scale, shift }, 1);
  const text = kernels.depthwise({ g, epilogue, normalize: scale !== undefined, window, reversed, samples });
  return epilogueOperands(node, operands, 1).dispatch(text, channelGroups(g, samples));
}

interface Gradients {
  readonly dy: ValueId;
  readonly x: ValueId;
  readonly activation?: ValueId;
  /** slope, alpha and kappa, or the three as one; empty: dy is taken as it is. */
  readonly coefficients?: readonly ValueId[];
  readonly derivative?: ValueId;
  /** Of x. */
  readonly scale?: ValueId;
  readonly shift?: ValueId;
  readonly dx?: { readonly output: ValueId; readonly weights: ValueId; readonly residual?: ValueId };
  readonly dw: ValueId;
  readonly dbias?: ValueId;
  readonly merged?: MergedFold;
}

function lowerGradients(g: DepthwiseGeometry, gradients: Gradients, context: LoweringContext): Dispatch[] {
  const { dy, x, dx, dw, dbias, activation, coefficients = [], derivative, scale, shift, merged } = gradients;
  const samples = Math.max(1, Math.floor(PART_PIXELS / (g.h * g.w)));
  const profile = context.features.profile ?? MOST;
  const window = profile.gradientWindow ?? profile.window;
  const options = {
    g,
    normalize: scale !== undefined,
    window,
    bnGrad: coefficients.length > 0,
    residual: dx?.residual !== undefined,
    dx: dx !== undefined,
    biasGrad: dbias !== undefined,
    gradientSums: merged !== undefined,
    samples,
  };
  const vectors = kernels.sumsOf(options);
  const perRow = kernels.partsPerImage(g, window);
  const parts = context.scratch(Math.ceil((Math.ceil(context.capacity / samples) * perRow * vectors * g.c * 4) / 16) * 16);
  const lanes = lanesFor(g.c);
  const merge = new KernelOperands('mergeSums', context).raw('sums', parts, 'read', lanes);
  const stride = vectors * g.c;
  const outputs = mergeOutputs(merge, dbias === undefined ? [dw] : [dw, dbias], lanes, context);
  const merges = [sumsMerge(samples, lanes, outputs, stride / lanes, perRow)];
  const together = context.limits.storageBuffers >= TOGETHER;
  if (merged && together) merges.push(gradientMergeOf(merged, merge, samples, stride - 2 * g.c, stride, context, perRow));
  return [
    ...new KernelOperands('depthwiseGrad', context)
      .read('dy', dy)
      .read('x', x)
      .read('activation', activation)
      .read('derivative', derivative)
      .read('residual', dx?.residual)
      .vectors({ w: dx?.weights, scale, shift, mean: merged?.mean }, 1)
      .coefficients(['slope', 'alpha', 'kappa'], coefficients, 'read', 1)
      .write('dx', dx?.output)
      .raw('sums', parts, 'read_write')
      .dispatch(kernels.depthwiseGrad(options), channelGroups(g, samples)),
    ...dispatchMerges(merge, merges, context),
    ...(merged && !together ? mergeGradient(merged, parts, samples, stride - 2 * g.c, stride, context, perRow) : []),
  ];
}

export const depthwise = {
  depthwise: (node, context) => lowerConvolution(node, node.args, false, context),

  depthwiseGradInput: (node, context) =>
    lowerConvolution({ ...node, results: { y: node.results.dx } }, { x: node.args.dy, w: node.args.w }, true, context),

  depthwiseGradWeight({ args, results: { dw }, attrs }, context) {
    const g = depthwiseGeometry(context.spec(args.x).shape, attrs.weightShape);
    return lowerGradients(g, { ...args, dw }, context);
  },

  depthwiseGrad(node, context) {
    const { slope, alpha, kappa } = node.args;
    return lowerBothGradients(node, slope === undefined ? [] : [slope, alpha as ValueId, kappa as ValueId], undefined, context);
  },

  depthwiseGradMerged(node, context) {
    const { x, mean, variance, gamma, coefficients, slope, alpha, kappa } = node.args;
    const { foldScale, foldAlpha, foldKappa, foldCoefficients, dgamma, dbeta } = node.results;
    const fold = { scale: foldScale, alpha: foldAlpha, kappa: foldKappa, coefficients: foldCoefficients, dgamma, dbeta };
    const { epsilon, pixels } = node.attrs;
    const merged =
      mean === undefined || variance === undefined || gamma === undefined || epsilon === undefined || pixels === undefined
        ? undefined
        : { x, mean, variance, gamma, epsilon, pixels, ...foldResults(fold) };
    const apart = slope === undefined ? [] : [slope, alpha as ValueId, kappa as ValueId];
    return lowerBothGradients(node, coefficients === undefined ? apart : [coefficients], merged, context);
  },
} satisfies Partial<Lowerings>;

function lowerBothGradients(
  { args, results }: Pick<GpuNode<'depthwiseGrad'>, 'args' | 'results'>,
  coefficients: readonly ValueId[],
  merged: MergedFold | undefined,
  context: LoweringContext,
): Dispatch[] {
  const { dy, x, w, activation, derivative, residual, scale, shift } = args;
  const { dx, dw, dbias } = results;
  const g = depthwiseGeometry(context.spec(x).shape, context.spec(w).shape);
  const gradients = { dy, x, activation, coefficients, derivative, scale, shift, dw, dbias, merged };
  return lowerGradients(g, { ...gradients, dx: { output: dx, weights: w, residual } }, context);
}
