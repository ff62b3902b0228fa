// x·scale + offset with given numbers, and tensors of one number.

import { map } from './elementwise.ts';
import { f32, flatIndex, floats, type KernelText, type Lanes } from './wgsl.ts';

type Coefficients = readonly { readonly scale: number; readonly offset: number }[];

/** With several coefficients there is one pair for each channel, and accesses are elements. */
export function affine(perSample: number, coefficients: Coefficients): KernelText {
  const [{ scale, offset }] = coefficients;
  if (coefficients.length === 1) return map({ perSample, body: `set_y(at, x(at) * ${f32(scale)} + ${f32(offset)});` });
  const table = (of: 'scale' | 'offset') => coefficients.map((one) => f32(one[of])).join(', ');
  return map({
    perSample,
    declarations: `var<private> scales: array<f32, ${coefficients.length}> = array(${table('scale')});
var<private> offsets: array<f32, ${coefficients.length}> = array(${table('offset')});`,
    body: `let c = at % ${coefficients.length}u;\nset_y(at, x(at) * scales[c] + offsets[c]);`,
  });
}

export const fillSamples = (perSample: number, value: number, lanes: Lanes): KernelText =>
  map({ perSample, body: `set_y(at, ${floats(lanes)}(${f32(value)}));` });

/** Of `elements` that are not those of samples. */
export const fillAll = (elements: number, value: number): KernelText => ({
  workgroup: [64, 1, 1],
  body: `${flatIndex(64)}\nif (at >= ${elements}u) { return; }\nset_y(at, ${f32(value)});`,
});
