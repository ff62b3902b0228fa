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
  /** Pixels whose accesses are under way together, where it is not TOGETHER. Decides no bit. */
  readonly together?: number;
}

/** Sums that a merge keeps side by side, and tiles of each that are joined before the result is joined with those before. */
const MERGE_SLICES = 8;
const MERGE_PART = 64 * MERGE_SLICES;
/** Tiles of a slice whose accesses are under way together. */
const MERGE_TOGETHER = 4;

/**
 * Pixels that are summed before their sum is added to others: long chains in f32 lose digits. Fixed, so that shapes alone decide bits. Of a
 * tile of moments the first part is short: its first value may lie far from the mean, the mean of some hardly can.
 */
export const PART = 128;
const FIRST_PART = 8;
/** Pixels whose accesses are under way together: a memory that is waited for after each pixel is idle most of the time. */
export const TOGETHER = 8;

interface TileLoop {
  readonly shape: TileShape;
  readonly declarations?: string;
  /** Statements before the loop: `c` is the channel, `t` the tile, `begin` and `end` bound the pixels (of all rows) of the tile. */
  readonly before: string;
  /** What is read of a pixel: names of values and their expressions, for the access `at` = pixel·channels + c. */
  readonly loads: Readonly<Record<string, string>>;
  /** Statements for a pixel. */
  readonly body: string;
  /** Pixels of the first part, if fewer than of the others. */
  readonly firstPart?: number;
  /** Statements around the pixels of a part, which are those from `first` to below `last`. */
  readonly partBefore: string;
  readonly partAfter: string;
  readonly after: string;
}

/** One invocation for each channel and tile; workgroups: channels in x, tiles in y. */
function tileLoop({ shape, declarations, before, loads, body, firstPart = PART, partBefore, partAfter, after }: TileLoop): KernelText {
  const { pixels, channels, samples } = shape;
  const together = Math.min(shape.together ?? TOGETHER, firstPart);
  const place = (k: number): string => `let at${k} = (pixel + ${k}u) * ${channels}u + c;`;
  const load = (k: number): string =>
    Object.entries(loads)
      .map(([name, expression]) => `let ${name}${k} = ${expression.replaceAll(/\bat\b/g, `at${k}`)};`)
      .join(' ');
  const one = (k: number): string =>
    `{ let at = at${k}; ${Object.keys(loads)
      .map((name) => `let ${name} = ${name}${k};`)
      .join(' ')} ${body} }`;
  return {
    workgroup: [COLUMNS, 1, 1],
    declarations,
    body: `let c = group.x * ${COLUMNS}u + local;
let t = group.y + groups.y * group.z;
let begin = t * ${samples * pixels}u;
if (c >= ${channels}u || begin >= step.rows * ${pixels}u) { return; }
let end = min(begin + ${samples * pixels}u, step.rows * ${pixels}u);
${before}
for (var first = begin; first < end; ) {
  let last = min(first + ${firstPart === PART ? `${PART}u` : `select(${PART}u, ${firstPart}u, first == begin)`}, end);
  ${partBefore}
  var pixel = first;
  for (; pixel + ${together}u <= last; pixel += ${together}u) {
    ${each(together, place)}
    ${each(together, load)}
    ${each(together, one)}
  }
  for (; pixel < last; pixel++) {
    ${place(0)}
    ${load(0)}
    ${one(0)}
  }
  ${partAfter}
  first = last;
}
${after}`,
  };
}

interface TileSums extends Pick<TileLoop, 'shape' | 'declarations' | 'loads'> {
  readonly lanes: Lanes;
  readonly before?: string;
  /** Statements before the sums take a pixel. */
  readonly body?: string;
  /** What is summed: expressions of a pixel. */
  readonly terms: readonly string[];
}

/** Sums of tiles: for tile t the `terms` vectors follow one another, [tiles][terms][channels]. */
export function tileSums({ shape, lanes, declarations, before = '', loads, body = '', terms }: TileSums): KernelText {
  const T = floats(lanes);
  // Parts of parts, where there are many of them.
  const many = shape.pixels * shape.samples > PART * PART;
  const declare = (name: string): string => terms.map((_, s) => `var ${name}${s} = ${T}();`).join(' ');
  const add = (to: string, from: string): string => terms.map((_, s) => `${to}${s} += ${from}${s};`).join(' ');
  const addMany = `${add('group', 'part')} parts++; if (parts == ${PART}u) { ${add('sum', 'group')} ${terms.map((_, s) => `group${s} = ${T}();`).join(' ')} parts = 0u; }`;
  return tileLoop({
    ...{ shape, declarations, loads },
    before: `${before}\n${declare('sum')}${many ? ` ${declare('group')} var parts = 0u;` : ''}`,
    body: `${body} ${terms.map((term, s) => `part${s} += ${term};`).join(' ')}`,
    partBefore: declare('part'),
    partAfter: many ? addMany : add('sum', 'part'),
    after: `${many ? add('sum', 'group') : ''}\n${terms.map((_, s) => storeSum(shape, terms.length, s, `sum${s}`)).join('\n')}`,
  });
}

interface TileMoments extends Pick<TileLoop, 'shape' | 'declarations' | 'loads'> {
  readonly lanes: Lanes;
  /** Statements before the tile, in which `at` is its first access and `firstValue` is to be set. */
  readonly first: string;
  /** Statements that leave the value in `y`. */
  readonly body: string;
  /** Name of the function that stores. */
  readonly set: string;
}

/** Mean and Σ(y−mean)² of each tile, [tiles][2][channels]. */
export const tileMoments = ({ shape, lanes, declarations, loads, first, body, set }: TileMoments): KernelText =>
  tileLoop({
    ...{ shape, declarations, loads },
    before: `${declareMoments('', floats(lanes))} ${declarePart('', floats(lanes))}
{ let at = begin * ${shape.channels}u + c; ${first} origin = firstValue; centre = firstValue; }`,
    body: `${body} ${addToPart((name) => name, 'y')}`,
    firstPart: FIRST_PART,
    partBefore: '',
    partAfter: `${joinMoments([''], 'f32(first - begin)', 'f32(last - first)')} centre = origin + mean; part = ${floats(lanes)}(); square = ${floats(lanes)}();`,
    after: `${set}(2u * t * ${shape.channels}u + c, origin + mean);\n${set}((2u * t + 1u) * ${shape.channels}u + c, deviation);`,
  });

/**
 * Statements for moments, mean and Σ(y−mean)², that are joined part by part (Chan's formula): variables with a suffix of their own. Of the values
 * of a part `centre` is subtracted before they are summed, a value that is near; `mean` is what is to be added to `origin`, a value as well.
 * So a mean far from zero costs no digits of the variance.
 */
export const declareMoments = (suffix: string, T: string): string =>
  `var origin${suffix} = ${T}(); var mean${suffix} = ${T}(); var deviation${suffix} = ${T}();`;
export const declarePart = (suffix: string, T: string): string =>
  `var centre${suffix} = ${T}(); var part${suffix} = ${T}(); var square${suffix} = ${T}();`;
/** `of` names the variables. */
export const addToPart = (of: (name: string) => string, y: string): string =>
  `{ let d = ${y} - ${of('centre')}; ${of('part')} += d; ${of('square')} = fma(d, d, ${of('square')}); }`;
/** `before` and `count`: expressions for the values before the part and in it. */
export const joinMoments = (suffixes: readonly string[], before: string, count: string): string => `{
  let count = ${count};
  let inverse = 1.0 / count;
  let share = count / (${before} + count);
  let weight = ${before} * share;
  ${suffixes
    .map(
      (suffix) =>
        `{ let own = part${suffix} * inverse; let delta = centre${suffix} - origin${suffix} + own - mean${suffix}; mean${suffix} += delta * share; deviation${suffix} += square${suffix} - part${suffix} * own + delta * delta * weight; }`,
    )
    .join('\n  ')}
}`;

export const storeSum = ({ channels }: TileShape, sums: number, s: number, value: string): string =>
  `set_sums((t * ${sums}u + ${s}u) * ${channels}u + c, ${value});`;

/**
 * How the tiles of some columns are merged: slice s takes every MERGE_SLICES-th tile from s on, then slices meet pairwise. With barriers
 * the slices are invocations side by side; without, one invocation has them all in registers, to the same bits.
 */
export interface Merge {
  readonly columns: number;
  readonly rowsPerTile: number;
  /** What tiles count for each row of the run: rows, or its pixels, or parts of it. */
  readonly perRow?: number;
  /** WGSL type of what is merged, and its value for no tile. */
  readonly type: string;
  readonly none: string;
  /** Expression for tile t. */
  readonly tile: string;
  /** Expression for two tiles, or what was made of some, joined. */
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
let tiles = (step.rows * ${one.perRow ?? 1}u + ${one.rowsPerTile - 1}u) / ${one.rowsPerTile}u;
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

function mergeAlone({ columns, none, tile, join, store }: Merge): string {
  const joins: string[] = [];
  for (let half = MERGE_SLICES / 2; half >= 1; half /= 2) {
    for (let s = 0; s < half; s++) joins.push(`slice${s} = ${join(`slice${s}`, `slice${s + half}`)};`);
  }
  return `if (c < ${columns}u) {
${each(MERGE_SLICES, (s) => `var slice${s} = ${none};`)}
for (var begin = 0u; begin < tiles; begin += ${MERGE_PART}u) {
  let end = min(begin + ${MERGE_PART}u, tiles);
  ${each(MERGE_SLICES, (s) => `var part${s} = ${none};`)}
  for (var first = begin; first < end; first += ${MERGE_SLICES}u) {
    ${each(MERGE_SLICES, (s) => `if (first + ${s}u < end) { let t = first + ${s}u; part${s} = ${join(`part${s}`, tile)}; }`)}
  }
  ${each(MERGE_SLICES, (s) => `slice${s} = ${join(`slice${s}`, `part${s}`)};`)}
}
${joins.join('\n')}
${store('slice0')}
}`;
}

function mergeTogether({ columns, none, tile, join, store }: Merge, slices: string): string {
  return `let slice = local / ${COLUMNS}u;
var whole = ${none};
if (c < ${columns}u) {
  for (var begin = slice; begin < tiles; begin += ${MERGE_PART}u) {
    let end = min(begin + ${MERGE_PART}u, tiles);
    var sum = ${none};
    var next = begin;
    for (; next + ${(MERGE_TOGETHER - 1) * MERGE_SLICES}u < end; next += ${MERGE_TOGETHER * MERGE_SLICES}u) {
      ${each(MERGE_TOGETHER, (k) => `var tile${k} = ${none}; { let t = next + ${k * MERGE_SLICES}u; tile${k} = ${tile}; }`)}
      ${each(MERGE_TOGETHER, (k) => `sum = ${join('sum', `tile${k}`)};`)}
    }
    for (; next < end; next += ${MERGE_SLICES}u) { let t = next; let tile = ${tile}; sum = ${join('sum', 'tile')}; }
    whole = ${join('whole', 'sum')};
  }
}
${slices}[local] = whole;
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
 * `rowsPerTile` rows of the run (or of what there is `perRow` of in a row), and hands their parts to the outputs.
 */
export function sumsMerge(rowsPerTile: number, lanes: Lanes, outputs: readonly MergeOutput[], stride?: number, perRow = 1): Merge {
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
  const tile = `sums(t * ${stride ?? columns}u + c)`;
  const type = floats(lanes);
  return { columns, rowsPerTile, perRow, type, none: `${type}()`, tile, join: (a, b) => `${a} + ${b}`, store };
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
 * Merges the tiles by Chan's formula into mean and biased variance. `sums` holds for each tile the mean and Σ(x−mean)². `after`: statements
 * that may use `m` and `v`, mean and variance of channel c.
 */
export function momentsMerge({ pixels, channels, samples }: TileShape, lanes: Lanes, after: string): Merge {
  const T = floats(lanes);
  const tile = `fn momentsOf(t: u32, c: u32) -> Moments {
  let count = f32((min((t + 1u) * ${samples}u, step.rows) - t * ${samples}u) * ${pixels}u);
  return Moments(count, sums(2u * t * ${channels}u + c), sums((2u * t + 1u) * ${channels}u + c));
}`;
  return {
    columns: channels,
    rowsPerTile: samples,
    type: 'Moments',
    none: `Moments(0.0, ${T}(), ${T}())`,
    tile: 'momentsOf(t, c)',
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
  perRow = 1,
): Merge {
  const T = floats(lanes);
  return {
    columns: channels,
    rowsPerTile: samples,
    perRow,
    type: 'Pair',
    none: `Pair(${T}(), ${T}())`,
    tile: `Pair(sums(t * ${stride}u + ${offset}u + c), sums(t * ${stride}u + ${offset + channels}u + c))`,
    join: (a, b) => `Pair(${a}.dy + ${b}.dy, ${a}.dyx + ${b}.dyx)`,
    store: (result) => `let s = ${result}.dy;\n  let sx = ${result}.dyx;\n  ${after}`,
    declarations: `struct Pair { dy: ${T}, dyx: ${T} }`,
  };
}
