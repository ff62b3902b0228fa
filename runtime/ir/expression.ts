// Formulas of ops that work element by element, as data: from one formula come the reference loops (in doubles, here), the wasm kernels
// (asm/abi/elementwise.ts), those of the webgpu device (gpu/kernels/expression.ts) and ONNX nodes (interop/onnx/activations.ts).

import { erf } from './erf.ts';

/** A formula of named numbers: operands of an op and its parameters. */
export type Expression =
  | { readonly name: string }
  | { readonly value: number }
  | { readonly call: Primitive; readonly args: readonly Expression[] };

/** Where a formula takes a number, it takes a plain one, too. */
export type Operand = Expression | number;

/** gelu(x) = x·Φ(x), in the exact form with erf. */
export const gelu = (x: number): number => 0.5 * x * (1 + erf(x * Math.SQRT1_2));

/** gelu'(x) = Φ(x) + x·φ(x). */
export const geluDerivative = (x: number): number =>
  0.5 * (1 + erf(x * Math.SQRT1_2)) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);

/** What formulas are made of: in doubles, and about how many operations it is. Each device has its own form of each. */
export const PRIMITIVES = {
  add: { compute: (a, b) => a + b, cost: 1 },
  sub: { compute: (a, b) => a - b, cost: 1 },
  mul: { compute: (a, b) => a * b, cost: 1 },
  div: { compute: (a, b) => a / b, cost: 1 },
  min: { compute: (a, b) => Math.min(a, b), cost: 1 },
  max: { compute: (a, b) => Math.max(a, b), cost: 1 },
  abs: { compute: (a) => Math.abs(a), cost: 1 },
  /** Of a > b the third, else (a NaN among them, too) the fourth. */
  above: { compute: (a, b, yes, no) => (a > b ? yes : no), cost: 1 },
  exp: { compute: (a) => Math.exp(a), cost: 15 },
  /** e^a − 1, to the last digits near 0; devices have it for a up to 0. */
  expm1: { compute: (a) => Math.expm1(a), cost: 15 },
  gelu: { compute: gelu, cost: 20 },
  geluDerivative: { compute: geluDerivative, cost: 25 },
} as const satisfies Record<string, { compute(...args: number[]): number; readonly cost: number }>;
export type Primitive = keyof typeof PRIMITIVES;

export const named = (name: string): Expression => ({ name });
export const lift = (operand: Operand): Expression => (typeof operand === 'number' ? { value: operand } : operand);
/** Takes as many operands as the primitive has: a formula may be given more. */
const primitive =
  (call: Primitive) =>
  (...args: readonly Operand[]): Expression => ({ call, args: args.slice(0, PRIMITIVES[call].compute.length).map(lift) });

type Binary = (a: Operand, b: Operand) => Expression;
type Unary = (a: Operand) => Expression;
export const add: Binary = primitive('add');
export const sub: Binary = primitive('sub');
export const mul: Binary = primitive('mul');
export const div: Binary = primitive('div');
export const min: Binary = primitive('min');
export const max: Binary = primitive('max');
export const abs: Unary = primitive('abs');
export const exp: Unary = primitive('exp');
export const expm1: Unary = primitive('expm1');
/** `yes` where a > b, else `no`. */
export const above: (a: Operand, b: Operand, yes: Operand, no: Operand) => Expression = primitive('above');
export const exactGelu: Unary = primitive('gelu');
export const exactGeluDerivative: Unary = primitive('geluDerivative');

/** factor·slope, where no factor is multiplied by 0 or 1: what has no slope has none, whatever the factor is. */
export function times(factor: Expression, slope: Expression): Expression {
  if ('value' in slope && slope.value === 1) return factor;
  if ('value' in slope && slope.value === 0) return slope;
  if (!('call' in slope) || slope.call !== 'above') return mul(factor, slope);
  const [a, b, yes, no] = slope.args;
  return above(a, b, times(factor, yes), times(factor, no));
}

/** 1/(1 + e^−x), by the exponential of −|x|: nothing overflows. */
export const sigmoid = (x: Operand): Expression => {
  const e = exp(sub(0, abs(x)));
  return div(above(x, 0, 1, e), add(1, e));
};

/** By e^(−2|x|) − 1, so that it keeps its digits near 0. */
export const tanh = (x: Operand): Expression => {
  const m = expm1(mul(-2, abs(x)));
  const size = div(sub(0, m), add(2, m));
  return above(x, 0, size, sub(0, size));
};

/** log(1 + x) for x from 0 to 1: 2·artanh(x/(2 + x)), whose series needs no more. */
export const log1p = (x: Operand): Expression => {
  const s = div(x, add(2, x));
  const square = mul(s, s);
  // 2·(s + s³/3 + … + s¹⁷/17), where s is at most 1/3.
  const series = [15, 13, 11, 9, 7, 5, 3].reduce((sum, n) => add(2 / n, mul(square, sum)), lift(2 / 17));
  return mul(s, add(2, mul(square, series)));
};

/**
 * The derivative of a formula by one of its names. Of sums, products, quotients and exponentials; the rest of the primitives are of
 * activations, whose slopes are written by hand.
 */
export function derivative(expression: Expression, name: string): Expression {
  if ('value' in expression) return lift(0);
  if ('name' in expression) return lift(expression.name === name ? 1 : 0);
  const [a, b] = expression.args;
  const [da, db] = expression.args.map((argument) => derivative(argument, name));
  switch (expression.call) {
    case 'add':
      return sum(da, db);
    case 'sub':
      return isNumber(db, 0) ? da : sub(da, db);
    case 'mul':
      return sum(product(da, b), product(a, db));
    case 'div':
      if (isNumber(db, 0)) return isNumber(da, 0) ? da : div(da, b);
      return div(sub(product(da, b), product(a, db)), mul(b, b));
    case 'exp':
      return product(expression, da);
    default:
      throw new Error(`${expression.call} has no derivative here`);
  }
}

const isNumber = (expression: Expression, value: number): boolean => 'value' in expression && expression.value === value;
const sum = (a: Expression, b: Expression): Expression => (isNumber(a, 0) ? b : isNumber(b, 0) ? a : add(a, b));
const product = (a: Expression, b: Expression): Expression =>
  isNumber(a, 0) || isNumber(b, 0) ? lift(0) : isNumber(a, 1) ? b : isNumber(b, 1) ? a : mul(a, b);

/** The formula as a function of the named numbers, in doubles. */
export function evaluator(expression: Expression, names: readonly string[]): (...values: readonly number[]) => number {
  if ('value' in expression) return () => expression.value;
  if ('name' in expression) {
    const at = names.indexOf(expression.name);
    if (at < 0) throw new Error(`a formula of ${names.join(', ')} speaks of ${expression.name}`);
    return (...values) => values[at];
  }
  const compute = PRIMITIVES[expression.call].compute as (...args: number[]) => number;
  const args = expression.args.map((argument) => evaluator(argument, names));
  return (...values) => compute(...args.map((argument) => argument(...values)));
}

/** About how many operations it is for each element. What stands in it twice counts once, as it is computed once. */
export function costOfExpression(expression: Expression, seen = new Set<Expression>()): number {
  if (!('call' in expression) || seen.has(expression)) return 0;
  seen.add(expression);
  return expression.args.reduce((sum, argument) => sum + costOfExpression(argument, seen), PRIMITIVES[expression.call].cost as number);
}

/** What a printer of formulas needs of a language. */
export interface Language {
  constant(value: number): string;
  name(name: string): string;
  call(primitive: Primitive, args: readonly string[]): string;
  /** A statement that gives a text a name. */
  bind(name: string, text: string): string;
  /** Primitives that are parts of what one call of a function gives: that call, and how the part is read from it. */
  readonly parts?: Partial<Record<Primitive, { whole(args: readonly string[]): string; readonly part: string }>>;
}

/**
 * Formulas in a language: statements for what stands in them more than once, and a text for each formula. Parts that are equal are one:
 * what two formulas share is computed once. Names begin with `prefix`, which no kernel around them may use for its own.
 */
export function printExpressions(
  expressions: readonly Expression[],
  language: Language,
  prefix = 'common',
): { readonly statements: readonly string[]; readonly texts: readonly string[] } {
  const counts = new Map<string, number>();
  const keys = new Map<Expression, string>();
  const keyOf = (expression: Expression): string => {
    const known = keys.get(expression);
    if (known !== undefined) return known;
    const key =
      'value' in expression
        ? language.constant(expression.value)
        : 'name' in expression
          ? language.name(expression.name)
          : language.call(expression.call, expression.args.map(keyOf));
    keys.set(expression, key);
    return key;
  };
  const count = (expression: Expression): void => {
    if (!('call' in expression)) return;
    const key = keyOf(expression);
    const before = counts.get(key) ?? 0;
    counts.set(key, before + 1);
    if (before === 0) expression.args.forEach(count);
  };
  expressions.forEach(count);
  const statements: string[] = [];
  const bound = new Map<string, string>();
  const bindOnce = (key: string, text: string): string => {
    const known = bound.get(key);
    if (known !== undefined) return known;
    const name = `${prefix}${bound.size}`;
    statements.push(language.bind(name, text));
    bound.set(key, name);
    return name;
  };
  const print = (expression: Expression): string => {
    if (!('call' in expression)) return keyOf(expression);
    const parts = language.parts?.[expression.call];
    if (parts) {
      const whole = parts.whole(expression.args.map(print));
      return `${bindOnce(whole, whole)}${parts.part}`;
    }
    const key = keyOf(expression);
    const known = bound.get(key);
    if (known !== undefined) return known;
    const text = language.call(expression.call, expression.args.map(print));
    return (counts.get(key) ?? 0) < 2 ? text : bindOnce(key, text);
  };
  const texts = expressions.map(print);
  return { statements, texts };
}
