// Activation functions in ONNX's operators: by the operator of that name, where there is one in set 17, else from the formula.

import type { Expression, Primitive } from '../../ir/expression.ts';
import { type ActivationName, activationOp } from '../../layers/activations.ts';
import { ACTIVATIONS, type Activation, parametersOf } from '../../ops/activations.ts';
import type { Emitter } from './emitter.ts';

/** By Keras' name. `axis`: that of the channels, over which softmax is: 1 of images as convolutions make them. */
export function activate(e: Emitter, activation: ActivationName, x: string, name: string, axis = -1): string {
  // What the last layer ends with is left out: an ONNX file gives logits.
  if (activation === e.end) return x;
  if (activation === 'softmax') return e.node('Softmax', `${name}/softmax`, [x], { axis });
  const op = activationOp(activation);
  return op ? activateOp(e, op, {}, x, name) : x;
}

/** The op with parameters. */
export function activateOp(e: Emitter, op: Activation, given: Readonly<Record<string, number>>, x: string, name: string): string {
  const values = parametersOf(op, given);
  const parameters = Object.fromEntries(Object.keys(ACTIVATIONS[op].parameters).map((parameter, i) => [parameter, values[i]]));
  return OPERATORS[op]?.(e, x, `${name}/${op}`, parameters) ?? fromFormula(e, op, parameters, x, `${name}/${op}`);
}

type Rule = (e: Emitter, x: string, name: string, parameters: Readonly<Record<string, number>>) => string;

const OPERATORS: Partial<Record<Activation, Rule>> = {
  relu: (e, x, name) => e.node('Relu', name, [x]),
  leakyRelu: (e, x, name, { slope }) => e.node('LeakyRelu', name, [x], { alpha: { float: slope } }),
  clippedRelu: (e, x, name, { limit }) => e.node('Clip', name, [x, e.scalar(`${name}/zero`, 0), e.scalar(`${name}/limit`, limit)]),
  elu: (e, x, name, { alpha }) => e.node('Elu', name, [x], { alpha: { float: alpha } }),
  selu: (e, x, name) => e.node('Selu', name, [x]),
  sigmoid: (e, x, name) => e.node('Sigmoid', name, [x]),
  hardSigmoid: (e, x, name) => e.node('HardSigmoid', name, [x], { alpha: { float: 1 / 6 }, beta: { float: 0.5 } }),
  tanh: (e, x, name) => e.node('Tanh', name, [x]),
  softplus: (e, x, name) => e.node('Softplus', name, [x]),
  softsign: (e, x, name) => e.node('Softsign', name, [x]),
  exponential: (e, x, name) => e.node('Exp', name, [x]),
  silu: (e, x, name) => e.node('Mul', name, [x, e.node('Sigmoid', `${name}/sigmoid`, [x])]),
  hardSilu: (e, x, name) => e.node('HardSwish', name, [x]),
  mish: (e, x, name) => e.node('Mul', name, [x, e.node('Tanh', `${name}/tanh`, [e.node('Softplus', `${name}/softplus`, [x])])]),
  gelu(e, x, name) {
    // x/√2, erf, + 1, · x, · 1/2 in this order is the form that ONNX Runtime knows and replaces by one kernel.
    const divided = e.node('Div', `${name}/div`, [x, e.scalar('gelu/sqrt2', Math.SQRT2)]);
    const erf = e.node('Erf', `${name}/erf`, [divided]);
    const plusOne = e.node('Add', `${name}/add`, [erf, e.scalar('gelu/one', 1)]);
    const product = e.node('Mul', `${name}/mul`, [x, plusOne]);
    return e.node('Mul', name, [product, e.scalar('gelu/half', 0.5)]);
  },
};

/** ONNX's operators for what formulas are made of. */
const PRIMITIVES: Partial<Record<Primitive, string>> = {
  add: 'Add',
  sub: 'Sub',
  mul: 'Mul',
  div: 'Div',
  min: 'Min',
  max: 'Max',
  abs: 'Abs',
  exp: 'Exp',
};

function fromFormula(e: Emitter, op: Activation, parameters: Readonly<Record<string, number>>, x: string, name: string): string {
  const made = new Map<string, string>();
  let count = 0;
  const emit = (expression: Expression): string => {
    if ('name' in expression && expression.name === 'x') return x;
    const key = JSON.stringify(expression);
    const known = made.get(key);
    if (known !== undefined) return known;
    // Its operands take names of their own, before it is there itself.
    const value = make(expression, `${name}/${count++}`);
    made.set(key, value);
    return value;
  };
  const make = (expression: Expression, at: string): string => {
    if ('value' in expression) return e.scalar(at, expression.value);
    if ('name' in expression) return e.scalar(at, parameters[expression.name]);
    const args = expression.args.map(emit);
    if (expression.call === 'above') return e.node('Where', at, [e.node('Greater', `${at}/above`, args.slice(0, 2)), args[2], args[3]]);
    if (expression.call === 'expm1') return e.node('Sub', at, [e.node('Exp', `${at}/exp`, args), e.scalar(`${at}/one`, 1)]);
    const operator = PRIMITIVES[expression.call];
    if (!operator) throw new Error(`there is no ONNX operator for ${expression.call}, of which ${op} is made`);
    return e.node(operator, at, args);
  };
  return emit(ACTIVATIONS[op].y);
}
