// Matrix units for tests: the words of one that is emulated in plain WGSL, so that arithmetic and indices of products by matrices are tested
// on adapters that have no such unit and no f16.

import type { MatrixUnit, MatrixWords } from '../../gpu/kernels/matrices.ts';
import { each, range } from '../../gpu/kernels/wgsl.ts';

/** Text for each 4 × 4 block of rows × columns. */
const blocks = (rows: number, columns: number, text: (i: number, j: number) => string): string =>
  each(rows / 4, (i) => each(columns / 4, (j) => text(i, j)));

/** Four accesses of a panel, one below the other, as a block: its columns, for WGSL. */
const block = (panel: string, offset: string, stride: number, line: number, access: number): string =>
  `mat4x4f(${range(4).map((i) => `fromHalf(${panel}[${offset} + ${(line * 4 + i) * stride + access}u])`)})`;

/**
 * A "subgroup" is one invocation, which holds whole matrices in blocks of 4 × 4; a half4 is what WGSL packs in two words, with the rounding of
 * f16. Blocks are those of the transposed matrices, whose columns are our rows: Cᵀ = Bᵀ · Aᵀ.
 */
const EMULATED: MatrixWords = {
  enables: [],
  attributes: '',
  parameters: [],
  prologue: 'let subgroup = local;',
  halves: `alias half4 = vec2u;
fn toHalf(v: vec4f) -> half4 { return half4(pack2x16float(v.xy), pack2x16float(v.zw)); }
fn fromHalf(h: half4) -> vec4f { return vec4f(unpack2x16float(h.x), unpack2x16float(h.y)); }`,
  declare: ({ m, n }, name) => blocks(m, n, (i, j) => `var ${name}_${i}_${j} = mat4x4f();`),
  loadA: ({ m, k }, name, along, panel, offset, stride) =>
    blocks(m, k, (i, j) => {
      const value = along === 'depth' ? block(panel, offset, stride, i, j) : `transpose(${block(panel, offset, stride, j, i)})`;
      return `let ${name}_${i}_${j} = ${value};`;
    }),
  loadB: ({ n, k }, name, panel, offset, stride) =>
    blocks(k, n, (i, j) => `let ${name}_${i}_${j} = ${block(panel, offset, stride, i, j)};`),
  multiply: ({ m, n, k }, accumulator, a, b) =>
    blocks(m, n, (i, j) => each(k / 4, (depth) => `${accumulator}_${i}_${j} += ${b}_${depth}_${j} * ${a}_${i}_${depth};`)),
  store: ({ m, n }, accumulator, strip, offset, stride) =>
    blocks(m, n, (i, j) => each(4, (line) => `${strip}[${offset} + ${(i * 4 + line) * stride + j}u] = ${accumulator}_${i}_${j}[${line}];`)),
};

export const emulatedUnit = (m: number, n: number, k: number): MatrixUnit => ({ m, n, k, subgroupSize: 1, words: EMULATED });

const EMULATED_F32: MatrixWords = {
  ...EMULATED,
  halves: `alias half4 = vec4f;
fn toHalf(v: vec4f) -> half4 { return v; }
fn fromHalf(h: half4) -> vec4f { return h; }`,
};

/** One for operands of f32. */
export const emulatedF32Unit = (m: number, n: number, k: number): MatrixUnit => ({
  ...emulatedUnit(m, n, k),
  component: 'f32',
  words: EMULATED_F32,
});
