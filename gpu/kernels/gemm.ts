// The matrix product that all convolutions are: C [M, N] = A [M, K] · B [K, N], cut into tiles.
//
// A workgroup computes bm × bn elements of C, each invocation tm × tn of them in registers. For bk of the depth at a time the
// workgroup loads a panel of A and one of B into its memory; with `prefetch` the next ones are on their way into registers while it
// multiplies them, which hides the way and costs the registers. A lies there in accesses along the depth or along the rows, as it comes from memory: A[i][k..k+3] is broadcast to four
// multiply-adds in either case. Every element is one chain of multiply-adds in the order of k, so no choice of tile changes a bit of it; sums of
// columns are made by an invocation of its tm rows and joined in blocks of bm, so that these two decide theirs.
//
// Where barriers are dear (software adapters) the same product does without workgroup memory: an invocation reads A and B itself, and
// neighbouring invocations have neighbouring columns, so that they read the same A and neighbouring B. A workgroup is then one row of
// invocations, and columns are scalars.
//
// Where there are matrix units (matrices.ts) and the tier of precision allows for them, panels hold f16, subgroups multiply them block by
// block, and C comes back through workgroup memory in strips, of which each invocation gets accesses as in the other forms.
//
// What A and B are (im2col of an image, bytes, transposed weights) is up to the functions that the caller declares:
//   rowOf(m: u32) -> Row, deepOf(k: u32) -> Deep    once for each row, and depth, of A that an invocation looks at; any m and k
//   elementA(row: Row, deep: Deep)                  their element; finite wherever A is, even beyond it
//   loadA(row: Row, k: u32) -> vec4f (or half4)     with panels: along the depth, elements k to k+3 of the row; along the rows,
//                                                   at depth k, elements of the four rows that Row stands for
//   loadB(k: u32, n: u32) -> vec4f (or half4)       columns n to n+3 at depth k; zeros where there is no k. Without panels: f32,
//                                                   column n

import {
  declareBlocks,
  eachStrip,
  halfBytes,
  halfStride,
  type MatrixTile,
  matrixDeclarations,
  matrixInvocations,
  multiplyBlocks,
  stripRows,
  stripStride,
  writeHalf,
} from './matrices.ts';
import { addToPart, declareMoments, declarePart, joinMoments } from './tiles.ts';
import { each, type KernelText, type Lanes, range } from './wgsl.ts';

export interface Tile {
  /** Whether operands go through workgroup memory. Without, bm = tm and bk = 4. */
  readonly panels: boolean;
  /** The matrices that multiply the panels, where they do. Then tn = 4. */
  readonly matrices?: MatrixTile;
  /** Whether the next panels are loaded while these are multiplied. */
  readonly prefetch?: boolean;
  readonly bm: number;
  readonly bn: number;
  readonly bk: number;
  readonly tm: number;
  readonly tn: number;
}

export interface Product {
  readonly tile: Tile;
  /** Which way the accesses of A go. */
  readonly a: 'depth' | 'rows';
  /** Whether neighbouring invocations load neighbouring columns of B, or neighbouring depths. */
  readonly b: 'columns' | 'depth';
  /** Which operands come as `half4`, as the panels of matrices hold them, with nothing made of them on their way. */
  readonly halves?: Halves;
}

/** Whether loadA and loadB give a `half4`. */
export interface Halves {
  readonly a?: boolean;
  readonly b?: boolean;
}

/** Invocations of a workgroup. */
export const invocations = ({ bm, bn, tm, tn }: Tile): number => (bm / tm) * (bn / tn);

const aAccesses = ({ bm, bk }: Tile): number => (bm * bk) / 4;
const bAccesses = ({ bn, bk }: Tile): number => (bn * bk) / 4;
/** Sums of a workgroup's columns, one access for each row of invocations. */
const sumAccesses = ({ bm, bn, tm }: Tile): number => ((bm / tm) * bn) / 4;

/** A tile of matrices. */
export function matrixTile(matrices: MatrixTile, bk: number): Tile {
  const { unit, subgroups, blocks } = matrices;
  const [bm, bn] = [subgroups[0] * blocks[0] * unit.m, subgroups[1] * blocks[1] * unit.n];
  return { panels: true, prefetch: true, matrices, bm, bn, bk, tm: (bm * bn) / 4 / matrixInvocations(matrices), tn: 4 };
}

/**
 * Accesses from one depth of the panel of B to the next. Written along the depth, neighbours write to neighbouring depths: an access more, and they are in
 * different banks.
 */
const strideOfB = ({ tile: { bn }, b }: Pick<Product, 'tile' | 'b'>): number => bn / 4 + (b === 'depth' ? 1 : 0);

interface Memory {
  readonly name: string;
  readonly type: 'half4' | 'vec4f';
  readonly size: number;
}

/** Workgroup memory: the panels of A and B, and the strip of C; columns' sums are at the end where panels or strip were. */
function memoryOf({ tile, b }: Pick<Product, 'tile' | 'b'>, sums: boolean): Memory[] {
  const { panels, matrices, bm, bn, bk } = tile;
  const ofSums = sums ? sumAccesses(tile) : 0;
  if (!panels) return [];
  if (!matrices) {
    return [
      { name: 'panelA', type: 'vec4f', size: Math.max(aAccesses(tile), ofSums) },
      { name: 'panelB', type: 'vec4f', size: Math.max(bk * strideOfB({ tile, b }), ofSums) },
    ];
  }
  // A lies along its depth or along its rows.
  const { unit } = matrices;
  const sizeA = Math.max(bm * halfStride(unit, bk), bk * halfStride(unit, bm));
  const sizeB = bk * halfStride(unit, bn);
  const names = matrices.passes === 1 ? [''] : ['', 'Low'];
  return [
    ...names.flatMap((name): Memory[] => [
      { name: `panelA${name}`, type: 'half4', size: sizeA },
      { name: `panelB${name}`, type: 'half4', size: sizeB },
    ]),
    { name: 'strip', type: 'vec4f', size: Math.max(stripRows(matrices) * stripStride(bn), 2 * ofSums) },
  ];
}

/** Bytes of workgroup memory. */
export const workgroupBytes = (product: Pick<Product, 'tile' | 'b'>, sums: boolean): number =>
  memoryOf(product, sums).reduce(
    (bytes, { type, size }) => bytes + size * (type === 'half4' && product.tile.matrices ? halfBytes(product.tile.matrices.unit) : 16),
    0,
  );

/** Declarations of workgroup memory. */
export const panels = (product: Pick<Product, 'tile' | 'b'>, sums: boolean): string =>
  [
    ...(product.tile.matrices ? [matrixDeclarations(product.tile.matrices)] : []),
    ...memoryOf(product, sums).map(({ name, type, size }) => `var<workgroup> ${name}: array<${type}, ${size}>;`),
  ].join('\n');

/** The workgroup, and what the matrices want of a kernel. */
export function frame(tile: Tile): Pick<KernelText, 'workgroup' | 'enables' | 'attributes' | 'parameters'> {
  const workgroup = [invocations(tile), 1, 1] as const;
  if (!tile.matrices) return { workgroup };
  const { enables, attributes, parameters } = tile.matrices.unit.words;
  return { workgroup, enables, attributes, parameters };
}

/** Statements that define what the others use: `tx`, `ty`, the invocation's column and row of the workgroup; of matrices those of the subgroup. */
export const places = ({ bn, tn, matrices }: Tile): string => `let tx = local % ${bn / tn}u;
let ty = local / ${bn / tn}u;
${
  matrices
    ? `${matrices.unit.words.prologue}
let subgroupRow = subgroup / ${matrices.subgroups[1]}u;
let subgroupColumn = subgroup % ${matrices.subgroups[1]}u;`
    : ''
}`;

/** What an invocation holds of C at its row i: one access of columns, or one column. */
export interface Cell {
  /** Elements of it. */
  readonly lanes: Lanes;
  /** Expression for its (first) column, from the workgroup's first. */
  readonly column: string;
  readonly value: (i: number) => string;
  /** The variable that an invocation keeps of its columns, by its name, for this column. */
  readonly of: (variable: string) => string;
}

/** The cells of an invocation's row: whole accesses if `lanes` is 4 and they come in panels. */
export function cells({ panels, matrices, bn, tn }: Tile, lanes: Lanes): Cell[] {
  const held = matrices ? () => FROM_STRIP : accumulator;
  if (!panels) {
    return range(tn).map((j) => ({
      ...{ lanes: 1, column: `tx + ${(j * bn) / tn}u`, value: (i) => accumulator(i, j), of: (variable) => `${variable}${j}` },
    }));
  }
  return range(tn / 4).flatMap((j): Cell[] => {
    const column = `(tx + ${(j * bn) / tn}u) * 4u`;
    if (lanes === 4) return [{ lanes, column, value: (i) => held(i, j), of: (variable) => `${variable}${j}` }];
    return range(4).map((lane) => ({
      ...{ lanes: 1, column: `${column} + ${lane}u`, value: (i) => `${held(i, j)}[${lane}]` },
      of: (variable) => `${variable}${j}[${lane}]`,
    }));
  });
}

/** Accumulators of a row. */
const accumulators = ({ panels, tn }: Tile): number => (panels ? tn / 4 : tn);
const typeOf = ({ panels }: Tile): string => (panels ? 'vec4f' : 'f32');

const accumulator = (i: number, j: number): string => `c${i}_${j}`;
/** The access of C that an invocation has from the strip. */
const FROM_STRIP = 'c';

/**
 * What becomes of each column over the rows of a workgroup, in blocks of bm rows: `moments` are mean and Σ(y−mean)² of what an epilogue made;
 * `sums` are two plain sums. Each block is summed by itself and joined with those before.
 */
export type ColumnKind = 'moments' | 'sums';

/** Of plain sums: from how many blocks on they are added up in stretches, so that those of a large image are no long chain. */
const MOST_BLOCKS = 128;
/** Blocks of a stretch: about as many as there are stretches. 0: there is one. */
const stretchOf = (blocks: number): number => (blocks > MOST_BLOCKS ? 2 ** Math.ceil(Math.log2(blocks) / 2) : 0);

/** Statements that declare them, before all blocks: so many of bm rows. */
export const declareColumns = (tile: Tile, kind: ColumnKind, blocks: number): string =>
  kind === 'sums'
    ? `${each(accumulators(tile), (j) => `var sum${j} = ${typeOf(tile)}(); var squares${j} = ${typeOf(tile)}();`)}
${stretchOf(blocks) ? `${each(accumulators(tile), (j) => `var stretch${j} = ${typeOf(tile)}(); var stretchSquares${j} = ${typeOf(tile)}();`)} var inStretch = 0u;` : ''}`
    : `var seen = 0.0;\n${each(accumulators(tile), (j) => declareMoments(`${j}`, typeOf(tile)))}`;

/** Statements before and after the rows of a block. */
export function aroundBlock(tile: Tile, kind: ColumnKind, rows: string, blocks: number): string {
  const T = typeOf(tile);
  const columns = range(accumulators(tile));
  if (kind === 'sums') {
    const part = columns.map((j) => `var part${j} = ${T}(); var square${j} = ${T}();`).join(' ');
    const stretch = stretchOf(blocks);
    if (!stretch) return `${part}\n${rows}\n${columns.map((j) => `sum${j} += part${j}; squares${j} += square${j};`).join(' ')}`;
    return `${part}
${rows}
${columns.map((j) => `stretch${j} += part${j}; stretchSquares${j} += square${j};`).join(' ')}
inStretch += 1u;
if (inStretch == ${stretch}u) {
${endStretch(tile)}
inStretch = 0u;
}`;
  }
  return `${columns.map((j) => declarePart(`${j}`, T)).join(' ')} var held = 0.0;
${rows}
if (held > 0.0) {
if (seen == 0.0) { ${columns.map((j) => `origin${j} = centre${j};`).join(' ')} }
${joinMoments(columns.map(String), 'seen', 'held')}
seen += held;
}`;
}

const endStretch = (tile: Tile): string =>
  each(
    accumulators(tile),
    (j) =>
      `sum${j} += stretch${j}; squares${j} += stretchSquares${j}; stretch${j} = ${typeOf(tile)}(); stretchSquares${j} = ${typeOf(tile)}();`,
  );

/** Statements at the end of a row, and for the i-th row of the invocation, `y` (and for plain sums `second`) of a cell. No row comes before the first. */
export const countRow = (kind: ColumnKind): string => (kind === 'moments' ? 'held += 1.0;' : '');
export function addToColumn({ of }: Cell, kind: ColumnKind, i: number, second: string): string {
  if (kind === 'sums') return `${of('part')} += y; ${of('square')} += y * ${second};`;
  return i === 0 ? `${of('centre')} = y;` : addToPart(of, 'y');
}

/** Row of the invocation's i-th row in registers, from the workgroup's first. */
const rowAt = ({ tm }: Tile, i: number): string => `ty * ${tm}u + ${i}u`;

/** Statements for each row of the invocation: `m` is its row of C, below `end`. */
export function overRows(tile: Tile, end: string, statement: (i: number) => string): string {
  if (!tile.matrices) return each(tile.tm, (i) => `{ let m = m0 + ${rowAt(tile, i)}; if (m < ${end}) {\n${statement(i)}\n} }`);
  let i = 0;
  return eachStrip(
    tile.matrices,
    tile.bn,
    (row, value) => `{ let m = m0 + ${row}; let ${FROM_STRIP} = ${value}; if (m < ${end}) {\n${statement(i++)}\n} }`,
  );
}

/** What loadA and loadB give. */
export const accessType = (isHalf = false): string => (isHalf ? 'half4' : 'vec4f');

interface Loads {
  readonly count: number;
  readonly text: (q: number, statement: (e: string) => string) => string;
}

/** The accesses of a panel that an invocation loads: `count`, the last of them perhaps beyond the panel. */
function loads(accesses: number, threads: number): Loads {
  const count = Math.ceil(accesses / threads);
  return {
    count,
    text: (q, statement) => {
      const e = `(local + ${q * threads}u)`;
      return (q + 1) * threads <= accesses ? statement(e) : `if (${e} < ${accesses}u) { ${statement(e)} }`;
    },
  };
}

/**
 * Statements that accumulate C for the workgroup whose first row is `m0` and first column `n0`, over the depths from `begin` to below
 * `end` (expressions, the same for the whole workgroup). Declares the accumulators.
 */
export function multiply(product: Product, begin: string, end: string): string {
  const { tile } = product;
  const declare = tile.matrices
    ? declareBlocks(tile.matrices)
    : each(tile.tm, (i) =>
        range(accumulators(tile))
          .map((j) => `var ${accumulator(i, j)} = ${typeOf(tile)}();`)
          .join(' '),
      );
  return `${declare}\n${tile.panels ? multiplyPanels(product, begin, end) : multiplyDirectly(product, begin, end)}`;
}

function multiplyDirectly({ tile }: Product, begin: string, end: string): string {
  const { bn, tm, tn } = tile;
  const columns = range(tn);
  return `${each(tm, (i) => `let row${i} = rowOf(m0 + ${i}u);`)}
for (var k = ${begin}; k < ${end}; k++) {
  let deep = deepOf(k);
  ${columns.map((j) => `let b${j} = loadB(k, n0 + tx + ${(j * bn) / tn}u);`).join(' ')}
  ${each(tm, (i) => `{ let a = elementA(row${i}, deep); ${columns.map((j) => `${accumulator(i, j)} = fma(a, b${j}, ${accumulator(i, j)});`).join(' ')} }`)}
}`;
}

function multiplyPanels(product: Product, begin: string, end: string): string {
  const { tile, a, b, halves = {} } = product;
  const { bm, bn, bk, matrices } = tile;
  const threads = invocations(tile);
  const [bk4, bm4, bn4] = [bk / 4, bm / 4, bn / 4];
  const strideB = matrices ? halfStride(matrices.unit, bn) : strideOfB(product);
  const ofA = loads(aAccesses(tile), threads);
  const ofB = loads(bAccesses(tile), threads);
  const rowsOfA = (e: string): string => (a === 'depth' ? `${e} / ${bk4}u` : `${e} % ${bm4}u * 4u`);
  const depthOfA = (e: string): string => (a === 'depth' ? `${e} % ${bk4}u * 4u` : `${e} / ${bm4}u`);
  const columnsOfB = (e: string): string => (b === 'columns' ? `${e} % ${bn4}u` : `${e} / ${bk}u`);
  const depthOfB = (e: string): string => (b === 'columns' ? `${e} / ${bn4}u` : `${e} % ${bk}u`);
  const fromA = (q: number, k: string, e: string): string => `loadA(row${q}, ${k} + ${depthOfA(e)})`;
  const fromB = (k: string, e: string): string => `loadB(${k} + ${depthOfB(e)}, n0 + ${columnsOfB(e)} * 4u)`;
  const placeOfB = (e: string): string => `${depthOfB(e)} * ${strideB}u + ${columnsOfB(e)}`;
  const storeA = (e: string, value: string): string => {
    if (!matrices) return `panelA[${e}] = ${value};`;
    const [line, length] = a === 'depth' ? [bk4, bk] : [bm4, bm];
    const at = `${e} / ${line}u * ${halfStride(matrices.unit, length)}u + ${e} % ${line}u`;
    return writeHalf(matrices, 'panelA', at, value, halves.a);
  };
  const storeB = (e: string, value: string): string => {
    if (matrices) return writeHalf(matrices, 'panelB', placeOfB(e), value, halves.b);
    return `panelB[${b === 'columns' ? e : placeOfB(e)}] = ${value};`;
  };
  const rows = each(ofA.count, (q) => `let row${q} = rowOf(m0 + ${rowsOfA(`(local + ${q * threads}u)`)});`);
  const multiplied = matrices ? multiplyBlocks(matrices, a, bm, bn, bk) : multiplyRegisters(product);
  if (!tile.prefetch) {
    return `${rows}
for (var k0 = ${begin}; k0 < ${end}; k0 += ${bk}u) {
  workgroupBarrier();
  ${each(ofA.count, (q) => ofA.text(q, (e) => storeA(e, fromA(q, 'k0', e))))}
  ${each(ofB.count, (q) => ofB.text(q, (e) => storeB(e, fromB('k0', e))))}
  workgroupBarrier();
  ${multiplied}
}`;
  }
  const load = (k: string): string => `${each(ofA.count, (q) => ofA.text(q, (e) => `nextA${q} = ${fromA(q, k, e)};`))}
${each(ofB.count, (q) => ofB.text(q, (e) => `nextB${q} = ${fromB(k, e)};`))}`;
  return `${rows}
${each(ofA.count, (q) => `var nextA${q} = ${accessType(halves.a)}();`)} ${each(ofB.count, (q) => `var nextB${q} = ${accessType(halves.b)}();`)}
${load(begin)}
for (var k0 = ${begin}; k0 < ${end}; k0 += ${bk}u) {
  workgroupBarrier();
  ${each(ofA.count, (q) => ofA.text(q, (e) => storeA(e, `nextA${q}`)))}
  ${each(ofB.count, (q) => ofB.text(q, (e) => storeB(e, `nextB${q}`)))}
  workgroupBarrier();
  if (k0 + ${bk}u < ${end}) {
    ${load(`k0 + ${bk}u`)}
  }
  ${multiplied}
}`;
}

/** Statements that multiply the panels in registers. */
function multiplyRegisters({ tile, a, b }: Product): string {
  const { bm, bn, bk, tm, tn } = tile;
  const [bk4, bm4, strideB] = [bk / 4, bm / 4, strideOfB({ tile, b })];
  const columns = range(tn / 4);
  const loadColumns = (k: string): string =>
    columns.map((j) => `let b${j} = panelB[(${k}) * ${strideB}u + tx + ${(j * bn) / tn}u];`).join(' ');
  const multiplyRow = (i: number, factor: string): string =>
    columns.map((j) => `${accumulator(i, j)} = fma(vec4f(${factor}), b${j}, ${accumulator(i, j)});`).join(' ');
  return a === 'depth'
    ? `for (var k = 0u; k < ${bk4}u; k++) {
    ${each(tm, (i) => `let a${i} = panelA[(${rowAt(tile, i)}) * ${bk4}u + k];`)}
    ${each(4, (kk) => `{ ${loadColumns(`k * 4u + ${kk}u`)}\n${each(tm, (i) => multiplyRow(i, `a${i}[${kk}]`))} }`)}
  }`
    : `for (var k = 0u; k < ${bk}u; k++) {
    ${each(tm / 4, (i) => `let a${i} = panelA[k * ${bm4}u + ty * ${tm / 4}u + ${i}u];`)}
    ${loadColumns('k')}
    ${each(tm, (i) => multiplyRow(i, `a${i >> 2}[${i & 3}]`))}
  }`;
}

/**
 * Statements that join what the invocations have of each column, in the order of their rows, and hand the two results to `store`: for an access
 * of columns from `n` (of C) on, or a single one. `count`: expression for the rows of the workgroup, which came in so many `blocks`.
 */
export function reduceColumns(
  tile: Tile,
  kind: ColumnKind,
  count: string,
  blocks: number,
  store: (n: string, first: string, second: string, lanes: Lanes) => string,
): string {
  if (kind === 'sums' && stretchOf(blocks)) return `${endStretch(tile)}\n${joinColumns(tile, kind, count, store)}`;
  return joinColumns(tile, kind, count, store);
}

function joinColumns(
  tile: Tile,
  kind: ColumnKind,
  count: string,
  store: (n: string, first: string, second: string, lanes: Lanes) => string,
): string {
  const { bm, bn, tm, tn } = tile;
  if (!tile.panels)
    return cells(tile, 1)
      .map(({ column, of }) => {
        const [first, second] = kind === 'sums' ? [of('sum'), of('squares')] : [`${of('origin')} + ${of('mean')}`, of('deviation')];
        return `{ let n = n0 + ${column};\n${store('n', first, second, 1)} }`;
      })
      .join('\n');
  const bn4 = bn / 4;
  const rows = bm / tm;
  const firstAt = (at: string): string => (tile.matrices ? `strip[${at}]` : `panelA[${at}]`);
  const secondAt = (at: string): string => (tile.matrices ? `strip[${rows * bn4}u + ${at}]` : `panelB[${at}]`);
  const place = (j: number): string => `tx + ${(j * bn) / tn}u`;
  const own = (j: number): string => `ty * ${bn4}u + ${place(j)}`;
  // Moments become sums of differences to the mean of the first invocation, which stays where its own sum, zero, would be.
  const share =
    kind === 'sums'
      ? each(tn / 4, (j) => `${firstAt(own(j))} = sum${j}; ${secondAt(own(j))} = squares${j};`)
      : `${each(tn / 4, (j) => `${firstAt(own(j))} = origin${j} + mean${j};`)}
workgroupBarrier();
${each(
  tn / 4,
  (j) =>
    `{ let away = origin${j} - ${firstAt(place(j))} + mean${j}; if (ty > 0u) { ${firstAt(own(j))} = away * seen; } ${secondAt(own(j))} = deviation${j} + away * away * seen; }`,
)}`;
  const result =
    kind === 'sums'
      ? store('n', 'sum', 'squares', 4)
      : `let centre = ${firstAt('column')};
  let away = sum / ${count};
  let mean = centre + away;
  let deviation = squares - sum * away;
  ${store('n', 'mean', 'deviation', 4)}`;
  return `workgroupBarrier();
${share}
workgroupBarrier();
for (var column = local; column < ${bn4}u; column += ${invocations(tile)}u) {
  var sum = vec4f();
  var squares = ${kind === 'sums' ? 'vec4f()' : secondAt('column')};
  for (var i = ${kind === 'sums' ? 0 : 1}u; i < ${rows}u; i++) { sum += ${firstAt(`i * ${bn4}u + column`)}; squares += ${secondAt(`i * ${bn4}u + column`)}; }
  let n = n0 + column * 4u;
  ${result}
}`;
}
