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
import { lanesFor } from '../kernels/wgsl.ts';
import { epilogueOf, epilogueOperands } from './epilogue.ts';
import { KernelOperands } from './kernel.ts';
import type { Dispatch, Lowering, LoweringContext } from './lowering.ts';
import { mergeTiles } from './tiles.ts';

/** Pixels behind one part of a weight gradient, at least. */
const PART_PIXELS = 128;

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
}

function lowerGradients(g: DepthwiseGeometry, gradients: Gradients, context: LoweringContext): Dispatch[] {
  const { dy, x, dx, dw, dbias } = gradients;
  const [activation, slope, alpha, kappa, derivative] = gradients.bnGrad;
  const [scale, shift] = gradients.affine;
  const samples = Math.max(1, Math.floor(PART_PIXELS / (g.h * g.w)));
  const sums = g.c * (g.k * g.k + (dbias === undefined ? 0 : 1));
  const parts = context.scratch(Math.ceil((Math.ceil(context.capacity / samples) * sums * 4) / 16) * 16);
  const text = kernels.depthwiseGrad({
    g,
    normalize: scale !== undefined,
    bnGrad: slope !== undefined,
    residual: dx?.residual !== undefined,
    dx: dx !== undefined,
    biasGrad: dbias !== undefined,
    samples,
  });
  const lanes = lanesFor(g.c);
  return [
    ...new KernelOperands('depthwiseGrad', context)
      .read('dy', dy)
      .read('x', x)
      .read('activation', activation)
      .read('derivative', derivative)
      .read('residual', dx?.residual)
      .vectors({ w: dx?.weights, slope, alpha, kappa, scale, shift }, 1)
      .write('dx', dx?.output)
      .raw('sums', parts, 'read_write')
      .dispatch(text, channelGroups(g, samples)),
    ...mergeTiles(parts, dbias === undefined ? [dw] : [dw, dbias], samples, lanes, context),
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
    const { operands, bnGrad, residual, affine } = depthwiseGradInputs(node.inputs, node.attrs as unknown as DepthwiseGradAttrs);
    const [dy, x, weights] = operands;
    const [output, dw, dbias] = node.outputs;
    const g = depthwiseGeometry(context.spec(x).shape, context.spec(weights).shape);
    return lowerGradients(g, { dy, x, bnGrad, affine, dx: { output, weights, residual: residual[0] }, dw, dbias }, context);
  },
} satisfies Record<string, Lowering>;
