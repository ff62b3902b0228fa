// The update phase. Where a gradient is not finite `ok` is 0 and nothing changes: no host needs to look.

import type { Constants } from '../../runtime/base/constants.ts';
import type { ConstantsOf, FlatName } from '../../runtime/optim/index.ts';
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

/** Leaves in `sums` for each workgroup the squares of its share of `gradients`. */
export const squareGroups: KernelText = {
  workgroup: [WORKGROUP, 1, 1],
  declarations: `var<workgroup> parts: array<f32, ${WORKGROUP}>;`,
  body: `var own = 0.0;
for (var i = group.x * ${WORKGROUP}u + local; i < arrayLength(&gradients_buffer); i += groups.x * ${WORKGROUP}u) {
  own += gradients(i) * gradients(i);
}
parts[local] = own;
workgroupBarrier();
if (local == 0u) {
  var sum = 0.0;
  for (var k = 0u; k < ${WORKGROUP}u; k++) { sum += parts[k]; }
  set_sums(group.x, sum);
}`,
};

/** scale = norm over the length of all gradients, of whose squares `groups` workgroups left sums, where they are longer; else 1. */
export const squareMerge = (groups: number, norm: number): KernelText => ({
  workgroup: [1, 1, 1],
  body: `var sum = 0.0;
for (var k = 0u; k < ${groups}u; k++) { sum += sums(k); }
let size = sqrt(sum);
set_scale(0u, select(1.0, ${f32(norm)} / size, size > ${f32(norm)}));`,
});

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

/** What of an update differs from optimizer to optimizer. */
interface UpdateText {
  readonly declarations?: string;
  /** Before the elements of a group: what follows from `rate`, `decay` (those of the group) and `t`, the number of the step, from 1 on. */
  readonly prepare?: string;
  /** For element `i`: sets w and the slots, from them and `slope`, the gradient. */
  readonly element: string;
}

const UPDATES: { readonly [N in FlatName]: (constants: ConstantsOf<N>) => UpdateText } = {
  /** 1 − β^t is −expm1(t·ln β): by its series near zero, where the difference would cancel. */
  adamw: ({ beta1, beta2, epsilon }) => ({
    declarations: `fn oneMinusExp(x: f32) -> f32 {
  if (x < -1.0) { return 1.0 - exp(x); }
  var sum = 1.0;
  for (var k = 12u; k > 1u; k--) { sum = 1.0 + sum * x / f32(k); }
  return -x * sum;
}`,
    prepare: `let alpha = rate * sqrt(${correction(beta2)}) / ${correction(beta1)};`,
    element: `let decayed = w(i) - w(i) * decay * rate;
  let first = moment1(i) + (slope - moment1(i)) * ${f32(1 - beta1)};
  let second = moment2(i) + (slope * slope - moment2(i)) * ${f32(1 - beta2)};
  set_moment1(i, first);
  set_moment2(i, second);
  set_w(i, decayed - first * alpha / (sqrt(second) + ${f32(epsilon)}));`,
  }),
  sgd: ({ momentum, nesterov }) => {
    const ahead = nesterov ? `next * ${f32(momentum)} - change` : 'next';
    return {
      element: `let change = slope * rate;
  let decayed = w(i) - w(i) * decay * rate;
  ${
    momentum === 0
      ? 'set_w(i, decayed - change);'
      : `let next = velocity(i) * ${f32(momentum)} - change;
  set_velocity(i, next);
  set_w(i, decayed + (${ahead}));`
  }`,
    };
  },
  lion: ({ beta1, beta2 }) => ({
    element: `let decayed = w(i) - w(i) * decay * rate;
  set_w(i, decayed - rate * sign(momentum(i) * ${f32(beta1)} + slope * ${f32(1 - beta1)}));
  set_momentum(i, momentum(i) * ${f32(beta2)} + slope * ${f32(1 - beta2)});`,
  }),
};

/** Elements of the flat ranges, and the factors of their rates. */
export interface UpdateGroup {
  readonly begin: number;
  readonly end: number;
  readonly rate: number;
  readonly decay: number;
}

/** An optimizer over whole flat ranges, whose padding is and stays zero, group by group; `isScaled`: the gradients times `scale`. */
export function update(name: FlatName, constants: Constants, groups: readonly UpdateGroup[], isScaled = false): KernelText {
  const { declarations, prepare = '', element } = (UPDATES[name] as (constants: Constants) => UpdateText)(constants);
  const scaled = (scalar: string, factor: number): string => (factor === 1 ? scalar : `${scalar} * ${f32(factor)}`);
  const blocks = groups.map(
    ({ begin, end, rate, decay }) => `{
let rate = ${scaled('step.learningRate', rate)};
let decay = ${scaled('step.weightDecay', decay)};
${prepare}
for (var i = ${begin}u + group.x * ${WORKGROUP}u + local; i < ${end}u; i += groups.x * ${WORKGROUP}u) {
  let slope = g(i)${isScaled ? ' * factor' : ''};
  ${element}
}
}`,
  );
  return {
    workgroup: [WORKGROUP, 1, 1],
    declarations,
    body: `if (ok(0u) == 0i) { return; }
let t = f32(counter(0u) + 1i);
${isScaled ? 'let factor = scale(0u);\n' : ''}${blocks.join('\n')}`,
  };
}

/** 1 − β^t; with β = 0 it is one, for t is at least one. */
const correction = (beta: number): string => (beta === 0 ? '1.0' : `oneMinusExp(t * ${f32(Math.log(beta))})`);

export const countStep: KernelText = {
  workgroup: [1, 1, 1],
  body: 'set_counter(0u, counter(0u) + ok(0u));',
};
