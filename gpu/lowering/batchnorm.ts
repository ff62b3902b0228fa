// Batch normalisation to kernels of gpu/kernels/batchnorm.ts.

import { elementCount, type ValueId } from '../../runtime/ir/graph.ts';
import { samplesPerTile } from '../../runtime/ops/check.ts';
import * as kernels from '../kernels/batchnorm.ts';
import { gradientMerge, type Merge, momentsMerge } from '../kernels/tiles.ts';
import { foldedGroups, type Lanes, lanesFor } from '../kernels/wgsl.ts';
import type { GpuNode } from '../ops/index.ts';
import { mapGroups } from './elementwise.ts';
import { epilogueOf, epilogueOperands } from './epilogue.ts';
import { KernelOperands } from './kernel.ts';
import type { Dispatch, LoweringContext, Lowerings, Operand } from './lowering.ts';
import type { MergedFold } from './merge.ts';
import { strided } from './optimizer.ts';
import { MOST } from './profile.ts';
import { dispatchMerges, mergeTiles, sumsScratch, tileGroups, tilesOf } from './tiles.ts';

/** Lanes and accesses of the [C] vectors of a node. */
function vectorShape(id: ValueId, context: LoweringContext): { lanes: Lanes; channels: number; groups: Dispatch['workgroups'] } {
  const [elements] = context.spec(id).shape;
  const lanes = lanesFor(elements);
  const groups = foldedGroups(elements / lanes, 64);
  return { lanes, channels: elements / lanes, groups: () => groups };
}

/** With `fold` also the fold of the statistics. */
function lowerBnStats(
  node: GpuNode<'bnStats'> | GpuNode<'bnStatsFold'>,
  fold: GpuNode<'bnStatsFold'> | null,
  context: LoweringContext,
): Dispatch[] {
  const { from, pixels } = node.attrs;
  const input = node.args.x;
  const { mean, variance } = node.results;
  const { gamma, beta } = fold?.args ?? {};
  const { scale, shift } = fold?.results ?? {};
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
      [momentsMerge(shape, lanes, fold ? kernels.fold('m', 'v', fold.attrs.epsilon) : '')],
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
  { mean, variance, gamma, coefficients, dgamma, dbeta }: Omit<MergedFold, 'x' | 'epsilon' | 'pixels'>,
  lanes: Lanes,
): KernelOperands {
  return operands
    .vectors({ mean, variance, gamma }, lanes)
    .coefficients(COEFFICIENTS, coefficients, 'read_write', lanes)
    .write('dgamma', dgamma, lanes)
    .write('dbeta', dbeta, lanes);
}

/** Results of a fold by their part in it. */
export const foldResults = ({
  coefficients,
  scale,
  alpha,
  kappa,
  dgamma,
  dbeta,
}: Partial<Record<'coefficients' | 'scale' | 'alpha' | 'kappa' | 'dgamma' | 'dbeta', ValueId>>) => ({
  coefficients: (coefficients === undefined ? [scale, alpha, kappa] : [coefficients]) as ValueId[],
  dgamma: dgamma as ValueId,
  dbeta: dbeta as ValueId,
});

/** With `fold` also the fold of the sums. */
function lowerBnGradStats(
  { dy, x, mean }: { readonly dy: ValueId; readonly x: ValueId; readonly mean: ValueId },
  finish: { readonly sums: GpuNode<'bnGradStats'> } | { readonly fold: GpuNode<'bnGradStatsFold'> },
  context: LoweringContext,
): Dispatch[] {
  const { shape, lanes, tiles } = tilesOf(context.spec(dy), context.capacity);
  const sums = sumsScratch(context, tiles, 2, shape, lanes);
  const merge = new KernelOperands('bnGradStatsMerge', context).raw('sums', sums, 'read', lanes);
  let after = 'set_dySum(c, s);\nset_dyxSum(c, sx);';
  if ('fold' in finish) {
    const { args, results, attrs } = finish.fold;
    gradientFoldOperands(merge, { ...args, ...foldResults(results) }, lanes);
    after = kernels.gradientFold('s', 'sx', attrs.pixels, attrs.epsilon);
  } else merge.write('dySum', finish.sums.results.dySum, lanes).write('dyxSum', finish.sums.results.dyxSum, lanes);
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

/** The end of statistics that were merged into a gradient: `sums` holds them for each `samples` rows (or of what there is `perRow` of in a row), `stride` elements apart. */
export function mergeGradient(
  merged: MergedFold,
  sums: Operand,
  samples: number,
  offset: number,
  stride: number,
  context: LoweringContext,
  perRow = 1,
): Dispatch[] {
  const { lanes } = vectorShape(merged.mean, context);
  const operands = new KernelOperands('bnGradStatsMerge', context).raw('sums', sums, 'read', lanes);
  return dispatchMerges(operands, [gradientMergeOf(merged, operands, samples, offset, stride, context, perRow)], context);
}

/** The merge of `mergeGradient`, for one dispatch with others; binds its vectors. */
export function gradientMergeOf(
  merged: MergedFold,
  operands: KernelOperands,
  samples: number,
  offset: number,
  stride: number,
  context: LoweringContext,
  perRow = 1,
): Merge {
  const { lanes, channels } = vectorShape(merged.mean, context);
  gradientFoldOperands(operands, merged, lanes);
  const after = kernels.gradientFold('s', 'sx', merged.pixels, merged.epsilon);
  return gradientMerge({ channels, samples }, lanes, offset / lanes, stride / lanes, after, perRow);
}

/** All statistics in one go, or as many layers at a time as the device binds buffers for. */
function lowerMovingAverages(
  ok: ValueId,
  batch: readonly ValueId[],
  updates: readonly ValueId[],
  { whole, momentum }: { readonly whole?: boolean; readonly momentum?: number },
  context: LoweringContext,
): Dispatch[] {
  if (whole) {
    const elements = updates.reduce((sum, id) => sum + elementCount(context.spec(id)), 0);
    return new KernelOperands('movingAverage', context)
      .read('ok', ok)
      .raw('batch', { range: 'batchStatistics' }, 'read', 4)
      .raw('moving', { range: 'statistics' }, 'read_write', 4)
      .dispatch(kernels.allMovingAverages(momentum), strided(elements / 4, 4096));
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
        .write(`movingMean${i}`, updates[at], lanes)
        .write(`movingVariance${i}`, updates[at + 1], lanes);
    }
    const groups = foldedGroups(Math.max(...channels), 64);
    dispatches.push(...operands.dispatch(kernels.movingAverages(channels, momentum), () => groups));
  }
  return dispatches;
}

export const batchnorm = {
  bnStats: (node, context) => lowerBnStats(node, null, context),

  bnStatsFold: (node, context) => lowerBnStats(node, node, context),

  bnFold(node, context) {
    const { mean, variance, gamma, beta } = node.args;
    const { scale, shift } = node.results;
    const { lanes, channels, groups } = vectorShape(mean, context);
    return new KernelOperands('bnFold', context)
      .vectors({ mean, variance, gamma, beta }, lanes)
      .write('scale', scale, lanes)
      .write('shift', shift, lanes)
      .dispatch(kernels.bnFold(channels, node.attrs.epsilon), groups);
  },

  bnFoldGrad({ args, results: { dgamma }, attrs }, context) {
    const { lanes, channels, groups } = vectorShape(dgamma, context);
    return new KernelOperands('bnFoldGrad', context)
      .vectors({ ...args }, lanes)
      .write('dgamma', dgamma, lanes)
      .dispatch(kernels.bnFoldGrad(channels, attrs.epsilon), groups);
  },

  normalize(node, context) {
    const { x, scale, shift, residual, residualScale, residualShift } = node.args;
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

  bnGradStats: (node, context) => lowerBnGradStats(node.args, { sums: node }, context),

  bnGradStatsFold: (node, context) => lowerBnGradStats(node.args, { fold: node }, context),

  bnGradFold(node, context) {
    const { dySum, dyxSum } = node.args;
    const { epsilon, pixels } = node.attrs;
    const { lanes, channels, groups } = vectorShape(dySum, context);
    const operands = new KernelOperands('bnGradFold', context).vectors({ dySum, dyxSum }, lanes);
    gradientFoldOperands(operands, { ...node.args, ...foldResults(node.results) }, lanes);
    return operands.dispatch(kernels.bnGradFold(channels, pixels, epsilon), groups);
  },

  bnGradApply(node, context) {
    const { scale, alpha, kappa } = node.args;
    return lowerBnGradApply(node.args, [scale, alpha, kappa], node.results, context);
  },

  bnGradApplyTogether: (node, context) => lowerBnGradApply(node.args, [node.args.coefficients], node.results, context),

  movingAverage: ({ args: { ok, mean, variance }, updates, attrs }, context) =>
    lowerMovingAverages(ok, [mean, variance], updates, attrs, context),

  movingAverages: ({ args: { ok, batch }, updates, attrs }, context) => lowerMovingAverages(ok, batch, updates, attrs, context),
} satisfies Partial<Lowerings>;

function lowerBnGradApply(
  { dy, x, derivative }: { readonly dy: ValueId; readonly x: ValueId; readonly derivative?: ValueId },
  coefficients: readonly ValueId[],
  { dx, dbias }: { readonly dx: ValueId; readonly dbias?: ValueId },
  context: LoweringContext,
): Dispatch[] {
  const epilogue = { derivative: derivative !== undefined, biasGrad: dbias !== undefined };
  const { shape, lanes, tiles } = tilesOf(context.spec(dy), context.capacity);
  const operands = new KernelOperands('bnGradApply', context)
    .read('dy', dy, lanes)
    .read('x', x, lanes)
    .coefficients(COEFFICIENTS, coefficients, 'read', lanes)
    .read('derivative', derivative, lanes)
    .write('dx', dx, lanes);
  const { together } = context.features.profile ?? MOST;
  const text = kernels.bnGradApply({ ...shape, together }, epilogue, lanes);
  if (dbias === undefined) return operands.dispatch(text, mapGroups(shape.pixels * shape.channels));
  const sums = sumsScratch(context, tiles, 1, shape, lanes);
  return [
    ...operands.raw('sums', sums, 'read_write', lanes).dispatch(text, tileGroups(shape)),
    ...mergeTiles(sums, [dbias], shape.samples, lanes, context),
  ];
}
