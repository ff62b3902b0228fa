// Ops that work element by element, their gradients, and what goes with them: rescaling, bias, activations, addition,
// reshaping, dropout.

import { philox4x32, philoxKey } from '../base/philox.ts';
import { defineOp } from '../ir/define-op.ts';
import { costOfExpression } from '../ir/expression.ts';
import { type Attribute, attr, need, operand, type Schema } from '../ir/signature.ts';
import { elementCount } from '../ir/tensor.ts';
import { ACTIVATION_NAMES, ACTIVATIONS, type Activation, type ActivationFormulas, activationFunctions } from './activations.ts';
import { activation, channelsOf, isActivation, isParameter, isVector, kinds, parameter, perElement, sameSpec } from './check.ts';

const { features } = kinds;

const rescale = defineOp({
  doc: 'y = f32(x)·f32(scale) + f32(offset)',
  inputs: { x: kinds.bytes },
  outputs: { y: features },
  attrs: { scale: attr.number, offset: attr.otherwise(0, attr.number) },
  infer: ({ x }) => ({ y: activation(x.shape) }),
  reference({ inputs: { x }, outputs: { y } }, attrs) {
    const [scale, offset] = [Math.fround(attrs.scale), Math.fround(attrs.offset ?? 0)];
    for (let i = 0; i < y.data.length; i++) y.data[i] = x.data[i] * scale + offset;
  },
  traits: { is: 'rescale' },
});

const bias = defineOp({
  doc: 'y = x + b, for each channel',
  inputs: { x: features, b: kinds.vector },
  outputs: { y: features },
  infer({ x, b }) {
    need(isVector(b, channelsOf(x.shape)), `x [n, …, C], b [C]`);
    return { y: x };
  },
  gradient: (g, { d: { y } }) => ({ x: () => y ?? null, b: () => g.one('biasGrad', [y as number]) }),
  reference({ inputs: { x, b }, outputs: { y } }) {
    const channels = b.data.length;
    for (let i = 0; i < y.data.length; i += channels) for (let c = 0; c < channels; c++) y.data[i + c] = x.data[i + c] + b.data[c];
  },
  traits: { is: 'bias', inPlace: 'x' },
});

const biasGrad = defineOp({
  doc: 'db = Σdy over rows and pixels',
  inputs: { dy: features },
  outputs: { db: kinds.vector },
  infer: ({ dy }) => ({ db: parameter([channelsOf(dy.shape)]) }),
  reference({ inputs: { dy }, outputs: { db } }) {
    const channels = db.data.length;
    for (let i = 0; i < dy.data.length; i += channels) for (let c = 0; c < channels; c++) db.data[c] += dy.data[i + c];
  },
  traits: { is: 'biasGrad' },
});

/** Kinds of the parameters of an activation, as attributes of its ops. */
const attributesOf = ({ parameters }: ActivationFormulas): Schema =>
  Object.fromEntries(Object.entries(parameters).map(([name, { usual, kind }]) => [name, attr.otherwise(usual, kind)]));

function activationOp(name: Activation) {
  const formulas = ACTIVATIONS[name];
  return defineOp({
    doc: formulas.doc,
    inputs: { x: features },
    outputs: { y: features },
    attrs: attributesOf(formulas),
    infer: ({ x }) => ({ y: x }),
    gradient: (g, { args: { x }, results: { y }, attrs, d }) => ({
      x: () => {
        if (formulas.slopeOf === 'y') return g.one(`${name}Grad`, { dy: d.y, y }, attrs);
        return g.one(`${name}Grad`, { dy: d.y, x }, { from: 'input', ...attrs });
      },
    }),
    reference({ inputs: { x }, outputs: { y } }, attrs) {
      const of = activationFunctions(name, attrs);
      for (let i = 0; i < y.data.length; i++) y.data[i] = of.y(x.data[i]);
    },
    flops: perElement(costOfExpression(formulas.y)),
    traits: { is: 'activation', inPlace: 'x' },
  });
}

/** Of an activation whose slope is a function of x. */
function gradientFromX(name: Activation) {
  const formulas = ACTIVATIONS[name];
  return defineOp({
    doc: `dx of \`${name}\`, dy·slope(x); from: derivative: x is the slope itself, that the forward pass stored, and dx = dy·x`,
    inputs: { dy: features, x: features },
    outputs: { dx: features },
    attrs: { from: attr.choice('input', 'derivative'), ...attributesOf(formulas) } as { from: Attribute<'input' | 'derivative'> } & Schema,
    infer({ dy, x }) {
      need(sameSpec(dy, x), 'dy, x of one shape');
      return { dx: dy };
    },
    reference({ inputs: { dy, x }, outputs: { dx } }, { from, ...parameters }) {
      const { slope } = activationFunctions(name, parameters);
      const stored = from === 'derivative';
      for (let i = 0; i < dx.data.length; i++) dx.data[i] = dy.data[i] * (stored ? x.data[i] : slope(x.data[i]));
    },
    flops: (specs, attrs, rows) => perElement(attrs.from === 'derivative' ? 1 : costOfExpression(formulas.slope))(specs, attrs, rows),
    traits: { is: 'activationGrad', inPlace: 'dy' },
  });
}

/** Of an activation whose slope is a function of y, so that x need not be kept. */
function gradientFromY(name: Activation) {
  const formulas = ACTIVATIONS[name];
  return defineOp({
    doc: `dx of \`${name}\`, dy·slope, which y tells`,
    inputs: { dy: features, y: features },
    outputs: { dx: features },
    attrs: attributesOf(formulas),
    infer({ dy, y }) {
      need(sameSpec(dy, y), 'dy, y of one shape');
      return { dx: dy };
    },
    reference({ inputs: { dy, y }, outputs: { dx } }, attrs) {
      const { slope } = activationFunctions(name, attrs);
      for (let i = 0; i < dx.data.length; i++) {
        const factor = slope(y.data[i]);
        dx.data[i] = factor === 0 ? 0 : dy.data[i] * factor;
      }
    },
    flops: perElement(costOfExpression(formulas.slope)),
    traits: { inPlace: 'dy' },
  });
}

type ActivationOp = ReturnType<typeof activationOp>;
type ActivationGradientOp = ReturnType<typeof gradientFromX> | ReturnType<typeof gradientFromY>;

/** Two ops of each activation: `silu`, `siluGrad`. */
const activations = Object.fromEntries(
  ACTIVATION_NAMES.flatMap((name): [string, ActivationOp | ActivationGradientOp][] => [
    [name, activationOp(name)],
    [`${name}Grad`, ACTIVATIONS[name].slopeOf === 'x' ? gradientFromX(name) : gradientFromY(name)],
  ]),
) as { readonly [K in Activation]: ActivationOp } & { readonly [K in `${Activation}Grad`]: ActivationGradientOp };

const add = defineOp({
  doc: 'y = a + b',
  inputs: { a: features, b: features },
  outputs: { y: features },
  infer({ a, b }) {
    need(sameSpec(a, b), 'a, b of one shape');
    return { y: a };
  },
  gradient: (_g, { d: { y = null } }) => ({ a: () => y, b: () => y }),
  reference({ inputs: { a, b }, outputs: { y } }) {
    for (let i = 0; i < y.data.length; i++) y.data[i] = a.data[i] + b.data[i];
  },
  traits: { is: 'add', inPlace: 'a' },
});

const subtract = defineOp({
  doc: 'y = a − b',
  inputs: { a: features, b: features },
  outputs: { y: features },
  infer({ a, b }) {
    need(sameSpec(a, b), 'a, b of one shape');
    return { y: a };
  },
  gradient: (g, { d: { y: dy } }) => ({ a: () => dy ?? null, b: () => g.one('affine', { x: dy }, { scale: -1 }) }),
  reference({ inputs: { a, b }, outputs: { y } }) {
    for (let i = 0; i < y.data.length; i++) y.data[i] = a.data[i] - b.data[i];
  },
  traits: { inPlace: 'a' },
});

const addParameters = defineOp({
  doc: 'y = a + b, of tensors without rows: the gradient of a parameter that is used twice',
  inputs: { a: kinds.parameter, b: kinds.parameter },
  outputs: { y: kinds.parameter },
  infer({ a, b }) {
    need(sameSpec(a, b), 'a, b of one shape');
    return { y: a };
  },
  reference({ inputs: { a, b }, outputs: { y } }) {
    for (let i = 0; i < y.data.length; i++) y.data[i] = a.data[i] + b.data[i];
  },
});

const mul = defineOp({
  doc: 'y = a·b; b is of the shape of a, or has one factor for each channel, [C]',
  inputs: { a: features, b: { text: 'f32 [n, …, C] or [C]', fits: (spec) => isActivation(spec) || isParameter(spec) } },
  outputs: { y: features },
  infer({ a, b }) {
    need(sameSpec(a, b) || isVector(b, channelsOf(a.shape)), 'a, b of one shape, or b [C]');
    return { y: a };
  },
  gradient(g, { args: { a, b }, d: { y: dy } }) {
    const db = () => g.one('mul', { a: dy, b: a });
    return { a: () => g.one('mul', { a: dy, b }), b: () => (g.spec(b).perSample ? db() : g.one('biasGrad', { dy: db() })) };
  },
  reference({ inputs: { a, b }, outputs: { y } }) {
    for (let i = 0; i < y.data.length; i++) y.data[i] = a.data[i] * b.data[i % b.data.length];
  },
  traits: { inPlace: 'a' },
});

/** An element is kept if its random word is at least this: rate·2³², rounded up to a word. */
export const dropoutThreshold = (rate: number): number => Math.ceil(rate * 2 ** 32);

/** What kept elements are multiplied by: an f32 constant, the same on every device. */
export const dropoutScale = (rate: number): number => Math.fround(1 / (1 - rate));

const dropout = defineOp({
  doc: 'a share of the elements becomes 0, the others are multiplied by f32(1/(1 − rate)). Its gradient is itself, applied to dy',
  inputs: { x: features, samples: kinds.index },
  outputs: { y: features },
  attrs: {
    rate: attr.share,
    /** Third word of the Philox counter: 16 + k for the k-th dropout layer. */
    purpose: attr.count,
  },
  infer: ({ x }) => ({ y: x }),
  // The mask is a function of the counter: drawing it again is cheaper than keeping it.
  gradient: (g, { args: { samples }, attrs, d: { y } }) => ({ x: () => g.one('dropout', { x: y, samples }, attrs) }),
  reference({ step, inputs: { x, samples }, outputs: { y } }, { rate, purpose }) {
    const threshold = dropoutThreshold(rate);
    const scale = dropoutScale(rate);
    const key = philoxKey(step.seed);
    const words = new Uint32Array(4);
    const perSample = y.data.length / step.rows;
    for (let n = 0; n < step.rows; n++) {
      for (let e = 0; e < perSample; e++) {
        if (e % 4 === 0) philox4x32(key, [samples.data[n], step.epoch, purpose, e / 4], words);
        y.data[n * perSample + e] = words[e % 4] >= threshold ? x.data[n * perSample + e] * scale : 0;
      }
    }
  },
  flops: perElement(30),
  traits: { inPlace: 'x' },
});

export const elementwise = { rescale, bias, biasGrad, ...activations, add, subtract, addParameters, mul, dropout };

const floats = operand('f32 [n, …]', ({ dtype, perSample }) => dtype === 'f32' && perSample);

const reshape = defineOp({
  doc: 'y is x in another shape: a view, without a kernel',
  // No input of a graph, which are bytes and integers: a view is a part of memory that is planned for temporaries.
  inputs: { x: floats },
  outputs: { y: floats },
  attrs: { shape: attr.shape },
  infer({ x }, { shape }) {
    need(elementCount({ ...x, shape }) === elementCount(x), `x with as many elements as shape [${shape}]`);
    return { y: { ...x, shape } };
  },
  gradient: (g, { args: { x }, d: { y } }) => ({ x: () => g.one('reshape', { x: y }, { shape: g.spec(x).shape }) }),
  reference({ inputs: { x }, outputs: { y } }) {
    y.data.set(x.data);
  },
  flops: () => 0,
  bytes: () => 0,
  traits: { view: true },
});

/** Ops without kernels: their result is their operand. */
export const views = { reshape };
