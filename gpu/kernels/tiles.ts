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
 * How the tiles of some columns are merged: slice s takes every MERGE_SLICES-th tile from s on, then slices meet pairwise. With barriers
 * the slices are invocations side by side; without, one invocation has them all in registers, to the same bits.
 */
export interface Merge {
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

const groupsOf = ({ columns }: Merge): number => Math.ceil(columns / COLUMNS);

/** Workgroups of some merges in one dispatch. */
export const mergeGroups = (merges: readonly Merge[]): number => merges.reduce((sum, one) => sum + groupsOf(one), 0);

/** Independent merges, each in workgroups of its own: one dispatch for what would wait for no other. */
export function merge(merges: readonly Merge[], barriers: boolean): KernelText {
  let first = 0;
  const parts = merges.map((one, i) => {
    const text = `if (block >= ${first}u && block < ${first + groupsOf(one)}u) {
let c = (block - ${first}u) * ${COLUMNS}u + local % ${COLUMNS}u;
let tiles = (step.rows + ${one.rowsPerTile - 1}u) / ${one.rowsPerTile}u;
${barriers ? mergeTogether(one, `slices${i}`) : mergeAlone(one)}
}`;
    first += groupsOf(one);
    return text;
  });
  const memory = (one: Merge, i: number): string => `var<workgroup> slices${i}: array<${one.type}, ${COLUMNS * MERGE_SLICES}>;`;
  return {
    workgroup: [COLUMNS, barriers ? MERGE_SLICES : 1, 1],
    declarations: [...merges.map(({ declarations = '' }) => declarations), ...(barriers ? merges.map(memory) : [])].join('\n'),
    body: `let block = group.y * groups.x + group.x;\n${parts.join('\n')}`,
  };
}

function mergeAlone({ columns, none, add, join, store }: Merge): string {
  const joins: string[] = [];
  for (let half = MERGE_SLICES / 2; half >= 1; half /= 2) {
    for (let s = 0; s < half; s++) joins.push(`slice${s} = ${join(`slice${s}`, `slice${s + half}`)};`);
  }
  return `if (c < ${columns}u) {
${each(MERGE_SLICES, (s) => `var slice${s} = ${none};`)}
for (var first = 0u; first < tiles; first += ${MERGE_SLICES}u) {
  ${each(MERGE_SLICES, (s) => `if (first + ${s}u < tiles) { let t = first + ${s}u; let sum = slice${s}; slice${s} = ${add}; }`)}
}
${joins.join('\n')}
${store('slice0')}
}`;
}

function mergeTogether({ columns, none, add, join, store }: Merge, slices: string): string {
  return `let slice = local / ${COLUMNS}u;
var sum = ${none};
if (c < ${columns}u) {
  for (var t = slice; t < tiles; t += ${MERGE_SLICES}u) { sum = ${add}; }
}
${slices}[local] = sum;
for (var half = ${MERGE_SLICES / 2}u; half > 0u; half /= 2u) {
  workgroupBarrier();
  if (slice < half) { ${slices}[local] = ${join(`${slices}[local]`, `${slices}[local + half * ${COLUMNS}u]`)}; }
}
if (slice == 0u && c < ${columns}u) {
  ${store(`${slices}[local]`)}
}`;
}

/** Where a merge stores a part of the vectors: the next `columns` accesses by the function `set`. */
export interface MergeOutput {
  readonly set: string;
  readonly columns: number;
}

/**
 * Adds up the first columns of the tiles' vectors, `stride` accesses apart (as many as there are columns unless given), one tile for each
 * `rowsPerTile` rows of the run, and hands their parts to the outputs.
 */
export function sumsMerge(rowsPerTile: number, lanes: Lanes, outputs: readonly MergeOutput[], stride?: number): Merge {
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
  const add = `sum + sums(t * ${stride ?? columns}u + c)`;
  const type = floats(lanes);
  return { columns, rowsPerTile, type, none: `${type}()`, add, join: (a, b) => `${a} + ${b}`, store };
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
 * (`moments`), or Σx and Σx² (`partials`). `after`: statements that may use `m` and `v`, mean and variance of channel c.
 */
export function momentsMerge({ pixels, channels, samples }: TileShape, lanes: Lanes, from: 'moments' | 'partials', after: string): Merge {
  const T = floats(lanes);
  const squares = `sums((2u * t + 1u) * ${channels}u + c)`;
  const tile = `fn tile(t: u32, c: u32) -> Moments {
  let count = f32((min((t + 1u) * ${samples}u, step.rows) - t * ${samples}u) * ${pixels}u);
  let first = sums(2u * t * ${channels}u + c);
  ${from === 'moments' ? `return Moments(count, first, ${squares});` : `return Moments(count, first / count, ${squares} - first * (first / count));`}
}`;
  return {
    columns: channels,
    rowsPerTile: samples,
    type: 'Moments',
    none: `Moments(0.0, ${T}(), ${T}())`,
    add: 'joined(sum, tile(t, c))',
    join: (a, b) => `joined(${a}, ${b})`,
    // The variance is never below zero, whatever the sums of squares lost.
    store: (result) => `let m = ${result}.mean;
  let v = max(${result}.squares / ${result}.count, ${T}());
  set_mean(c, m);
  set_variance(c, v);
  ${after}`,
    declarations: `${MOMENTS(T)}\n${tile}`,
  };
}

/**
 * Merges the tiles' Σdy and Σdy·(x−mean), `stride` accesses from tile to tile, the first `offset` accesses from the beginning. `after`:
 * statements that may use `s` and `sx`, the sums of channel c.
 */
export function gradientMerge(
  { channels, samples }: Omit<TileShape, 'pixels'>,
  lanes: Lanes,
  offset: number,
  stride: number,
  after: string,
): Merge {
  const T = floats(lanes);
  return {
    columns: channels,
    rowsPerTile: samples,
    type: 'Pair',
    none: `Pair(${T}(), ${T}())`,
    add: `Pair(sum.dy + sums(t * ${stride}u + ${offset}u + c), sum.dyx + sums(t * ${stride}u + ${offset + channels}u + c))`,
    join: (a, b) => `Pair(${a}.dy + ${b}.dy, ${a}.dyx + ${b}.dyx)`,
    store: (result) => `let s = ${result}.dy;\n  let sx = ${result}.dyx;\n  ${after}`,
    declarations: `struct Pair { dy: ${T}, dyx: ${T} }`,
  };
}
