// Kernels that are made of formulas (runtime/ops/activations.ts): their argument blocks, and how a formula is written in AssemblyScript, four
// lanes at a time. asm/abi/generate.mjs writes asm/lib/activations.gen.ts and asm/lib/elementwise.gen.ts with it.

import { type Expression, type Language, type Primitive, printExpressions, times } from '../../runtime/ir/expression.ts';
import { ACTIVATION_NAMES, ACTIVATIONS, type Activation } from '../../runtime/ops/activations.ts';

/** How kernels tell activations apart; 0: there is none. The first two are written by hand (asm/lib/epilogue.ts). */
export const activationCode = (name: Activation | undefined): number => (name ? 1 + ACTIVATION_NAMES.indexOf(name) : 0);

/** Kernels of an activation and of its gradient, which is of x or of y; behind these fields come the parameters. */
type ActivationKernels = { readonly [K in Activation]: { readonly x: 'ptr'; readonly y: 'ptr'; readonly elements: 'i32' } } & {
  readonly [K in `${Activation}Grad`]: { readonly dy: 'ptr'; readonly at: 'ptr'; readonly dx: 'ptr'; readonly elements: 'i32' };
};

const parameterFields = (name: Activation) => Object.fromEntries(Object.keys(ACTIVATIONS[name].parameters).map((field) => [field, 'f32']));

export const ACTIVATION_KERNELS = Object.fromEntries(
  ACTIVATION_NAMES.flatMap((name) => [
    [name, { x: 'ptr', y: 'ptr', elements: 'i32', ...parameterFields(name) }],
    [`${name}Grad`, { dy: 'ptr', at: 'ptr', dx: 'ptr', elements: 'i32', ...parameterFields(name) }],
  ]),
) as unknown as ActivationKernels;

const CALLS: Readonly<Record<Primitive, (...args: string[]) => string>> = {
  add: (a, b) => `f32x4.add(${a}, ${b})`,
  sub: (a, b) => `f32x4.sub(${a}, ${b})`,
  mul: (a, b) => `f32x4.mul(${a}, ${b})`,
  div: (a, b) => `f32x4.div(${a}, ${b})`,
  min: (a, b) => `f32x4.min(${a}, ${b})`,
  max: (a, b) => `f32x4.max(${a}, ${b})`,
  abs: (a) => `f32x4.abs(${a})`,
  above: (a, b, yes, no) => `v128.bitselect(${yes}, ${no}, f32x4.gt(${a}, ${b}))`,
  exp: (a) => `exp(${a})`,
  expm1: (a) => `expm1(${a})`,
  gelu: (a) => `geluOf(${a})`,
  geluDerivative: (a) => `geluSlopeOf(${a})`,
};

const LANGUAGE: Language = {
  constant: (value) => `f32x4.splat(${value})`,
  name: (name) => name,
  call: (primitive, args) => CALLS[primitive](...args),
  bind: (name, text) => `const ${name} = ${text};`,
};

const imports = (names: string, from: string): string => `import { ${names} } from '${from}';`;
const FUNCTIONS = [imports('exp, expm1', './exp'), imports('geluOf, geluSlopeOf', './gelu')].join('\n');

const lines = (indent: number, statements: readonly string[]): string =>
  statements.map((line) => `${' '.repeat(indent)}${line}\n`).join('');

/** What epilogues need: activations of rows of a block, in place, and their slopes. */
export function activationsSource(): string {
  const parts = ACTIVATION_NAMES.map((name) => {
    const { y, slope, slopeOf, parameters } = ACTIVATIONS[name];
    const names = Object.keys(parameters);
    const splats = ['first', 'second', 'third']
      .slice(0, names.length)
      .map((field, i) => `const ${names[i]} = f32x4.splat(activation.${field});`);
    const both = printExpressions(slopeOf === 'x' ? [y, slope] : [y], LANGUAGE);
    return `function ${name}Rows(activation: Activation, y: usize, derivative: usize, stride: usize, rows: i32, columns: i32): void {
${lines(2, splats)}  for (let row = 0; row < rows; row++, y += stride, derivative += derivative ? stride : 0) {
    for (let column = 0; column < columns; column += 4) {
      const at = (<usize>column) << 2;
      const lanes = min(columns - column, 4);
      const x = loadLanes(y + at, lanes);
${lines(6, [
  ...both.statements,
  ...(both.texts[1] ? [`if (derivative) storeLanes(derivative + at, ${both.texts[1]}, lanes);`] : []),
  `storeLanes(y + at, ${both.texts[0]}, lanes);`,
])}    }
  }
}`;
  });
  const cases = ACTIVATION_NAMES.map(
    (name) => `    case ${activationCode(name)}:\n      ${name}Rows(activation, y, derivative, stride, rows, columns);\n      break;\n`,
  );
  return `// Written by asm/abi/generate.mjs (npm run build:asm) from runtime/ops/activations.ts: do not edit.
${imports('Activation', './abi')}
${FUNCTIONS}
${imports('loadLanes, storeLanes', './simd')}

${parts.join('\n\n')}

/** Applies an activation to rows of a block in place and stores its slope, where it is asked for. */
export function activateRows(activation: Activation, y: usize, derivative: usize, stride: usize, rows: i32, columns: i32): void {
  switch (activation.code) {
${cases.join('')}  }
}
`;
}

/** The kernels: whole tensors, in chunks. */
export function elementwiseSource(): string {
  const classes: string[] = [];
  const parts = ACTIVATION_NAMES.flatMap((name) => {
    const { y, slope, slopeOf, parameters } = ACTIVATIONS[name];
    const names = Object.keys(parameters);
    return [
      kernel(name, ['x'], 'y', names, y),
      kernel(`${name}Grad`, ['dy', 'at'], 'dx', names, times({ name: 'dy' }, renamed(slope, slopeOf))),
    ];
  });
  return `// Written by asm/abi/generate.mjs (npm run build:asm) from runtime/ops/activations.ts: do not edit.
${imports(`${classes.sort().join(', ')}, nextTask, rows`, './abi')}
${imports('CHUNK, chunkEnd, chunks', './chunks')}
${FUNCTIONS}
${imports('loadLanes, storeLanes', './simd')}

${parts.join('\n\n')}
`;

  function kernel(name: string, operands: readonly string[], result: string, names: readonly string[], expression: Expression): string {
    const type = `${name[0].toUpperCase()}${name.slice(1)}Args`;
    classes.push(type);
    const fields = [...operands, result].map((field) => `  const ${field}At = args.${field};\n`).join('');
    const splats = names.map((field) => `  const ${field} = f32x4.splat(args.${field});\n`).join('');
    const { statements, texts } = printExpressions([expression], LANGUAGE);
    const loads = operands.map((operand) => `const ${operand} = loadLanes(${operand}At + i, lanes);`);
    return `export function ${name}(args: ${type}): void {
${fields}${splats}  const elements = rows() * args.elements;
  const tasks = chunks(elements);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const end = (<usize>chunkEnd(task * CHUNK, elements)) << 2;
    for (let i = (<usize>(task * CHUNK)) << 2; i < end; i += 16) {
      const lanes = min(<i32>(end - i) >> 2, 4);
${lines(6, [...loads, ...statements, `storeLanes(${result}At + i, ${texts[0]}, lanes);`])}    }
  }
}`;
  }
}

/** The formula with its operand called `at`. */
const renamed = (expression: Expression, operand: string): Expression =>
  'name' in expression
    ? { name: expression.name === operand ? 'at' : expression.name }
    : 'call' in expression
      ? { call: expression.call, args: expression.args.map((argument) => renamed(argument, operand)) }
      : expression;
