// The update phase: the optimizers, moving averages, the step count. All are gated by `ok`, which `finiteCheck`
// computes from loss and gradients: a step that is not finite changes nothing.

import type { Constants, ConstantTable } from '../base/constants.ts';
import { from0, type Kind } from '../base/kinds.ts';
import { defineOp } from '../ir/define-op.ts';
import { type Attribute, attr, list, need, optional, type Schema } from '../ir/signature.ts';
import { BYTES_PER_ELEMENT, elementCount } from '../ir/tensor.ts';
import { type GroupRun, oneGroup } from '../optim/groups.ts';
import { ofEach, slotsOf } from '../optim/index.ts';
import type { Element, OptimizerRule } from '../optim/rule.ts';
import { integer, kinds, parameter, sameSpec } from './check.ts';

const finiteCheck = defineOp({
  doc: 'ok = 1 where the loss and all gradients are finite, else 0 (by bit patterns)',
  inputs: { loss: kinds.parameter, gradients: optional(list(kinds.parameter)) },
  outputs: { ok: kinds.integer },
  infer: () => ({ ok: integer }),
  reference({ inputs: { loss, gradients = [] }, outputs: { ok } }) {
    ok.data[0] = [loss, ...gradients].every(({ data }) => (data as Float64Array).every(Number.isFinite)) ? 1 : 0;
  },
  flops: () => 0,
});

const gradientScale = defineOp({
  doc: 'scale = what brings the gradients, taken together as one vector, down to the length `norm`: norm / ‖gradients‖ where they are longer, else 1',
  inputs: { gradients: list(kinds.parameter) },
  outputs: { scale: kinds.scalar },
  attrs: { norm: attr.positive },
  infer: () => ({ scale: parameter([1]) }),
  reference({ inputs: { gradients }, outputs: { scale } }, { norm }) {
    let sum = 0;
    for (const { data } of gradients) for (let i = 0; i < data.length; i++) sum += Number(data[i]) ** 2;
    scale.data[0] = Math.min(1, norm / Math.sqrt(sum));
  },
  flops: ({ gradients }) => 2 * gradients.reduce((sum, spec) => sum + elementCount(spec), 0),
});

/** Of an optimizer's op besides its constants: the groups of the parameters in order; absent, they are one with the factors 1. */
export interface UpdateAttrs {
  readonly groups?: readonly GroupRun[];
}

/** The groups of an optimizer's op. */
export const runsOf = (attrs: UpdateAttrs, parameters: number): readonly GroupRun[] => attrs.groups ?? oneGroup(parameters);

const groupsAttr = attr.optional(
  attr.custom<readonly GroupRun[]>('groups of parameters: {count, rate, decay}', (value) => Array.isArray(value)),
);

/** An attribute of a kind of settings. */
const ofKind = <T extends number | boolean>(kind: Kind<T>): Attribute<T> =>
  attr.custom<T>(kind.expected, (value) => {
    try {
      kind.check(value, '');
      return true;
    } catch {
      return false;
    }
  });

/** The constants of an optimizer as attributes. */
export const constantAttrs = (table: ConstantTable): Schema =>
  Object.fromEntries(Object.entries(table).map(([name, { kind }]) => [name, ofKind(kind)]));

/** A factor on the learning rate or the weight decay. */
export const factorAttr = attr.otherwise(1, ofKind(from0));

/** The op of an optimizer: updates parameters…, then those of each slot…, with as many gradients…. */
const updateOf = (rule: OptimizerRule) =>
  defineOp({
    doc: `a step of the optimizer ${rule.name} with all parameters, where ok is 1; updates are the parameters, then ${rule.slots.join(', then ')} of each`,
    // `scale`: of the gradients; absent: 1.
    inputs: { ok: kinds.integer, counter: kinds.integer, gradients: list(kinds.parameter), scale: optional(kinds.scalar) },
    outputs: {},
    updates: { state: list(kinds.parameter) },
    attrs: {
      ...constantAttrs(rule.constants),
      groups: groupsAttr,
    },
    infer({ gradients }, attrs) {
      const grouped = runsOf(attrs as UpdateAttrs, gradients.length).reduce((sum, { count }) => sum + count, 0);
      need(grouped === gradients.length, `groups of as many parameters as there are gradients (given: ${grouped})`);
      return {};
    },
    reference({ step, inputs: { ok, counter, gradients, scale }, updates: { state } }, attrs) {
      if (ok.data[0] === 0) return;
      const factor = scale ? Number(scale.data[0]) : 1;
      const constants = attrs as unknown as Constants;
      const slots = slotsOf(rule, constants);
      const unkept = Object.fromEntries(rule.slots.filter((name) => !slots.includes(name)).map((name) => [name, 0]));
      const at: Element<string> = { w: 0, g: 0 };
      let k = 0;
      for (const { count, rate, decay } of runsOf(attrs as UpdateAttrs, gradients.length)) {
        const scalars = { learningRate: step.learningRate * rate, weightDecay: step.weightDecay * decay };
        const apply = rule.step(scalars, constants, counter.data[0] + 1);
        for (const end = k + count; k < end; k++) {
          const g = gradients[k].data;
          const w = state[k].data;
          const kept = slots.map((name, s) => ({ name, data: state[(s + 1) * gradients.length + k].data }));
          for (let i = 0; i < g.length; i++) {
            Object.assign(at, { w: w[i], g: g[i] * factor }, unkept);
            for (const { name, data } of kept) at[name] = data[i];
            apply(at);
            w[i] = at.w;
            for (const { name, data } of kept) data[i] = at[name];
          }
        }
      }
    },
    flops: ({ gradients }) => rule.flops * gradients.reduce((sum, spec) => sum + elementCount(spec), 0),
    bytes({ gradients }, attrs) {
      // Gradient read; parameter and slots read and written.
      const moved = 3 + 2 * slotsOf(rule, attrs as unknown as Constants).length;
      return moved * BYTES_PER_ELEMENT.f32 * gradients.reduce((sum, spec) => sum + elementCount(spec), 0);
    },
  });

/** The op of each optimizer, by its name. */
export const updateOps = ofEach(updateOf);

const movingAverage = defineOp({
  doc: "moving mean and variance ← moving·m + batch·(1 − m), m the momentum or, without one, the run's bnMomentum, where ok is 1",
  inputs: { ok: kinds.integer, mean: kinds.vector, variance: kinds.vector },
  outputs: {},
  updates: { movingMean: kinds.vector, movingVariance: kinds.vector },
  attrs: { momentum: attr.optional(attr.fraction) },
  infer({ mean, variance }) {
    need(sameSpec(mean, variance), 'mean and variance of one length');
    return {};
  },
  reference({ step, inputs: { ok, mean, variance }, updates: { movingMean, movingVariance } }, { momentum = step.bnMomentum }) {
    if (ok.data[0] === 0) return;
    for (const [batch, moving] of [
      [mean.data, movingMean.data],
      [variance.data, movingVariance.data],
    ])
      for (let c = 0; c < moving.length; c++) moving[c] = moving[c] * momentum + batch[c] * (1 - momentum);
  },
  flops: ({ mean }) => 6 * elementCount(mean),
  // Batch statistics read; moving statistics read and written.
  bytes: ({ mean }) => 6 * BYTES_PER_ELEMENT.f32 * elementCount(mean),
});

const countStep = defineOp({
  doc: 'counter ← counter + ok',
  inputs: { ok: kinds.integer },
  outputs: {},
  updates: { counter: kinds.integer },
  infer: () => ({}),
  reference({ inputs: { ok }, updates: { counter } }) {
    counter.data[0] += ok.data[0];
  },
});

export const updates = { finiteCheck, gradientScale, ...updateOps, movingAverage, countStep };
