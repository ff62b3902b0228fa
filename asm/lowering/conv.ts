// Convolutions and dense layers as matrix products: which product a node is, and how its work is cut into tasks. The
// kernels are in asm/kernels/conv.ts.
//
// How tasks are cut decides the speed only, so the capacity may have a say in it. What decides bits (the chunks that a
// weight gradient is summed in) follows from the shape of a sample alone.

import { ceilTo } from '../../runtime/base/units.ts';
import type { Node } from '../../runtime/ir/graph.ts';
import {
  type ConvAttrs,
  type ConvGeometry,
  type ConvGradInputAttrs,
  type ConvGradWeightAttrs,
  convGeometry,
} from '../../runtime/ops/conv.ts';
import { TASK_COLUMNS as MOST_TASK_COLUMNS } from '../abi/constants.ts';
import type { StructValues } from '../abi/fields.ts';
import { lowerEpilogue, NO_EPILOGUE } from './epilogue.ts';
import { type Call, callsOf, fewestTasks, type Kernels, type LoweringContext } from './lowering.ts';
import { suitsWinograd, sumOfChunks, winogradConv, winogradGradInput, winogradGradWeight } from './winograd.ts';

/**
 * Argument blocks of these kernels. Weights are [taps, inputs, outputs]: kernel positions, channels of the convolution whose weights these are. Of a
 * group they are the first of `stride` outputs.
 */
export const convKernels = {
  convPackWeights: { weights: 'ptr', packed: 'ptr', taps: 'i32', inputs: 'i32', outputs: 'i32', stride: 'i32' },
  convPackReversed: { weights: 'ptr', packed: 'ptr', taps: 'i32', inputs: 'i32', outputs: 'i32', stride: 'i32' },
  /** Where partials are asked for, taskRows is a multiple of rowsPerTile: a tile's sums are made by one task, block after block. */
  conv: { product: 'product', x: 'im2col', epilogue: 'epilogue' },
  convGradInputPatches: { product: 'product', dy: 'im2col', size: 'i32', height: 'i32', width: 'i32', channels: 'i32' },
  convZero: { target: 'ptr', elements: 'i32' },
  convGradWeight: {
    /** dy [rows·pixels, columns], of rows of `stride` floats, as those of dw. */
    gradient: 'ptr',
    columns: 'i32',
    stride: 'i32',
    /** What a task computes: rows by columns of dw [depth, columns]. */
    taskRows: 'i32',
    taskColumns: 'i32',
    /** Output pixels that are summed up in one chain. */
    chunkRows: 'i32',
    /** dw of each chunk, to be added by `convGradWeightReduce`. */
    partials: 'ptr?',
    /** Or room for dw in doubles, where a task adds the chunks itself. Neither: there is but one. */
    totals: 'ptr?',
    weights: 'ptr',
    x: 'im2col',
  },
} as const satisfies Kernels;
const call = callsOf(convKernels);

/** Whole tiles of both micro-kernels, 6×8 and 6×16 (asm/lib/tile.ts, tile.wide.ts): nothing here depends on which one runs. */
const TILE_ROWS = 12;
const TILE_COLUMNS = 16;
/** Rows that are packed at a time: with 256 columns of depth, 192 KiB of a second-level cache. */
const BLOCK_ROWS = 192;
/** Columns of a task: at most what a block's results take of the cache, at least what makes packing worth while. */
const TASK_COLUMNS = { least: 32, most: MOST_TASK_COLUMNS };
/** Tasks of rows that keep many threads evenly busy. */
const TASKS = 48;
/** Output pixels in a chunk of a weight gradient, about. */
const CHUNK_PIXELS = 1024;
/** The same for weight gradients, whose tasks pack both operands: fewer, because larger ones pack less. */
const GRADIENT_TASKS = 24;
/** Most rows and columns of the weight gradient that a task computes at a time. */
const GRADIENT_BLOCK = { rows: 256, columns: 512 };
/** The most that weight gradients of chunks may take; beyond, a task adds up the chunks itself. */
const PARTIALS_BYTES = 64 << 20;

const clamp = (n: number, least: number, most: number): number => Math.min(Math.max(n, least), most);

/** Size of the parts when `n` is cut into as few equal ones of at most `most` as possible, rounded up to whole `unit`s. */
const evenly = (n: number, most: number, unit: number): number => ceilTo(Math.ceil(n / Math.ceil(n / most)), unit);

/** The tasks of a product with `total` rows; with `rowsPerTile`, they are whole tiles. */
function cut(total: number, columns: number, threads: number, rowsPerTile = 0) {
  const unit = rowsPerTile || TILE_ROWS;
  const least = rowsPerTile ? 1 : 48 / TILE_ROWS;
  const taskRows = unit * clamp(Math.floor(total / TASKS / unit), least, Math.max(1, Math.floor(BLOCK_ROWS / unit)));
  const columnTasks = Math.ceil(fewestTasks(threads) / Math.ceil(total / taskRows));
  const taskColumns = ceilTo(clamp(Math.ceil(columns / columnTasks), TASK_COLUMNS.least, TASK_COLUMNS.most), TILE_COLUMNS);
  return { columns, taskRows, taskColumns, blockRows: evenly(taskRows, BLOCK_ROWS, TILE_ROWS) };
}

/** Bytes of a packed matrix B. */
const packedBytes = (depth: number, columns: number): number => 4 * depth * ceilTo(columns, TILE_COLUMNS);

/** x as the forward pass sees it. */
const forwardView = (x: number, g: ConvGeometry, inputScale: number | undefined): StructValues<'im2col'> => ({
  input: x,
  ...{ height: g.h, width: g.w, channels: g.ci / g.groups, pixelChannels: g.ci },
  ...{ outHeight: g.oh, outWidth: g.ow, kernelHeight: g.kh, kernelWidth: g.kw },
  ...{ strideRows: g.stride[0], strideColumns: g.stride[1], dilationRows: g.dilation[0], dilationColumns: g.dilation[1] },
  ...{ upsamplingRows: 1, upsamplingColumns: 1, padTop: g.padTop, padLeft: g.padLeft },
  ...{ bytes: inputScale !== undefined, scale: inputScale ?? 1 },
});

/** dy as the gradient for the input sees it: by default as it is, pixel by pixel. */
const backwardView = (dy: number, g: ConvGeometry, window: Partial<StructValues<'im2col'>> = {}): StructValues<'im2col'> => ({
  ...{ input: dy, height: g.oh, width: g.ow, channels: g.co / g.groups, pixelChannels: g.co, bytes: false, scale: 1 },
  ...{ outHeight: g.oh, outWidth: g.ow, kernelHeight: 1, kernelWidth: 1, strideRows: 1, strideColumns: 1 },
  ...{ dilationRows: 1, dilationColumns: 1, upsamplingRows: 1, upsamplingColumns: 1, padTop: 0, padLeft: 0 },
  ...window,
});

/** For each group of channels where its part begins in a pixel of x, in one of the result, and in vectors of the result: offsets in elements. */
const groupsOf = ({ ci, co, groups }: ConvGeometry): { readonly input: number; readonly output: number }[] =>
  Array.from({ length: groups }, (_, k) => ({ input: (k * ci) / groups, output: (k * co) / groups }));

/** The epilogue of a group: everything from its first output on. */
const epilogueFrom = (fields: StructValues<'epilogue'>, output: number): StructValues<'epilogue'> => {
  const from = (address: number | undefined) => (address ? address + 4 * output : address);
  return { ...fields, bias: from(fields.bias), derivative: from(fields.derivative), partials: from(fields.partials) };
};

function lowerConv(node: Node, context: LoweringContext): Call[] {
  const { inputScale, ...window } = node.attrs as unknown as ConvAttrs;
  const [x, w] = node.inputs;
  const g = convGeometry(context.spec(x).shape, context.spec(w).shape, window);
  const [inputs, outputs] = [g.ci / g.groups, g.co / g.groups];
  const depth = g.kh * g.kw * inputs;
  const epilogue = lowerEpilogue(node, context, g.oh * g.ow);
  if (suitsWinograd(g) && inputScale === undefined) {
    return winogradConv(g, context.address(x), w, context.address(node.outputs[0]), epilogue, context);
  }
  const bytes = packedBytes(depth, outputs);
  const kept = context.kept(w, g.groups * bytes);
  const room = kept ?? context.scratch(bytes);
  const elementBytes = inputScale === undefined ? 4 : 1;
  return groupsOf(g).flatMap(({ input, output }, group) => {
    // What is not kept makes room for that of the next group.
    const packed = kept === undefined ? room : room + group * bytes;
    const weights = context.address(w) + 4 * output;
    const pack = call('convPackWeights', { weights, packed, taps: g.kh * g.kw, inputs, outputs, stride: g.co });
    const product = call('conv', {
      product: {
        packed,
        output: context.address(node.outputs[0]) + 4 * output,
        ...cut(context.capacity * g.oh * g.ow, outputs, context.threads, epilogue.rowsPerTile),
        outputColumns: g.co,
      },
      x: forwardView(context.address(x) + elementBytes * input, g, inputScale),
      epilogue: epilogueFrom(epilogue.fields, output),
    });
    return [{ ...pack, keeps: kept !== undefined }, product];
  });
}

function lowerConvGradInput(node: Node, context: LoweringContext): Call[] {
  const { inputShape, ...window } = node.attrs as unknown as ConvGradInputAttrs;
  const [dy, w] = node.inputs;
  const g = convGeometry(inputShape, context.spec(w).shape, window);
  const dx = context.address(node.outputs[0]);
  if (suitsWinograd(g)) return winogradGradInput(g, context.address(dy), context.address(w), dx, context);
  const [stride] = g.stride;
  const patches =
    stride > 1 &&
    `${[g.kh, g.kw, g.stride[1], g.padTop, g.padLeft, g.dilation, g.groups]}` === `${[stride, stride, stride, 0, 0, 1, 1, 1]}`;
  if (patches && g.oh * stride <= g.h && g.ow * stride <= g.w) {
    // dy, a row per patch, times the transposed weights: the whole patch is one row of the product.
    const columns = g.kh * g.kw * g.ci;
    const packed = context.scratch(packedBytes(g.co, columns));
    const covered = g.oh * stride === g.h && g.ow * stride === g.w;
    return [
      ...(covered ? [] : [call('convZero', { target: dx, elements: g.h * g.w * g.ci })]),
      call('convPackReversed', { weights: context.address(w), packed, taps: 1, inputs: columns, outputs: g.co, stride: g.co }),
      call('convGradInputPatches', {
        product: { packed, output: dx, ...cut(context.capacity * g.oh * g.ow, columns, context.threads), outputColumns: columns },
        dy: backwardView(context.address(dy), g),
        ...{ size: stride, height: g.h, width: g.w, channels: g.ci },
      }),
    ];
  }
  // The convolution, stride 1, of dy (with zeros between its pixels where the stride was more) with the reversed kernel.
  const [inputs, outputs] = [g.ci / g.groups, g.co / g.groups];
  const packed = context.scratch(packedBytes(g.kh * g.kw * outputs, inputs));
  return groupsOf(g).flatMap(({ input, output }) => [
    call('convPackReversed', { weights: context.address(w) + 4 * output, packed, taps: g.kh * g.kw, inputs, outputs, stride: g.co }),
    call('conv', {
      product: { packed, output: dx + 4 * input, ...cut(context.capacity * g.h * g.w, inputs, context.threads), outputColumns: g.ci },
      x: backwardView(context.address(dy) + 4 * output, g, {
        ...{ outHeight: g.h, outWidth: g.w, kernelHeight: g.kh, kernelWidth: g.kw },
        ...{ dilationRows: g.dilation[0], dilationColumns: g.dilation[1] },
        ...{ upsamplingRows: g.stride[0], upsamplingColumns: g.stride[1] },
        ...{ padTop: (g.kh - 1) * g.dilation[0] - g.padTop, padLeft: (g.kw - 1) * g.dilation[1] - g.padLeft },
      }),
      epilogue: NO_EPILOGUE.fields,
    }),
  ]);
}

function lowerConvGradWeight(node: Node, context: LoweringContext): Call[] {
  const { weightShape, inputScale, ...window } = node.attrs as unknown as ConvGradWeightAttrs;
  const [x, dy] = node.inputs;
  const g = convGeometry(context.spec(x).shape, weightShape, window);
  const pixels = g.oh * g.ow;
  const columns = g.co / g.groups;
  const depth = (g.kh * g.kw * g.ci) / g.groups;
  // Whole samples, or parts of one where it has more pixels.
  const chunkRows = pixels > CHUNK_PIXELS ? CHUNK_PIXELS : Math.floor(CHUNK_PIXELS / pixels) * pixels;
  const chunks = Math.ceil((context.capacity * pixels) / chunkRows);
  const dw = context.address(node.outputs[0]);
  if (suitsWinograd(g) && inputScale === undefined) {
    return winogradGradWeight(g, context.address(x), context.address(dy), dw, context);
  }
  const bytes = chunks * depth * g.co * 4;
  const partials = chunks > 1 && bytes <= PARTIALS_BYTES ? context.scratch(bytes) : undefined;
  const totals = chunks > 1 && !partials ? context.scratch(depth * g.co * 8) : undefined;
  const taskColumns = evenly(columns, GRADIENT_BLOCK.columns, TILE_COLUMNS);
  const otherTasks = Math.ceil(columns / taskColumns) * (partials ? chunks : 1);
  const rowTasks = Math.ceil(GRADIENT_TASKS / otherTasks);
  const taskRows = evenly(depth, clamp(Math.ceil(depth / rowTasks), 48, GRADIENT_BLOCK.rows), TILE_ROWS);
  const elementBytes = inputScale === undefined ? 4 : 1;
  return [
    ...groupsOf(g).map(({ input, output }) =>
      call('convGradWeight', {
        gradient: context.address(dy) + 4 * output,
        ...{ columns, stride: g.co, taskRows, taskColumns, chunkRows },
        partials: partials && partials + 4 * output,
        totals: totals && totals + 8 * output,
        weights: dw + 4 * output,
        x: forwardView(context.address(x) + elementBytes * input, g, inputScale),
      }),
    ),
    ...(partials ? [sumOfChunks({ partials, weights: dw, elements: depth * g.co, pixels, chunkRows })] : []),
  ];
}

export const conv = { conv: lowerConv, convGradInput: lowerConvGradInput, convGradWeight: lowerConvGradWeight };
