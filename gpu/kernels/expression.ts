// Formulas of element-wise ops (runtime/ir/expression.ts) in WGSL.

import { type Expression, type Primitive, printExpressions } from '../../runtime/ir/expression.ts';
import { ACTIVATIONS, type Activation, parametersOf } from '../../runtime/ops/activations.ts';
import { geluFunctions } from './gelu.ts';
import { f32, floats, isNaNText, type Lanes } from './wgsl.ts';

/** What formulas may call, declared where they do. `exponentialLess1`: as far as its argument is at most 0. */
const declarationsOf = (text: string, lanes: Lanes): string => {
  const T = floats(lanes);
  const series = [7, 6, 5, 4, 3, 2].reduce((sum, n) => `1.0 + x / ${n}.0 * (${sum})`, '1.0 + x / 8.0');
  const exponential = `fn exponentialLess1(x: ${T}) -> ${T} {
  return select(exp(x) - 1.0, x * (${series}), x > ${T}(-0.5));
}
`;
  return `${text.includes('gelu(') ? geluFunctions(lanes) : ''}${text.includes('exponentialLess1(') ? exponential : ''}`;
};

/** Formulas over the names of expressions: statements before, a text for each, and the declarations that they need. */
export interface PrintedExpressions {
  readonly declarations: string;
  readonly statements: string;
  readonly texts: readonly string[];
}

export function printWgsl(
  expressions: readonly Expression[],
  names: Readonly<Record<string, string | number>>,
  lanes: Lanes,
): PrintedExpressions {
  const T = floats(lanes);
  const constant = (value: number) => (value === 0 ? `${T}()` : `${T}(${f32(value)})`);
  // `select` and not `min` or `max`: those may lose a NaN, or tell 0 from −0, as they like.
  const calls: Readonly<Record<Primitive, (...args: string[]) => string>> = {
    add: (a, b) => `(${a} + ${b})`,
    sub: (a, b) => `(${a} - ${b})`,
    mul: (a, b) => `(${a} * ${b})`,
    div: (a, b) => `(${a} / ${b})`,
    min: (a, b) => `select(${a}, ${b}, ${b} < ${a})`,
    max: (a, b) => `select(${a}, ${b}, ${a} < ${b})`,
    abs: (a) => `abs(${a})`,
    above: (a, b, yes, no) => `select(${no}, ${yes}, ${a} > ${b})`,
    exp: (a) => `exp(${a})`,
    expm1: (a) => `exponentialLess1(${a})`,
    gelu: (a) => `gelu(${a}).value`,
    geluDerivative: (a) => `gelu(${a}).derivative`,
  };
  // The function gives value and derivative: it is called once for both.
  const whole = ([a]: readonly string[]): string => `gelu(${a})`;
  const { statements, texts } = printExpressions(expressions, {
    constant,
    name(name) {
      const value = names[name];
      return typeof value === 'number' ? constant(value) : value;
    },
    call: (primitive, args) => calls[primitive](...args),
    bind: (name, text) => `let ${name} = ${text};`,
    parts: { gelu: { whole, part: '.value' }, geluDerivative: { whole, part: '.derivative' } },
  });
  const all = statements.join('\n');
  return { declarations: declarationsOf([all, ...texts].join('\n'), lanes), statements: all, texts };
}

/** The parameters of an activation by name, with these values. */
const valuesOf = (name: Activation, given?: Readonly<Record<string, unknown>>): Record<string, number> => {
  const values = parametersOf(name, given);
  return Object.fromEntries(Object.keys(ACTIVATIONS[name].parameters).map((parameter, i) => [parameter, values[i]]));
};

/** Whether a formula may make a number of a NaN: comparisons do, and SwiftShader's `exp` makes infinity of it. */
const losesNaN = (expression: Expression): boolean =>
  'call' in expression && (['above', 'min', 'max', 'exp', 'expm1'].includes(expression.call) || expression.args.some(losesNaN));

/** y of x, and with `slope` dy/dx of it, which is told by x or y. A NaN stays one: its bits tell, comparisons need not. */
export function activationWgsl(
  name: Activation,
  parameters: Readonly<Record<string, unknown>> | undefined,
  { x, slope = false }: { readonly x: string; readonly slope?: boolean },
  lanes: Lanes,
): PrintedExpressions {
  const { y, slope: slopeOf } = ACTIVATIONS[name];
  const printed = printWgsl(slope ? [y, slopeOf] : [y], { ...valuesOf(name, parameters), x }, lanes);
  const [value, ...more] = printed.texts;
  return losesNaN(y) ? { ...printed, texts: [`select(${value}, ${x}, ${isNaNText(x, lanes)})`, ...more] } : printed;
}

/** A formula of an activation in the names that it has, its parameters as they are given. */
export const gradientWgsl = (
  name: Activation,
  formula: Expression,
  parameters: Readonly<Record<string, unknown>>,
  names: Readonly<Record<string, string>>,
  lanes: Lanes,
): PrintedExpressions => printWgsl([formula], { ...valuesOf(name, parameters), ...names }, lanes);
