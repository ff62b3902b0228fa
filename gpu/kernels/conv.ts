// Convolutions and their gradients as matrix products (gemm.ts): what A and B are, and what becomes of C.

import type { ConvGeometry } from '../../runtime/ops/conv.ts';
import type { Epilogue } from '../../runtime/ops/epilogue.ts';
import { epilogueDeclarations, finish } from './epilogue.ts';
import { accumulator, columnOf, invocations, multiply, panels, places, type Product, reduceColumns, rowAt, type Tile } from './gemm.ts';
import { each, f32, type KernelText, type Lanes, lanesFor, range } from './wgsl.ts';

/**
 * An image as the rows of a matrix, one for each of oh×ow positions of a window of kh×kw: row m, column (tap, channel). With a
 * dilation of more than one, as many minus one zeros stand between the pixels of the image.
 */
export interface Windows {
  readonly h: number;
  readonly w: number;
  readonly c: number;
  readonly oh: number;
  readonly ow: number;
  readonly kh: number;
  readonly kw: number;
  readonly stride: number;
  readonly dilation: number;
  readonly padTop: number;
  readonly padLeft: number;
  /** Elements are bytes and are multiplied by it. */
  readonly inputScale?: number;
}

/** What the forward pass reads of x. */
export const forwardWindows = (g: ConvGeometry, inputScale?: number): Windows => ({
  ...{ h: g.h, w: g.w, c: g.ci, oh: g.oh, ow: g.ow, kh: g.kh, kw: g.kw, stride: g.stride },
  ...{ dilation: 1, padTop: g.padTop, padLeft: g.padLeft, inputScale },
});

/** What the gradient of x reads of dy: the convolution, stride 1, of dy (zeros between its pixels where the stride was more) with the reversed kernel. */
export const reversedWindows = (g: ConvGeometry): Windows => ({
  ...{ h: g.oh, w: g.ow, c: g.co, oh: g.h, ow: g.w, kh: g.kh, kw: g.kw, stride: 1 },
  ...{ dilation: g.stride, padTop: g.kh - 1 - g.padTop, padLeft: g.kw - 1 - g.padLeft },
});

const isPointwise = ({ kh, kw, stride, dilation, padTop, padLeft, h, w, oh, ow }: Windows): boolean =>
  kh === 1 && kw === 1 && stride === 1 && dilation === 1 && padTop === 0 && padLeft === 0 && h === oh && w === ow;

/** Lanes of the accesses to the image. */
export const windowLanes = ({ c, inputScale }: Windows): Lanes => (inputScale === undefined ? lanesFor(c) : 1);

const depthOf = ({ kh, kw, c }: Windows): number => kh * kw * c;

/** Four elements: one access, or four of them (`element(i)` an expression for the i-th). */
const four = (element: (i: number) => string): string => `vec4f(${range(4).map(element).join(', ')})`;

/** The expression for the element or access at element offset `at` of the image. */
function fetch({ inputScale }: Windows, lanes: Lanes, at: string): string {
  if (inputScale !== undefined) return `byteAt(${at}) * ${f32(inputScale)}`;
  return lanes === 4 ? `x((${at}) / 4u)` : `x(${at})`;
}

const BYTES = 'fn byteAt(i: u32) -> f32 { return f32((x(i >> 2u) >> ((i & 3u) * 8u)) & 0xffu); }';

/** `inside(y, x)`: the pixel's index in the image, or -1; y and x count in the dilated image. */
function pixelFunction({ h, w, dilation: d }: Windows): string {
  const whole = d === 1 ? '' : ` || y % ${d} != 0 || x % ${d} != 0`;
  return `fn pixelAt(y: i32, x: i32) -> i32 {
  if (y < 0 || x < 0 || y >= ${(h - 1) * d + 1} || x >= ${(w - 1) * d + 1}${whole}) { return -1; }
  return y / ${d} * ${w} + x / ${d};
}`;
}

/** rowOf and loadA for rows that are positions of the window: A along the depth. `bk`: see gemm.ts. */
function positionRows(windows: Windows, bk: number): { row: string; declarations: string } {
  const { h, w, c, oh, ow, kw, stride, padTop, padLeft, inputScale } = windows;
  const lanes = windowLanes(windows);
  const depth = depthOf(windows);
  const inDepth = (k: string): string => (depth % bk === 0 ? '' : `if (${k} >= ${depth}u) { return ${lanes === 4 ? 'vec4f()' : '0.0'}; }`);
  const bytes = inputScale === undefined ? '' : BYTES;
  const T = lanes === 4 ? 'vec4f' : 'f32';
  const loadA = (row: string): string =>
    `fn loadA(row: ${row}, k: u32) -> vec4f { return ${lanes === 4 ? 'elementA(row, k)' : four((i) => `elementA(row, k + ${i}u)`)}; }`;
  const last = `min(m, step.rows * ${oh * ow}u - 1u)`;
  if (isPointwise(windows)) {
    const declarations = `${bytes}
fn rowOf(m: u32) -> u32 { return ${last} * ${c}u; }
fn elementA(row: u32, k: u32) -> ${T} { ${inDepth('k')} return ${fetch(windows, lanes, 'row + k')}; }
${loadA('u32')}`;
    return { row: 'u32', declarations };
  }
  const declarations = `${bytes}
${pixelFunction(windows)}
struct Position { sample: u32, y: i32, x: i32 }
fn rowOf(m: u32) -> Position {
  let position = ${last};
  let pixel = position % ${oh * ow}u;
  return Position(position / ${oh * ow}u * ${h * w}u, i32(pixel / ${ow}u) * ${stride} - ${padTop}, i32(pixel % ${ow}u) * ${stride} - ${padLeft});
}
fn elementA(row: Position, k: u32) -> ${T} {
  ${inDepth('k')}
  let tap = k / ${c}u;
  let pixel = pixelAt(row.y + i32(tap / ${kw}u), row.x + i32(tap % ${kw}u));
  if (pixel < 0) { return ${lanes === 4 ? 'vec4f()' : '0.0'}; }
  return ${fetch(windows, lanes, `(row.sample + u32(pixel)) * ${c}u + k % ${c}u`)};
}
${loadA('Position')}`;
  return { row: 'Position', declarations };
}

/** rowOf and loadA for the transpose: rows are (tap, channel), the depth runs over positions below `step.rows`·oh·ow and `chunkEnd`. */
function tapRows(windows: Windows): { row: string; declarations: string } {
  const { h, w, c, oh, ow, kw, stride, padTop, padLeft, inputScale } = windows;
  const lanes = windowLanes(windows);
  const T = lanes === 4 ? 'vec4f' : 'f32';
  const depth = depthOf(windows);
  const zero = lanes === 4 ? 'vec4f()' : '0.0';
  const bytes = inputScale === undefined ? '' : BYTES;
  const loadA = `fn rowOf(m: u32) -> u32 { return m; }
fn loadA(row: u32, k: u32) -> vec4f {
  if (k >= chunkEnd) { return vec4f(); }
  return ${lanes === 4 ? 'elementA(row, k)' : four((i) => `elementA(row + ${i}u, k)`)};
}`;
  if (isPointwise(windows)) {
    const declarations = `${bytes}
fn elementA(m: u32, k: u32) -> ${T} { return ${fetch(windows, lanes, `k * ${c}u + min(m, ${depth - lanes}u)`)}; }
${loadA}`;
    return { row: 'u32', declarations };
  }
  const declarations = `${bytes}
${pixelFunction(windows)}
fn elementA(m: u32, k: u32) -> ${T} {
  if (m >= ${depth}u) { return ${zero}; }
  let tap = m / ${c}u;
  let position = k % ${oh * ow}u;
  let y = i32(position / ${ow}u) * ${stride} - ${padTop} + i32(tap / ${kw}u);
  let pixel = pixelAt(y, i32(position % ${ow}u) * ${stride} - ${padLeft} + i32(tap % ${kw}u));
  if (pixel < 0) { return ${zero}; }
  return ${fetch(windows, lanes, `(k / ${oh * ow}u * ${h * w}u + u32(pixel)) * ${c}u + m % ${c}u`)};
}
${loadA}`;
  return { row: 'u32', declarations };
}

/** loadB of a matrix [depth, columns] in memory as `name`. `end`: below which depths there are; none is checked where it is empty. */
function plainColumns(name: string, columns: number, end: string): string {
  const guard = end ? `if (k >= ${end}) { return vec4f(); }` : '';
  if (columns % 4 === 0) {
    return `fn loadB(k: u32, n: u32) -> vec4f { ${guard} return ${name}(k * ${columns / 4}u + min(n, ${columns - 4}u) / 4u); }`;
  }
  return `fn loadB(k: u32, n: u32) -> vec4f { ${guard} let at = k * ${columns}u; return ${four((i) => `${name}(at + min(n + ${i}u, ${columns - 1}u))`)}; }`;
}

/** loadB of the weights [taps, columns, channels] with reversed taps, transposed: the depth is (tap, channel). */
function transposedColumns(taps: number, columns: number, channels: number, bk: number): string {
  const depth = taps * channels;
  const guard = depth % bk === 0 ? '' : `if (k >= ${depth}u) { return vec4f(); }`;
  const tap = taps === 1 ? '' : `(${taps - 1}u - k / ${channels}u) * ${columns * channels}u + `;
  const channel = taps === 1 ? 'k' : `k % ${channels}u`;
  return `fn loadB(k: u32, n: u32) -> vec4f { ${guard} let at = ${tap}${channel}; return ${four((i) => `w(at + min(n + ${i}u, ${columns - 1}u) * ${channels}u)`)}; }`;
}

interface RowsOfC {
  readonly product: Product;
  readonly columns: number;
  /** Rows of C that are one workgroup's, as one or more blocks of bm. */
  readonly rowsPerGroup: number;
  /** Rows of C for each row of the run. */
  readonly pixels: number;
  readonly depth: number;
}

/** Statements for a workgroup's blocks of rows: `block` uses m0, n0 and the accumulators. Workgroups: columns in x, rows in y and z. */
function overRows({ product, rowsPerGroup, pixels, depth }: RowsOfC, before: string, block: string, after: string): string {
  const { tile } = product;
  const one = `${multiply(product, '0u', `${depth}u`)}\n${block}`;
  const several = rowsPerGroup > tile.bm;
  return `${places(tile)}
let n0 = group.x * ${tile.bn}u;
let t = group.y + groups.y * group.z;
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

/** Statements for each access of columns of the invocation: whole accesses where columns come in fours, single elements else. */
function overColumns(tile: Tile, columns: number, lanes: Lanes, statement: (j: number, n: string, lane?: number) => string): string {
  const covered = columns % tile.bn === 0;
  return each(tile.tn / 4, (j) => {
    const n = `n0 + ${columnOf(tile, j)}`;
    if (lanes === 4) return covered ? `{ let n = ${n}; ${statement(j, 'n')} }` : `{ let n = ${n}; if (n < ${columns}u) { ${statement(j, 'n')} } }`;
    return each(4, (lane) => `{ let n = ${n} + ${lane}u; if (n < ${columns}u) { ${statement(j, 'n', lane)} } }`);
  });
}

export interface ConvOptions {
  readonly windows: Windows;
  readonly columns: number;
  readonly tile: Tile;
  readonly epilogue: Epilogue;
  /** Rows of C whose sums are one partial result. */
  readonly rowsPerTile: number;
  /** Weights are [taps, columns, channels] and their taps reversed: the gradient of x. */
  readonly transposed?: boolean;
}

/** y = epilogue(windows of x · w). Accesses: x by `windowLanes`; w, bias and outputs by lanesFor(columns), w one by one if transposed. */
export function conv({ windows, columns, tile, epilogue, rowsPerTile, transposed = false }: ConvOptions): KernelText {
  const lanes = lanesFor(columns);
  const depth = depthOf(windows);
  const a = positionRows(windows, tile.bk);
  const b = transposed
    ? transposedColumns(windows.kh * windows.kw, columns, windows.c, tile.bk)
    : plainColumns('w', columns, depth % tile.bk === 0 ? '' : `${depth}u`);
  const product: Product = { tile, a: 'depth', row: a.row, b: transposed ? 'depth' : 'columns' };
  const sums = epilogue.stats === true;
  const tn4 = tile.tn / 4;
  const store = each(tile.tm, (i) => {
    const element = (j: number, n: string, lane?: number): string => {
      const value = lane === undefined ? accumulator(i, j) : `${accumulator(i, j)}[${lane}]`;
      const biased = epilogue.bias ? `${value} + bias(${lane === undefined ? `${n} / 4u` : n})` : value;
      const at = lane === undefined ? `(m * ${columns}u + ${n}) / 4u` : `m * ${columns}u + ${n}`;
      const add = lane === undefined ? `sum${j} += y; squares${j} += y * y;` : `sum${j}[${lane}] += y; squares${j}[${lane}] += y * y;`;
      return `${finish(epilogue, lanes, biased, at)}${sums ? ` ${add}` : ''}`;
    };
    return `{ let m = m0 + ${rowAt(tile, i)}; if (m < end) {\n${overColumns(tile, columns, lanes, element)}\n} }`;
  });
  const storeSums = (n: string, sum: string, squares: string): string => {
    const set = (row: string, value: string): string =>
      lanes === 4
        ? `if (n < ${columns}u) { set_partials(((${row}) * ${columns}u + n) / 4u, ${value}); }`
        : each(4, (lane) => `if (n + ${lane}u < ${columns}u) { set_partials((${row}) * ${columns}u + n + ${lane}u, ${value}[${lane}]); }`);
    return `let n = n0 + ${n};\n${set('2u * t', sum)}\n${set('2u * t + 1u', squares)}`;
  };
  const before = sums ? each(tn4, (j) => `var sum${j} = vec4f(); var squares${j} = vec4f();`) : '';
  const rowsPerGroup = sums ? rowsPerTile : tile.bm;
  return {
    workgroup: [invocations(tile), 1, 1],
    declarations: [panels(tile, sums), a.declarations, b, epilogueDeclarations(epilogue, lanes)].join('\n'),
    body: overRows({ product, columns, rowsPerGroup, pixels: windows.oh * windows.ow, depth }, before, store, sums ? reduceColumns(tile, storeSums) : ''),
  };
}

/**
 * The gradient of x where windows do not overlap and the first begins at the corner: dy, one row for each patch, times the transposed
 * weights; each row of C is a whole patch. Accesses: dy by lanesFor(co), w one by one, dx by lanesFor(ci).
 */
export function convGradInputPatches(g: ConvGeometry, tile: Tile): KernelText {
  const windows: Windows = { h: g.oh, w: g.ow, c: g.co, oh: g.oh, ow: g.ow, kh: 1, kw: 1, stride: 1, dilation: 1, padTop: 0, padLeft: 0 };
  const columns = g.kh * g.kw * g.ci;
  const lanes = lanesFor(g.ci);
  const a = positionRows(windows, tile.bk);
  const product: Product = { tile, a: 'depth', row: a.row, b: 'depth' };
  const store = each(tile.tm, (i) => {
    const element = (j: number, n: string, lane?: number): string => {
      const value = lane === undefined ? accumulator(i, j) : `${accumulator(i, j)}[${lane}]`;
      const at = `corner + (${n} / ${g.kw * g.ci}u * ${g.w}u + ${n} / ${g.ci}u % ${g.kw}u) * ${g.ci}u + ${n} % ${g.ci}u`;
      return lane === undefined ? `set_dx((${at}) / 4u, ${value});` : `set_dx(${at}, ${value});`;
    };
    return `{ let m = m0 + ${rowAt(tile, i)}; if (m < end) {
let patch = m % ${g.oh * g.ow}u;
let corner = ((m / ${g.oh * g.ow}u * ${g.h}u + patch / ${g.ow}u * ${g.stride}u) * ${g.w}u + patch % ${g.ow}u * ${g.stride}u) * ${g.ci}u;
${overColumns(tile, columns, lanes, element)}\n} }`;
  });
  return {
    workgroup: [invocations(tile), 1, 1],
    declarations: [panels(tile, false), a.declarations, transposedColumns(1, columns, g.co, tile.bk)].join('\n'),
    body: overRows({ product, columns, rowsPerGroup: tile.bm, pixels: g.oh * g.ow, depth: g.co }, '', store, ''),
  };
}

export interface ConvGradWeightOptions {
  readonly windows: Windows;
  readonly columns: number;
  readonly tile: Tile;
  /** Rows of the run that are summed in one go. */
  readonly chunkSamples: number;
}

/**
 * The gradient of the weights, windows of xᵀ · dy, in chunks of samples: `sums` [chunks][taps·channels][columns]. Workgroups: columns
 * in x, rows in y, chunks in z. Accesses: x by `windowLanes`; dy and sums by lanesFor(columns).
 */
export function convGradWeight({ windows, columns, tile, chunkSamples }: ConvGradWeightOptions): KernelText {
  const lanes = lanesFor(columns);
  const depth = depthOf(windows);
  const pixels = windows.oh * windows.ow;
  const a = tapRows(windows);
  const product: Product = { tile, a: 'rows', row: a.row, b: 'columns' };
  const store = each(tile.tm, (i) => {
    const element = (j: number, n: string, lane?: number): string =>
      lane === undefined
        ? `set_sums(((group.z * ${depth}u + m) * ${columns}u + ${n}) / 4u, ${accumulator(i, j)});`
        : `set_sums((group.z * ${depth}u + m) * ${columns}u + ${n}, ${accumulator(i, j)}[${lane}]);`;
    return `{ let m = m0 + ${rowAt(tile, i)}; if (m < ${depth}u) {\n${overColumns(tile, columns, lanes, element)}\n} }`;
  });
  return {
    workgroup: [invocations(tile), 1, 1],
    declarations: [panels(tile, false), 'var<private> chunkEnd: u32;', a.declarations, plainColumns('dy', columns, 'chunkEnd')].join('\n'),
    body: `${places(tile)}
let n0 = group.x * ${tile.bn}u;
let m0 = group.y * ${tile.bm}u;
let chunkBegin = group.z * ${chunkSamples * pixels}u;
let chunkStop = min(chunkBegin + ${chunkSamples * pixels}u, step.rows * ${pixels}u);
chunkEnd = chunkStop;
${multiply(product, 'chunkBegin', 'chunkStop')}
${store}`,
  };
}
