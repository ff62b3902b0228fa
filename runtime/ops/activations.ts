// Activations: one entry of the table is all there is to one. From its formulas come two ops (`silu` and `siluGrad`), their kernels on
// every device, what epilogues of convolutions compute, the name in Keras' `activation=` and the nodes of an ONNX file.
//
// To add one: an entry here, and what Keras computes at some points in test/ops/activations.test.ts.

import {
  above,
  abs,
  add,
  div,
  type Expression,
  evaluator,
  exactGelu,
  exactGeluDerivative,
  exp,
  expm1,
  log1p,
  max,
  min,
  mul,
  named,
  sigmoid,
  sub,
  tanh,
} from '../ir/expression.ts';
import { type Attribute, attr } from '../ir/signature.ts';

/** A parameter of an activation, an attribute of its ops: what it is where nothing is said. */
export interface Parameter {
  readonly usual: number;
  readonly kind: Attribute<number>;
}

type Formula = (at: Expression, parameters: Readonly<Record<string, Expression>>) => Expression;

/** An activation, as it is declared. */
interface Declaration<K extends string> {
  /** y = … in words, for docs/ops.md. */
  readonly doc: string;
  /** Three at most: kernels have room for as many. */
  readonly parameters?: Readonly<Record<string, Parameter>>;
  /** y, of x. A NaN must come through. */
  readonly y: Formula;
  /** dy/dx: of y where y tells (then x need not be kept), else of x (then a fused forward pass stores it). */
  readonly slope: { readonly ofY: Formula } | { readonly ofX: Formula };
  /** Keras' names for `activation=`, the first one is written; parameters have their usual values. */
  readonly keras?: readonly K[];
}

/** An activation with its formulas: `y` of `x` and its parameters, `slope` of `x` or of `y` and them. */
export interface ActivationFormulas<K extends string = string> {
  readonly doc: string;
  /** Of its ops, in the order in which kernels have them. */
  readonly parameters: Readonly<Record<string, Parameter>>;
  readonly y: Expression;
  readonly slope: Expression;
  readonly slopeOf: 'x' | 'y';
  readonly keras: readonly K[];
}

function activation<const K extends string = never>(declaration: Declaration<K>): ActivationFormulas<K> {
  const { doc, parameters = {}, y, slope, keras = [] } = declaration;
  const by = Object.fromEntries(Object.keys(parameters).map((name) => [name, named(name)]));
  const ofY = 'ofY' in slope;
  return {
    doc,
    parameters,
    y: y(named('x'), by),
    slope: ofY ? slope.ofY(named('y'), by) : slope.ofX(named('x'), by),
    slopeOf: ofY ? 'y' : 'x',
    keras,
  };
}

const positive = (usual: number): Parameter => ({ usual, kind: attr.positive });
const notNegative = (usual: number): Parameter => ({
  usual,
  kind: attr.custom('a finite number from 0 on', (value) => Number.isFinite(value) && (value as number) >= 0),
});
const any = (usual: number): Parameter => ({ usual, kind: attr.number });

/** The largest float: no maximum. */
const LARGEST = 3.4028234663852886e38;

// Below this a product of x and an exponential of x is 0 in f32; minus infinity would make it a NaN.
const TINY = -104;

const SELU_SCALE = 1.0507009873554805;
const SELU_ALPHA = 1.6732632423543772;

/** Of hardSigmoid: between −3 and 3 a line from 0 to 1. */
const ramp = (x: Expression) => min(max(add(mul(x, 1 / 6), 0.5), 0), 1);

/** The argument of the tanh form of GELU, and its derivative; beyond ±15 nothing changes, and squares would overflow. */
const GELU_FACTOR = Math.sqrt(2 / Math.PI);
const within = (x: Expression) => max(min(x, 15), -15);
function geluArgument(x: Expression) {
  const c = within(x);
  return mul(GELU_FACTOR, mul(c, add(1, mul(0.044715, mul(c, c)))));
}

/** tanh(log(1 + e^x)), by the exponential of −|x|. */
function mishGate(x: Expression) {
  const e = exp(sub(0, abs(x)));
  const square = mul(e, e);
  const twice = mul(2, e);
  return above(x, 0, div(add(1, twice), add(add(1, twice), mul(2, square))), div(add(square, twice), add(add(square, twice), 2)));
}

const TABLE = {
  gelu: activation({
    doc: 'y = x·Φ(x), in the exact form',
    y: exactGelu,
    slope: { ofX: exactGeluDerivative },
    keras: ['gelu'],
  }),
  relu: activation({
    doc: 'y = max(x, 0)',
    y: (x) => max(x, 0),
    slope: { ofY: (y) => above(y, 0, 1, 0) },
    keras: ['relu'],
  }),
  leakyRelu: activation({
    doc: 'y = x where x > 0, else slope·x',
    parameters: { slope: notNegative(0.2) },
    y: (x, { slope }) => above(x, 0, x, mul(slope, x)),
    slope: { ofY: (y, { slope }) => above(y, 0, 1, slope) },
    keras: ['leaky_relu'],
  }),
  clippedRelu: activation({
    doc: 'y = x, but at least 0 and at most limit',
    parameters: { limit: positive(6) },
    y: (x, { limit }) => min(max(x, 0), limit),
    slope: { ofY: (y, { limit }) => above(y, 0, above(limit, y, 1, 0), 0) },
    keras: ['relu6'],
  }),
  rectifier: activation({
    doc: 'y = limit where x ≥ limit, x where x > threshold, else slope·(x − threshold): all that Keras calls ReLU',
    parameters: { slope: any(0), threshold: any(0), limit: any(LARGEST) },
    y: (x, { slope, threshold, limit }) => above(x, threshold, min(x, limit), mul(slope, sub(x, threshold))),
    slope: { ofX: (x, { slope, threshold, limit }) => above(x, threshold, above(limit, x, 1, 0), slope) },
  }),
  elu: activation({
    doc: 'y = x where x > 0, else alpha·(e^x − 1)',
    parameters: { alpha: positive(1) },
    y: (x, { alpha }) => above(x, 0, x, mul(alpha, expm1(min(x, 0)))),
    slope: { ofY: (y, { alpha }) => above(y, 0, 1, add(y, alpha)) },
    keras: ['elu'],
  }),
  selu: activation({
    doc: 'y = 1.0507·x where x > 0, else 1.0507·1.6733·(e^x − 1)',
    y: (x) => above(x, 0, mul(SELU_SCALE, x), mul(SELU_SCALE * SELU_ALPHA, expm1(min(x, 0)))),
    slope: { ofY: (y) => above(y, 0, SELU_SCALE, add(y, SELU_SCALE * SELU_ALPHA)) },
    keras: ['selu'],
  }),
  sigmoid: activation({
    doc: 'y = 1/(1 + e^−x)',
    y: sigmoid,
    slope: { ofY: (y) => mul(y, sub(1, y)) },
    keras: ['sigmoid'],
  }),
  hardSigmoid: activation({
    doc: 'y = x/6 + 1/2, but at least 0 and at most 1',
    y: ramp,
    slope: { ofY: (y) => above(y, 0, above(1, y, 1 / 6, 0), 0) },
    keras: ['hard_sigmoid'],
  }),
  hardTanh: activation({
    doc: 'y = x, but at least −1 and at most 1',
    y: (x) => min(max(x, -1), 1),
    slope: { ofX: (x) => above(-1, x, 0, above(x, 1, 0, 1)) },
    keras: ['hard_tanh'],
  }),
  tanh: activation({
    doc: 'y = tanh x',
    y: tanh,
    slope: { ofY: (y) => mul(sub(1, y), add(1, y)) },
    keras: ['tanh'],
  }),
  softplus: activation({
    doc: 'y = log(1 + e^x)',
    y: (x) => add(max(x, 0), log1p(exp(sub(0, abs(x))))),
    slope: { ofY: (y) => sub(0, expm1(sub(0, y))) },
    keras: ['softplus'],
  }),
  softsign: activation({
    doc: 'y = x/(1 + |x|)',
    y: (x) => div(x, add(1, abs(x))),
    slope: { ofY: (y) => mul(sub(1, abs(y)), sub(1, abs(y))) },
    keras: ['softsign'],
  }),
  exponential: activation({
    doc: 'y = e^x',
    y: exp,
    slope: { ofY: (y) => y },
    keras: ['exponential'],
  }),
  silu: activation({
    doc: 'y = x·σ(x), σ the sigmoid; also called Swish',
    y: (x) => mul(max(x, TINY), sigmoid(x)),
    slope: { ofX: (x) => mul(sigmoid(x), add(1, mul(max(min(x, -TINY), TINY), sub(1, sigmoid(x))))) },
    keras: ['silu', 'swish'],
  }),
  hardSilu: activation({
    doc: 'y = x·hardSigmoid(x); also called hard Swish',
    y: (x) => mul(max(x, -3), ramp(x)),
    slope: { ofX: (x) => above(x, -3, above(3, x, add(mul(x, 1 / 3), 0.5), 1), 0) },
    keras: ['hard_silu', 'hard_swish'],
  }),
  geluTanh: activation({
    doc: "y = x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), Keras' gelu with approximate=True",
    y: (x) => mul(mul(0.5, max(x, -15)), add(1, tanh(geluArgument(x)))),
    slope: {
      ofX(x) {
        const [c, t] = [within(x), tanh(geluArgument(x))];
        const inner = mul(GELU_FACTOR, add(1, mul(3 * 0.044715, mul(c, c))));
        return mul(0.5, add(add(1, t), mul(mul(c, mul(sub(1, t), add(1, t))), inner)));
      },
    },
  }),
  mish: activation({
    doc: 'y = x·tanh(log(1 + e^x))',
    y: (x) => mul(max(x, TINY), mishGate(x)),
    slope: {
      ofX(x) {
        const [c, gate] = [max(min(x, -TINY), TINY), mishGate(x)];
        return add(gate, mul(mul(c, sigmoid(x)), mul(sub(1, gate), add(1, gate))));
      },
    },
    keras: ['mish'],
  }),
} as const;

/** Name of an activation: of its op, and in epilogues. */
export type Activation = keyof typeof TABLE;

/** All activations by the name of their op. */
export const ACTIVATIONS: Readonly<Record<Activation, ActivationFormulas>> = TABLE;

/** Keras' names of all activations. */
export type KerasName = (typeof TABLE)[Activation]['keras'][number];

export const ACTIVATION_NAMES = Object.keys(TABLE) as Activation[];

/** Values of all parameters, in order: those that are given, and the usual ones. */
export const parametersOf = (name: Activation, given: Readonly<Record<string, unknown>> = {}): number[] =>
  Object.entries(ACTIVATIONS[name].parameters).map(([parameter, { usual }]) => (given[parameter] as number | undefined) ?? usual);

/** An activation as functions of a number, in doubles: y of x, and dy/dx of x or y (`slopeOf`). */
export function activationFunctions(name: Activation, given?: Readonly<Record<string, unknown>>) {
  const { y, slope, slopeOf, parameters } = ACTIVATIONS[name];
  const values = parametersOf(name, given).map(Math.fround);
  const names = Object.keys(parameters);
  const [ofX, slopeAt] = [evaluator(y, ['x', ...names]), evaluator(slope, [slopeOf, ...names])];
  return { y: (x: number): number => ofX(x, ...values), slope: (at: number): number => slopeAt(at, ...values), slopeOf };
}

const GELU = activationFunctions('gelu');
export const gelu = GELU.y;
export const geluDerivative = GELU.slope;
