// Convolutions by Winograd's method: which ones, and how their work is cut into tasks. The kernels are in
// asm/kernels/winograd.ts, the method in asm/lib/winograd.ts.
//
// As in conv.ts: what decides bits (the method, the chunks of a weight gradient) follows from the shape of a sample alone.

import { ceilTo } from '../../runtime/base/units.ts';
import type { ValueId } from '../../runtime/ir/graph.ts';
import type { ConvGeometry } from '../../runtime/ops/conv.ts';
import {
  WINOGRAD_BLOCK_COLUMNS as BLOCK_COLUMNS,
  DEPTH,
  TASK_COLUMNS as MOST_TASK_COLUMNS,
  WINOGRAD_POINTS as POINTS,
  SCRATCH_BYTES,
  WINOGRAD_TILE as TILE,
  WINOGRAD_GAP,
  WINOGRAD_ROW_BYTES,
} from '../abi/constants.ts';
import type { ValuesOf } from '../abi/fields.ts';
import { type LoweredEpilogue, NO_EPILOGUE } from './epilogue.ts';
import { type Call, callsOf, type Kernels, type LoweringContext } from './lowering.ts';

/** Argument blocks of these kernels. */
export const winogradKernels = {
  /** `weights`: w [3, 3, inputs, outputs]; `transformed`: 36 packed matrices [inputs, outputs]. */
  winogradWeights: { weights: 'ptr', transformed: 'ptr', inputs: 'i32', outputs: 'i32' },
  /** The same of the reversed kernel, [outputs, inputs]. */
  winogradReversedWeights: { weights: 'ptr', transformed: 'ptr', inputs: 'i32', outputs: 'i32' },
  winogradConv: {
    x: 'tiledImage',
    transformed: 'ptr',
    output: 'ptr',
    outputs: 'i32',
    /** What a task computes: samples (whole statistics tiles) by columns (of WINOGRAD_BLOCK_COLUMNS, up to TASK_COLUMNS). */
    taskSamples: 'i32',
    taskColumns: 'i32',
    /** Tiles that are transformed at a time: whole panels. */
    blockTiles: 'i32',
    epilogue: 'epilogue',
  },
  winogradGradWeight: {
    x: 'tiledImage',
    /** As high and wide as x. */
    dy: 'tiledImage',
    /** What a task computes: input channels (of whole vectors and panels) by output channels (of whole vectors). */
    taskInputs: 'i32',
    taskOutputs: 'i32',
    /** Tiles that are transformed at a time. */
    blockTiles: 'i32',
    /** Tiles that are summed up in one chain. */
    chunkTiles: 'i32',
    /** As those of convGradWeight. */
    partials: 'ptr?',
    totals: 'ptr?',
    weights: 'ptr',
  },
  // asm/kernels/conv.ts
  /** `elements`: those of dw; `pixels` and `chunkRows` may count tiles. */
  convGradWeightReduce: { partials: 'ptr', weights: 'ptr', elements: 'i32', pixels: 'i32', chunkRows: 'i32' },
} as const satisfies Kernels;
const call = callsOf(winogradKernels);

/** Adds up the weight gradients of chunks; the other convolutions have the same. */
export const sumOfChunks = (args: ValuesOf<typeof winogradKernels.convGradWeightReduce>): Call => call('convGradWeightReduce', args);

/**
 * Whole tiles of both micro-kernels, 6×8 and 6×16 (asm/lib/tile.ts, tile.wide.ts): nothing here depends on which one runs. These
 * rows are whole vectors of channels, too.
 */
const TILE_ROWS = 12;
const TILE_COLUMNS = 16;
/** Columns of a task of the convolution: at least what makes transforming the input worth while, at most what the kernels can. */
const TASK_COLUMNS = { least: 128, most: MOST_TASK_COLUMNS };
/** Tasks that keep several threads evenly busy; more would transform the same tiles more often. */
const TASKS = { conv: 16, gradient: 8 };
/** Tiles that are transformed at a time, if there is room. */
const BLOCK_TILES = { conv: 48, gradient: 32 };
/** What the 36 matrices of a task may take of a thread's scratch; the rest is for smaller things. */
const MATRICES_BYTES = SCRATCH_BYTES - (64 << 10);
/** Most channels: with more, there is no room for the tiles of a whole panel. */
const MOST_CHANNELS = 2048;
/** Tiles in a chunk of a weight gradient, about. */
const CHUNK_TILES = 256;
/** Most rows and columns of the weight gradient that a task computes at a time: with the tiles, 3.5 MiB of matrices. */
const GRADIENT_BLOCK = { rows: 132, columns: 128 };
/** Fewest rows that are worth a task of their own. */
const LEAST_ROWS = 48;
/** The most that weight gradients of chunks may take; beyond, a task adds up the chunks itself. */
const PARTIALS_BYTES = 64 << 20;

const tilesOf = ({ h, w }: ConvGeometry): number => Math.ceil(h / TILE) * Math.ceil(w / TILE);

/** Bytes of 36 matrices: `pointBytes` of the kernels. */
const matricesBytes = (elements: number): number => POINTS * (elements * 4 + WINOGRAD_GAP);

/**
 * Whether a convolution (and both of its gradients) is computed by Winograd's method: where transforming costs little beside
 * the products, and the tiles are not mostly beyond the image. Measured, it is faster even where one side has three channels. x must
 * be floats.
 */
export const suitsWinograd = (g: ConvGeometry): boolean =>
  g.kh === 3 &&
  g.kw === 3 &&
  `${[g.stride, g.dilation, g.groups]}` === '1,1,1,1,1' &&
  g.oh === g.h &&
  g.ow === g.w &&
  // Explicit pads may be 2 on one side and 0 on the other: as large an output, of other windows.
  g.padTop === 1 &&
  g.padLeft === 1 &&
  Math.max(g.ci, g.co) >= 16 &&
  Math.max(g.ci, g.co) <= MOST_CHANNELS &&
  g.h * g.w >= 6 * tilesOf(g);

/** y = epilogue(conv(x, w)). */
export function winogradConv(
  g: ConvGeometry,
  x: number,
  w: ValueId,
  y: number,
  epilogue: LoweredEpilogue,
  context: LoweringContext,
): Call[] {
  const bytes = matricesBytes(g.ci * ceilTo(g.co, TILE_COLUMNS));
  const kept = context.kept(w, bytes);
  const transformed = kept ?? context.scratch(bytes);
  const transform = call('winogradWeights', { weights: context.address(w), transformed, inputs: g.ci, outputs: g.co });
  return [{ ...transform, keeps: kept !== undefined }, product(g, x, g.ci, transformed, y, g.co, epilogue, context)];
}

/** dx: the convolution of dy with the reversed kernel. */
export function winogradGradInput(g: ConvGeometry, dy: number, w: number, dx: number, context: LoweringContext): Call[] {
  const transformed = context.scratch(matricesBytes(g.co * ceilTo(g.ci, TILE_COLUMNS)));
  return [
    call('winogradReversedWeights', { weights: w, transformed, inputs: g.ci, outputs: g.co }),
    product(g, dy, g.co, transformed, dx, g.ci, NO_EPILOGUE, context),
  ];
}

function product(
  g: ConvGeometry,
  from: number,
  inputs: number,
  transformed: number,
  to: number,
  outputs: number,
  epilogue: LoweredEpilogue,
  { capacity }: LoweringContext,
): Call {
  const tiles = tilesOf(g);
  const rowBytes = Math.ceil(inputs / DEPTH) * WINOGRAD_ROW_BYTES;
  const fits = (n: number): boolean => n * rowBytes + matricesBytes(n * BLOCK_COLUMNS) <= MATRICES_BYTES;
  let blockTiles = BLOCK_TILES.conv;
  while (!fits(blockTiles)) blockTiles -= TILE_ROWS;
  // Whole samples, so many that they fill a block, in whole statistics tiles.
  const unit = Math.max(1, epilogue.rowsPerTile / (g.h * g.w));
  const taskSamples = unit * Math.max(1, Math.floor(blockTiles / tiles / unit));
  const columnTasks = Math.ceil(TASKS.conv / Math.ceil(capacity / taskSamples));
  const taskColumns = ceilTo(Math.min(TASK_COLUMNS.most, Math.max(TASK_COLUMNS.least, outputs / columnTasks)), BLOCK_COLUMNS);
  return call('winogradConv', {
    x: { data: from, height: g.h, width: g.w, channels: inputs },
    transformed,
    output: to,
    ...{ outputs, taskSamples, taskColumns, blockTiles },
    epilogue: epilogue.fields,
  });
}

/** dw. */
export function winogradGradWeight(g: ConvGeometry, x: number, dy: number, dw: number, context: LoweringContext): Call[] {
  const elements = 9 * g.ci * g.co;
  const tiles = tilesOf(g);
  const chunkTiles = tiles > CHUNK_TILES ? CHUNK_TILES : Math.floor(CHUNK_TILES / tiles) * tiles;
  const chunks = Math.ceil((context.capacity * tiles) / chunkTiles);
  const bytes = chunks * elements * 4;
  const partials = chunks > 1 && bytes <= PARTIALS_BYTES ? context.scratch(bytes) : undefined;
  const totals = chunks > 1 && !partials ? context.scratch(elements * 8) : undefined;
  const taskOutputs = Math.min(GRADIENT_BLOCK.columns, ceilTo(g.co, TILE_COLUMNS));
  const otherTasks = Math.ceil(g.co / taskOutputs) * (partials ? chunks : 1);
  const most = Math.max(LEAST_ROWS, Math.min(GRADIENT_BLOCK.rows, Math.ceil(g.ci / Math.ceil(TASKS.gradient / otherTasks))));
  const taskInputs = ceilTo(Math.ceil(g.ci / Math.ceil(g.ci / most)), TILE_ROWS);
  return [
    call('winogradGradWeight', {
      x: { data: x, height: g.h, width: g.w, channels: g.ci },
      dy: { data: dy, height: g.h, width: g.w, channels: g.co },
      ...{ taskInputs, taskOutputs, blockTiles: BLOCK_TILES.gradient, chunkTiles, partials, totals },
      weights: dw,
    }),
    ...(partials ? [sumOfChunks({ partials, weights: dw, elements, pixels: tiles, chunkRows: chunkTiles })] : []),
  ];
}
