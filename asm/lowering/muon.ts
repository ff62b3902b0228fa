// A step of Muon with a matrix to calls of asm/kernels/muon.ts. A matrix goes through them with its longer side as rows, in rows of `stride` floats.

import { ceilTo } from '../../runtime/base/units.ts';
import { elementCount } from '../../runtime/ir/graph.ts';
import { LENGTH_EPSILON, type MatrixConstants, matrixRate, matrixSizes, NEWTON_SCHULZ } from '../../runtime/optim/muon.ts';
import { CHUNK } from '../abi/constants.ts';
import { type Call, callsOf, type Kernels, type Lowerings } from './lowering.ts';

/** What the first two kernels see: gradient and momentum as they lie in memory. */
const direction = { ok: 'ptr', gradient: 'ptr', scale: 'ptr?', moment: 'ptr', momentum: 'f32', nesterov: 'flag' } as const;
/** A matrix by its longer side, `length` rows of `side` numbers; and where it lies transposed. */
const matrix = { length: 'i32', side: 'i32', stride: 'i32', transposed: 'flag' } as const;

/** Argument blocks of these kernels. */
export const muonKernels = {
  /** sums: an f64 a chunk. */
  muonMomentum: { ...direction, elements: 'i32', sums: 'ptr' },
  muonNormalize: { ...direction, sums: 'ptr', chunks: 'i32', epsilon: 'f64', x: 'ptr', ...matrix },
  /** y = xᵀx; or of a symmetric x, `polynomial`: a·1 + b·x + c·x². */
  muonGram: { ok: 'ptr', x: 'ptr', length: 'i32', side: 'i32', stride: 'i32', y: 'ptr', polynomial: 'flag', a: 'f32', b: 'f32', c: 'f32' },
  muonMultiply: { ok: 'ptr', x: 'ptr', length: 'i32', side: 'i32', stride: 'i32', right: 'ptr', y: 'ptr' },
  muonApply: { ok: 'ptr', x: 'ptr', parameter: 'ptr', ...matrix, rate: 'f32', decay: 'f32', size: 'f64' },
} as const satisfies Kernels;
const call = callsOf(muonKernels);

/** Rows of tiles, and columns of the wider ones (asm/lib/tile.ts, tile.wide.ts). */
const TILE_ROWS = 6;
const TILE_COLUMNS = 16;

/** Floats of a row: whole tiles by rows and by columns, and an odd number of cache lines, so that the rows are in different sets of the cache. */
function strideFor(side: number): number {
  const lines = ceilTo(ceilTo(side, TILE_ROWS), TILE_COLUMNS) / TILE_COLUMNS;
  return TILE_COLUMNS * (lines % 2 === 0 ? lines + 1 : lines);
}

export const matrixUpdates = {
  muon({ args: { ok: flag, gradient, scale }, updates: [parameter, moment], attrs }, { spec, address, scratch }) {
    const { momentum, nesterov, steps, rmsRate } = attrs as unknown as MatrixConstants;
    const { rate = 1, decay = 1 } = attrs;
    const { shape } = spec(gradient);
    const elements = elementCount(spec(gradient));
    const { rows, columns } = matrixSizes(shape);
    const [length, side] = [Math.max(rows, columns), Math.min(rows, columns)];
    const stride = strideFor(side);
    const sizes = { length, side, stride };
    const transposed = rows < columns;
    const ok = address(flag);
    const chunks = Math.ceil(elements / CHUNK);
    const sums = scratch(8 * chunks);
    const [from, to] = [length, length].map((count) => scratch(4 * ceilTo(count, TILE_ROWS) * stride));
    const [gram, polynomial] = [side, side].map((count) => scratch(4 * ceilTo(count, TILE_ROWS) * stride));
    const source = {
      ...{ ok, gradient: address(gradient), moment: address(moment), momentum, nesterov },
      scale: scale === undefined ? undefined : address(scale),
    };
    const calls: Call[] = [
      call('muonMomentum', { ...source, elements, sums }),
      call('muonNormalize', { ...source, sums, chunks, epsilon: LENGTH_EPSILON, x: from, ...sizes, transposed }),
    ];
    for (let step = 0; step < steps; step++) {
      const [x, y] = step % 2 === 0 ? [from, to] : [to, from];
      calls.push(
        call('muonGram', { ok, x, ...sizes, y: gram, polynomial: false, ...NEWTON_SCHULZ }),
        call('muonGram', { ok, x: gram, ...sizes, length: side, y: polynomial, polynomial: true, ...NEWTON_SCHULZ }),
        call('muonMultiply', { ok, x, ...sizes, right: polynomial, y }),
      );
    }
    const x = steps % 2 === 0 ? from : to;
    const size = matrixRate(shape, rmsRate);
    return [...calls, call('muonApply', { ok, x, parameter: address(parameter), ...sizes, transposed, rate, decay, size })];
  },
} satisfies Partial<Lowerings>;
