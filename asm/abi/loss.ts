// What attributes add to a loss (runtime/losses/cross-entropy.ts), in AssemblyScript: in doubles, a row at a time. asm/abi/generate.mjs writes
// asm/lib/loss-terms.gen.ts with it.

import { type Expression, type Language, type Primitive, printExpressions } from '../../runtime/ir/expression.ts';
import { CROSS_ENTROPY_TERMS } from '../../runtime/losses/cross-entropy.ts';
import { LEAST_MISS, type LossTerm, ROW_NAMES } from '../../runtime/losses/loss.ts';

const CALLS: Partial<Readonly<Record<Primitive, (...args: string[]) => string>>> = {
  add: (a, b) => `(${a} + ${b})`,
  sub: (a, b) => `(${a} - ${b})`,
  mul: (a, b) => `(${a} * ${b})`,
  div: (a, b) => `(${a} / ${b})`,
  exp: (a) => `Math.exp(${a})`,
};

const LANGUAGE: Language = {
  constant: (value) => `<f64>${value < 0 ? `(${value})` : value}`,
  name: (name) => name,
  call(primitive, args) {
    const call = CALLS[primitive];
    if (!call) throw new Error(`a loss cannot have ${primitive} among its terms`);
    return call(...args);
  },
  bind: (name, text) => `const ${name} = ${text};`,
};

// What reads the imports of this file must not take it for one.
const imports = (names: string, from: string): string => `import { ${names} } from '${from}';`;

/** Whether there is a term, what they add, and its slopes. */
export function lossTermsSource(): string {
  const row = ROW_NAMES.map((name) => `${name}: f64`).join(', ');
  const any = CROSS_ENTROPY_TERMS.map(({ name }) => `args.${name} != 0`).join(' || ') || 'false';
  const has = (name: string, type: string) => `export function ${name}(args: ${type}): bool {\n  return ${any};\n}`;
  const sum = (name: string, type: string, of: (term: LossTerm) => Expression) => {
    const parts = CROSS_ENTROPY_TERMS.map((term) => {
      const { statements, texts } = printExpressions([of(term)], LANGUAGE);
      const lines = [`const ${term.name} = args.${term.name};`, ...statements, `sum += ${texts[0]};`];
      return `  if (args.${term.name} != 0) {\n${lines.map((line) => `    ${line}\n`).join('')}  }\n`;
    });
    return `export function ${name}(args: ${type}, ${row}): f64 {\n  let sum: f64 = 0;\n${parts.join('')}  return sum;\n}`;
  };
  return `// Written by asm/abi/generate.mjs (npm run build:asm) from runtime/losses/cross-entropy.ts: do not edit.
${imports('LossRowsArgs, SoftmaxCrossEntropyGradArgs', './abi')}

export const LEAST_MISS: f64 = ${LEAST_MISS};

${[
  has('hasTerms', 'LossRowsArgs'),
  has('hasSlopes', 'SoftmaxCrossEntropyGradArgs'),
  sum('addedLoss', 'LossRowsArgs', ({ loss }) => loss),
  ...ROW_NAMES.map((name) => sum(`${name}Slope`, 'SoftmaxCrossEntropyGradArgs', ({ slopes }) => slopes[name])),
].join('\n\n')}
`;
}
