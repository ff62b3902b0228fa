// Tiles of sums over rows and pixels (gpu/kernels/tiles.ts): their sizes, workgroups and merges.

import { elementCount, type TensorSpec, type ValueId } from '../../runtime/ir/graph.ts';
import { channelsOf, pixelsOf, samplesPerTile } from '../../runtime/ops/check.ts';
import { type Merge, type MergeOutput, merge, mergeGroups, sumsMerge, TILE_COLUMNS, type TileShape } from '../kernels/tiles.ts';
import { foldedGroups, type Lanes, lanesFor } from '../kernels/wgsl.ts';
import { KernelOperands } from './kernel.ts';
import type { Dispatch, LoweringContext, Operand } from './lowering.ts';

export interface Tiling {
  readonly shape: TileShape;
  readonly lanes: Lanes;
  /** Tiles at full capacity. */
  readonly tiles: number;
}

export function tilesOf({ shape }: TensorSpec, capacity: number): Tiling {
  const lanes = lanesFor(channelsOf(shape));
  const pixels = pixelsOf(shape);
  const samples = samplesPerTile(pixels);
  return { shape: { pixels, channels: channelsOf(shape) / lanes, samples }, lanes, tiles: Math.ceil(capacity / samples) };
}

/** Workgroups of a kernel that takes TILE_COLUMNS channels of a tile: tiles are folded into y and z. */
export const tileGroups =
  ({ channels, samples }: Pick<TileShape, 'channels' | 'samples'>): Dispatch['workgroups'] =>
  (rows) => {
    const tiles = Math.ceil(rows / samples);
    const z = Math.ceil(tiles / 65535);
    return [Math.ceil(channels / TILE_COLUMNS), Math.ceil(tiles / z), z];
  };

/** Scratch for `sums` vectors of each tile. */
export const sumsScratch = (context: LoweringContext, tiles: number, sums: number, { channels }: TileShape, lanes: Lanes): Operand =>
  context.scratch(Math.ceil((tiles * sums * channels * lanes * 4) / 16) * 16);

/**
 * Adds up the vectors that `sums` holds, one for each `rowsPerTile` rows: each is the outputs one after the other, whose elements all
 * come in accesses of `lanes`.
 */
export function mergeTiles(
  sums: Operand,
  outputs: readonly ValueId[],
  rowsPerTile: number,
  lanes: Lanes,
  context: LoweringContext,
  perRow = 1,
): Dispatch[] {
  const operands = new KernelOperands('mergeSums', context).raw('sums', sums, 'read', lanes);
  return dispatchMerges(
    operands,
    [sumsMerge(rowsPerTile, lanes, mergeOutputs(operands, outputs, lanes, context), undefined, perRow)],
    context,
  );
}

/** Binds `outputs` one by one, for a `sumsMerge`. */
export const mergeOutputs = (
  operands: KernelOperands,
  outputs: readonly ValueId[],
  lanes: Lanes,
  { spec }: LoweringContext,
): MergeOutput[] =>
  outputs.map((id, i) => {
    operands.write(`out${i}`, id, lanes);
    return { set: `set_out${i}`, columns: elementCount(spec(id)) / lanes };
  });

export function dispatchMerges(operands: KernelOperands, merges: readonly Merge[], { features }: LoweringContext): Dispatch[] {
  const groups = foldedGroups(mergeGroups(merges), 1);
  return operands.dispatch(merge(merges, features.barriers === true), () => groups);
}
