// Which tile a product of matrices takes (gpu/kernels/gemm.ts). Elements are the same bits for any tile. Of a product with statistics the rows of its
// tile decide the bits of those; the maker's profile and the shape of a sample decide the rows (profile.ts), never rows of the run or its
// capacity. What is left is speed: where a race has found a faster tile of the same bits (gpu/host/tune.ts), that one is taken.

import { ceilTo } from '../../runtime/base/units.ts';
import type { ConvGeometry } from '../../runtime/ops/conv.ts';
import { invocations, matrixTile, type Product, type Tile, workgroupBytes } from '../kernels/gemm.ts';
import type { MatrixTile } from '../kernels/matrices.ts';
import type { LoweringContext, Site } from './lowering.ts';
import { MOST, type ProductTile } from './profile.ts';

/** Tiles without workgroup memory. */
const DIRECT_TILES: readonly Omit<ProductTile, 'least'>[] = [
  { bm: 8, bn: 64, tm: 8, tn: 4 },
  { bm: 8, bn: 32, tm: 8, tn: 4 },
  { bm: 8, bn: 16, tm: 8, tn: 4 },
];
/** Depth of a panel. */
const PANEL = 16;
/** Tiles that keep a large device busy; and elements of a tile of which there are always enough. */
const BUSY = 256;
const SMALL = 64 * 64;
/** The first choice and those that may be raced against it, at most: each costs a compilation. */
const MOST_CANDIDATES = 4;

interface Cut {
  /** What it is called (Site). */
  readonly product: string;
  readonly columns: number;
  readonly depth: number;
  /** Rows of C, at full capacity, and how many products of that size there are: as many tiles as keep a large device busy, if possible. */
  readonly rows: number;
  readonly parts?: number;
  /** Rows whose sums are one partial result: what decides bits, so that the capacity has no say in it. */
  readonly rowsPerTile?: number;
  /** Which way the loads of B go. */
  readonly b?: Product['b'];
  /** What multiplies, if not the invocations. */
  readonly matrices?: Pick<MatrixTile, 'unit' | 'passes'>;
}

export interface ChosenTile {
  readonly tile: Tile;
  /** Absent: there is nothing to choose from. */
  readonly site?: Site;
}

/**
 * The matrix unit for the products of a convolution, if the tier asks for one and it pays: where its weights are so many that arithmetic is
 * the bound, not memory. It decides bits, so that neither rows nor capacity have a say in it. Dense layers stay in f32: they are
 * few and small, and the last to decide.
 */
export function matricesFor({ kh, kw, ci, co, h, w, groups }: ConvGeometry, { precision, features }: LoweringContext): Cut['matrices'] {
  const unit = features.subgroupMatrix;
  if (!unit || !features.barriers || (h === 1 && w === 1)) return undefined;
  if (precision === 'f32' && unit.component !== 'f32') return undefined;
  const [inputs, outputs, least] = [(kh * kw * ci) / groups, co / groups, 2 * Math.max(unit.n, unit.k)];
  const pays = inputs >= least && outputs >= least && inputs * outputs >= 16 * unit.n * unit.k;
  return pays ? { unit, passes: precision === 'f16' || unit.component === 'f32' ? 1 : 3 } : undefined;
}

type Candidate = Tile & { readonly least: number };

export function tileFor(cut: Cut, { limits, features, choose }: Pick<LoweringContext, 'limits' | 'features' | 'choose'>): ChosenTile {
  const { columns, depth, rows, parts = 1, b = 'columns', rowsPerTile, matrices } = cut;
  const profile = features.profile ?? MOST;
  const last = <T>(tiles: readonly T[]): T => tiles[tiles.length - 1];
  if (!features.barriers)
    return { tile: { ...(DIRECT_TILES.find(({ bn }) => columns > bn / 2) ?? last(DIRECT_TILES)), bk: 4, panels: false } };
  const bk = Math.min(PANEL, ceilTo(depth, 4));
  const fitting = <T extends Tile>(tiles: readonly T[]): T[] =>
    tiles.filter(
      (tile) =>
        invocations(tile) <= limits.invocations && workgroupBytes({ tile, b }, rowsPerTile !== undefined) <= limits.workgroupStorage,
    );
  const withMatrices = (tiles: readonly Pick<MatrixTile, 'subgroups' | 'blocks'>[]): Candidate[] =>
    matrices
      ? fitting(tiles.flatMap((tile) => [2, 1].map((depths) => matrixTile({ ...matrices, ...tile }, depths * matrices.unit.k)))).map(
          (tile) => ({ ...tile, least: tile.bn / 2 }),
        )
      : [];
  const ofMatrices = withMatrices(profile.matrixTiles);
  const { prefetch } = profile;
  const tiles = ofMatrices.length > 0 ? ofMatrices : fitting(profile.tiles.map((tile) => ({ ...tile, bk, panels: true, prefetch })));
  const isBusy = ({ bm, bn }: Tile): boolean => Math.ceil(rows / bm) * Math.ceil(columns / bn) * parts >= BUSY;
  // A tile of sums begins at a tile of C: where it is lower than that, rows would be idle.
  const fits = (tile: Candidate): boolean =>
    columns > tile.least && (tile.bn * tile.bm <= SMALL || (rowsPerTile === undefined ? isBusy(tile) : tile.bm <= rowsPerTile));
  const first = tiles.find(fits) ?? last(tiles);
  const others: readonly Tile[] =
    ofMatrices.length > 0 ? withMatrices(profile.racedMatrixTiles) : fitting(profile.raced.map((tile) => ({ ...tile, bk, panels: true })));
  const candidates = new Map<string, Tile>([[nameOf(first), first]]);
  for (const tile of others) {
    if (candidates.size === MOST_CANDIDATES) break;
    if (columns > tile.bn / 2 && (rowsPerTile === undefined || rowsOf(tile) === rowsOf(first))) candidates.set(nameOf(tile), tile);
  }
  if (candidates.size === 1) return { tile: first };
  const sums = rowsPerTile === undefined ? '' : ', with sums';
  const name = `${cut.product}, ${rows}×${depth}×${columns}${parts > 1 ? ` in ${parts} parts` : ''}${sums}`;
  const names = [...candidates.keys()];
  const taken = choose?.({ name, candidates: names }) ?? 0;
  return {
    tile: candidates.get(names[taken]) ?? first,
    site: { name, candidates: names, flops: 2 * rows * depth * columns * parts },
  };
}

/** What of a tile decides the bits of sums of its columns: the rows of each invocation, and the rows that are joined. */
const rowsOf = ({ bm, tm, matrices }: Tile): string => `${bm} ${tm} ${matrices ? `${matrices.subgroups[0]} ${matrices.blocks[0]}` : ''}`;

const nameOf = ({ bm, bn, bk, tm, tn, prefetch, matrices }: Tile): string =>
  matrices
    ? `${bm}×${bn} by matrices, depth ${bk}, ${matrices.subgroups.join('×')} subgroups`
    : `${bm}×${bn}, ${tm}×${tn} each${prefetch ? ', prefetched' : ''}`;
