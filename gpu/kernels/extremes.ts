// The larger or the smaller of two tensors, and where it came from.

import { map } from './elementwise.ts';
import { floats, isNaNText, type KernelText, type Lanes } from './wgsl.ts';

/** NaN wins over numbers. */
export const extreme = (perSample: number, of: 'maximum' | 'minimum', lanes: Lanes): KernelText =>
  map({
    perSample,
    body: `let v = a(at);
let w = b(at);
let taken = select(w, v, v ${of === 'maximum' ? '>' : '<'} w);
set_y(at, select(select(taken, w, ${isNaNText('w', lanes)}), v, ${isNaNText('v', lanes)}));`,
  });

export const extremeGrad = (perSample: number, of: 'maximum' | 'minimum', wanted: 'a' | 'b', lanes: Lanes): KernelText =>
  map({
    perSample,
    body: `let isA = a(at) ${of === 'maximum' ? '>=' : '<='} b(at);
set_dx(at, select(${floats(lanes)}(), dy(at), ${wanted === 'a' ? 'isA' : '!isA'}));`,
  });
