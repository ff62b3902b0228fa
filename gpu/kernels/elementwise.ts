// Kernels that work element by element, and the sum of tiles' sums.

import { named, times } from '../../runtime/ir/expression.ts';
import type { Node } from '../../runtime/ir/graph.ts';
import { ACTIVATIONS, type Activation } from '../../runtime/ops/activations.ts';
import { activationWgsl, gradientWgsl } from './expression.ts';
import { PHILOX } from './philox.ts';
import { each, f32, flatIndex, floats, type KernelText, type Lanes } from './wgsl.ts';

const WORKGROUP = 64;

export const MAP_INVOCATIONS = WORKGROUP;

interface MapOptions {
  /** Accesses of `lanes` elements to a sample. */
  readonly perSample: number;
  readonly declarations?: string;
  /** Statements for the access `at`. */
  readonly body: string;
}

/** One invocation for each access of all rows. */
export const map = ({ perSample, declarations, body }: MapOptions): KernelText => ({
  workgroup: [WORKGROUP, 1, 1],
  declarations,
  body: `${flatIndex(WORKGROUP)}
if (at >= step.rows * ${perSample}u) { return; }
${body}`,
});

const binary = (perSample: number, expression: string): KernelText =>
  map({ perSample, body: `let v = a(at);\nlet w = b(at);\nset_y(at, ${expression});` });

export const addition = (perSample: number): KernelText => binary(perSample, 'v + w');

export const difference = (perSample: number): KernelText => binary(perSample, 'v - w');

export const multiplication = (perSample: number): KernelText => binary(perSample, 'v * w');

/** y = activation(x) */
export function activation(name: Activation, parameters: Node['attrs'], perSample: number, lanes: Lanes): KernelText {
  const { declarations, statements, texts } = activationWgsl(name, parameters, { x: 'v' }, lanes);
  return map({ perSample, declarations, body: `let v = x(at);\n${statements}\nset_y(at, ${texts[0]});` });
}

/** y = a·slope, which b tells: x or y of the activation. */
export function activationGradient(name: Activation, parameters: Node['attrs'], perSample: number, lanes: Lanes): KernelText {
  const { slope, slopeOf } = ACTIVATIONS[name];
  const { declarations, statements, texts } = gradientWgsl(name, times(named('a'), slope), parameters, { a: 'v', [slopeOf]: 'w' }, lanes);
  return map({ perSample, declarations, body: `let v = a(at);\nlet w = b(at);\n${statements}\nset_y(at, ${texts[0]});` });
}

/** `channels`: accesses of a pixel. */
export const bias = (perSample: number, channels: number): KernelText =>
  map({ perSample, body: `set_y(at, x(at) + b(at % ${channels}u));` });

/** `channels`: accesses of a pixel. */
export const channelProduct = (perSample: number, channels: number): KernelText =>
  map({ perSample, body: `set_y(at, a(at) * b(at % ${channels}u));` });

/** Of `elements` that are not those of samples. */
export const parameterSum = (elements: number): KernelText => ({
  workgroup: [WORKGROUP, 1, 1],
  body: `${flatIndex(WORKGROUP)}
if (at >= ${elements}u) { return; }
set_y(at, a(at) + b(at));`,
});

/** Zeros everywhere. */
export const zero = (perSample: number, lanes: Lanes): KernelText => map({ perSample, body: `set_y(at, ${floats(lanes)}());` });

/** Four bytes of x to one access of y. With one lane, `elements` of a sample need not come in fours. */
export function rescale(elements: number, scale: number, offset: number, lanes: Lanes): KernelText {
  const word = `let word = x(at);
let v = vec4f(vec4u(word, word >> 8u, word >> 16u, word >> 24u) & vec4u(0xffu)) * ${f32(scale)}${offset === 0 ? '' : ` + ${f32(offset)}`};`;
  if (lanes === 4) return map({ perSample: elements / 4, body: `${word}\nset_y(at, v);` });
  return {
    workgroup: [WORKGROUP, 1, 1],
    body: `${flatIndex(WORKGROUP)}
let end = step.rows * ${elements}u;
if (at * 4u >= end) { return; }
${word}
${each(4, (i) => `if (at * 4u + ${i}u < end) { set_y(at * 4u + ${i}u, v[${i}]); }`)}`,
  };
}

export interface DropoutOptions {
  /** Elements of a sample. */
  readonly elements: number;
  readonly purpose: number;
  /** Of `dropoutThreshold`: up to 2³², which keeps nothing. */
  readonly threshold: number;
  readonly scale: number;
}

/** An invocation draws the four words of a block and applies them to its four elements. */
export function dropout({ elements, purpose, threshold, scale }: DropoutOptions, lanes: Lanes): KernelText {
  const blocks = Math.ceil(elements / 4);
  const kept = threshold > 0xffffffff ? 'vec4<bool>(false)' : `words >= vec4u(${threshold}u)`;
  return {
    workgroup: [WORKGROUP, 1, 1],
    declarations: PHILOX,
    body: `${flatIndex(WORKGROUP)}
if (at >= step.rows * ${blocks}u) { return; }
let row = at / ${blocks}u;
let block = at % ${blocks}u;
let words = philox(vec2u(step.seedLow, step.seedHigh), vec4u(bitcast<u32>(samples(row)), step.epoch, ${purpose}u, block));
let kept = ${kept};
${
  lanes === 4
    ? `set_y(at, select(vec4f(), x(at) * ${f32(scale)}, kept));`
    : each(
        4,
        (i) =>
          `if (block * 4u + ${i}u < ${elements}u) { let i = row * ${elements}u + block * 4u + ${i}u; set_y(i, select(0.0, x(i) * ${f32(scale)}, kept[${i}])); }`,
      )
}`,
  };
}
