// Softmax cross-entropy. The maximum of a row is taken out first, and the gradient of the right class is minus the sum of the
// other probabilities, not one less than its own: nothing overflows and nothing cancels, however sure the network is.

import { CROSS_ENTROPY_TERMS, spreadOf } from '../../runtime/losses/cross-entropy.ts';
import { LEAST_MISS, ROW_NAMES } from '../../runtime/losses/loss.ts';
import type { OpNode } from '../../runtime/ops/index.ts';
import { printWgsl } from './expression.ts';
import { f32, type KernelText } from './wgsl.ts';

/** What the loss is told. */
export type LossAttrs = OpNode<'softmaxCrossEntropy'>['attrs'];

const WORKGROUP = 64;
/** Rows that the one workgroup of the loss takes side by side. */
const LOSS_ROWS = 256;

export const GRADIENT_ROWS = WORKGROUP;

/** Statements for `row`: its label, `best` (index of the first maximum), `others` = Σ exp(z−max) over all but the label, `own` that of the label. */
const readRow = (classes: number): string => `let first = row * ${classes}u;
let label = u32(labels(row));
var best = 0u;
var maximum = logits(first);
for (var k = 1u; k < ${classes}u; k++) {
  let z = logits(first + k);
  if (z > maximum) { maximum = z; best = k; }
}
var others = 0.0;
for (var k = 0u; k < ${classes}u; k++) {
  if (k != label) { others += exp(logits(first + k) - maximum); }
}
let margin = logits(first + label) - maximum;
let own = exp(margin);`;

/**
 * Mean loss and number of right answers. One workgroup: each invocation takes every LOSS_ROWS-th row, then they meet pairwise. Without
 * barriers one invocation takes them all.
 */
export function softmaxCrossEntropy(classes: number, barriers: boolean, attrs: LossAttrs): KernelText {
  const { classWeights } = attrs;
  const spread = spreadOf(attrs);
  const terms = termsText(attrs);
  const invocations = barriers ? LOSS_ROWS : 1;
  const sum = `var sum = vec2f();
for (var row = local; row < step.rows; row += ${invocations}u) {
${readRow(classes)}
${spread ? smoothed(classes, spread) : ''}${terms ? terms.loss : ''}  sum += vec2f(${classWeights ? 'class_weights[label] * (' : ''}log(own + others) - margin${spread ? ' + extra' : ''}${terms ? ' + added' : ''}${classWeights ? ')' : ''}, f32(best == label));
}`;
  const store = (result: string): string => `set_loss(0u, ${result}.x / f32(step.rows));\n  set_correct(0u, ${result}.y);`;
  const constants = weightsText(classWeights);
  if (!barriers) return { workgroup: [1, 1, 1], declarations: constants, body: `${sum}\n  ${store('sum')}` };
  return {
    workgroup: [LOSS_ROWS, 1, 1],
    declarations: `var<workgroup> sums: array<vec2f, ${LOSS_ROWS}>;${constants ? `\n${constants}` : ''}`,
    body: `${sum}
sums[local] = sum;
for (var half = ${LOSS_ROWS / 2}u; half > 0u; half /= 2u) {
  workgroupBarrier();
  if (local < half) { sums[local] += sums[local + half]; }
}
if (local == 0u) {
  ${store('sums[0]')}
}`,
  };
}

/** Factors of the classes, as a table of constants. */
const weightsText = (classWeights: readonly number[] | undefined): string | undefined =>
  classWeights && `var<private> class_weights = array<f32, ${classWeights.length}>(${classWeights.map(f32).join(', ')});`;

/** Statements: what smoothing adds to the loss of a row, the difference of its label's logit and the mean of all, times s. */
const smoothed = (classes: number, spread: number): string => `var mean = 0.0;
for (var k = 0u; k < ${classes}u; k++) { mean += (logits(first + k) - maximum) / ${f32(classes)}; }
let extra = ${f32(spread)} * (margin - mean);
`;

/** `scale`: expression for a power of two by which the gradient is multiplied. */
export const softmaxCrossEntropyGrad = (classes: number, scale: string | undefined, attrs: LossAttrs): KernelText => {
  const { classWeights } = attrs;
  const spread = spreadOf(attrs);
  const terms = termsText(attrs);
  return {
    workgroup: [WORKGROUP, 1, 1],
    declarations: weightsText(classWeights),
    body: `let row = group.x * ${WORKGROUP}u + local;
if (row >= step.rows) { return; }
${readRow(classes)}
let unit = 1.0 / ((own + others) * f32(step.rows));
${terms ? terms.slopes : ''}for (var k = 0u; k < ${classes}u; k++) {
  let d = select(exp(logits(first + k) - maximum), -others, k == label) * unit${spread ? ` + ${moved(classes, spread)}` : ''}${terms ? ` + ${terms.slope}` : ''};
  set_dlogits(first + k, d${classWeights ? ' * class_weights[label]' : ''}${scale ? ` * ${scale}` : ''});
}`,
  };
};

/** What smoothing moves of the truth from the label to the other classes, for logit k. */
const moved = (classes: number, spread: number): string =>
  `select(${f32(-spread / classes)}, ${f32(spread - spread / classes)}, k == label) / f32(step.rows)`;

/**
 * What attributes add to the loss: statements for `added`; and for the gradient, with the text of what they add for logit k. Of the label −push;
 * of others push, by their shares of what is not the label's; and of all `pull`, by their probabilities.
 */
function termsText(attrs: LossAttrs) {
  const given = CROSS_ENTROPY_TERMS.filter(({ name }) => (attrs as Readonly<Record<string, unknown>>)[name]);
  if (given.length === 0) return undefined;
  const values = Object.fromEntries(given.map(({ name }) => [name, (attrs as Readonly<Record<string, unknown>>)[name] as number]));
  const names = { ...values, ...Object.fromEntries(ROW_NAMES.map((name) => [name, name])) };
  const row = `let nll = log(own + others) - margin;
let miss = max(others / (own + others), ${f32(LEAST_MISS)});
let logMiss = log(miss);
let logSum = log(own + others) + maximum;
`;
  const sum = (texts: readonly string[]): string => texts.join(' + ');
  const loss = printWgsl(
    given.map(({ loss }) => loss),
    names,
    1,
  );
  const slopes = printWgsl(
    given.flatMap(({ slopes }) => ROW_NAMES.map((name) => slopes[name])),
    names,
    1,
  );
  const slopeOf = (name: (typeof ROW_NAMES)[number]): string =>
    sum(slopes.texts.filter((_, i) => ROW_NAMES[i % ROW_NAMES.length] === name));
  return {
    loss: `${row}${loss.statements}\nlet added = ${sum(loss.texts)};\n`,
    slopes: `${row}${slopes.statements}
let push = (${slopeOf('nll')}) * miss + (${slopeOf('logMiss')}) * exp(-nll);
let pull = ${slopeOf('logSum')};
let rest = miss * (own + others);
`,
    slope: `(push * select(exp(logits(first + k) - maximum) / rest, -1.0, k == label) + pull * exp(logits(first + k) - logSum)) / f32(step.rows)`,
  };
}
