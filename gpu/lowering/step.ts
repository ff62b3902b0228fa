// The step block: what changes from run to run without being a tensor, one small uniform buffer. The host packs it, every
// kernel declares it.

import { SCALARS, STEP_HEAD, STEP_WORDS, type StepScalars, writeStep } from '../../runtime/ir/step.ts';
import { INITIAL_EXPONENT } from './loss-scale.ts';

/**
 * Where `lossExponent` is in the block, its last word: the first word of the state of the loss scale, which the host has copied here on
 * the GPU, before a run that makes gradients.
 */
export const LOSS_EXPONENT_OFFSET = 4 * STEP_WORDS;

/** Bytes of the block. */
export const STEP_BYTES = LOSS_EXPONENT_OFFSET + 4;

const member = (name: string, type: string): string => `  ${name}: ${type},\n`;

/** The block in WGSL; part of every kernel's module. */
export const STEP_WGSL = `struct Step {
${Object.keys(STEP_HEAD)
  .map((name) => member(name, 'u32'))
  .join('')}${SCALARS.map((name) => member(name, 'f32')).join('')}  lossExponent: i32,
}
@group(0) @binding(0) var<uniform> step: Step;
`;

/** Expression for the loss scale to the power of `sign`, exactly: a power of two made of its exponent. */
export const lossScale = (sign: 1 | -1): string =>
  `bitcast<f32>(u32(127i ${sign === 1 ? '+' : '-'} (${INITIAL_EXPONENT}i + step.lossExponent)) << 23u)`;

/** Writes the block for a run into `out`, of STEP_BYTES bytes. */
export function packStep(step: StepScalars, out: ArrayBuffer): void {
  writeStep(out, 0, step);
  new Int32Array(out, LOSS_EXPONENT_OFFSET, 1)[0] = 0;
}
