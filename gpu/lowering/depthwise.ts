// Depthwise convolutions to kernels of gpu/kernels/depthwise.ts.

import type { Node, ValueId } from '../../runtime/ir/graph.ts';
import { samplesPerTile } from '../../runtime/ops/check.ts';
import {
  type DepthwiseAttrs,
  type DepthwiseGeometry,
  type DepthwiseGradAttrs,
  type DepthwiseGradWeightAttrs,
  depthwiseGeometry,
  depthwiseGradInputs,
  splitPrologue,
} from '../../runtime/ops/depthwise.ts';
import * as kernels from '../kernels/depthwise.ts';
import { sumsMerge } from '../kernels/tiles.ts';
import { lanesFor } from '../kernels/wgsl.ts';
import { gradientMergeOf, mergeGradient } from './batchnorm.ts';
import { epilogueOf, epilogueOperands } from './epilogue.ts';
import { KernelOperands } from './kernel.ts';
import type { Dispatch, Lowering, LoweringContext } from './lowering.ts';
import { type MergedFold, splitMerged } from './merge.ts';
import { dispatchMerges, mergeOutputs } from './tiles.ts';

/** Pixels behind one part of a weight gradient, at least. */
const PART_PIXELS = 128;

/** Buffers that the merge of all sums binds: sums, dw, dbias, three vectors and three outputs of the fold. */
const TOGETHER = 9;

/** Workgroups: channels in x, groups of `samples` rows folded into y and z. */
const channelGroups =
  ({ c }: DepthwiseGeometry, samples: number): Dispatch['workgroups'] =>
  (rows) => {
    const groups = Math.ceil(rows / samples);
    const z = Math.ceil(groups / 65535);
    return [Math.ceil(c / kernels.CHANNELS_PER_GROUP), Math.ceil(groups / z), z];
  };

function lowerConvolution(node: Node, context: LoweringContext, reversed: boolean): Dispatch[] {
  const { prologue } = node.attrs as unknown as DepthwiseAttrs;
  const [[x, w, bias], [scale, shift]] = splitPrologue(node.inputs, prologue);
  const forward = depthwiseGeometry(context.spec(x).shape, context.spec(w).shape);
  const g = reversed ? { ...forward, pad: forward.k - 1 - forward.pad } : forward;
  const epilogue = epilogueOf(node);
  const samples = epilogue.stats ? samplesPerTile(g.h * g.w) : 1;
  const operands = new KernelOperands('depthwise', context).read('x', x).vectors({ w, bias, scale, shift }, 1);
  const text = kernels.depthwise({ g, epilogue, normalize: scale !== undefined, reversed, samples });
  return epilogueOperands(node, operands, 1).dispatch(text, channelGroups(g, samples));
}

interface Gradients {
  readonly dy: ValueId;
  readonly x: ValueId;
  /** activation, scale, alpha, kappa, derivative; or empty. */
  readonly bnGrad: readonly ValueId[];
  /** Scale and shift of x; or empty. */
  readonly affine: readonly ValueId[];
  readonly dx?: { readonly output: ValueId; readonly weights: ValueId; readonly residual?: ValueId };
  readonly dw: ValueId;
  readonly dbias?: ValueId;
  readonly merged?: MergedFold;
}

function lowerGradients(g: DepthwiseGeometry, gradients: Gradients, context: LoweringContext): Dispatch[] {
  const { dy, x, dx, dw, dbias } = gradients;
  const [activation, slope, alpha, kappa, derivative] = gradients.bnGrad;
  const [scale, shift] = gradients.affine;
  const { merged } = gradients;
  const samples = Math.max(1, Math.floor(PART_PIXELS / (g.h * g.w)));
  const options = {
    g,
    normalize: scale !== undefined,
    bnGrad: slope !== undefined,
    residual: dx?.residual !== undefined,
    dx: dx !== undefined,
    biasGrad: dbias !== undefined,
    gradientSums: merged !== undefined,
    samples,
  };
  const vectors = kernels.sumsOf(options);
  const parts = context.scratch(Math.ceil((Math.ceil(context.capacity / samples) * vectors * g.c * 4) / 16) * 16);
  const lanes = lanesFor(g.c);
  const merge = new KernelOperands('mergeSums', context).raw('sums', parts, 'read', lanes);
  const stride = vectors * g.c;
  const outputs = mergeOutputs(merge, dbias === undefined ? [dw] : [dw, dbias], lanes, context);
  const merges = [sumsMerge(samples, lanes, outputs, stride / lanes)];
  const together = context.limits.storageBuffers >= TOGETHER;
  if (merged && together) merges.push(gradientMergeOf(merged, merge, samples, stride - 2 * g.c, stride, context));
  return [
    ...new KernelOperands('depthwiseGrad', context)
      .read('dy', dy)
      .read('x', x)
      .read('activation', activation)
      .read('derivative', derivative)
      .read('residual', dx?.residual)
      .vectors({ w: dx?.weights, scale, shift, mean: merged?.mean }, 1)
      .coefficients(['slope', 'alpha', 'kappa'], [slope, alpha, kappa], 'read', 1)
      .write('dx', dx?.output)
      .raw('sums', parts, 'read_write')
      .dispatch(kernels.depthwiseGrad(options), channelGroups(g, samples)),
    ...dispatchMerges(merge, merges, context),
    ...(merged && !together ? mergeGradient(merged, parts, samples, stride - 2 * g.c, stride, context) : []),
  ];
}

export const depthwise = {
  depthwise: (node, context) => lowerConvolution(node, context, false),

  depthwiseGradInput: (node, context) => lowerConvolution(node, context, true),

  depthwiseGradWeight(node, context) {
    const { prologue, weightShape } = node.attrs as unknown as DepthwiseGradWeightAttrs;
    const [[x, dy], affine] = splitPrologue(node.inputs, prologue);
    const g = depthwiseGeometry(context.spec(x).shape, weightShape);
    return lowerGradients(g, { dy, x, bnGrad: [], affine, dw: node.outputs[0] }, context);
  },

  depthwiseGrad(node, context) {
    const { inputs, outputs, merged } = splitMerged(node);
    const { operands, bnGrad, residual, affine } = depthwiseGradInputs(inputs, node.attrs as unknown as DepthwiseGradAttrs);
    const [dy, x, weights] = operands;
    const [output, dw, dbias] = outputs;
    const g = depthwiseGeometry(context.spec(x).shape, context.spec(weights).shape);
    return lowerGradients(g, { dy, x, bnGrad, affine, dx: { output, weights, residual: residual[0] }, dw, dbias, merged }, context);
  },
} satisfies Record<string, Lowering>;
