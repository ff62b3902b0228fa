// Softmax cross-entropy. The maximum of a row is taken out first, and the gradient of the right class is minus the sum of the
// other probabilities, not one less than its own: nothing overflows and nothing cancels, however sure the network is.

import { f32, type KernelText } from './wgsl.ts';

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
export function softmaxCrossEntropy(
  classes: number,
  barriers: boolean,
  smoothing: number,
  classWeights: readonly number[] | undefined,
): KernelText {
  const invocations = barriers ? LOSS_ROWS : 1;
  const sum = `var sum = vec2f();
for (var row = local; row < step.rows; row += ${invocations}u) {
${readRow(classes)}
${smoothing ? smoothed(classes, smoothing) : ''}  sum += vec2f(${classWeights ? 'class_weights[label] * (' : ''}log(own + others) - margin${smoothing ? ' + extra' : ''}${classWeights ? ')' : ''}, f32(best == label));
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
const smoothed = (classes: number, smoothing: number): string => `var mean = 0.0;
for (var k = 0u; k < ${classes}u; k++) { mean += (logits(first + k) - maximum) / ${f32(classes)}; }
let extra = ${f32(smoothing)} * (margin - mean);
`;

/** `scale`: expression for a power of two by which the gradient is multiplied. */
export const softmaxCrossEntropyGrad = (
  classes: number,
  scale: string | undefined,
  smoothing: number,
  classWeights: readonly number[] | undefined,
): KernelText => ({
  workgroup: [WORKGROUP, 1, 1],
  declarations: weightsText(classWeights),
  body: `let row = group.x * ${WORKGROUP}u + local;
if (row >= step.rows) { return; }
${readRow(classes)}
let unit = 1.0 / ((own + others) * f32(step.rows));
for (var k = 0u; k < ${classes}u; k++) {
  let d = select(exp(logits(first + k) - maximum), -others, k == label) * unit${smoothing ? ` + ${moved(classes, smoothing)}` : ''};
  set_dlogits(first + k, d${classWeights ? ' * class_weights[label]' : ''}${scale ? ` * ${scale}` : ''});
}`,
});

/** What smoothing moves of the truth from the label to the other classes, for logit k. */
const moved = (classes: number, smoothing: number): string =>
  `select(${f32(-smoothing / classes)}, ${f32(smoothing - smoothing / classes)}, k == label) / f32(step.rows)`;
