// A step of Muon with a matrix. The matrix goes through the products (gemm.ts) with its longer side as rows, `length` rows of `stride` numbers: its
// shorter side in whole accesses, what is beyond it zeros.

import { LENGTH_EPSILON, type MatrixConstants, NEWTON_SCHULZ } from '../../runtime/optim/muon.ts';
import { cells, frame, multiply, overRows, type Product, panels, places, type Tile } from './gemm.ts';
import { UPDATE_INVOCATIONS } from './optimizer.ts';
import { f32, flatIndex, type KernelText, type Lanes } from './wgsl.ts';

/** How a parameter becomes such a matrix. */
export interface MatrixSizes {
  readonly length: number;
  readonly side: number;
  readonly stride: number;
  /** Its rows are the shorter side. */
  readonly transposed: boolean;
}

/** Invocations of a workgroup of the kernels that go over a matrix element by element. */
export const MATRIX_INVOCATIONS = 256;

type Direction = Pick<MatrixConstants, 'momentum' | 'nesterov'>;

const gradientAt = (i: string, isScaled: boolean): string => `gradient(${i})${isScaled ? ' * scale(0u)' : ''}`;
/** What is made a matrix, of `m`, the momentum, and `g`. */
const directionOf = ({ momentum, nesterov }: Direction): string => (nesterov ? `g + m * ${f32(momentum)}` : 'm');

/** m ← momentum·m + g where ok, and for each workgroup the squares of its share of what the matrix will be made of. */
export const muonMomentum = (elements: number, constants: Direction, isScaled: boolean): KernelText => ({
  workgroup: [UPDATE_INVOCATIONS, 1, 1],
  declarations: `var<workgroup> parts: array<f32, ${UPDATE_INVOCATIONS}>;`,
  body: `var own = 0.0;
if (ok(0u) != 0i) {
  for (var i = group.x * ${UPDATE_INVOCATIONS}u + local; i < ${elements}u; i += groups.x * ${UPDATE_INVOCATIONS}u) {
    let g = ${gradientAt('i', isScaled)};
    let m = moment(i) * ${f32(constants.momentum)} + g;
    set_moment(i, m);
    let u = ${directionOf(constants)};
    own += u * u;
  }
}
parts[local] = own;
workgroupBarrier();
if (local == 0u) {
  var sum = 0.0;
  for (var k = 0u; k < ${UPDATE_INVOCATIONS}u; k++) { sum += parts[k]; }
  set_sums(group.x, sum);
}`,
});

/** The length of the matrix, of whose squares `groups` workgroups left sums. */
export const muonLength = (groups: number): KernelText => ({
  workgroup: [1, 1, 1],
  body: `var sum = 0.0;
for (var k = 0u; k < ${groups}u; k++) { sum += sums(k); }
set_size(0u, sqrt(sum) + ${f32(LENGTH_EPSILON)});`,
});

/** Element of the parameter at row `i` and column `j` of the matrix. */
const elementAt = ({ length, side, transposed }: MatrixSizes): string => (transposed ? `j * ${length}u + i` : `i * ${side}u + j`);

/** x = the matrix over its length. */
export const muonNormalize = (sizes: MatrixSizes, constants: Direction, isScaled: boolean): KernelText => ({
  workgroup: [MATRIX_INVOCATIONS, 1, 1],
  body: `${flatIndex(MATRIX_INVOCATIONS)}
if (at >= ${sizes.length * sizes.stride}u) { return; }
let i = at / ${sizes.stride}u;
let j = at % ${sizes.stride}u;
if (j >= ${sizes.side}u) { set_x(at, 0.0); return; }
let source = ${elementAt(sizes)};
let m = moment(source);
${constants.nesterov ? `let g = ${gradientAt('source', isScaled)};` : ''}
set_x(at, (${directionOf(constants)}) / size(0u));`,
});

/** Lanes of the accesses to matrices. */
export const matrixLanes = (tile: Tile): Lanes => (tile.panels ? 4 : 1);

/** The size of a product: C [rows, stride], of which the depth is `depth`. */
interface ProductSize {
  readonly rows: number;
  readonly depth: number;
  readonly stride: number;
}

/** Operands for gemm.ts: A is x [rows, depth] by rows of `stride`, or `transposed`; B, by its name, has rows of `stride`. */
function operands({ rows, depth, stride }: ProductSize, tile: Tile, transposed: boolean, b: string): string {
  const lanes = matrixLanes(tile);
  const T = lanes === 4 ? 'vec4f' : 'f32';
  const line = `${stride / lanes}u`;
  const access = (at: string): string => (lanes === 4 ? `min(${at}, ${stride - 4}u) / 4u` : `min(${at}, ${stride - 1}u)`);
  const [rowOf, deepOf] = transposed ? [access('m'), `min(k, ${depth - 1}u) * ${line}`] : [`min(m, ${rows - 1}u) * ${line}`, access('k')];
  return `alias Row = u32;
alias Deep = u32;
fn rowOf(m: u32) -> Row { return ${rowOf}; }
fn deepOf(k: u32) -> Deep { return ${deepOf}; }
fn elementA(row: Row, deep: Deep) -> ${T} { return x(row + deep); }
${tile.panels ? 'fn loadA(row: Row, k: u32) -> vec4f { return elementA(row, deepOf(k)); }' : ''}
fn loadB(k: u32, n: u32) -> ${T} { ${tile.panels ? `if (k >= ${depth}u) { return vec4f(); }` : ''} return ${b}(k * ${line} + ${access('n')}); }`;
}

/** Statements for each access or element of C: `value` is it, m and n are its row and column. */
function overProduct(size: ProductSize, product: Product, declarations: string, store: (value: string) => string): KernelText {
  const { tile } = product;
  const row = (i: number): string =>
    cells(tile, matrixLanes(tile))
      .map((cell) => `{ let n = n0 + ${cell.column}; if (n < ${size.stride}u) { ${store(cell.value(i))} } }`)
      .join('\n');
  return {
    ...frame(tile),
    declarations: `${panels(product, false)}\n${declarations}`,
    body: `${places(tile)}
let n0 = group.x * ${tile.bn}u;
let m0 = group.y * ${tile.bm}u;
${multiply(product, '0u', `${size.depth}u`)}
${overRows(tile, `${size.rows}u`, row)}`,
  };
}

/** y = xᵀx of x [length, stride]; or of a symmetric x, `polynomial`: a·1 + b·x + c·x². */
export function muonGram(length: number, stride: number, tile: Tile, polynomial: boolean): KernelText {
  const size = { rows: stride, depth: length, stride };
  const lanes = matrixLanes(tile);
  const { a, b, c } = NEWTON_SCHULZ;
  const at = lanes === 4 ? `(m * ${stride}u + n) / 4u` : `m * ${stride}u + n`;
  const one =
    lanes === 4 ? `select(vec4f(), vec4f(${f32(a)}), vec4u(n, n + 1u, n + 2u, n + 3u) == vec4u(m))` : `select(0.0, ${f32(a)}, n == m)`;
  return overProduct(size, { tile, a: 'rows', b: 'columns' }, operands(size, tile, true, 'x'), (value) =>
    polynomial ? `set_y(${at}, ${one} + (${value} * ${f32(c)} + x(${at}) * ${f32(b)}));` : `set_y(${at}, ${value});`,
  );
}

/** y = x·right of x [length, stride]. */
export function muonMultiply(length: number, stride: number, tile: Tile): KernelText {
  const size = { rows: length, depth: stride, stride };
  const at = matrixLanes(tile) === 4 ? `(m * ${stride}u + n) / 4u` : `m * ${stride}u + n`;
  return overProduct(size, { tile, a: 'depth', b: 'columns' }, operands(size, tile, false, 'right'), (value) => `set_y(${at}, ${value});`);
}

/** w ← w − w·decay·rate − size·rate·x where ok. */
export const muonApply = (
  sizes: MatrixSizes,
  { rate, decay, size }: { readonly rate: number; readonly decay: number; readonly size: number },
): KernelText => ({
  workgroup: [MATRIX_INVOCATIONS, 1, 1],
  body: `${flatIndex(MATRIX_INVOCATIONS)}
if (at >= ${sizes.length * sizes.side}u || ok(0u) == 0i) { return; }
let i = ${sizes.transposed ? `at % ${sizes.length}u` : `at / ${sizes.side}u`};
let j = ${sizes.transposed ? `at / ${sizes.length}u` : `at % ${sizes.side}u`};
let rate = step.learningRate * ${f32(rate)};
let decayed = w(at) - w(at) * (step.weightDecay * ${f32(decay)}) * rate;
set_w(at, decayed - x(i * ${sizes.stride}u + j) * (rate * ${f32(size)}));`,
});
