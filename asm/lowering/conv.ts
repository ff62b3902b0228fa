// Convolutions and dense layers as matrix products: which product a node is, and how its work is cut into tasks. The
// kernels and their argument words are in asm/kernels/conv.ts.
//
// How tasks are cut decides the speed only, so the capacity may have a say in it. What decides bits (the chunks that a
// weight gradient is summed in) follows from the shape of a sample alone.

import type { Node } from '../../runtime/ir/graph.ts';
import {
  type ConvAttrs,
  type ConvGeometry,
  type ConvGradInputAttrs,
  type ConvGradWeightAttrs,
  convGeometry,
} from '../../runtime/ops/conv.ts';
import { lowerEpilogue } from './epilogue.ts';
import { type Call, f32, type LoweringContext, type Word } from './lowering.ts';
import { suitsWinograd, winogradConv, winogradGradInput, winogradGradWeight } from './winograd.ts';

/** Whole tiles of both micro-kernels, 6×8 and 4×16 (asm/lib/tile.ts, tile.wide.ts): nothing here depends on which one runs. */
const TILE_ROWS = 12;
const TILE_COLUMNS = 16;
/** Rows that are packed at a time: with 256 columns of depth, 192 KiB of a second-level cache. */
const BLOCK_ROWS = 192;
/** Columns of a task: at most what a block's results take of the cache, at least what makes packing worth while. */
const TASK_COLUMNS = { least: 32, most: 512 };
/** Tasks that keep many threads evenly busy. */
const TASKS = 48;
/** Output pixels in a chunk of a weight gradient, about. */
const CHUNK_PIXELS = 1024;
/** The same for weight gradients, whose tasks pack both operands: fewer, because larger ones pack less. */
const GRADIENT_TASKS = 24;
/** Most rows and columns of the weight gradient that a task computes at a time. */
const GRADIENT_BLOCK = { rows: 256, columns: 512 };
/** The most that weight gradients of chunks may take; beyond, a task adds up the chunks itself. */
const PARTIALS_BYTES = 64 << 20;

const ceilTo = (n: number, unit: number): number => Math.ceil(n / unit) * unit;
const clamp = (n: number, least: number, most: number): number => Math.min(Math.max(n, least), most);

/** Size of the parts when `n` is cut into as few equal ones of at most `most` as possible, rounded up to whole `unit`s. */
const evenly = (n: number, most: number, unit: number): number => ceilTo(Math.ceil(n / Math.ceil(n / most)), unit);

/** The words taskRows, taskColumns, blockRows of a product with `total` rows; with `rowsPerTile`, tasks are whole tiles. */
function cut(total: number, columns: number, rowsPerTile = 0): Word[] {
  const unit = rowsPerTile || TILE_ROWS;
  const least = rowsPerTile ? 1 : 48 / TILE_ROWS;
  const taskRows = unit * clamp(Math.floor(total / TASKS / unit), least, Math.max(1, Math.floor(BLOCK_ROWS / unit)));
  const columnTasks = Math.ceil(TASKS / Math.ceil(total / taskRows));
  const taskColumns = ceilTo(clamp(Math.ceil(columns / columnTasks), TASK_COLUMNS.least, TASK_COLUMNS.most), TILE_COLUMNS);
  return [taskRows, taskColumns, evenly(taskRows, BLOCK_ROWS, TILE_ROWS)];
}

/** Bytes of a packed matrix B. */
const packedBytes = (depth: number, columns: number): number => 4 * depth * ceilTo(columns, TILE_COLUMNS);

/** The words of an Im2col of x, as the forward pass sees it. */
const forwardView = (x: number, g: ConvGeometry, inputScale: number | undefined): Word[] => [
  ...[x, g.h, g.w, g.ci, g.oh, g.ow, g.kh, g.kw, g.stride, 1, g.padTop, g.padLeft],
  ...(inputScale === undefined ? [0, f32(1)] : [1, f32(inputScale)]),
];

function lowerConv(node: Node, context: LoweringContext): Call[] {
  const { stride, padding, inputScale } = node.attrs as unknown as ConvAttrs;
  const [x, w] = node.inputs;
  const g = convGeometry(context.spec(x).shape, context.spec(w).shape, stride, padding);
  const depth = g.kh * g.kw * g.ci;
  const epilogue = lowerEpilogue(node, context, g.oh * g.ow);
  if (suitsWinograd(g) && inputScale === undefined) {
    return winogradConv(g, context.address(x), context.address(w), context.address(node.outputs[0]), epilogue, context);
  }
  const packed = context.scratch(packedBytes(depth, g.co));
  return [
    { kernel: 'convPackWeights', args: [context.address(w), packed, g.kh * g.kw, g.ci, g.co] },
    {
      kernel: 'conv',
      args: [
        packed,
        context.address(node.outputs[0]),
        g.co,
        ...cut(context.capacity * g.oh * g.ow, g.co, epilogue.rowsPerTile),
        ...forwardView(context.address(x), g, inputScale),
        ...epilogue.words,
      ],
    },
  ];
}

function lowerConvGradInput(node: Node, context: LoweringContext): Call[] {
  const { stride, padding, inputShape } = node.attrs as unknown as ConvGradInputAttrs;
  const [dy, w] = node.inputs;
  const g = convGeometry(inputShape, context.spec(w).shape, stride, padding);
  const dx = context.address(node.outputs[0]);
  if (suitsWinograd(g)) return winogradGradInput(g, context.address(dy), context.address(w), dx, context);
  const patches = stride > 1 && g.kh === stride && g.kw === stride && g.padTop === 0 && g.padLeft === 0;
  if (patches && g.oh * stride <= g.h && g.ow * stride <= g.w) {
    // dy, a row per patch, times the transposed weights: the whole patch is one row of the product.
    const columns = g.kh * g.kw * g.ci;
    const packed = context.scratch(packedBytes(g.co, columns));
    const covered = g.oh * stride === g.h && g.ow * stride === g.w;
    return [
      ...(covered ? [] : [{ kernel: 'convZero', args: [dx, g.h * g.w * g.ci] }]),
      { kernel: 'convPackReversed', args: [context.address(w), packed, 1, columns, g.co] },
      {
        kernel: 'convGradInputPatches',
        args: [
          ...[packed, dx, columns, ...cut(context.capacity * g.oh * g.ow, columns)],
          ...[context.address(dy), g.oh, g.ow, g.co, g.oh, g.ow, 1, 1, 1, 1, 0, 0, 0, f32(1)],
          ...[stride, g.h, g.w, g.ci],
        ],
      },
    ];
  }
  // The convolution, stride 1, of dy (with zeros between its pixels where the stride was more) with the reversed kernel.
  const packed = context.scratch(packedBytes(g.kh * g.kw * g.co, g.ci));
  return [
    { kernel: 'convPackReversed', args: [context.address(w), packed, g.kh * g.kw, g.ci, g.co] },
    {
      kernel: 'conv',
      args: [
        ...[packed, dx, g.ci, ...cut(context.capacity * g.h * g.w, g.ci)],
        ...[context.address(dy), g.oh, g.ow, g.co, g.h, g.w, g.kh, g.kw, 1, stride, g.kh - 1 - g.padTop, g.kw - 1 - g.padLeft, 0, f32(1)],
        ...[0, 0, 0, 0, 0],
      ],
    },
  ];
}

function lowerConvGradWeight(node: Node, context: LoweringContext): Call[] {
  const { stride, padding, weightShape, inputScale } = node.attrs as unknown as ConvGradWeightAttrs;
  const [x, dy] = node.inputs;
  const g = convGeometry(context.spec(x).shape, weightShape, stride, padding);
  const pixels = g.oh * g.ow;
  const depth = g.kh * g.kw * g.ci;
  const chunkSamples = Math.max(1, Math.floor(CHUNK_PIXELS / pixels));
  const chunks = Math.ceil(context.capacity / chunkSamples);
  const chunkRows = chunkSamples * pixels;
  const dw = context.address(node.outputs[0]);
  if (suitsWinograd(g) && inputScale === undefined) {
    return winogradGradWeight(g, context.address(x), context.address(dy), dw, context);
  }
  const bytes = chunks * depth * g.co * 4;
  const partials = chunks > 1 && bytes <= PARTIALS_BYTES ? context.scratch(bytes) : 0;
  const taskColumns = evenly(g.co, GRADIENT_BLOCK.columns, TILE_COLUMNS);
  const otherTasks = Math.ceil(g.co / taskColumns) * (partials ? chunks : 1);
  const rowTasks = Math.ceil(GRADIENT_TASKS / otherTasks);
  const taskRows = evenly(depth, clamp(Math.ceil(depth / rowTasks), 48, GRADIENT_BLOCK.rows), TILE_ROWS);
  return [
    {
      kernel: 'convGradWeight',
      args: [
        ...[context.address(dy), g.co, taskRows, taskColumns, chunkRows, partials, dw],
        ...forwardView(context.address(x), g, inputScale),
      ],
    },
    ...(partials ? [{ kernel: 'convGradWeightReduce', args: [partials, dw, depth * g.co, pixels, chunkRows] }] : []),
  ];
}

export const conv = { conv: lowerConv, convGradInput: lowerConvGradInput, convGradWeight: lowerConvGradWeight };
