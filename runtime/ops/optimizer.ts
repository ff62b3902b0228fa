// The update phase: AdamW in Keras' form, moving averages, the step count. All are gated by `ok`, which `finiteCheck`
// computes from loss and gradients: a step that is not finite changes nothing.

import { BYTES_PER_ELEMENT, elementCount } from '../ir/graph.ts';
import type { OpDefinition } from '../ir/op.ts';
import { accept, elementwiseCost, integer, isInteger, isParameter, operandBytes, sameSpec } from './check.ts';

export interface AdamwAttrs {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

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

export const adamw: OpDefinition = {
  infer(inputs, attrs) {
    const [ok, counter, ...gradients] = inputs;
    const fits = gradients.length >= 1 && isInteger(ok) && isInteger(counter) && gradients.every(isParameter);
    accept('adamw', inputs, fits, 'ok i32 [1], counter i32 [1] and gradients');
    const { beta1, beta2, epsilon } = attrs as unknown as AdamwAttrs;
    const valid = beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1 && epsilon > 0;
    accept('adamw', inputs, valid, `beta1 and beta2 from 0 to below 1 and a positive epsilon (given: ${beta1}, ${beta2}, ${epsilon})`);
    return [];
  },
  reference({ step, inputs, updates }, attrs) {
    const { beta1, beta2, epsilon } = attrs as unknown as AdamwAttrs;
    const [ok, counter, ...gradients] = inputs;
    if (ok.data[0] === 0) return;
    const t = counter.data[0] + 1;
    const alpha = (step.learningRate * Math.sqrt(1 - beta2 ** t)) / (1 - beta1 ** t);
    for (let k = 0; k < gradients.length; k++) {
      const g = gradients[k].data;
      const w = updates[k].data;
      const m = updates[gradients.length + k].data;
      const v = updates[2 * gradients.length + k].data;
      for (let i = 0; i < g.length; i++) {
        w[i] -= w[i] * step.weightDecay * step.learningRate;
        m[i] += (g[i] - m[i]) * (1 - beta1);
        v[i] += (g[i] * g[i] - v[i]) * (1 - beta2);
        // ε outside the root, added to the uncorrected √v: Keras' form, not PyTorch's.
        w[i] -= (m[i] * alpha) / (Math.sqrt(v[i]) + epsilon);
      }
    }
  },
  cost(inputs) {
    const elements = inputs.slice(2).reduce((sum, spec) => sum + elementCount(spec), 0);
    // Gradient read; parameter and both moments read and written.
    return { flops: 14 * elements, bytes: 7 * BYTES_PER_ELEMENT.f32 * elements };
  },
};

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
