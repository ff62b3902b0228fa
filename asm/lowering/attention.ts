// Products of matrices of each sample, and softmax, to calls of asm/kernels/attention.ts.

import { type ProductSizes, productSizes } from '../../runtime/ops/attention.ts';
import { channels, pixels } from './elementwise.ts';
import { callsOf, type Kernels, type Lowerings } from './lowering.ts';

/** Argument blocks of these kernels. */
export const attentionKernels = {
  /** Of a element (i, l) is `aRow`·i + `aColumn`·l floats from the first of its matrix. */
  matmul: {
    ...{ a: 'ptr', b: 'ptr', y: 'ptr', matrices: 'i32', m: 'i32', k: 'i32', n: 'i32' },
    ...{ aRow: 'i32', aColumn: 'i32' },
  },
  matmulTransposed: { a: 'ptr', b: 'ptr', y: 'ptr', matrices: 'i32', m: 'i32', k: 'i32', n: 'i32' },
  softmax: { x: 'ptr', y: 'ptr', pixels: 'i32', channels: 'i32' },
  softmaxGrad: { dy: 'ptr', y: 'ptr', dx: 'ptr', pixels: 'i32', channels: 'i32' },
} as const satisfies Kernels;
const call = callsOf(attentionKernels);

export const attention = {
  matmul({ args: { a, b }, results: { y }, attrs: { transposed } }, { spec, address }) {
    const sizes = productSizes(spec(a).shape, spec(b).shape, transposed) as ProductSizes;
    const operands = { a: address(a), b: address(b), y: address(y), ...sizes };
    if (transposed === 'b') return [call('matmulTransposed', operands)];
    const [aRow, aColumn] = transposed === 'a' ? [1, sizes.m] : [sizes.k, 1];
    return [call('matmul', { ...operands, aRow, aColumn })];
  },
  softmax({ args: { x }, results: { y } }, { spec, address }) {
    return [call('softmax', { x: address(x), y: address(y), pixels: pixels(spec(x)), channels: channels(spec(x)) })];
  },
  softmaxGrad({ args: { dy, y }, results: { dx } }, { spec, address }) {
    const operands = { dy: address(dy), y: address(y), dx: address(dx) };
    return [call('softmaxGrad', { ...operands, pixels: pixels(spec(y)), channels: channels(spec(y)) })];
  },
} satisfies Partial<Lowerings>;
