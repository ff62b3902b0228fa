// The step block: what changes from run to run without being a tensor, one small uniform buffer. The host packs it, every
// kernel declares it.

import type { StepScalars } from '../../runtime/ir/op.ts';

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
  spare: u32,
}
@group(0) @binding(0) var<uniform> step: Step;
`;

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
