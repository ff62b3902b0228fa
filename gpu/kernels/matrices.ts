// The matrix units of a GPU ("tensor cores"), which WGSL knows as matrices that a subgroup holds together: for gemm.ts, the words for
// them and the tile of a product.
//
// A unit multiplies m × k by k × n matrices of f16, or of f32, and adds to one of f32. Of f32 it keeps what the invocations' own multiply-adds keep. Else operands get their f16 as they are written to workgroup
// memory. One product of such operands keeps 11 bits of each: TF32's class. Three of them keep what f32 keeps: x = high + low / 2048,
// both f16, and A·B ≈ Ahigh·Bhigh + (Alow·Bhigh + Ahigh·Blow) / 2048, where `low` is scaled so as not to fall below what f16 can tell.
// Either way numbers beyond 65,504 are infinite.
//
// The words are a table, because no driver without such a unit runs them: tests of arithmetic and indices put others in their place.

import { each, range } from './wgsl.ts';

/** Sides of the matrices that a unit multiplies. */
interface Shape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** A matrix unit. */
export interface MatrixShape extends Shape {
  /** Invocations that hold a matrix together. */
  readonly subgroupSize: number;
  /** Subgroups could have other sizes as well: kernels have to ask for this one. */
  readonly pinned: boolean;
  /** What its operands are made of; f16 by default. */
  readonly component?: 'f16' | 'f32';
}

/** A matrix unit as kernels see it. */
export interface MatrixUnit extends Shape, Pick<MatrixShape, 'subgroupSize' | 'component'> {
  readonly words: MatrixWords;
}

/** WGSL for matrices. Panels are arrays of `half4`, strips of `vec4f`; offsets and strides count their elements and are the same for the subgroup. */
export interface MatrixWords {
  readonly enables: readonly string[];
  /** Attributes of the entry point, and parameters of it: with them the index of the subgroup is `subgroup`. */
  readonly attributes: string;
  readonly parameters: readonly string[];
  /** Statements at the begin of `main`. */
  readonly prologue: string;
  /** Declares the type `half4` and `toHalf(vec4f) -> half4`; of a unit for f32 both are vec4f. `storesHalves`: it is the type of tensors of f16 in memory. */
  readonly halves: string;
  readonly storesHalves?: boolean;
  /** Statement that declares the accumulator `name`, all zeros. */
  declare(shape: Shape, name: string): string;
  /** Statements that declare `name` and load it: A, m × k, with accesses along its depth or along its rows; B, k × n, along its columns. */
  loadA(shape: Shape, name: string, along: 'depth' | 'rows', panel: string, offset: string, stride: number): string;
  loadB(shape: Shape, name: string, panel: string, offset: string, stride: number): string;
  /** accumulator += a · b */
  multiply(shape: Shape, accumulator: string, a: string, b: string): string;
  store(shape: Shape, accumulator: string, strip: string, offset: string, stride: number): string;
}

/** A unit that speaks Dawn's WGSL. */
export const subgroupMatrices = ({ pinned, ...unit }: MatrixShape): MatrixUnit => ({
  ...unit,
  words: wordsOf(unit.subgroupSize, pinned, unit.component ?? 'f16'),
});

const wordsOf = (subgroupSize: number, pinned: boolean, component: 'f16' | 'f32'): MatrixWords => ({
  enables: [
    ...(component === 'f16' ? ['f16'] : []),
    'subgroups',
    'chromium_experimental_subgroup_matrix',
    ...(pinned ? ['subgroup_size_control'] : []),
  ],
  attributes: pinned ? `@subgroup_size(${subgroupSize})` : '',
  parameters: ['@builtin(subgroup_id) subgroup: u32'],
  prologue: '',
  halves: `alias half4 = vec4<${component}>;
fn toHalf(v: vec4f) -> half4 { return half4(v); }`,
  storesHalves: component === 'f16',
  // Zeros in words: in a loop, those that WGSL promises for `var` come in its first round only.
  declare: ({ m, n }, name) => `var ${name} = subgroup_matrix_result<f32, ${n}, ${m}>(0.0f);`,
  loadA: ({ m, k }, name, along, panel, offset, stride) => {
    const order = along === 'depth' ? 'row_major' : 'col_major';
    return `let ${name} = subgroupMatrixLoad<subgroup_matrix_left<${component}, ${k}, ${m}>, ${order}>(&${panel}, ${offset}, ${stride}u);`;
  },
  loadB: ({ n, k }, name, panel, offset, stride) =>
    `let ${name} = subgroupMatrixLoad<subgroup_matrix_right<${component}, ${n}, ${k}>, row_major>(&${panel}, ${offset}, ${stride}u);`,
  multiply: (_, accumulator, a, b) => `${accumulator} = subgroupMatrixMultiplyAccumulate(${a}, ${b}, ${accumulator});`,
  store: (_, accumulator, strip, offset, stride) => `subgroupMatrixStore<row_major>(&${strip}, ${offset}, ${accumulator}, ${stride}u);`,
});

/** How a workgroup's tile is shared out among matrices. */
export interface MatrixTile {
  readonly unit: MatrixUnit;
  /** Products for each product: 1 or, for what f32 keeps, 3. */
  readonly passes: 1 | 3;
  /** Subgroups of the workgroup, in rows and columns. */
  readonly subgroups: readonly [rows: number, columns: number];
  /** Accumulators of a subgroup, in rows and columns. */
  readonly blocks: readonly [rows: number, columns: number];
}

/** Invocations of its workgroup. */
export const matrixInvocations = ({ unit, subgroups: [rows, columns] }: MatrixTile): number => rows * columns * unit.subgroupSize;

/** Rows of C that are in the strip at a time. */
export const stripRows = ({ unit, subgroups: [rows] }: MatrixTile): number => rows * unit.m;

/** Bytes of a half4. */
export const halfBytes = ({ component }: Pick<MatrixUnit, 'component'>): number => (component === 'f32' ? 16 : 8);
/** Accesses from one line of that many elements in workgroup memory to the next: 16 bytes more, so that lines begin in different banks. */
export const halfStride = (unit: Pick<MatrixUnit, 'component'>, elements: number): number => elements / 4 + 16 / halfBytes(unit);
export const stripStride = (columns: number): number => columns / 4 + 1;

/** `low` is scaled by it: the bits that f16 has. */
const SCALE = 2048;

/**
 * Numbers rounded to what f16 can tell: 10 bits after the first, and nothing below 2⁻²⁴. In integers, because compilers (Mesa's) take f16 and
 * back for the identity and leave nothing for `low`.
 */
const ROUND = `fn roundToHalf(v: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(v);
  let exponent = (bits >> vec4u(23u)) & vec4u(0xffu);
  let missing = max(exponent, vec4u(113u)) - exponent;
  let rounded = (bits + (vec4u(0x1000u) << missing)) & (vec4u(0xffffe000u) << missing);
  return bitcast<vec4f>(select(rounded, vec4u(), missing > vec4u(10u)));
}`;

/** Declarations for the statements below. */
export const matrixDeclarations = ({ unit, passes }: MatrixTile): string =>
  [unit.words.halves, ...(passes === 1 ? [] : [ROUND])].join('\n');

/** Statements that write `value`, a vec4f, to place `at` of a panel as one half4, or as two. `isHalf`: it is one already. */
export const writeHalf = ({ passes }: MatrixTile, panel: string, at: string, value: string, isHalf = false): string =>
  passes === 1
    ? `${panel}[${at}] = ${isHalf ? value : `toHalf(${value})`};`
    : `{ let at = ${at}; let high = roundToHalf(${value}); ${panel}[at] = toHalf(high); ${panel}Low[at] = toHalf((${value} - high) * ${SCALE}.0f); }`;

/** The accumulators of a subgroup: name of block (i, j), and of what is to be scaled back where there are three passes. */
const high = (i: number, j: number): string => `c${i}_${j}`;
const low = (i: number, j: number): string => `low${i}_${j}`;

export const declareBlocks = ({ unit, passes, blocks: [rows, columns] }: MatrixTile): string =>
  each(rows, (i) =>
    range(columns)
      .flatMap((j) => (passes === 1 ? [high(i, j)] : [high(i, j), low(i, j)]))
      .map((name) => unit.words.declare(unit, name))
      .join(' '),
  );

/** Statements that multiply the panels of depth `bk`, A of `bm` rows and B of `bn` columns. */
export function multiplyBlocks(tile: MatrixTile, along: 'depth' | 'rows', bm: number, bn: number, bk: number): string {
  const { unit, passes, blocks } = tile;
  const { m, n, k, words } = unit;
  const [rows, columns] = blocks.map(range);
  const [strideA, strideB] = [halfStride(unit, along === 'depth' ? bk : bm), halfStride(unit, bn)];
  const placeA = (i: number, depth: number): string =>
    along === 'depth'
      ? `subgroupRow * ${rows.length * m * strideA}u + ${i * m * strideA + depth / 4}u`
      : `subgroupRow * ${(rows.length * m) / 4}u + ${depth * strideA + (i * m) / 4}u`;
  const placeB = (j: number, depth: number): string => `subgroupColumn * ${(columns.length * n) / 4}u + ${depth * strideB + (j * n) / 4}u`;
  const loadA = (i: number, depth: number): string[] => [
    words.loadA(unit, `a${i}`, along, 'panelA', placeA(i, depth), strideA),
    ...(passes === 1 ? [] : [words.loadA(unit, `aLow${i}`, along, 'panelALow', placeA(i, depth), strideA)]),
  ];
  const loadB = (j: number, depth: number): string[] => [
    words.loadB(unit, 'b', 'panelB', placeB(j, depth), strideB),
    ...(passes === 1 ? [] : [words.loadB(unit, 'bLow', 'panelBLow', placeB(j, depth), strideB)]),
  ];
  const multiply = (i: number, j: number): string[] => [
    words.multiply(unit, high(i, j), `a${i}`, 'b'),
    ...(passes === 1 ? [] : [words.multiply(unit, low(i, j), `aLow${i}`, 'b'), words.multiply(unit, low(i, j), `a${i}`, 'bLow')]),
  ];
  return each(bk / k, (step) => {
    const lines = [
      ...rows.flatMap((i) => loadA(i, step * k)),
      ...columns.map((j) => `{ ${[...loadB(j, step * k), ...rows.flatMap((i) => multiply(i, j))].join('\n')} }`),
    ];
    return `{ ${lines.join('\n')} }`;
  });
}

/**
 * Statements that bring C from the accumulators to the invocations, which alone can look at elements: a strip at a time, one line of blocks of
 * each subgroup, through workgroup memory. `statement` is for one access of the invocation: `value`, in row `row` from the workgroup's
 * first on, both expressions.
 */
export function eachStrip(tile: MatrixTile, bn: number, statement: (row: string, value: string) => string): string {
  const { unit, passes, blocks } = tile;
  const { m, n, words } = unit;
  const [rows, columns] = blocks;
  const stride = stripStride(bn);
  const together = matrixInvocations(tile) / (bn / 4);
  const accesses = stripRows(tile) / together;
  const line = (q: number): string => `ty + ${q * together}u`;
  const access = (q: number): string => `strip[(${line(q)}) * ${stride}u + tx]`;
  const fill = (name: (j: number) => string): string => `workgroupBarrier();
${each(columns, (j) => words.store(unit, name(j), 'strip', `subgroupRow * ${m * stride}u + subgroupColumn * ${(columns * n) / 4}u + ${(j * n) / 4}u`, stride))}
workgroupBarrier();`;
  return each(rows, (i) => {
    const take = [fill((j) => high(i, j)), each(accesses, (q) => `var value${q} = ${access(q)};`)];
    if (passes === 3) {
      take.push(fill((j) => low(i, j)));
      take.push(each(accesses, (q) => `value${q} = fma(${access(q)}, vec4f(${1 / SCALE}f), value${q});`));
    }
    // Lines of the strip are those of the subgroups one below the other.
    const row = (q: number): string => `(${line(q)}) / ${m}u * ${rows * m}u + ${i * m}u + (${line(q)}) % ${m}u`;
    return `{ ${take.join('\n')}\n${each(accesses, (q) => statement(row(q), `value${q}`))} }`;
  });
}
