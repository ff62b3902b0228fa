// Batch normalisation to kernels of gpu/kernels/batchnorm.ts.

import type { Node, ValueId } from '../../runtime/ir/graph.ts';
import type { BnGradEpilogue, BnGradFoldAttrs, BnStatsAttrs } from '../../runtime/ops/batchnorm.ts';
import { samplesPerTile } from '../../runtime/ops/check.ts';
import * as kernels from '../kernels/batchnorm.ts';
import { mergeMoments } from '../kernels/tiles.ts';
import { foldedGroups, type Lanes, lanesFor } from '../kernels/wgsl.ts';
import { mapGroups } from './elementwise.ts';
import { epilogueOf, epilogueOperands } from './epilogue.ts';
import { KernelOperands } from './kernel.ts';
import type { Dispatch, Lowering, LoweringContext } from './lowering.ts';
import { columnGroups, mergeTiles, sumsScratch, tileGroups, tilesOf } from './tiles.ts';

/** Lanes and accesses of the [C] vectors of a node. */
function vectorShape(id: ValueId, context: LoweringContext): { lanes: Lanes; channels: number; groups: Dispatch['workgroups'] } {
  const [elements] = context.spec(id).shape;
  const lanes = lanesFor(elements);
  const groups = foldedGroups(elements / lanes, 64);
  return { lanes, channels: elements / lanes, groups: () => groups };
}

function lowerBnStats(node: Node, context: LoweringContext): Dispatch[] {
  const { from, pixels } = node.attrs as unknown as BnStatsAttrs;
  const [input] = node.inputs;
  const [mean, variance] = node.outputs;
  const { shape: ofInput, lanes, tiles } = tilesOf(context.spec(input), context.capacity);
  const shape = { pixels, channels: ofInput.channels, samples: samplesPerTile(pixels) };
  const merge = (operands: KernelOperands, kind: 'moments' | 'partials'): Dispatch[] =>
    operands
      .write('mean', mean, lanes)
      .write('variance', variance, lanes)
      .dispatch(mergeMoments(shape, lanes, kind, context.features.barriers === true), columnGroups(shape.channels));
  if (from === 'partials') return merge(new KernelOperands('bnStatsMerge', context).read('sums', input, lanes), 'partials');
  const sums = sumsScratch(context, tiles, 2, shape, lanes);
  return [
    ...new KernelOperands('bnStatsTiles', context)
      .read('x', input, lanes)
      .raw('sums', sums, 'read_write', lanes)
      .dispatch(kernels.bnStatsTiles(shape, lanes), tileGroups(shape)),
    ...merge(new KernelOperands('bnStatsMerge', context).raw('sums', sums, 'read', lanes), 'moments'),
  ];
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

  bnGradStats(node, context) {
    const [dy, x, mean] = node.inputs;
    const { shape, lanes, tiles } = tilesOf(context.spec(dy), context.capacity);
    const sums = sumsScratch(context, tiles, 2, shape, lanes);
    return [
      ...new KernelOperands('bnGradStatsTiles', context)
        .read('dy', dy, lanes)
        .read('x', x, lanes)
        .vectors({ mean }, lanes)
        .raw('sums', sums, 'read_write', lanes)
        .dispatch(kernels.bnGradStatsTiles(shape, lanes), tileGroups(shape)),
      ...mergeTiles(sums, node.outputs, shape.samples, lanes, context),
    ];
  },

  bnGradFold(node, context) {
    const [dySum, dyxSum, mean, variance, gamma] = node.inputs;
    const { epsilon, pixels } = node.attrs as unknown as BnGradFoldAttrs;
    const { lanes, channels, groups } = vectorShape(mean, context);
    const operands = new KernelOperands('bnGradFold', context).vectors({ dySum, dyxSum, mean, variance, gamma }, lanes);
    for (const [i, name] of ['scale', 'alpha', 'kappa', 'dgamma', 'dbeta'].entries()) operands.write(name, node.outputs[i], lanes);
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
      .vectors({ scale, alpha, kappa }, lanes)
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

  movingAverage(node, context) {
    const [ok, mean, variance] = node.inputs;
    const [movingMean, movingVariance] = node.updates;
    const { lanes, channels, groups } = vectorShape(mean, context);
    return new KernelOperands('movingAverage', context)
      .read('ok', ok)
      .vectors({ mean, variance }, lanes)
      .write('movingMean', movingMean, lanes)
      .write('movingVariance', movingVariance, lanes)
      .dispatch(kernels.movingAverage(channels), groups);
  },
} satisfies Record<string, Lowering>;
