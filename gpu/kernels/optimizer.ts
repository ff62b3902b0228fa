// The update phase. Where a gradient is not finite `ok` is 0 and nothing changes: no host needs to look.

import { f32, type KernelText } from './wgsl.ts';

const WORKGROUP = 256;

export const UPDATE_INVOCATIONS = WORKGROUP;
/** Workgroups that look through the gradients at most; each leaves one flag. */
export const CHECK_GROUPS = 128;

/**
 * Leaves in `flags` for each workgroup whether its share of `gradients` (as words of bits) is finite. WGSL may assume that no
 * NaN exists, so that only the bits tell: infinities and NaNs have all bits of the exponent set.
 */
export const finiteGroups: KernelText = {
  workgroup: [WORKGROUP, 1, 1],
  declarations: 'var<workgroup> bad: atomic<u32>;',
  // WGSL promises zero; drivers that are told not to clear workgroup memory do not.
  body: `if (local == 0u) { atomicStore(&bad, 0u); }
workgroupBarrier();
var found = false;
for (var i = group.x * ${WORKGROUP}u + local; i < arrayLength(&gradients_buffer); i += groups.x * ${WORKGROUP}u) {
  found = found || (gradients(i) & 0x7f800000u) == 0x7f800000u;
}
if (found) { atomicStore(&bad, 1u); }
workgroupBarrier();
if (local == 0u) { set_flags(group.x, atomicLoad(&bad)); }`,
};

export interface ScaleRules {
  /** Exponent of the scale whose state is zero. */
  readonly initial: number;
  readonly most: number;
  readonly interval: number;
}

/**
 * ok from the loss and, of `groups` workgroups, the flags. With `rules` it also keeps the loss scale (exponent and good steps): gradients that are not
 * finite where the loss is are an overflow, unless the scale is 1.
 */
export const finiteMerge = (groups: number, rules?: ScaleRules): KernelText => ({
  workgroup: [CHECK_GROUPS, 1, 1],
  declarations: 'var<workgroup> bad: atomic<u32>;',
  body: `if (local == 0u) { atomicStore(&bad, 0u); }
workgroupBarrier();
if (local == 0u && (loss(0u) & 0x7f800000u) == 0x7f800000u) { atomicStore(&bad, 1u); }
${groups ? `if (local < ${groups}u && flags(local) != 0u) { atomicStore(&bad, 1u); }` : ''}
workgroupBarrier();
if (local == 0u) {
  let ok = atomicLoad(&bad) == 0u;
  set_ok(0u, select(0i, 1i, ok));
  ${rules ? nextScale(rules) : ''}
}`,
});

const nextScale = ({ initial, most, interval }: ScaleRules): string => `let exponent = scale(0u) + ${initial}i;
  let good = scale(1u) + 1i;
  let overflows = !ok && (loss(0u) & 0x7f800000u) != 0x7f800000u && exponent > 0i;
  set_overflow(0u, select(0i, exponent, overflows));
  if (overflows) {
    set_scale(0u, exponent - 1i - ${initial}i);
    set_scale(1u, 0i);
  } else if (ok) {
    let grows = good >= ${interval}i;
    set_scale(0u, select(exponent, min(exponent + 1i, max(exponent, ${most}i)), grows) - ${initial}i);
    set_scale(1u, select(good, 0i, grows));
  }`;

/**
 * AdamW over whole flat ranges, whose padding is and stays zero. 1 − β^t is −expm1(t·ln β): by its series near zero, where the
 * difference would cancel.
 */
export const adamw = (beta1: number, beta2: number, epsilon: number): KernelText => ({
  workgroup: [WORKGROUP, 1, 1],
  declarations: `fn oneMinusExp(x: f32) -> f32 {
  if (x < -1.0) { return 1.0 - exp(x); }
  var sum = 1.0;
  for (var k = 12u; k > 1u; k--) { sum = 1.0 + sum * x / f32(k); }
  return -x * sum;
}`,
  body: `if (ok(0u) == 0i) { return; }
let t = f32(counter(0u) + 1i);
let alpha = step.learningRate * sqrt(${correction(beta2)}) / ${correction(beta1)};
for (var i = group.x * ${WORKGROUP}u + local; i < arrayLength(&w_buffer); i += groups.x * ${WORKGROUP}u) {
  let slope = g(i);
  let decayed = w(i) - w(i) * step.weightDecay * step.learningRate;
  let first = m(i) + (slope - m(i)) * ${f32(1 - beta1)};
  let second = v(i) + (slope * slope - v(i)) * ${f32(1 - beta2)};
  set_m(i, first);
  set_v(i, second);
  set_w(i, decayed - first * alpha / (sqrt(second) + ${f32(epsilon)}));
}`,
});

/** 1 − β^t; with β = 0 it is one, for t is at least one. */
const correction = (beta: number): string => (beta === 0 ? '1.0' : `oneMinusExp(t * ${f32(Math.log(beta))})`);

export const countStep: KernelText = {
  workgroup: [1, 1, 1],
  body: 'set_counter(0u, counter(0u) + ok(0u));',
};
