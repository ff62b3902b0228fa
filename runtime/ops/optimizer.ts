// The update phase: the optimizers, moving averages, the step count. All are gated by `ok`, which `finiteCheck`
// computes from loss and gradients: a step that is not finite changes nothing.

import { BYTES_PER_ELEMENT, elementCount } from '../ir/graph.ts';
import type { OpDefinition } from '../ir/op.ts';
import { type GroupRun, oneGroup } from '../optim/groups.ts';
import { ofEach, slotsOf } from '../optim/index.ts';
import type { Constants, Element, OptimizerRule } from '../optim/rule.ts';
import { accept, elementwiseCost, integer, isInteger, isParameter, operandBytes, sameSpec } from './check.ts';

export const finiteCheck: OpDefinition = {
  infer(inputs) {
    accept('finiteCheck', inputs, inputs.length >= 1 && inputs.every(isParameter), 'the loss [1] and gradients');
    return [integer];
  },
  reference({ inputs, outputs }) {
    outputs[0].data[0] = inputs.every(({ data }) => (data as Float64Array).every(Number.isFinite)) ? 1 : 0;
  },
  cost(inputs, outputs, _attrs, rows) {
    return { flops: 0, bytes: operandBytes(inputs, outputs, rows) };
  },
};

/** Of an optimizer's op besides its constants: the groups of the parameters in order; absent, they are one with the factors 1. */
export interface UpdateAttrs {
  readonly groups?: readonly GroupRun[];
}

/** The op of an optimizer: updates parameters…, then those of each slot…, with as many gradients…. */
const updateOf = (rule: OptimizerRule): OpDefinition => ({
  infer(inputs, attrs) {
    const [ok, counter, ...gradients] = inputs;
    const fits = gradients.length >= 1 && isInteger(ok) && isInteger(counter) && gradients.every(isParameter);
    accept(rule.name, inputs, fits, 'ok i32 [1], counter i32 [1] and gradients');
    for (const [name, { kind }] of Object.entries(rule.constants)) kind.check(attrs[name], `${name} of ${rule.name}`);
    const grouped = runsOf(attrs, gradients.length).reduce((sum, { count }) => sum + count, 0);
    accept(rule.name, inputs, grouped === gradients.length, `groups of as many parameters as there are gradients (given: ${grouped})`);
    return [];
  },
  reference({ step, inputs, updates }, attrs) {
    const [ok, counter, ...gradients] = inputs;
    if (ok.data[0] === 0) return;
    const constants = attrs as Constants;
    const slots = slotsOf(rule, constants);
    const at: Element<string> = { w: 0, g: 0 };
    const unkept = Object.fromEntries(rule.slots.filter((name) => !slots.includes(name)).map((name) => [name, 0]));
    let k = 0;
    for (const { count, rate, decay } of runsOf(attrs, gradients.length)) {
      const scalars = { learningRate: step.learningRate * rate, weightDecay: step.weightDecay * decay };
      const apply = rule.step(scalars, constants, counter.data[0] + 1);
      for (const end = k + count; k < end; k++) {
        const g = gradients[k].data;
        const w = updates[k].data;
        const kept = slots.map((name, s) => ({ name, data: updates[(s + 1) * gradients.length + k].data }));
        for (let i = 0; i < g.length; i++) {
          Object.assign(at, { w: w[i], g: g[i] }, unkept);
          for (const { name, data } of kept) at[name] = data[i];
          apply(at);
          w[i] = at.w;
          for (const { name, data } of kept) data[i] = at[name];
        }
      }
    }
  },
  cost(inputs, _outputs, attrs) {
    const elements = inputs.slice(2).reduce((sum, spec) => sum + elementCount(spec), 0);
    // Gradient read; parameter and slots read and written.
    const moved = 3 + 2 * slotsOf(rule, attrs as Constants).length;
    return { flops: rule.flops * elements, bytes: moved * BYTES_PER_ELEMENT.f32 * elements };
  },
});

/** The groups of an optimizer's op. */
export const runsOf = (attrs: UpdateAttrs, parameters: number): readonly GroupRun[] => attrs.groups ?? oneGroup(parameters);

/** The op of each optimizer, by its name. */
export const updateOps = ofEach(updateOf);

export const movingAverage: OpDefinition = {
  infer(inputs) {
    const [ok, mean, variance] = inputs;
    const fits = inputs.length === 3 && isInteger(ok) && isParameter(mean) && mean.shape.length === 1 && sameSpec(mean, variance);
    accept('movingAverage', inputs, fits, 'ok i32 [1], mean [C], variance [C]');
    return [];
  },
  reference({ step, inputs, updates }) {
    if (inputs[0].data[0] === 0) return;
    for (let k = 0; k < 2; k++) {
      const [batch, moving] = [inputs[1 + k].data, updates[k].data];
      for (let c = 0; c < moving.length; c++) moving[c] = moving[c] * step.bnMomentum + batch[c] * (1 - step.bnMomentum);
    }
  },
  cost(inputs) {
    // Batch statistics read; moving statistics read and written.
    return { flops: 6 * elementCount(inputs[1]), bytes: 6 * BYTES_PER_ELEMENT.f32 * elementCount(inputs[1]) };
  },
};

export const countStep: OpDefinition = {
  infer(inputs) {
    accept('countStep', inputs, inputs.length === 1 && isInteger(inputs[0]), 'ok i32 [1]');
    return [];
  },
  reference({ inputs, updates }) {
    updates[0].data[0] += inputs[0].data[0];
  },
  cost: elementwiseCost(1),
};
