// Convolutions and their gradients as matrix products (gemm.ts): what A and B are, and what becomes of C.

import type { ConvGeometry } from '../../runtime/ops/conv.ts';
import type { Pair } from '../../runtime/ops/window.ts';
import { map } from './elementwise.ts';
import { type Epilogue, epilogueDeclarations, finish } from './epilogue.ts';
import {
  accessType,
  addToColumn,
  aroundBlock,
  type Cell,
  type ColumnKind,
  cells,
  countRow,
  declareColumns,
  frame,
  type Halves,
  multiply,
  overRows,
  type Product,
  panels,
  places,
  reduceColumns,
  type Tile,
} from './gemm.ts';
import { each, f32, type KernelText, type Lanes, lanesFor, range } from './wgsl.ts';

/**
 * An image as the rows of a matrix, one for each of oh×ow positions of a window of kh×kw: row m, column (tap, channel). Taps are `dilation` apart;
 * with an upsampling of more than one, as many minus one zeros stand between the pixels of the image.
 */
export interface Windows {
  readonly h: number;
  readonly w: number;
  readonly c: number;
  readonly oh: number;
  readonly ow: number;
  readonly kh: number;
  readonly kw: number;
  readonly stride: Pair;
  readonly dilation: Pair;
  readonly upsampling: Pair;
  readonly padTop: number;
  readonly padLeft: number;
  /** The channels that are seen are a part of a pixel's. */
  readonly slice?: Slice;
  /** Elements are bytes and are multiplied by it. */
  readonly inputScale?: number;
}

/** Columns that are a part of rows in memory: those from `first` on of `of`. */
export interface Slice {
  readonly first: number;
  readonly of: number;
}

/** The k-th of `groups` equal parts of `of` columns; undefined where there is but one. */
export const sliceOf = (of: number, groups: number, k: number): Slice | undefined =>
  groups === 1 ? undefined : { first: (k * of) / groups, of };

/** What the forward pass reads of x, for the k-th group of channels. */
export const forwardWindows = (g: ConvGeometry, inputScale?: number, k = 0): Windows => ({
  ...{ h: g.h, w: g.w, c: g.ci / g.groups, oh: g.oh, ow: g.ow, kh: g.kh, kw: g.kw, stride: g.stride, dilation: g.dilation },
  ...{ upsampling: [1, 1], padTop: g.padTop, padLeft: g.padLeft, slice: sliceOf(g.ci, g.groups, k), inputScale },
});

/** What the gradient of x reads of dy: the convolution, stride 1, of dy (zeros between its pixels where the stride was more) with the reversed kernel. */
export const reversedWindows = (g: ConvGeometry, k = 0): Windows => ({
  ...{ h: g.oh, w: g.ow, c: g.co / g.groups, oh: g.h, ow: g.w, kh: g.kh, kw: g.kw, stride: [1, 1], dilation: g.dilation },
  ...{ upsampling: g.stride, padTop: (g.kh - 1) * g.dilation[0] - g.padTop, padLeft: (g.kw - 1) * g.dilation[1] - g.padLeft },
  slice: sliceOf(g.co, g.groups, k),
});

const isPointwise = ({ kh, kw, stride, upsampling, padTop, padLeft, h, w, oh, ow }: Windows): boolean =>
  `${[kh, kw, stride, upsampling, padTop, padLeft]}` === '1,1,1,1,1,1,0,0' && h === oh && w === ow;

/** Channels of a pixel in memory, and the first that is seen. */
const pixelOf = ({ c, slice = { first: 0, of: c } }: Windows): Slice => slice;

/** Lanes of the accesses to the image. */
export const windowLanes = ({ c, inputScale }: Windows, tile: Tile): Lanes => (tile.panels && inputScale === undefined ? lanesFor(c) : 1);

const depthOf = ({ kh, kw, c }: Windows): number => kh * kw * c;

/** A vec4f of four expressions. */
const four = (element: (i: number) => string): string => `vec4f(${range(4).map(element).join(', ')})`;

/** The function that reads an access of an operand: as the kernel computes with it, or as it is stored. */
const reader = (name: string, isHalf = false): string => (isHalf ? `${name}_half` : name);

/** The expression for the element or access at element offset `at` of the image. */
function fetch({ inputScale }: Windows, lanes: Lanes, at: string, isHalf: boolean): string {
  if (inputScale !== undefined) return `byteAt(${at}) * ${f32(inputScale)}`;
  return lanes === 4 ? `${reader('x', isHalf)}((${at}) / 4u)` : `x(${at})`;
}

const BYTES = 'fn byteAt(i: u32) -> f32 { return f32((x(i >> 2u) >> ((i & 3u) * 8u)) & 0xffu); }';

/** Whether a window may reach beyond the image, or between its pixels. */
const mayMiss = ({ h, w, oh, ow, kh, kw, stride, dilation, upsampling, padTop, padLeft }: Windows): boolean =>
  Math.max(...upsampling) > 1 ||
  padTop > 0 ||
  padLeft > 0 ||
  (oh - 1) * stride[0] + (kh - 1) * dilation[0] + 1 > h ||
  (ow - 1) * stride[1] + (kw - 1) * dilation[1] + 1 > w;

/**
 * The image in two functions of an index and one of what they give: `positionOf` for rows of the matrix, `tapOf` for its columns, and
 * `elementAt(position, tap)`, zero beyond the image. Indices beyond the matrix give the last row or column. No branches: a software
 * adapter takes long to compile them.
 */
function imageFunctions(windows: Windows, lanes: Lanes, isHalf: boolean): string {
  const { h, w, c, oh, ow, kw, stride, dilation, upsampling: up, padTop, padLeft, inputScale } = windows;
  const { first, of } = pixelOf(windows);
  const plusFirst = first === 0 ? '' : ` + ${first}u`;
  const T = lanes === 4 ? accessType(isHalf) : 'f32';
  const bytes = inputScale === undefined ? '' : BYTES;
  const position = `min(m, step.rows * ${oh * ow}u - 1u)`;
  const tap = `min(k, ${depthOf(windows) - lanes}u)`;
  if (isPointwise(windows)) {
    return `${bytes}
alias Position = u32;
alias Tap = u32;
fn positionOf(m: u32) -> Position { return ${position} * ${of}u${plusFirst}; }
fn tapOf(k: u32) -> Tap { return ${tap}; }
fn elementAt(p: Position, t: Tap) -> ${T} { return ${fetch(windows, lanes, 'p + t', isHalf)}; }`;
  }
  const whole = `${up}` === '1,1' ? '' : ` & (py % ${up[0]} == 0) & (px % ${up[1]} == 0)`;
  const at = `(p.sample + u32(py / ${up[0]} * ${w} + px / ${up[1]})) * ${of}u${plusFirst} + t.channel`;
  const inside = `(py >= 0) & (px >= 0) & (py < ${(h - 1) * up[0] + 1}) & (px < ${(w - 1) * up[1] + 1})${whole}`;
  const element = mayMiss(windows)
    ? `let inside = ${inside};\n  let at = select(0u, ${at}, inside);\n  return select(${T}(), ${fetch(windows, lanes, 'at', isHalf)}, inside);`
    : `let at = ${at};\n  return ${fetch(windows, lanes, 'at', isHalf)};`;
  return `${bytes}
struct Position { sample: u32, y: i32, x: i32 }
struct Tap { channel: u32, y: i32, x: i32 }
fn positionOf(m: u32) -> Position {
  let position = ${position};
  let pixel = position % ${oh * ow}u;
  return Position(position / ${oh * ow}u * ${h * w}u, i32(pixel / ${ow}u) * ${stride[0]} - ${padTop}, i32(pixel % ${ow}u) * ${stride[1]} - ${padLeft});
}
fn tapOf(k: u32) -> Tap {
  let column = ${tap};
  let tap = column / ${c}u;
  return Tap(column % ${c}u, i32(tap / ${kw}u)${times(dilation[0])}, i32(tap % ${kw}u)${times(dilation[1])});
}
fn elementAt(p: Position, t: Tap) -> ${T} {
  let py = p.y + t.y;
  let px = p.x + t.x;
  ${element}
}`;
}

const times = (factor: number): string => (factor === 1 ? '' : ` * ${factor}`);

/** A of rows that are positions of the window, for gemm.ts. */
function positionRows(windows: Windows, tile: Tile, isHalf = false): string {
  const lanes = windowLanes(windows, tile);
  const value = lanes === 4 ? 'elementA(row, deepOf(k))' : four((i) => `elementA(row, deepOf(k + ${i}u))`);
  // Beyond the depth B has zeros, and what A repeats there is finite where the rest is.
  const T = accessType(isHalf);
  const loadA = `fn loadA(row: Row, k: u32) -> ${T} { return ${value}; }`;
  return `${imageFunctions(windows, lanes, isHalf)}
alias Row = Position;
alias Deep = Tap;
fn rowOf(m: u32) -> Row { return positionOf(m); }
fn deepOf(k: u32) -> Deep { return tapOf(k); }
fn elementA(row: Row, deep: Deep) -> ${lanes === 4 ? T : 'f32'} { return elementAt(row, deep); }
${tile.panels ? loadA : ''}`;
}

/** A of the transpose: rows are (tap, channel), the depth runs over positions. */
function tapRows(windows: Windows, tile: Tile, isHalf = false): string {
  const lanes = windowLanes(windows, tile);
  // Rows of single elements are looked up in fours.
  const single = tile.panels && lanes === 1;
  const value = single ? four((i) => `elementAt(deep, tapOf(row + ${i}u))`) : 'elementAt(deep, row)';
  const T = accessType(isHalf);
  return `${imageFunctions(windows, lanes, isHalf)}
alias Row = ${single ? 'u32' : 'Tap'};
alias Deep = Position;
fn rowOf(m: u32) -> Row { return ${single ? 'm' : 'tapOf(m)'}; }
fn deepOf(k: u32) -> Deep { return positionOf(k); }
fn elementA(row: Row, deep: Deep) -> ${tile.panels ? T : 'f32'} { return ${value}; }
${tile.panels ? `fn loadA(row: Row, k: u32) -> ${T} { return elementA(row, deepOf(k)); }` : ''}`;
}

/** loadB of a matrix [depth, columns] in memory as `name`. `end`: below which depths there are; none is checked where it is empty. */
function plainColumns(
  name: string,
  columns: number,
  tile: Tile,
  end: string,
  { first, of }: Slice = { first: 0, of: columns },
  isHalf = false,
): string {
  const plusFirst = (n: number): string => (n === 0 ? '' : ` + ${n}u`);
  const T = accessType(isHalf);
  const guard = end ? `if (k >= ${end}) { return ${T}(); }` : '';
  if (!tile.panels) return `fn loadB(k: u32, n: u32) -> f32 { return ${name}(k * ${of}u${plusFirst(first)} + min(n, ${columns - 1}u)); }`;
  if (columns % 4 === 0) {
    return `fn loadB(k: u32, n: u32) -> ${T} { ${guard} return ${reader(name, isHalf)}(k * ${of / 4}u${plusFirst(first / 4)} + min(n, ${columns - 4}u) / 4u); }`;
  }
  return `fn loadB(k: u32, n: u32) -> vec4f { ${guard} let at = k * ${of}u${plusFirst(first)}; return ${four((i) => `${name}(at + min(n + ${i}u, ${columns - 1}u))`)}; }`;
}

/** loadB of the weights [taps, columns, channels] with reversed taps, transposed: the depth is (tap, channel). */
function transposedColumns(
  taps: number,
  columns: number,
  channels: number,
  bk: number,
  { first, of }: Slice = { first: 0, of: channels },
): string {
  const depth = taps * channels;
  const guard = depth % bk === 0 ? '' : `if (k >= ${depth}u) { return vec4f(); }`;
  const tap = `${first === 0 ? '' : `${first}u + `}${taps === 1 ? '' : `(${taps - 1}u - k / ${channels}u) * ${columns * of}u + `}`;
  const channel = taps === 1 ? 'k' : `k % ${channels}u`;
  return `fn loadB(k: u32, n: u32) -> vec4f { ${guard} let at = ${tap}${channel}; return ${four((i) => `w(at + min(n + ${i}u, ${columns - 1}u) * ${of}u)`)}; }`;
}

interface RowsOfC {
  readonly product: Product;
  /** Rows of C that are one workgroup's, as one or more blocks of bm. */
  readonly rowsPerGroup: number;
  /** Rows of C for each row of the run. */
  readonly pixels: number;
  readonly depth: number;
  /** Depths of a chunk, where the depth is cut. */
  readonly chunkDepth?: number;
}

/**
 * Statements for a workgroup's blocks of rows: `block` uses m0, n0 and the accumulators. Workgroups: columns in x, rows in y and z, or with
 * chunks of the depth rows in y and chunks in z.
 */
function overBlocks({ product, rowsPerGroup, pixels, depth, chunkDepth }: RowsOfC, before: string, block: string, after: string): string {
  const { tile } = product;
  const [begin, end] = chunkDepth ? ['chunkBegin', 'chunkEnd'] : ['0u', `${depth}u`];
  const one = `${multiply(product, begin, end)}\n${block}`;
  const several = rowsPerGroup > tile.bm;
  return `${places(tile)}
let n0 = group.x * ${tile.bn}u;
${chunkDepth ? `let t = group.y;\nlet chunkBegin = group.z * ${chunkDepth}u;\nlet chunkEnd = min(chunkBegin + ${chunkDepth}u, ${depth}u);` : 'let t = group.y + groups.y * group.z;'}
let rows = step.rows * ${pixels}u;
let first = t * ${rowsPerGroup}u;
if (first >= rows) { return; }
let end = min(first + ${rowsPerGroup}u, rows);
${before}
${several ? `for (var m0 = first; m0 < end; m0 += ${tile.bm}u) {` : 'let m0 = first;'}
${one}
${several ? '}' : ''}
${after}`;
}

/** Statements for each cell of the invocation's row i: `n` is its column of C. */
function overCells(tile: Tile, columns: number, lanes: Lanes, statement: (cell: Cell) => string): string {
  const covered = columns % tile.bn === 0;
  return cells(tile, lanes)
    .map((cell) => `{ let n = n0 + ${cell.column}; ${covered ? statement(cell) : `if (n < ${columns}u) { ${statement(cell)} }`} }`)
    .join('\n');
}

/** The access or element at an expression of elements. */
const accessAt = ({ lanes }: Pick<Cell, 'lanes'>, at: string): string => (lanes === 4 ? `(${at}) / 4u` : at);

/** Lanes of the accesses to outputs and bias. */
export const cellLanes = (tile: Tile, columns: number): Lanes => (tile.panels ? lanesFor(columns) : 1);

export interface ConvOptions {
  readonly windows: Windows;
  readonly columns: number;
  readonly tile: Tile;
  readonly epilogue: Epilogue;
  /** Rows of C whose sums are one partial result. */
  readonly rowsPerTile: number;
  /** The result is the gradient of a normalised x, `activation`: `sums` [tiles][2][columns] get Σy and Σy·(activation − mean). */
  readonly gradientSums?: boolean;
  /** Weights are [taps, columns, channels] and their taps reversed: the gradient of x. */
  readonly transposed?: boolean;
  /** The columns are a part of those of outputs and bias, and of the weights: of their columns, or of their channels where they are transposed. */
  readonly slice?: Slice;
  readonly weightSlice?: Slice;
  readonly halves?: Halves;
}

/** y = epilogue(windows of x · w). Accesses: x by `windowLanes`; w, bias and outputs by `cellLanes`, w one by one if transposed. */
export function conv({
  windows,
  columns,
  tile,
  epilogue,
  rowsPerTile,
  gradientSums = false,
  transposed = false,
  slice = { first: 0, of: columns },
  weightSlice,
  halves,
}: ConvOptions): KernelText {
  const lanes = cellLanes(tile, columns);
  const depth = depthOf(windows);
  const a = positionRows(windows, tile, halves?.a);
  const b = transposed
    ? transposedColumns(windows.kh * windows.kw, columns, windows.c, tile.bk, weightSlice)
    : plainColumns('w', columns, tile, depth % tile.bk === 0 ? '' : `${depth}u`, weightSlice);
  /** A column of outputs and bias. */
  const own = (n: string): string => (slice.first === 0 ? n : `${n} + ${slice.first}u`);
  const product: Product = { tile, a: 'depth', b: transposed ? 'depth' : 'columns', halves };
  const kind: ColumnKind | undefined = gradientSums ? 'sums' : epilogue.stats ? 'moments' : undefined;
  const blocks = Math.ceil(rowsPerTile / tile.bm);
  const setSums = gradientSums ? 'set_sums' : 'set_partials';
  const row = (i: number): string =>
    overCells(tile, columns, lanes, (cell) => {
      const at = accessAt(cell, `m * ${slice.of}u + ${own('n')}`);
      const second = gradientSums ? `(activation(${at}) - mean(${accessAt(cell, 'n')}))` : 'y';
      const biased = epilogue.bias ? `${cell.value(i)} + bias(${accessAt(cell, own('n'))})` : cell.value(i);
      return `${finish(epilogue, lanes, biased, at)} ${kind ? addToColumn(cell, kind, i, second) : ''}`;
    });
  const rows = overRows(tile, 'end', (i) => `${row(i)} ${kind ? countRow(kind) : ''}`);
  const storeSums = (n: string, sum: string, squares: string, width: Lanes): string => {
    const at = (row: string, lane = 0): string => accessAt({ lanes }, `(${row}) * ${slice.of}u + ${own(n)} + ${lane}u`);
    if (lanes === width)
      return `if (${n} < ${columns}u) { ${setSums}(${at('2u * t')}, ${sum}); ${setSums}(${at('2u * t + 1u')}, ${squares}); }`;
    return each(
      4,
      (lane) =>
        `if (${n} + ${lane}u < ${columns}u) { ${setSums}(${at('2u * t', lane)}, ${sum}[${lane}]); ${setSums}(${at('2u * t + 1u', lane)}, ${squares}[${lane}]); }`,
    );
  };
  return {
    ...frame(tile),
    declarations: [panels(product, kind !== undefined), a, b, epilogueDeclarations(epilogue, lanes)].join('\n'),
    body: overBlocks(
      { product, rowsPerGroup: kind ? rowsPerTile : groupRows(tile), pixels: windows.oh * windows.ow, depth },
      kind ? declareColumns(tile, kind, blocks) : '',
      kind ? aroundBlock(tile, kind, rows, blocks) : rows,
      kind ? reduceColumns(tile, kind, 'f32(end - first)', blocks, storeSums) : '',
    ),
  };
}

export interface DenseChunksOptions {
  readonly depth: number;
  readonly columns: number;
  readonly tile: Tile;
  readonly chunkDepth: number;
}

/**
 * A dense layer with many inputs: products of chunks of the depth, `sums` [chunks][rows][columns], which `denseEpilogue` adds up.
 * Accesses: x by `windowLanes`, w and sums by `cellLanes`.
 */
export function denseChunks({ depth, columns, tile, chunkDepth }: DenseChunksOptions): KernelText {
  const lanes = cellLanes(tile, columns);
  const store = overRows(tile, 'end', (i) =>
    overCells(tile, columns, lanes, (cell) => `set_sums(${accessAt(cell, `(group.z * rows + m) * ${columns}u + n`)}, ${cell.value(i)});`),
  );
  return {
    ...frame(tile),
    declarations: [
      panels({ tile, b: 'columns' }, false),
      positionRows(denseWindows(depth), tile),
      plainColumns('w', columns, tile, depth % tile.bk === 0 ? '' : `${depth}u`),
    ].join('\n'),
    body: overBlocks(
      { product: { tile, a: 'depth', b: 'columns' }, rowsPerGroup: groupRows(tile), pixels: 1, depth, chunkDepth },
      '',
      store,
      '',
    ),
  };
}

/** A dense layer's inputs as windows of images of one pixel. */
export const denseWindows = (c: number): Windows => ({
  ...{ h: 1, w: 1, c, oh: 1, ow: 1, kh: 1, kw: 1, padTop: 0, padLeft: 0 },
  ...{ stride: [1, 1], dilation: [1, 1], upsampling: [1, 1] },
});

/** y = epilogue(the sum of `denseChunks`, in order). `columns` counts accesses. */
export const denseEpilogue = (columns: number, chunks: number, epilogue: Epilogue, lanes: Lanes): KernelText =>
  map({
    perSample: columns,
    declarations: epilogueDeclarations(epilogue, lanes),
    body: `var sum = sums(at);
for (var chunk = 1u; chunk < ${chunks}u; chunk++) { sum += sums(chunk * step.rows * ${columns}u + at); }
${finish(epilogue, lanes, epilogue.bias ? `sum + bias(at % ${columns}u)` : 'sum', 'at')}`,
  });

/** Rows of C that are one workgroup's where it does not matter: a block, or without panels a few. */
export const groupRows = (tile: Tile): number => (tile.panels ? tile.bm : 8 * tile.bm);

/** [taps, columns, channels] to [taps, channels, columns] with the taps reversed: weights for the gradient of x. */
export function transposeWeights(
  taps: number,
  columns: number,
  channels: number,
  { first, of }: Slice = { first: 0, of: channels },
): KernelText {
  return {
    workgroup: [64, 1, 1],
    body: `let at = (group.y * groups.x + group.x) * 64u + local;
if (at >= ${taps * columns * channels}u) { return; }
let tap = at / ${columns * channels}u;
let channel = at / ${columns}u % ${channels}u;
set_transposed(at, w(((${taps - 1}u - tap) * ${columns}u + at % ${columns}u) * ${of}u + channel${first === 0 ? '' : ` + ${first}u`}));`,
  };
}

/**
 * The gradient of x where windows do not overlap and the first begins at the corner: dy, one row for each patch, times the transposed
 * weights; each row of C is a whole patch. Accesses: dy by lanesFor(co), w one by one, dx by `cellLanes` of ci.
 */
export function convGradInputPatches(g: ConvGeometry, tile: Tile, halves?: Halves): KernelText {
  const windows: Windows = { ...denseWindows(g.co), h: g.oh, w: g.ow, oh: g.oh, ow: g.ow };
  const columns = g.kh * g.kw * g.ci;
  const lanes = cellLanes(tile, g.ci);
  const a = positionRows(windows, tile, halves?.a);
  const product: Product = { tile, a: 'depth', b: 'depth', halves };
  const b = tile.panels
    ? transposedColumns(1, columns, g.co, tile.bk)
    : plainColumns('w', columns, tile, g.co % tile.bk === 0 ? '' : `${g.co}u`);
  const store = overRows(
    tile,
    'end',
    (i) => `let place = m % ${g.oh * g.ow}u;
let corner = ((m / ${g.oh * g.ow}u * ${g.h}u + place / ${g.ow}u * ${g.stride[0]}u) * ${g.w}u + place % ${g.ow}u * ${g.stride[1]}u) * ${g.ci}u;
${overCells(tile, columns, lanes, (cell) => {
  const at = `corner + (n / ${g.kw * g.ci}u * ${g.w}u + n / ${g.ci}u % ${g.kw}u) * ${g.ci}u + n % ${g.ci}u`;
  return `set_dx(${accessAt(cell, at)}, ${cell.value(i)});`;
})}`,
  );
  return {
    ...frame(tile),
    declarations: [panels(product, false), a, b].join('\n'),
    body: overBlocks({ product, rowsPerGroup: groupRows(tile), pixels: g.oh * g.ow, depth: g.co }, '', store, ''),
  };
}

export interface ConvGradWeightOptions {
  readonly windows: Windows;
  readonly columns: number;
  readonly tile: Tile;
  /** Rows of dy that are summed in one go. */
  readonly chunkRows: number;
  /** The columns are a part of those of dy and of the sums. */
  readonly slice?: Slice;
  /** Workgroups in x are those of the columns, and of so many parts of the rows of C: there may be more rows than workgroups in y. */
  readonly folds: number;
  readonly halves?: Halves;
}

/**
 * The gradient of the weights, windows of xᵀ · dy, in chunks of rows of dy: `sums` [chunks][taps·channels][columns]. Workgroups:
 * columns in x (`folds` times), rows in y, chunks in z. Accesses: x by `windowLanes`; dy and sums by `cellLanes`.
 */
export function convGradWeight({
  windows,
  columns,
  tile,
  chunkRows,
  folds,
  slice = { first: 0, of: columns },
  halves,
}: ConvGradWeightOptions): KernelText {
  const lanes = cellLanes(tile, columns);
  const depth = depthOf(windows);
  const pixels = windows.oh * windows.ow;
  const a = tapRows(windows, tile, halves?.a);
  const b = plainColumns('dy', columns, tile, 'chunkEnd', slice, halves?.b);
  const product: Product = { tile, a: 'rows', b: 'columns', halves };
  const store = overRows(tile, `${depth}u`, (i) =>
    overCells(tile, columns, lanes, (cell) => {
      const at = accessAt(cell, `(group.z * ${depth}u + m) * ${slice.of}u + n${slice.first === 0 ? '' : ` + ${slice.first}u`}`);
      return `set_sums(${at}, ${cell.value(i)});`;
    }),
  );
  return {
    ...frame(tile),
    declarations: [panels(product, false), 'var<private> chunkEnd: u32;', a, b].join('\n'),
    body: `${places(tile)}
${
  folds === 1
    ? `let n0 = group.x * ${tile.bn}u;\nlet m0 = group.y * ${tile.bm}u;`
    : `let n0 = group.x / ${folds}u * ${tile.bn}u;\nlet m0 = (group.x % ${folds}u * groups.y + group.y) * ${tile.bm}u;\nif (m0 >= ${depth}u) { return; }`
}
let chunkBegin = group.z * ${chunkRows}u;
let chunkStop = min(chunkBegin + ${chunkRows}u, step.rows * ${pixels}u);
chunkEnd = chunkStop;
${multiply(product, 'chunkBegin', 'chunkStop')}
${store}`,
  };
}
