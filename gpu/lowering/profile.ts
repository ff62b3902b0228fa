// What a maker's GPUs want of the kernels: tiles, prefetching, registers. From what offline compilers say of registers and spills
// (bench/results, bench/gpu-compilers.mjs), not from the names alone. A choice may decide bits; which ones do is said at each, and held by
// test/gpu/profile.test.ts. The device's `arithmetic` has the maker, so that bits may differ between makers, and the name of a profile
// that differs in them from that of most.

import type { Window } from '../kernels/depthwise.ts';
import type { MatrixTile } from '../kernels/matrices.ts';

/** A tile of a product by invocations: `least` columns of the product are more than it takes for the tile. */
export interface ProductTile {
  readonly bm: number;
  readonly bn: number;
  readonly tm: number;
  readonly tn: number;
  readonly least: number;
}

export interface Profile {
  /** Of a profile that gives other bits than that of most. */
  readonly arithmetic?: string;
  /**
   * Tiles of products, from the first choice on; the first that fits device and product is taken. Elements are the same bits for all of them. Sums of columns
   * (statistics in an epilogue) are made by each invocation of its tm rows and joined in blocks of bm, so that (bm, tm) decides their bits, and of
   * two tiles with the same pair the narrower has to ask for as many columns as the wider one that it stands before.
   */
  readonly tiles: readonly ProductTile[];
  /** Whether the next panels come into registers while those in workgroup memory are multiplied. Decides no bit. */
  readonly prefetch: boolean;
  /** What a race (gpu/host/tune.ts) may find faster than the choice from the tables: of these, those that give the same bits. */
  readonly raced: readonly (Omit<ProductTile, 'least'> & { readonly prefetch: boolean })[];
  /** Tiles of matrices, in subgroups and in accumulators of each; their (bm, tm) decide the bits of statistics. Empty: matrix units are not used. */
  readonly matrixTiles: readonly Pick<MatrixTile, 'subgroups' | 'blocks'>[];
  /** The same as `raced`, of matrices. */
  readonly racedMatrixTiles: Profile['matrixTiles'];
  /** Whether matrices of f32 are used, where the adapter has them, in place of the invocations' own multiply-adds. Decides bits: their sums go another way. */
  readonly f32Matrices?: boolean;
  /** Of depthwise convolutions, and of their gradients where it is another one. Decides bits: statistics and gradients of weights are summed strip by strip. */
  readonly window: Window;
  readonly gradientWindow?: Window;
  /** Pixels whose accesses are under way together in a kernel that has three of each, where registers are too few for as many as elsewhere. Decides no bit. */
  readonly together?: number;
}

const wide: ProductTile = { bm: 128, bn: 128, tm: 8, tn: 8, least: 64 };
/** Half the accumulators of `wide`: two workgroups on a core of NVIDIA's and Apple's where that has one; nothing is spilled on Apple's and Intel's. */
const halved: ProductTile = { bm: 128, bn: 64, tm: 8, tn: 4, least: 64 };
const flat: ProductTile = { bm: 64, bn: 128, tm: 4, tn: 8, least: 64 };
/** Workgroups of half the invocations: more of them on a core, each of which waits at its barriers alone. */
const narrow: ProductTile = { bm: 128, bn: 32, tm: 8, tn: 4, least: 64 };
const small: readonly ProductTile[] = [64, 32, 16].map((bn) => ({ bm: 64, bn, tm: 4, tn: 4, least: bn / 2 }));

const MATRIX_TILES: Profile['matrixTiles'] = [
  { subgroups: [2, 4], blocks: [2, 2] },
  { subgroups: [2, 2], blocks: [2, 2] },
  { subgroups: [4, 1], blocks: [1, 2] },
];

const [square, tall] = small;

const raced = (prefetched: readonly ProductTile[], plain: readonly ProductTile[]): Profile['raced'] => [
  ...prefetched.map((tile) => ({ ...tile, prefetch: true })),
  ...plain.map((tile) => ({ ...tile, prefetch: false })),
];

const most: Profile = {
  tiles: [halved, flat, ...small],
  prefetch: true,
  raced: raced([wide, halved, flat, square], [halved, narrow, square]),
  matrixTiles: MATRIX_TILES,
  racedMatrixTiles: [{ subgroups: [2, 2], blocks: [2, 2] }, { subgroups: [2, 4], blocks: [4, 2] }, ...MATRIX_TILES.slice(0, 1)],
  window: { registers: 96, results: 96 },
};

/** Half the registers for rows: what Apple's, Intel's and Qualcomm's compilers otherwise spill in the gradient; Intel's also where a row has many results. */
const NARROW: Window = { registers: 48, results: 48 };

/** Where registers are few: what the compilers spill is not raced. */
const FEW = [...raced([halved], [halved, narrow, square]), ...raced([square], [])];

export const PROFILES = {
  most,
  /** NVIDIA's GPUs under Direct3D 12, whose compiler is another, and unmeasured: what it has always had. */
  direct3d: { ...most, tiles: [wide, flat, ...small] },
  /** Its matrices of f32, 8 × 8, were measured by others: 1.5 times the multiply-adds of invocations on an M4 Max. */
  apple: {
    ...most,
    arithmetic: 'narrow windows',
    prefetch: false,
    raced: FEW,
    matrixTiles: [
      { subgroups: [2, 2], blocks: [4, 4] },
      { subgroups: [2, 2], blocks: [2, 2] },
    ],
    racedMatrixTiles: [{ subgroups: [2, 2], blocks: [4, 2] }],
    f32Matrices: true,
    window: NARROW,
    together: 4,
  },
  qualcomm: { ...most, arithmetic: 'narrow windows', prefetch: false, raced: FEW, window: NARROW },
  /** Registers are few where subgroups are wide. Its matrix units spill at any size of a subgroup. */
  intel: {
    ...most,
    arithmetic: 'small tiles, narrow windows, gradients by twos',
    tiles: small,
    prefetch: false,
    raced: raced([square], [square, tall]),
    matrixTiles: [],
    window: { ...NARROW, results: 4 },
    gradientWindow: { ...NARROW, results: 2 },
  },
} satisfies Record<string, Profile>;

export const MOST: Profile = most;

/** What WebGPU says of an adapter. */
export interface Maker {
  readonly vendor: string;
  readonly device: string;
}

/** Of an adapter, by what WebGPU calls its maker ("nvidia", "apple"). Mesa's driver for Apple's GPUs gives itself as the vendor, and the GPU's name as the device. */
export function profileOf({ vendor, device }: Maker, platform: string): Profile {
  const maker = device.startsWith('apple') ? 'apple' : vendor;
  if (maker === 'nvidia') return platform === 'win32' ? PROFILES.direct3d : most;
  if (maker === 'apple' || maker === 'qualcomm' || maker === 'intel') return PROFILES[maker];
  return most;
}
