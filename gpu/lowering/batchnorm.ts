// Batch normalisation to kernels of gpu/kernels/batchnorm.ts.

import { elementCount, type Node, type ValueId } from '../../runtime/ir/graph.ts';
import type { BnGradEpilogue, BnGradFoldAttrs, BnStatsAttrs } from '../../runtime/ops/batchnorm.ts';
import { samplesPerTile } from '../../runtime/ops/check.ts';
import * as kernels from '../kernels/batchnorm.ts';
import { gradientMerge, type Merge, momentsMerge } from '../kernels/tiles.ts';
import { foldedGroups, type Lanes, lanesFor } from '../kernels/wgsl.ts';
import { mapGroups } from './elementwise.ts';
import { epilogueOf, epilogueOperands } from './epilogue.ts';
import { KernelOperands } from './kernel.ts';
import type { Dispatch, Lowering, LoweringContext, Operand } from './lowering.ts';
import type { AverageMerge, GradientMerge, MergedFold, StatsMerge } from './merge.ts';
import { strided } from './optimizer.ts';
import { dispatchMerges, mergeTiles, sumsScratch, tileGroups, tilesOf } from './tiles.ts';

/** Lanes and accesses of the [C] vectors of a node. */
function vectorShape(id: ValueId, context: LoweringContext): { lanes: Lanes; channels: number; groups: Dispatch['workgroups'] } {
  const [elements] = context.spec(id).shape;
  const lanes = lanesFor(elements);
  const groups = foldedGroups(elements / lanes, 64);
  return { lanes, channels: elements / lanes, groups: () => groups };
}

function lowerBnStats(node: Node, context: LoweringContext): Dispatch[] {
  const { from, pixels, fold } = node.attrs as unknown as BnStatsAttrs & StatsMerge;
  const [input, gamma, beta] = node.inputs;
  const [mean, variance, scale, shift] = node.outputs;
  const { shape: ofInput, lanes, tiles } = tilesOf(context.spec(input), context.capacity);
  const shape = { pixels, channels: ofInput.channels, samples: samplesPerTile(pixels) };
  const merge = (operands: KernelOperands): Dispatch[] =>
    dispatchMerges(
      operands
        .vectors({ gamma, beta }, lanes)
        .write('mean', mean, lanes)
        .write('variance', variance, lanes)
        .write('scale', scale, lanes)
        .write('shift', shift, lanes),
      [momentsMerge(shape, lanes, fold ? kernels.fold('m', 'v', fold.epsilon) : '')],
      context,
    );
  if (from === 'partials') return merge(new KernelOperands('bnStatsMerge', context).read('sums', input, lanes));
  const sums = sumsScratch(context, tiles, 2, shape, lanes);
  return [
    ...new KernelOperands('bnStatsTiles', context)
      .read('x', input, lanes)
      .raw('sums', sums, 'read_write', lanes)
      .dispatch(kernels.bnStatsTiles(shape, lanes), tileGroups(shape)),
    ...merge(new KernelOperands('bnStatsMerge', context).raw('sums', sums, 'read', lanes)),
  ];
}

const COEFFICIENTS = ['scale', 'alpha', 'kappa'] as const;

/** Binds what `bnGradFold` reads besides the sums, and what it writes. */
export function gradientFoldOperands(
  operands: KernelOperands,
  mean: ValueId,
  variance: ValueId,
  gamma: ValueId,
  outputs: readonly ValueId[],
  lanes: Lanes,
): KernelOperands {
  const [dgamma, dbeta] = outputs.slice(-2);
  return operands
    .vectors({ mean, variance, gamma }, lanes)
    .coefficients(COEFFICIENTS, outputs.slice(0, -2), 'read_write', lanes)
    .write('dgamma', dgamma, lanes)
    .write('dbeta', dbeta, lanes);
}

function lowerBnGradStats(node: Node, context: LoweringContext): Dispatch[] {
  const { fold } = node.attrs as GradientMerge;
  const [dy, x, mean, variance, gamma] = node.inputs;
  const { shape, lanes, tiles } = tilesOf(context.spec(dy), context.capacity);
  const sums = sumsScratch(context, tiles, 2, shape, lanes);
  const merge = new KernelOperands('bnGradStatsMerge', context).raw('sums', sums, 'read', lanes);
  if (fold) gradientFoldOperands(merge, mean, variance, gamma, node.outputs, lanes);
  else merge.write('dySum', node.outputs[0], lanes).write('dyxSum', node.outputs[1], lanes);
  const after = fold ? kernels.gradientFold('s', 'sx', fold.pixels, fold.epsilon) : 'set_dySum(c, s);\nset_dyxSum(c, sx);';
  return [
    ...new KernelOperands('bnGradStatsTiles', context)
      .read('dy', dy, lanes)
      .read('x', x, lanes)
      .vectors({ mean }, lanes)
      .raw('sums', sums, 'read_write', lanes)
      .dispatch(kernels.bnGradStatsTiles(shape, lanes), tileGroups(shape)),
    ...dispatchMerges(merge, [gradientMerge(shape, lanes, 0, 2 * shape.channels, after)], context),
  ];
}

/** The end of statistics that were merged into a gradient: `sums` holds them for each `samples` rows, `stride` elements apart. */
export function mergeGradient(
  merged: MergedFold,
  sums: Operand,
  samples: number,
  offset: number,
  stride: number,
  context: LoweringContext,
): Dispatch[] {
  const { lanes } = vectorShape(merged.mean, context);
  const operands = new KernelOperands('bnGradStatsMerge', context).raw('sums', sums, 'read', lanes);
  return dispatchMerges(operands, [gradientMergeOf(merged, operands, samples, offset, stride, context)], context);
}

/** The merge of `mergeGradient`, for one dispatch with others; binds its vectors. */
export function gradientMergeOf(
  merged: MergedFold,
  operands: KernelOperands,
  samples: number,
  offset: number,
  stride: number,
  context: LoweringContext,
): Merge {
  const { lanes, channels } = vectorShape(merged.mean, context);
  gradientFoldOperands(operands, merged.mean, merged.variance, merged.gamma, merged.outputs, lanes);
  const after = kernels.gradientFold('s', 'sx', merged.fold.pixels, merged.fold.epsilon);
  return gradientMerge({ channels, samples }, lanes, offset / lanes, stride / lanes, after);
}

/** All statistics in one go, or as many layers at a time as the device binds buffers for. */
function lowerMovingAverage(node: Node, context: LoweringContext): Dispatch[] {
  const [ok, ...batch] = node.inputs;
  if ((node.attrs as AverageMerge).whole) {
    const elements = node.updates.reduce((sum, id) => sum + elementCount(context.spec(id)), 0);
    return new KernelOperands('movingAverage', context)
      .read('ok', ok)
      .raw('batch', { range: 'batchStatistics' }, 'read', 4)
      .raw('moving', { range: 'statistics' }, 'read_write', 4)
      .dispatch(kernels.allMovingAverages, strided(elements / 4, 4096));
  }
  const layers = batch.length / 2;
  const most = Math.floor((context.limits.storageBuffers - 1) / 4);
  const dispatches: Dispatch[] = [];
  for (let first = 0; first < layers; first += most) {
    const operands = new KernelOperands('movingAverage', context).read('ok', ok);
    const channels: number[] = [];
    for (let i = 0; first + i < Math.min(first + most, layers); i++) {
      const at = 2 * (first + i);
      const { lanes, channels: count } = vectorShape(batch[at], context);
      channels.push(count);
      operands
        .read(`mean${i}`, batch[at], lanes)
        .read(`variance${i}`, batch[at + 1], lanes)
        .write(`movingMean${i}`, node.updates[at], lanes)
        .write(`movingVariance${i}`, node.updates[at + 1], lanes);
    }
    const groups = foldedGroups(Math.max(...channels), 64);
    dispatches.push(...operands.dispatch(kernels.movingAverages(channels), () => groups));
  }
  return dispatches;
}

export const batchnorm = {
  bnStats: lowerBnStats,

  bnFold(node, context) {
    const [mean, variance, gamma, beta] = node.inputs;
    const [scale, shift] = node.outputs;
    const { lanes, channels, groups } = vectorShape(mean, context);
    return new KernelOperands('bnFold', context)
      .vectors({ mean, variance, gamma, beta }, lanes)
      .write('scale', scale, lanes)
      .write('shift', shift, lanes)
      .dispatch(kernels.bnFold(channels, node.attrs.epsilon as number), groups);
  },

  normalize(node, context) {
    const [x, scale, shift, residual, residualScale, residualShift] = node.inputs;
    const { shape, lanes } = tilesOf(context.spec(x), context.capacity);
    const epilogue = epilogueOf(node);
    const operands = new KernelOperands('normalize', context)
      .read('x', x, lanes)
      .read('residual', residual, lanes)
      .vectors({ scale, shift, residualScale, residualShift }, lanes);
    const kind = residual === undefined ? 'none' : residualScale === undefined ? 'plain' : 'scaled';
    return epilogueOperands(node, operands, lanes).dispatch(
      kernels.normalize({ shape, epilogue, residual: kind }, lanes),
      epilogue.stats ? tileGroups(shape) : mapGroups(shape.pixels * shape.channels),
    );
  },

  bnGradStats: lowerBnGradStats,

  bnGradFold(node, context) {
    const [dySum, dyxSum, mean, variance, gamma] = node.inputs;
    const { epsilon, pixels } = node.attrs as unknown as BnGradFoldAttrs;
    const { lanes, channels, groups } = vectorShape(mean, context);
    const operands = new KernelOperands('bnGradFold', context).vectors({ dySum, dyxSum }, lanes);
    gradientFoldOperands(operands, mean, variance, gamma, node.outputs, lanes);
    return operands.dispatch(kernels.bnGradFold(channels, pixels, epsilon), groups);
  },

  bnGradApply(node, context) {
    const [dy, x, scale, alpha, kappa, derivative] = node.inputs;
    const [dx, dbias] = node.outputs;
    const epilogue = (node.attrs.epilogue ?? {}) as BnGradEpilogue;
    const { shape, lanes, tiles } = tilesOf(context.spec(dy), context.capacity);
    const operands = new KernelOperands('bnGradApply', context)
      .read('dy', dy, lanes)
      .read('x', x, lanes)
      .coefficients(COEFFICIENTS, [scale, alpha, kappa], 'read', lanes)
      .read('derivative', derivative, lanes)
      .write('dx', dx, lanes);
    const text = kernels.bnGradApply(shape, epilogue, lanes);
    if (dbias === undefined) return operands.dispatch(text, mapGroups(shape.pixels * shape.channels));
    const sums = sumsScratch(context, tiles, 1, shape, lanes);
    return [
      ...operands.raw('sums', sums, 'read_write', lanes).dispatch(text, tileGroups(shape)),
      ...mergeTiles(sums, [dbias], shape.samples, lanes, context),
    ];
  },

  movingAverage: lowerMovingAverage,
} satisfies Record<string, Lowering>;
