// Activations, arithmetic with constants and of two values, and what several such nodes mean together: GELU by erf, x·σ(x), a layer normalisation
// in its parts.

import type { ActivationName } from '../../layers/activations.ts';
import type { LayerTensor } from '../../layers/functional.ts';
import type { Converter, Rule, Rules } from './converter.ts';
import { nameOf } from './names.ts';
import type { NodeView } from './node-view.ts';
import { layerNormalization } from './normalization.ts';
import { Constant, type Made, type Numbers, Value } from './value.ts';

/** An activation of x. */
function activated(
  c: Converter,
  x: Value,
  activation: ActivationName,
  facts: { readonly made?: Made; readonly notNegative?: boolean } = {},
): Value {
  return x.map((tensor) => c.layer('Activation', { activation }, tensor), facts);
}

const activation =
  (name: ActivationName, notNegative = false): Rule =>
  (c, node) =>
    activated(c, node.value(), name, { notNegative });

const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-5 * Math.max(Math.abs(a), Math.abs(b));

/** The slope of HardSigmoid and HardSwish as PyTorch has them. */
const SIXTH = 1 / 6;

export const elementwise: Rules = {
  Relu: activation('relu', true),
  Tanh(c, node) {
    const x = node.value();
    const made = x.made?.kind === 'softplus' ? ({ kind: 'tanhOfSoftplus', of: x.made.of } as const) : undefined;
    return activated(c, x, 'tanh', { made });
  },
  Sigmoid(c, node) {
    const x = node.value();
    return activated(c, x, 'sigmoid', { made: { kind: 'sigmoid', of: x }, notNegative: true });
  },
  Softplus(c, node) {
    const x = node.value();
    return activated(c, x, 'softplus', { made: { kind: 'softplus', of: x }, notNegative: true });
  },
  Softsign: activation('softsign'),
  Exp: activation('exponential', true),
  Mish: activation('mish'),
  Elu: (c, node) => {
    const alpha = node.number('alpha', 1);
    return node.value().map((x) => c.layer('ELU', { alpha }, x));
  },
  Selu(c, node) {
    const [alpha, gamma] = [node.number('alpha', 1.6732632), node.number('gamma', 1.050701)];
    if (!near(alpha, 1.6732632) || !near(gamma, 1.050701)) node.refuse(`has alpha ${alpha} and gamma ${gamma}`);
    return activated(c, node.value(), 'selu');
  },
  LeakyRelu(c, node) {
    const slope = node.number('alpha', 0.01);
    return node.value().map((x) => c.layer('LeakyReLU', { negativeSlope: slope }, x));
  },
  PRelu(c, node) {
    const slope = node.constant(1);
    if (slope.size !== 1) node.refuse(`has ${slope.size} slopes, and one is read`);
    return node.value().map((x) => c.layer('LeakyReLU', { negativeSlope: slope.values[0] }, x));
  },
  HardSigmoid: (c, node) => ramp(c, node.value(), node.number('alpha', 0.2), node.number('beta', 0.5), 1),
  HardSwish: activation('hard_silu'),
  Gelu(c, node) {
    const form = node.text('approximate', 'none');
    if (form !== 'none') node.refuse(`has approximate ${form}`);
    return activated(c, node.value(), 'gelu');
  },
  Erf: (_c, node) => unfinished(node, node.value(), 'erf', 'GELU'),
  Clip(c, node) {
    const x = node.value();
    // An attribute until set 11.
    const least = node.has('min') ? node.number('min', 0) : node.scalar(1, Number.NEGATIVE_INFINITY);
    const most = node.has('max') ? node.number('max', 0) : node.scalar(2, Number.POSITIVE_INFINITY);
    if (!(least < most)) node.refuse(`has min ${least} and max ${most}`);
    if (least === 0) {
      const { base, scale, offset } = affineOf(x);
      if (typeof scale === 'number' && typeof offset === 'number' && base !== x && near(scale / most, SIXTH) && near(offset / most, 0.5))
        return affine(c, node, ramp(c, base, scale / most, offset / most, 1), most, 0);
      return rectified(c, x, most);
    }
    if (least <= LEAST && most >= -LEAST) return x;
    // Above 0 and below it apart: a number beside a far limit would lose its digits if the limit were subtracted and added again.
    if (least < 0 && most > 0) {
      const [above, below] = [rectified(c, x, most), rectified(c, affine(c, node, x, -1, 0), -least)];
      return merged(c, node, 'Subtract', above, below);
    }
    if (least <= LEAST) {
      // The other way round: the least of x and most is most − max(most − x, 0).
      return affine(c, node, rectified(c, affine(c, node, x, -1, most), Number.POSITIVE_INFINITY), -1, most);
    }
    return affine(c, node, rectified(c, affine(c, node, x, 1, -least), most - least), 1, least);
  },
  Softmax: (c, node) => probabilities(c, node),
  LogSoftmax: (c, node) => probabilities(c, node),

  Add: (c, node) => sum(c, node, 1),
  Sub: (c, node) => sum(c, node, -1),
  Neg: (c, node) => affine(c, node, node.value(), -1, 0),
  Mul(c, node) {
    const [a, b] = node.inputs;
    if (a instanceof Value && b instanceof Value) return product(c, node, a, b);
    const [x, constant] = a instanceof Value ? [a, node.constant(1)] : [node.value(1), node.constant(0)];
    const { value, numbers } = along(c, node, x, constant);
    const scaled =
      value.made?.kind === 'normalized' && typeof numbers !== 'number' && value.made.with({ gamma: Float32Array.from(numbers) });
    return scaled || affine(c, node, value, numbers, 0);
  },
  Div(c, node) {
    const [x, by] = node.inputs;
    if (!(x instanceof Value)) return node.refuse('divides by what depends on the images');
    if (by instanceof Value) {
      const [over, under] = [x.made, by.made];
      if (over?.kind === 'centered' && under?.kind === 'deviation' && over.of === under.of && over.axis === under.axis)
        return layerNormalization(c, node, over.of, over.axis, under.epsilon, {});
      return node.refuse('divides by what depends on the images');
    }
    const { value, numbers } = along(c, node, x, node.constant(1));
    return affine(c, node, value, typeof numbers === 'number' ? 1 / numbers : numbers.map((n) => 1 / n), 0);
  },
  Pow(c, node) {
    const x = node.value();
    const power = node.scalar(1, Number.NaN);
    if (power !== 2) node.refuse(`raises to the power ${power}`);
    return squared(c, node, x);
  },
  Sqrt(_c, node) {
    const x = node.value();
    const { base, scale, offset } = affineOf(x);
    const { made } = base;
    if (made?.kind !== 'variance' || scale !== 1 || typeof offset !== 'number')
      return node.refuse('is read as a part of a layer normalisation only');
    return new Value(x.shape, x.order, () => node.refuse('is read as a part of a layer normalisation only'), {
      made: { kind: 'deviation', of: made.of, axis: made.axis, epsilon: offset },
    });
  },
  Max: (c, node) => extreme(c, node, 'Maximum'),
  Min: (c, node) => extreme(c, node, 'Minimum'),
};

/** The least float32: exporters write it where nothing is said. */
const LEAST = -3.4028234e38;

/** max(x, 0), and at most `most`. */
function rectified(c: Converter, x: Value, most: number): Value {
  const facts = { notNegative: true };
  if (most >= -LEAST) return activated(c, x, 'relu', facts);
  return most === 6 ? activated(c, x, 'relu6', facts) : x.map((tensor) => c.layer('ReLU', { maxValue: most }, tensor), facts);
}

/** What no layer computes, until the nodes after it say what it is a part of. */
function unfinished(node: NodeView, x: Value, kind: 'erf', part: string): Value {
  return x.map(() => node.refuse(`is read as a part of ${part} only`), { made: { kind, of: x } }, true);
}

/** scale·x + offset, from 0 to top. */
function ramp(c: Converter, x: Value, scale: number, offset: number, top: number): Value {
  if (near(scale, SIXTH) && near(offset, 0.5) && top === 1)
    return activated(c, x, 'hard_sigmoid', { made: { kind: 'hardSigmoid', of: x }, notNegative: true });
  const line = x.map((tensor) => c.layer('Rescaling', { scale, offset }, tensor));
  return line.map((tensor) => c.layer('ReLU', { maxValue: top }, tensor), { notNegative: true });
}

function probabilities(c: Converter, node: NodeView): Value {
  const x = node.value();
  const axis = node.integer('axis', node.opset < 13 ? 1 : -1);
  if (x.shape.length !== 1 || (axis !== 1 && axis !== -1)) node.refuse('makes probabilities before the end, or not of the classes');
  return new Value(x.shape, x.order, () => node.refuse('makes probabilities before the end'), {
    made: { kind: 'softmax', of: new Value(x.shape, x.order, () => c.inOrder(x, x.order)) },
  });
}

// Arithmetic with constants.

/** x as base·scale + offset. */
function affineOf(x: Value): { readonly base: Value; readonly scale: Numbers; readonly offset: Numbers } {
  const { made } = x;
  return made?.kind === 'affine' ? { base: made.of, scale: made.scale, offset: made.offset } : { base: x, scale: 1, offset: 0 };
}

const combined = (a: Numbers, b: Numbers, f: (a: number, b: number) => number): Numbers => {
  if (typeof a === 'number' && typeof b === 'number') return f(a, b);
  const { length } = (typeof a === 'number' ? b : a) as Float64Array;
  return Float64Array.from({ length }, (_, i) => f(typeof a === 'number' ? a : a[i], typeof b === 'number' ? b : b[i]));
};
/** A number that two roundings left beside 1 is 1; nothing else is near enough to be left out. */
const isOne = (numbers: Numbers): boolean => (typeof numbers === 'number' ? Math.abs(numbers - 1) < 1e-6 : numbers.every((n) => n === 1));
const isZero = (numbers: Numbers): boolean => (typeof numbers === 'number' ? numbers === 0 : numbers.every((n) => n === 0));
const optionOf = (numbers: Numbers): number | number[] => (typeof numbers === 'number' ? numbers : Array.from(numbers));

/** The largest byte. */
const LARGEST_PIXEL = 255;

/**
 * Images as a convolution reads them, and what its kernel is to be multiplied by. Files may have the pixels' scale in the kernel, which is so
 * small then that training would be too coarse for it: of pixels that come from 0 to 255, ones up to 1 and a kernel of the usual size are made.
 */
export function forTraining(c: Converter, node: NodeView, x: Value): { readonly value: Value; readonly by: number } {
  if (!isBytes(x)) return { value: x, by: 1 };
  return { value: affine(c, node, x, 1 / LARGEST_PIXEL, 0), by: LARGEST_PIXEL };
}

/** Whether it is pixels that nothing has multiplied yet. */
export const isBytes = (x: Value): boolean => x.facts.isImage === 'bytes' && isOne(affineOf(x).scale);

/** x·scale + offset: one layer with what was done to x before, or none. */
function affine(c: Converter, node: NodeView, x: Value, scale: Numbers, offset: Numbers): Value {
  const before = affineOf(x);
  // Of lists along another axis nothing is joined.
  const joins = before.base !== x && `${before.base.order}` === `${x.order}`;
  const base = joins ? before.base : x;
  const total = joins ? combined(before.scale, scale, (a, b) => a * b) : scale;
  const shift = joins
    ? combined(
        combined(before.offset, scale, (a, b) => a * b),
        offset,
        (a, b) => a + b,
      )
    : offset;
  for (const numbers of [total, shift])
    if (!(typeof numbers === 'number' ? Number.isFinite(numbers) : numbers.every(Number.isFinite)))
      node.refuse('has a constant that is not finite');
  if (isOne(total) && isZero(shift)) return base;
  const { isImage } = base.facts;
  const name = nameOf(node);
  const build = (tensor: LayerTensor): LayerTensor => {
    // Factors of channels are weights, unless they are those of the pixels.
    if (typeof total === 'number' || isImage) return c.layer('Rescaling', { scale: optionOf(total), offset: optionOf(shift) }, tensor);
    const scaled = isOne(total)
      ? tensor
      : c.layer('LayerScale', { initValues: 1, projectionDim: total.length }, tensor, () => ({ gamma: Float32Array.from(total) }), name);
    return isZero(shift) ? scaled : c.layer('Rescaling', { scale: 1, offset: optionOf(shift) }, scaled);
  };
  const isPositive = (numbers: Numbers) => (typeof numbers === 'number' ? numbers >= 0 : numbers.every((n) => n >= 0));
  const notNegative = base.facts.notNegative === true && isPositive(total) && isPositive(shift);
  return base.map(build, { made: { kind: 'affine', of: base, scale: total, offset: shift }, isImage, notNegative }, true);
}

/** The constant as one number, or as one for each place of an axis; and x with that axis as the last one. */
function along(c: Converter, node: NodeView, x: Value, constant: Constant): { readonly value: Value; readonly numbers: Numbers } {
  if (constant.size === 1 && constant.shape.length <= x.shape.length + 1) return { value: x, numbers: constant.values[0] };
  const skipped = x.shape.length + 1 - constant.shape.length;
  const axes = constant.shape.flatMap((size, axis) => (size === 1 ? [] : [axis + skipped - 1]));
  const [axis] = axes;
  if (skipped < 0 || axes.length !== 1 || axis < 0 || x.shape[axis] !== constant.size)
    return node.refuse(
      `joins [${['samples', ...x.shape].join(', ')}] and a constant of [${constant.shape.join(', ')}]; one number, or one for each channel, is read`,
    );
  node.spend(constant.size);
  return { value: c.withLast(x, axis), numbers: Float64Array.from(constant.values) };
}

function sum(c: Converter, node: NodeView, sign: 1 | -1): Value {
  const [a, b] = node.inputs;
  if (a instanceof Value && b instanceof Value) {
    if (sign === -1 && b.made?.kind === 'mean' && b.made.of === a) {
      const { axis } = b.made;
      return new Value(a.shape, a.order, () => merged(c, node, 'Subtract', a, b).tensor, { made: { kind: 'centered', of: a, axis } });
    }
    return merged(c, node, sign === 1 ? 'Add' : 'Subtract', a, b);
  }
  const [x, constant] = a instanceof Value ? [a, node.constant(1)] : [node.value(1), node.constant(0)];
  if (a instanceof Value || sign === 1) {
    const { made } = x;
    const channels = x.shape[x.last];
    const isVector = constant.size === channels && constant.size > 1 && !x.facts.flat;
    if (isVector && sign === 1 && (made?.kind === 'unbiased' || made?.kind === 'normalized')) {
      const { value, numbers } = along(c, node, x, constant);
      if (value === x && typeof numbers !== 'number') {
        const addend = Float32Array.from(numbers);
        const joined = made.kind === 'unbiased' ? made.with(addend) : made.with({ beta: addend });
        if (joined) return joined;
      }
    }
    const { value, numbers } = along(c, node, x, constant);
    return affine(
      c,
      node,
      value,
      1,
      combined(numbers, sign, (n, by) => n * by),
    );
  }
  const { value, numbers } = along(c, node, x, constant);
  return affine(c, node, value, -1, numbers);
}

// Two values.

const GATES: Readonly<Record<string, ActivationName | undefined>> = { sigmoid: 'silu', hardSigmoid: 'hard_silu', tanhOfSoftplus: 'mish' };

function product(c: Converter, node: NodeView, a: Value, b: Value): Value {
  if (a === b) return squared(c, node, a);
  return gated(c, node, a, b) ?? gated(c, node, b, a) ?? merged(c, node, 'Multiply', a, b);
}

/** x times what an activation makes of x. */
function gated(c: Converter, node: NodeView, x: Value, gate: Value): Value | undefined {
  const { base, scale, offset } = affineOf(gate);
  const { made } = base;
  if (!made || !('of' in made) || typeof scale !== 'number' || typeof offset !== 'number') return undefined;
  const own = affineOf(x);
  const isOwn = made.of === x;
  if (!isOwn && !(made.of === own.base && own.offset === 0)) return argumentOfErf(c, node, x, gate);
  const factor = isOwn ? 1 : own.scale;
  if (typeof factor !== 'number') return undefined;
  const name = GATES[made.kind];
  if (name && offset === 0) return affine(c, node, activated(c, made.of, name), scale * factor, 0);
  return argumentOfErf(c, node, x, gate);
}

/** x·(1 + erf(x/√2)), with whatever factor. */
function argumentOfErf(c: Converter, node: NodeView, x: Value, gate: Value): Value | undefined {
  const { base, scale, offset } = affineOf(gate);
  if (base.made?.kind !== 'erf' || typeof scale !== 'number' || typeof offset !== 'number' || !near(scale, offset)) return undefined;
  const inner = affineOf(base.made.of);
  const own = affineOf(x);
  if (typeof inner.scale !== 'number' || inner.offset !== 0 || !near(inner.scale, Math.SQRT1_2)) return undefined;
  const isOwn = inner.base === x;
  if (!isOwn && !(inner.base === own.base && own.offset === 0 && typeof own.scale === 'number')) return undefined;
  const factor = isOwn ? 1 : (own.scale as number);
  return affine(c, node, activated(c, inner.base, 'gelu'), 2 * scale * factor, 0);
}

function squared(c: Converter, node: NodeView, x: Value): Value {
  const { made } = x;
  const square = () => merged(c, node, 'Multiply', x, x).tensor;
  return new Value(x.shape, x.order, square, {
    notNegative: true,
    ...(made?.kind === 'centered' && { made: { kind: 'squared', of: made.of, axis: made.axis } }),
  });
}

type Merging = 'Add' | 'Subtract' | 'Multiply' | 'Maximum' | 'Minimum';

function merged(c: Converter, node: NodeView, type: Merging, a: Value, b: Value): Value {
  if (a.shape.length !== b.shape.length)
    return node.refuse(`joins [${['samples', ...a.shape].join(', ')}] and [${['samples', ...b.shape].join(', ')}]`);
  const shape = a.shape.map((n, axis) => Math.max(n, b.shape[axis]));
  if (![a, b].every((value) => value.shape.every((n, axis) => n === 1 || n === shape[axis])))
    return node.refuse(`joins [${['samples', ...a.shape].join(', ')}] and [${['samples', ...b.shape].join(', ')}]`);
  // In the order of the larger one.
  const { order } = `${b.shape}` === `${shape}` && `${a.shape}` !== `${shape}` ? b : a;
  const y = c.layer(type, {}, [c.inOrder(a, order), c.inOrder(b, order)]);
  const notNegative = type !== 'Subtract' && a.facts.notNegative === true && b.facts.notNegative === true;
  return new Value(shape, order, y, { notNegative });
}

function extreme(c: Converter, node: NodeView, type: 'Maximum' | 'Minimum'): Value {
  const values = node.inputs.filter((input) => input instanceof Value);
  const constants = node.inputs.filter((input) => input instanceof Constant);
  if (values.length === 1 && constants.length === 1 && type === 'Maximum' && constants[0].size === 1 && constants[0].values[0] === 0)
    return rectified(c, values[0], Number.POSITIVE_INFINITY);
  if (constants.length > 0 || values.length < 2) return node.refuse('compares with a constant; give Clip');
  return values.slice(1).reduce((most, value) => merged(c, node, type, most, value), values[0]);
}
