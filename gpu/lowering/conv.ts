// Convolutions and dense layers as matrix products (gpu/kernels/conv.ts): which product a node is, and how it is cut into tiles
// (product-tile.ts) and chunks. Chunks decide bits: they follow from the shape of a sample alone, never from rows or capacity.

import { ceilTo } from '../../runtime/base/units.ts';
import { elementCount, type ValueId } from '../../runtime/ir/graph.ts';
import { samplesPerTile } from '../../runtime/ops/check.ts';
import { type ConvGeometry, convGeometry } from '../../runtime/ops/conv.ts';
import * as kernels from '../kernels/conv.ts';
import { zero } from '../kernels/elementwise.ts';
import type { Tile } from '../kernels/gemm.ts';
import { foldedGroups, type Lanes, lanesFor, range } from '../kernels/wgsl.ts';
import type { GpuNode } from '../ops/index.ts';
import { foldResults, mergeGradient } from './batchnorm.ts';
import { mapGroups } from './elementwise.ts';
import { epilogueOf, epilogueOperands } from './epilogue.ts';
import { KernelOperands } from './kernel.ts';
import type { Dispatch, LoweringContext, Lowerings } from './lowering.ts';
import type { MergedFold } from './merge.ts';
import { type ChosenTile, matricesFor, tileFor } from './product-tile.ts';
import { mergeTiles } from './tiles.ts';

/** Depths of a chunk of a dense layer with many inputs, and from how many on it is cut. */
const CHUNK_DEPTH = 1024;
const DEEP = 4096;

/** A kernel's name, with what multiplies where it is not the invocations. */
const named = (kernel: string, { matrices }: Tile): string =>
  matrices ? `${kernel}, ${matrices.unit.component === 'f32' ? 'f32 matrices' : matrices.passes === 1 ? 'f16' : 'f16x3'}` : kernel;

/** What a product is called where its kernels are raced: two of one name have the same loads, and by their sizes the same work. */
const productOf = (kernel: string, { kh, kw, stride, groups }: ConvGeometry): string =>
  `${kernel} ${kh}×${kw}${stride[0] * stride[1] > 1 ? ` by ${stride.join('×')}` : ''}${groups > 1 ? ` in ${groups} groups` : ''}`;

/**
 * Whether an operand goes to the matrices as it lies in memory: as f16, in accesses of four, of which the one pass that there is would take no
 * more. (What is made of it on its way, by a prologue, would be f32.)
 */
const comesAsHalf = ({ matrices }: Tile, id: ValueId, lanes: Lanes, { storage }: LoweringContext): boolean =>
  matrices?.passes === 1 && matrices.unit.words.storesHalves === true && lanes === 4 && storage(id) === 'f16';

/** The dispatches of a product, of which the last one multiplies: those before it bring its vectors together. */
const atSite = (dispatches: readonly Dispatch[], { site }: ChosenTile): Dispatch[] =>
  dispatches.map((dispatch, i) => (site && i === dispatches.length - 1 ? { ...dispatch, site } : dispatch));

/** Workgroups of a product by rows: columns in x, groups of `rowsPerGroup` rows of C folded into y and z. */
const rowGroups =
  (columns: number, { bn }: Tile, pixels: number, rowsPerGroup: number): Dispatch['workgroups'] =>
  (rows) => {
    const groups = Math.ceil((rows * pixels) / rowsPerGroup);
    const z = Math.ceil(groups / 65535);
    return [Math.ceil(columns / bn), Math.ceil(groups / z), z];
  };

function lowerConv(node: GpuNode<'conv'>, context: LoweringContext): Dispatch[] {
  const { epilogue: _, inputScale, ...window } = node.attrs;
  const { x, w, bias } = node.args;
  const g = convGeometry(context.spec(x).shape, context.spec(w).shape, window);
  const epilogue = epilogueOf(node);
  const pixels = g.oh * g.ow;
  const rowsPerTile = samplesPerTile(pixels) * pixels;
  const sums = epilogue.stats === true;
  const columns = g.co / g.groups;
  const depth = (g.kh * g.kw * g.ci) / g.groups;
  const chosen = tileFor(
    {
      ...{ product: productOf('conv', g), rows: context.capacity * pixels, columns, depth, rowsPerTile: sums ? rowsPerTile : undefined },
      matrices: matricesFor(g, context),
    },
    context,
  );
  const { tile } = chosen;
  const lanes = kernels.cellLanes(tile, columns);
  if (g.groups === 1 && g.h === 1 && g.w === 1 && depth >= DEEP && !sums && inputScale === undefined)
    return lowerDeepDense(node, tile, depth, g.co, context);
  return range(g.groups).flatMap((k) => {
    const windows = kernels.forwardWindows(g, inputScale, k);
    const slice = kernels.sliceOf(g.co, g.groups, k);
    const halves = { a: comesAsHalf(tile, x, kernels.windowLanes(windows, tile), context) };
    const operands = new KernelOperands(named('conv', tile), context)
      .read('x', x, kernels.windowLanes(windows, tile))
      .read('w', w, lanes)
      .read('bias', bias, lanes);
    const dispatches = epilogueOperands(node, operands, lanes).dispatch(
      kernels.conv({ windows, columns, tile, epilogue, rowsPerTile, slice, weightSlice: slice, halves }),
      rowGroups(columns, tile, pixels, sums ? rowsPerTile : kernels.groupRows(tile)),
    );
    return atSite(dispatches, chosen);
  });
}

/** Few rows and columns, much depth: chunks of the depth side by side. */
function lowerDeepDense(node: GpuNode<'conv'>, tile: Tile, depth: number, columns: number, context: LoweringContext): Dispatch[] {
  const { x, w, bias } = node.args;
  const chunks = Math.ceil(depth / CHUNK_DEPTH);
  const sums = context.scratch(ceilTo(chunks * context.capacity * columns * 4, 16));
  const lanes = kernels.cellLanes(tile, columns);
  const width = lanesFor(columns);
  const epilogue = epilogueOf(node);
  const operands = new KernelOperands('denseEpilogue', context).raw('sums', sums, 'read', width).read('bias', bias, width);
  return [
    ...new KernelOperands('denseChunks', context)
      .read('x', x, kernels.windowLanes(kernels.denseWindows(depth), tile))
      .read('w', w, lanes)
      .raw('sums', sums, 'read_write', lanes)
      .dispatch(kernels.denseChunks({ depth, columns, tile, chunkDepth: CHUNK_DEPTH }), (rows) => [
        Math.ceil(columns / tile.bn),
        Math.ceil(rows / kernels.groupRows(tile)),
        chunks,
      ]),
    ...epilogueOperands(node, operands, width).dispatch(
      kernels.denseEpilogue(columns / width, chunks, epilogue, width),
      mapGroups(columns / width),
    ),
  ];
}

/** Windows that do not overlap, from the corner on: each pixel of x belongs to one at most. */
const arePatches = ({ h, w, kh, kw, oh, ow, stride, dilation, padTop, padLeft, groups }: ConvGeometry): boolean =>
  stride[0] > 1 &&
  `${[kh, kw, stride[1], padTop, padLeft, dilation, groups]}` === `${[stride[0], stride[0], stride[0], 0, 0, 1, 1, 1]}` &&
  oh * kh <= h &&
  ow * kw <= w;

function lowerConvGradInput(
  { args: { dy, w }, results: { dx }, attrs }: GpuNode<'convGradInput'> | GpuNode<'convGradInputStats'>,
  merged: MergedFold | undefined,
  context: LoweringContext,
): Dispatch[] {
  const { stride, padding, dilation, groups, inputShape } = attrs;
  const g = convGeometry(inputShape, context.spec(w).shape, { stride, padding, dilation, groups });
  if (arePatches(g)) {
    const columns = g.kh * g.kw * g.ci;
    const chosen = tileFor(
      {
        ...{ product: productOf('convGradInput', g), rows: context.capacity * g.oh * g.ow, columns, depth: g.co, b: 'depth' },
        matrices: matricesFor(g, context),
      },
      context,
    );
    const { tile } = chosen;
    const covered = g.oh * g.kh === g.h && g.ow * g.kw === g.w;
    const lanes = lanesFor(g.ci);
    const perSample = elementCount(context.spec(dx)) / lanes;
    const { dispatches, operands } = weightsOfGradient('convGradInputPatches', w, 1, columns, g.co, tile, context);
    return [
      ...(covered ? [] : new KernelOperands('zero', context).write('y', dx, lanes).dispatch(zero(perSample, lanes), mapGroups(perSample))),
      ...dispatches,
      ...atSite(
        operands
          .read('x', dy, tile.panels ? lanesFor(g.co) : 1)
          .write('dx', dx, kernels.cellLanes(tile, g.ci))
          .dispatch(
            kernels.convGradInputPatches(g, tile, { a: comesAsHalf(tile, dy, lanesFor(g.co), context) }),
            rowGroups(columns, tile, g.oh * g.ow, kernels.groupRows(tile)),
          ),
        chosen,
      ),
    ];
  }
  const pixels = g.h * g.w;
  const columns = g.ci / g.groups;
  const channels = g.co / g.groups;
  const chosen = tileFor(
    {
      product: productOf('convGradInput', g),
      rows: context.capacity * pixels,
      columns,
      depth: g.kh * g.kw * channels,
      b: 'depth',
      rowsPerTile: merged ? samplesPerTile(pixels) * pixels : undefined,
      matrices: matricesFor(g, context),
    },
    context,
  );
  const { tile } = chosen;
  const lanes = kernels.cellLanes(tile, columns);
  const samples = samplesPerTile(pixels);
  const parts = range(g.groups).map((k) => {
    const weightSlice = kernels.sliceOf(g.co, g.groups, k);
    const { dispatches, operands } = weightsOfGradient('convGradInput', w, g.kh * g.kw, columns, channels, tile, context, weightSlice);
    operands.read('x', dy, tile.panels ? lanesFor(channels) : 1).write('y', dx, lanes);
    const options = {
      ...{ windows: kernels.reversedWindows(g, k), columns, tile, epilogue: {}, rowsPerTile: samples * pixels, transposed: tile.panels },
      ...{ slice: kernels.sliceOf(g.ci, g.groups, k), weightSlice: tile.panels ? weightSlice : undefined },
      halves: { a: comesAsHalf(tile, dy, lanesFor(channels), context) },
    };
    return { dispatches, operands, options };
  });
  if (!merged) {
    return parts.flatMap(({ dispatches, operands, options }) => [
      ...dispatches,
      ...atSite(operands.dispatch(kernels.conv(options), rowGroups(columns, tile, pixels, kernels.groupRows(tile))), chosen),
    ]);
  }
  // Merged are convolutions of one group (merge.ts).
  const [{ dispatches, operands, options }] = parts;
  const sums = context.scratch(ceilTo(Math.ceil(context.capacity / samples) * 2 * g.ci * 4, 16));
  operands.read('activation', merged.x, lanes).vectors({ mean: merged.mean }, lanes).raw('sums', sums, 'read_write', lanes);
  return [
    ...dispatches,
    ...atSite(operands.dispatch(kernels.conv({ ...options, gradientSums: true }), rowGroups(g.ci, tile, pixels, samples * pixels)), chosen),
    ...mergeGradient(merged, sums, samples, 0, 2 * g.ci, context),
  ];
}

/** The operand `w` of a gradient of x: with panels the weights as they are, else a transposed copy, so that neighbours read neighbours. */
function weightsOfGradient(
  kernel: string,
  w: number,
  taps: number,
  columns: number,
  channels: number,
  tile: Tile,
  context: LoweringContext,
  slice?: kernels.Slice,
) {
  const operands = new KernelOperands(named(kernel, tile), context);
  if (tile.panels) return { dispatches: [], operands: operands.read('w', w) };
  const elements = taps * columns * channels;
  const transposed = context.scratch(ceilTo(elements * 4, 16));
  const groups = foldedGroups(elements, 64);
  const dispatches = new KernelOperands('transposeWeights', context)
    .read('w', w)
    .raw('transposed', transposed, 'read_write')
    .dispatch(kernels.transposeWeights(taps, columns, channels, slice), () => groups);
  return { dispatches, operands: operands.raw('w', transposed, 'read') };
}

/**
 * Rows of dy in a chunk of a weight gradient: whole samples of about so many pixels, more where its many weights would make many sums; or parts of
 * a sample that has more pixels, so that no sum is long, but whose sums are no larger than x and dy.
 */
function chunkRowsFor({ kh, kw, ci, co, oh, ow, groups }: ConvGeometry): number {
  const weights = (kh * kw * ci * co) / groups;
  const most = weights > 1 << 18 ? 4096 : 1024;
  const pixels = oh * ow;
  return pixels > most ? Math.min(pixels, Math.max(most, Math.ceil(weights / (ci + co)))) : Math.floor(most / pixels) * pixels;
}

const MOST_WORKGROUPS = 65_535;

function lowerConvGradWeight({ args: { x, dy }, results: { dw }, attrs }: GpuNode<'convGradWeight'>, context: LoweringContext): Dispatch[] {
  const { weightShape, inputScale, ...window } = attrs;
  const g = convGeometry(context.spec(x).shape, weightShape, window);
  const pixels = g.oh * g.ow;
  const columns = g.co / g.groups;
  const depth = (g.kh * g.kw * g.ci) / g.groups;
  const chunkRows = chunkRowsFor(g);
  const chunks = Math.ceil((context.capacity * pixels) / chunkRows);
  const chosen = tileFor(
    {
      ...{ product: productOf('convGradWeight', g), rows: depth, columns, depth: chunkRows, parts: chunks },
      matrices: matricesFor(g, context),
    },
    context,
  );
  const { tile } = chosen;
  const lanes = kernels.cellLanes(tile, columns);
  const rowGroups = Math.ceil(depth / tile.bm);
  const folds = Math.ceil(rowGroups / MOST_WORKGROUPS);
  const parts = range(g.groups).map((k) => {
    const windows = kernels.forwardWindows(g, inputScale, k);
    const operands = new KernelOperands(named('convGradWeight', tile), context)
      .read('x', x, kernels.windowLanes(windows, tile))
      .read('dy', dy, lanes);
    return {
      operands,
      text: kernels.convGradWeight({
        ...{ windows, columns, tile, chunkRows, folds, slice: kernels.sliceOf(g.co, g.groups, k) },
        halves: { a: comesAsHalf(tile, x, kernels.windowLanes(windows, tile), context), b: comesAsHalf(tile, dy, lanes, context) },
      }),
    };
  });
  const groups: Dispatch['workgroups'] = (rows) => [
    Math.ceil(columns / tile.bn) * folds,
    Math.ceil(rowGroups / folds),
    Math.ceil((rows * pixels) / chunkRows),
  ];
  if (chunks === 1) return parts.flatMap(({ operands, text }) => atSite(operands.write('sums', dw, lanes).dispatch(text, groups), chosen));
  const sums = context.scratch(ceilTo(chunks * depth * g.co * 4, 16));
  return [
    ...parts.flatMap(({ operands, text }) => atSite(operands.raw('sums', sums, 'read_write', lanes).dispatch(text, groups), chosen)),
    ...mergeTiles(sums, [dw], chunkRows, lanesFor(g.co), context, pixels),
  ];
}

export const conv = {
  conv: lowerConv,
  convGradInput: (node, context) => lowerConvGradInput(node, undefined, context),
  convGradInputStats: (node, context) => lowerConvGradInput(node, { ...node.attrs, ...node.args, ...foldResults(node.results) }, context),
  convGradWeight: lowerConvGradWeight,
} satisfies Partial<Lowerings>;
