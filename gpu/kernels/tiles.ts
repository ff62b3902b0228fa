// Sums over rows and pixels, in two steps: a kernel makes the sums of each tile of consecutive samples (`samplesPerTile`), another
// merges the tiles. Every sum is added in an order that follows from shapes and rows alone.

import { each, floats, type KernelText, type Lanes } from './wgsl.ts';

/** Channels and tiles that a workgroup takes side by side. */
const COLUMNS = 32;

export const TILE_COLUMNS = COLUMNS;

/** Sizes of a tensor [rows, pixels, channels] and its tiles. `channels` counts accesses. */
export interface TileShape {
  readonly pixels: number;
  readonly channels: number;
  readonly samples: number;
}

/** Sums that a merge keeps side by side. */
const MERGE_SLICES = 8;

interface TileLoop {
  readonly shape: TileShape;
  readonly lanes: Lanes;
  readonly declarations?: string;
  /** Statements before the loop: `c` is the channel, `t` the tile, `begin` and `end` bound the pixels (of all rows) of the tile. */
  readonly before: string;
  /** Statements for the access `at` = pixel·channels + c. */
  readonly body: string;
  readonly after: string;
}

/** One invocation for each channel and tile; workgroups: channels in x, tiles in y. */
export const tileLoop = ({ shape: { pixels, channels, samples }, declarations, before, body, after }: TileLoop): KernelText => ({
  workgroup: [COLUMNS, 1, 1],
  declarations,
  body: `let c = group.x * ${COLUMNS}u + local;
let t = group.y + groups.y * group.z;
let begin = t * ${samples * pixels}u;
if (c >= ${channels}u || begin >= step.rows * ${pixels}u) { return; }
let end = min(begin + ${samples * pixels}u, step.rows * ${pixels}u);
${before}
for (var pixel = begin; pixel < end; pixel++) {
  let at = pixel * ${channels}u + c;
  ${body}
}
${after}`,
});

/** Sums of tiles: for tile t the `sums` vectors follow one another, [tiles][sums][channels]. */
export const tileSums = (shape: TileShape, lanes: Lanes, terms: readonly string[], before = ''): KernelText =>
  tileLoop({
    shape,
    lanes,
    before: `${before}\n${terms.map((_, s) => `var sum${s} = ${floats(lanes)}();`).join('\n')}`,
    body: terms.map((term, s) => `sum${s} += ${term};`).join('\n  '),
    after: terms.map((_, s) => storeSum(shape, terms.length, s, `sum${s}`)).join('\n'),
  });

export const storeSum = ({ channels }: TileShape, sums: number, s: number, value: string): string =>
  `set_sums((t * ${sums}u + ${s}u) * ${channels}u + c, ${value});`;

/**
 * How tiles are merged: slice s takes every MERGE_SLICES-th tile from s on, then slices meet pairwise. With barriers the slices are
 * invocations side by side; without, one invocation has them all in registers, to the same bits.
 */
interface Merge {
  readonly columns: number;
  readonly rowsPerTile: number;
  /** WGSL type of what is merged, and its value for no tile. */
  readonly type: string;
  readonly none: string;
  /** Expression for `sum` joined with tile t. */
  readonly add: string;
  /** Expression for two slices joined. */
  readonly join: (a: string, b: string) => string;
  /** Statements for the result of column c. */
  readonly store: (result: string) => string;
  readonly declarations?: string;
}

function merge({ columns, rowsPerTile, type, none, add, join, store, declarations = '' }: Merge, barriers: boolean): KernelText {
  const tiles = `let tiles = (step.rows + ${rowsPerTile - 1}u) / ${rowsPerTile}u;`;
  if (!barriers) {
    const joins: string[] = [];
    for (let half = MERGE_SLICES / 2; half >= 1; half /= 2) {
      for (let s = 0; s < half; s++) joins.push(`slice${s} = ${join(`slice${s}`, `slice${s + half}`)};`);
    }
    return {
      workgroup: [COLUMNS, 1, 1],
      declarations,
      body: `let c = (group.y * groups.x + group.x) * ${COLUMNS}u + local;
if (c >= ${columns}u) { return; }
${tiles}
${each(MERGE_SLICES, (s) => `var slice${s} = ${none};`)}
for (var first = 0u; first < tiles; first += ${MERGE_SLICES}u) {
  ${each(MERGE_SLICES, (s) => `if (first + ${s}u < tiles) { let t = first + ${s}u; let sum = slice${s}; slice${s} = ${add}; }`)}
}
${joins.join('\n')}
${store('slice0')}`,
    };
  }
  return {
    workgroup: [COLUMNS, MERGE_SLICES, 1],
    declarations: `${declarations}\nvar<workgroup> slices: array<${type}, ${COLUMNS * MERGE_SLICES}>;`,
    body: `let c = (group.y * groups.x + group.x) * ${COLUMNS}u + local % ${COLUMNS}u;
let slice = local / ${COLUMNS}u;
${tiles}
var sum = ${none};
if (c < ${columns}u) {
  for (var t = slice; t < tiles; t += ${MERGE_SLICES}u) { sum = ${add}; }
}
slices[local] = sum;
for (var half = ${MERGE_SLICES / 2}u; half > 0u; half /= 2u) {
  workgroupBarrier();
  if (slice < half) { slices[local] = ${join('slices[local]', `slices[local + half * ${COLUMNS}u]`)}; }
}
if (slice == 0u && c < ${columns}u) {
  ${store('slices[local]')}
}`,
  };
}

/** Where a merge stores a part of the vectors: the next `columns` accesses by the function `set`. */
export interface MergeOutput {
  readonly set: string;
  readonly columns: number;
}

/**
 * Adds up the vectors of tiles, one for each `rowsPerTile` rows of the run, and hands their parts to the outputs. Workgroups: columns
 * in x, folded into y.
 */
export function mergeSums(rowsPerTile: number, lanes: Lanes, outputs: readonly MergeOutput[], barriers: boolean): KernelText {
  const columns = outputs.reduce((sum, output) => sum + output.columns, 0);
  const store = (result: string): string => {
    let first = 0;
    const parts = outputs.map((output) => {
      const part = `if (c >= ${first}u && c < ${first + output.columns}u) { ${output.set}(c - ${first}u, ${result}); }`;
      first += output.columns;
      return part;
    });
    return parts.join('\n  ');
  };
  const add = `sum + sums(t * ${columns}u + c)`;
  const type = floats(lanes);
  return merge({ columns, rowsPerTile, type, none: `${type}()`, add, join: (a, b) => `${a} + ${b}`, store }, barriers);
}

const MOMENTS = (T: string): string => `struct Moments { count: f32, mean: ${T}, squares: ${T} }
fn joined(a: Moments, b: Moments) -> Moments {
  if (b.count == 0.0) { return a; }
  let count = a.count + b.count;
  let delta = b.mean - a.mean;
  let share = b.count / count;
  return Moments(count, a.mean + delta * share, a.squares + b.squares + delta * delta * (a.count * share));
}`;

/**
 * Merges the tiles by Chan's formula into mean and biased variance. `sums` holds for each tile the mean and Σ(x−mean)²
 * (`moments`), or Σx and Σx² (`partials`).
 */
export function mergeMoments(
  { pixels, channels, samples }: TileShape,
  lanes: Lanes,
  from: 'moments' | 'partials',
  barriers: boolean,
): KernelText {
  const T = floats(lanes);
  const squares = `sums((2u * t + 1u) * ${channels}u + c)`;
  const first = `sums(2u * t * ${channels}u + c)`;
  const tile = `fn tile(t: u32, c: u32) -> Moments {
  let count = f32((min((t + 1u) * ${samples}u, step.rows) - t * ${samples}u) * ${pixels}u);
  let first = ${first};
  ${from === 'moments' ? `return Moments(count, first, ${squares});` : `return Moments(count, first / count, ${squares} - first * (first / count));`}
}`;
  return merge(
    {
      columns: channels,
      rowsPerTile: samples,
      type: 'Moments',
      none: `Moments(0.0, ${T}(), ${T}())`,
      add: 'joined(sum, tile(t, c))',
      join: (a, b) => `joined(${a}, ${b})`,
      // Never below zero, whatever the sums of squares lost.
      store: (result) => `set_mean(c, ${result}.mean);\n  set_variance(c, max(${result}.squares / ${result}.count, ${T}()));`,
      declarations: `${MOMENTS(T)}\n${tile}`,
    },
    barriers,
  );
}
