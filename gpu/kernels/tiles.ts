// Sums over rows and pixels, in two steps: a kernel makes the sums of each tile of consecutive samples (`samplesPerTile`), another
// merges the tiles. Every sum is added in an order that follows from shapes and rows alone.

import { floats, type KernelText, type Lanes } from './wgsl.ts';

/** Channels and tiles that a workgroup takes side by side. */
const COLUMNS = 32;

export const TILE_COLUMNS = COLUMNS;

/** Sizes of a tensor [rows, pixels, channels] and its tiles. `channels` counts accesses. */
export interface TileShape {
  readonly pixels: number;
  readonly channels: number;
  readonly samples: number;
}

/** Invocations that share a merge: each takes every MERGE_SLICES-th tile, then they meet pairwise. */
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

/** Where a merge stores a part of the vectors: the next `columns` accesses by the function `set`. */
export interface MergeOutput {
  readonly set: string;
  readonly columns: number;
}

/**
 * Adds up the vectors of tiles, one for each `rowsPerTile` rows of the run, and hands their parts to the outputs. Workgroups: columns
 * in x, folded into y.
 */
export function mergeSums(rowsPerTile: number, lanes: Lanes, outputs: readonly MergeOutput[]): KernelText {
  const columns = outputs.reduce((sum, output) => sum + output.columns, 0);
  let first = 0;
  const stores = outputs.map((output) => {
    const store = `if (c >= ${first}u && c < ${first + output.columns}u) { ${output.set}(c - ${first}u, slices[local]); }`;
    first += output.columns;
    return store;
  });
  return {
    workgroup: [COLUMNS, MERGE_SLICES, 1],
    declarations: `var<workgroup> slices: array<${floats(lanes)}, ${COLUMNS * MERGE_SLICES}>;`,
    body: `${mergeColumn}
let tiles = (step.rows + ${rowsPerTile - 1}u) / ${rowsPerTile}u;
var sum = ${floats(lanes)}();
if (c < ${columns}u) {
  for (var t = slice; t < tiles; t += ${MERGE_SLICES}u) { sum += sums(t * ${columns}u + c); }
}
slices[local] = sum;
for (var half = ${MERGE_SLICES / 2}u; half > 0u; half /= 2u) {
  workgroupBarrier();
  if (slice < half) { slices[local] += slices[local + half * ${COLUMNS}u]; }
}
if (slice == 0u) {
  ${stores.join('\n  ')}
}`,
  };
}

const mergeColumn = `let c = (group.y * groups.x + group.x) * ${COLUMNS}u + local % ${COLUMNS}u;
let slice = local / ${COLUMNS}u;`;

/**
 * Merges the tiles' count, mean and Σ(x−mean)² (or, from `partials`, Σx and Σx²) by Chan's formula into mean and biased variance.
 * With partials, tile t of the [rows][2][channels] entries is merged; their sums become means first.
 */
export function mergeMoments({ pixels, channels, samples }: TileShape, lanes: Lanes, from: 'moments' | 'partials', after = defaultAfter): KernelText {
  const T = floats(lanes);
  const tile = {
    moments: 'let tileMean = sums(2u * t * CHANNELS + c);\n let tileSquares = sums((2u * t + 1u) * CHANNELS + c);',
    partials:
      'let sum = sums(2u * t * CHANNELS + c);\n let tileMean = sum / count;\n let tileSquares = sums((2u * t + 1u) * CHANNELS + c) - sum * tileMean;',
  }[from].replaceAll('CHANNELS', `${channels}u`);
  return {
    workgroup: [COLUMNS, MERGE_SLICES, 1],
    declarations: `struct Moments { count: f32, mean: ${T}, squares: ${T} }
fn joined(a: Moments, b: Moments) -> Moments {
  if (b.count == 0.0) { return a; }
  let count = a.count + b.count;
  let delta = b.mean - a.mean;
  let share = b.count / count;
  return Moments(count, a.mean + delta * share, a.squares + b.squares + delta * delta * (a.count * share));
}
var<workgroup> slices: array<Moments, ${COLUMNS * MERGE_SLICES}>;`,
    body: `${mergeColumn}
let tiles = (step.rows + ${samples - 1}u) / ${samples}u;
var moments = Moments(0.0, ${T}(), ${T}());
if (c < ${channels}u) {
  for (var t = slice; t < tiles; t += ${MERGE_SLICES}u) {
    let count = f32((min((t + 1u) * ${samples}u, step.rows) - t * ${samples}u) * ${pixels}u);
    ${tile}
    moments = joined(moments, Moments(count, tileMean, tileSquares));
  }
}
slices[local] = moments;
for (var half = ${MERGE_SLICES / 2}u; half > 0u; half /= 2u) {
  workgroupBarrier();
  if (slice < half) { slices[local] = joined(slices[local], slices[local + half * ${COLUMNS}u]); }
}
if (slice == 0u && c < ${channels}u) {
  let mean = slices[local].mean;
  // Never below zero, whatever the sums of squares lost.
  let variance = max(slices[local].squares / slices[local].count, ${T}());
  ${after}
}`,
  };
}

const defaultAfter = 'set_mean(c, mean);\n  set_variance(c, variance);';
