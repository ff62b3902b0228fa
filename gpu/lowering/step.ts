// The step block: what changes from run to run without being a tensor, one small uniform buffer. The host packs it, every
// kernel declares it.

import type { StepScalars } from '../../runtime/ir/op.ts';
import { INITIAL_EXPONENT } from './loss-scale.ts';

/** Bytes of the block: eight words. */
export const STEP_BYTES = 32;

/** The block in WGSL; part of every kernel's module. */
export const STEP_WGSL = `struct Step {
  rows: u32,
  epoch: u32,
  seedLow: u32,
  seedHigh: u32,
  learningRate: f32,
  weightDecay: f32,
  bnMomentum: f32,
  lossExponent: i32,
}
@group(0) @binding(0) var<uniform> step: Step;
`;

/**
 * Where `lossExponent` is in the block: the first word of the state of the loss scale, which the host has copied here on the GPU, before a run that
 * makes gradients.
 */
export const LOSS_EXPONENT_OFFSET = 28;

/** Expression for the loss scale to the power of `sign`, exactly: a power of two made of its exponent. */
export const lossScale = (sign: 1 | -1): string =>
  `bitcast<f32>(u32(127i ${sign === 1 ? '+' : '-'} (${INITIAL_EXPONENT}i + step.lossExponent)) << 23u)`;

/** Writes the block for a run into `out`, of STEP_BYTES bytes. */
export function packStep(step: StepScalars, out: ArrayBuffer): void {
  const words = new Uint32Array(out);
  const floats = new Float32Array(out);
  words[0] = step.rows;
  words[1] = step.epoch;
  words[2] = Number(BigInt.asUintN(32, step.seed));
  words[3] = Number(BigInt.asUintN(32, step.seed >> 32n));
  floats[4] = step.learningRate;
  floats[5] = step.weightDecay;
  floats[6] = step.bnMomentum;
  words[7] = 0;
}
