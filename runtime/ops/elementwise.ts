// Ops that work element by element, their gradients, and what goes with them: rescaling, bias, activations, addition,
// reshaping, dropout.

import { philox4x32, philoxKey } from '../base/philox.ts';
import { elementCount } from '../ir/graph.ts';
import type { OpDefinition } from '../ir/op.ts';
import {
  accept,
  activation,
  channelsOf,
  elementwiseCost,
  isActivation,
  isPerSampleIndex,
  isPositiveInteger,
  isVector,
  parameter,
  sameSpec,
  throughFirstOutput,
} from './check.ts';
import { erf } from './erf.ts';

/** gelu(x) = x·Φ(x), in the exact form with erf. */
export const gelu = (x: number): number => 0.5 * x * (1 + erf(x * Math.SQRT1_2));

/** gelu'(x) = Φ(x) + x·φ(x). */
export const geluDerivative = (x: number): number =>
  0.5 * (1 + erf(x * Math.SQRT1_2)) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);

export const rescale: OpDefinition = {
  infer(inputs, attrs) {
    const [x] = inputs;
    const fits = inputs.length === 1 && x.dtype === 'u8' && x.perSample && Number.isFinite(attrs.scale);
    accept('rescale', inputs, fits, `x u8 [n, …] and a finite scale (given: ${attrs.scale})`);
    return [activation(x.shape)];
  },
  reference({ inputs, outputs }, attrs) {
    const scale = Math.fround(attrs.scale as number);
    const [x, y] = [inputs[0].data, outputs[0].data];
    for (let i = 0; i < y.length; i++) y[i] = x[i] * scale;
  },
  cost: elementwiseCost(1),
};

export const bias: OpDefinition = {
  infer(inputs) {
    const [x, b] = inputs;
    accept('bias', inputs, inputs.length === 2 && isActivation(x) && isVector(b, channelsOf(x.shape)), 'x [n, …, C], b [C]');
    return [x];
  },
  gradient: throughFirstOutput((g, _node, dy, wanted) => [wanted[0] ? dy : null, wanted[1] ? g.one('biasGrad', [dy]) : null]),
  reference({ inputs, outputs }) {
    const [x, b, y] = [inputs[0].data, inputs[1].data, outputs[0].data];
    for (let i = 0; i < y.length; i += b.length) for (let c = 0; c < b.length; c++) y[i + c] = x[i + c] + b[c];
  },
  cost: elementwiseCost(1),
  inPlace: 0,
};

export const biasGrad: OpDefinition = {
  infer(inputs) {
    const [dy] = inputs;
    accept('biasGrad', inputs, inputs.length === 1 && isActivation(dy), 'dy [n, …, C]');
    return [parameter([channelsOf(dy.shape)])];
  },
  reference({ inputs, outputs }) {
    const [dy, db] = [inputs[0].data, outputs[0].data];
    for (let i = 0; i < dy.length; i += db.length) for (let c = 0; c < db.length; c++) db[c] += dy[i + c];
  },
  cost: elementwiseCost(1),
};

export const geluOp: OpDefinition = {
  infer(inputs) {
    accept('gelu', inputs, inputs.length === 1 && isActivation(inputs[0]), 'x [n, …]');
    return [inputs[0]];
  },
  gradient: throughFirstOutput((g, node, dy, wanted) => [
    wanted[0] ? g.one('geluGrad', [dy, node.inputs[0]], { from: 'input' } satisfies GeluGradAttrs) : null,
  ]),
  reference({ inputs, outputs }) {
    const [x, y] = [inputs[0].data, outputs[0].data];
    for (let i = 0; i < y.length; i++) y[i] = gelu(x[i]);
  },
  cost: elementwiseCost(20),
  inPlace: 0,
};

export type GeluGradAttrs = {
  /** What the second input is: x, or gelu'(x) that the forward pass stored. */
  readonly from: 'input' | 'derivative';
};

export const geluGrad: OpDefinition = {
  infer(inputs, attrs) {
    const fits = inputs.length === 2 && isActivation(inputs[0]) && sameSpec(inputs[0], inputs[1]);
    const known = attrs.from === 'input' || attrs.from === 'derivative';
    accept('geluGrad', inputs, fits && known, `dy, x of one shape and from: input or derivative (given: ${attrs.from})`);
    return [inputs[0]];
  },
  reference({ inputs, outputs }, attrs) {
    const [dy, x, dx] = [inputs[0].data, inputs[1].data, outputs[0].data];
    const stored = attrs.from === 'derivative';
    for (let i = 0; i < dx.length; i++) dx[i] = dy[i] * (stored ? x[i] : geluDerivative(x[i]));
  },
  cost: (inputs, outputs, attrs, rows) => elementwiseCost(attrs.from === 'derivative' ? 1 : 25)(inputs, outputs, attrs, rows),
  inPlace: 0,
};

export const relu: OpDefinition = {
  infer(inputs) {
    accept('relu', inputs, inputs.length === 1 && isActivation(inputs[0]), 'x [n, …]');
    return [inputs[0]];
  },
  // y > 0 exactly where x > 0, so that x need not be kept.
  gradient: throughFirstOutput((g, node, dy, wanted) => [wanted[0] ? g.one('reluGrad', [dy, node.outputs[0]]) : null]),
  reference({ inputs, outputs }) {
    const [x, y] = [inputs[0].data, outputs[0].data];
    for (let i = 0; i < y.length; i++) y[i] = Math.max(x[i], 0);
  },
  cost: elementwiseCost(1),
  inPlace: 0,
};

export const reluGrad: OpDefinition = {
  infer(inputs) {
    const fits = inputs.length === 2 && isActivation(inputs[0]) && sameSpec(inputs[0], inputs[1]);
    accept('reluGrad', inputs, fits, 'dy, y of one shape');
    return [inputs[0]];
  },
  reference({ inputs, outputs }) {
    const [dy, y, dx] = [inputs[0].data, inputs[1].data, outputs[0].data];
    for (let i = 0; i < dx.length; i++) dx[i] = y[i] > 0 ? dy[i] : 0;
  },
  cost: elementwiseCost(1),
  inPlace: 0,
};

export const add: OpDefinition = {
  infer(inputs) {
    const fits = inputs.length === 2 && isActivation(inputs[0]) && sameSpec(inputs[0], inputs[1]);
    accept('add', inputs, fits, 'a, b of one shape');
    return [inputs[0]];
  },
  gradient: throughFirstOutput((_g, _node, dy, wanted) => [wanted[0] ? dy : null, wanted[1] ? dy : null]),
  reference({ inputs, outputs }) {
    const [a, b, y] = [inputs[0].data, inputs[1].data, outputs[0].data];
    for (let i = 0; i < y.length; i++) y[i] = a[i] + b[i];
  },
  cost: elementwiseCost(1),
  inPlace: 0,
};

export const reshape: OpDefinition = {
  infer(inputs, attrs) {
    const [x] = inputs;
    const shape = attrs.shape as readonly number[];
    const fits = inputs.length === 1 && Array.isArray(shape) && elementCount({ ...x, shape }) === elementCount(x);
    accept('reshape', inputs, fits, `x with as many elements as shape [${shape}]`);
    return [{ ...x, shape }];
  },
  gradient: throughFirstOutput((g, node, dy, wanted) => [
    wanted[0] ? g.one('reshape', [dy], { shape: g.spec(node.inputs[0]).shape }) : null,
  ]),
  reference({ inputs, outputs }) {
    outputs[0].data.set(inputs[0].data);
  },
  cost: () => ({ flops: 0, bytes: 0 }),
  isView: true,
};

export interface DropoutAttrs {
  /** Share of the elements that become 0; the others are multiplied by f32(1/(1 − rate)). */
  readonly rate: number;
  /** Third word of the Philox counter: 16 + k for the k-th dropout layer. */
  readonly purpose: number;
}

/** An element is kept if its random word is at least this: rate·2³², rounded up to a word. */
export const dropoutThreshold = (rate: number): number => Math.ceil(rate * 2 ** 32);

/** What kept elements are multiplied by: an f32 constant, the same on every device. */
export const dropoutScale = (rate: number): number => Math.fround(1 / (1 - rate));

export const dropout: OpDefinition = {
  infer(inputs, attrs) {
    const { rate, purpose } = attrs as unknown as DropoutAttrs;
    const [x, samples] = inputs;
    const fits = inputs.length === 2 && isActivation(x) && isPerSampleIndex(samples);
    accept('dropout', inputs, fits, 'x [n, …], samples i32 [n]');
    const valid = rate >= 0 && rate < 1 && isPositiveInteger(purpose);
    accept('dropout', inputs, valid, `a rate from 0 to below 1 and a positive purpose (given: ${rate}, ${purpose})`);
    return [x];
  },
  // The mask is a function of the counter: drawing it again is cheaper than keeping it.
  gradient: throughFirstOutput((g, node, dy, wanted) => [wanted[0] ? g.one('dropout', [dy, node.inputs[1]], node.attrs) : null, null]),
  reference({ step, inputs, outputs }, attrs) {
    const { rate, purpose } = attrs as unknown as DropoutAttrs;
    const [x, samples, y] = [inputs[0].data, inputs[1].data, outputs[0].data];
    const threshold = dropoutThreshold(rate);
    const scale = dropoutScale(rate);
    const key = philoxKey(step.seed);
    const words = new Uint32Array(4);
    const perSample = y.length / step.rows;
    for (let n = 0; n < step.rows; n++) {
      for (let e = 0; e < perSample; e++) {
        if (e % 4 === 0) philox4x32(key, [samples[n], step.epoch, purpose, e / 4], words);
        y[n * perSample + e] = words[e % 4] >= threshold ? x[n * perSample + e] * scale : 0;
      }
    }
  },
  cost: elementwiseCost(30),
  inPlace: 0,
};
