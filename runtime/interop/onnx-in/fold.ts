// Nodes of constants alone: the arithmetic of shapes that exporters leave in a graph, and weights that are scaled or turned there. A number that
// depends on how many samples there are is NaN, and so is what is computed of it: only Reshape may meet it, which knows what it must be.

import { type Shape, sizeOf } from '../../layers/layer.ts';
import type { NodeView } from './node-view.ts';
import { Constant } from './value.ts';

/** Elements of a result: shapes are small, and weights are counted against the size of the file. */
type Fold = (node: NodeView, inputs: readonly (Constant | undefined)[]) => Constant | readonly Constant[];

const strides = (shape: Shape): number[] => shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));

/** The result of reading `from` at the place that each place of `shape` has there. */
function gathered(node: NodeView, from: Constant, shape: Shape, placeOf: (at: readonly number[]) => number): Constant {
  const size = sizeOf(shape);
  node.spend(size);
  const values = from.isFloat ? new Float32Array(size) : new Float64Array(size);
  const at = shape.map(() => 0);
  const source = from.values;
  for (let i = 0; i < size; i++) {
    values[i] = source[placeOf(at)];
    for (let axis = shape.length - 1; axis >= 0 && ++at[axis] === shape[axis]; axis--) at[axis] = 0;
  }
  return new Constant(shape, values, from.isFloat, from.name);
}

function broadcast(node: NodeView, shapes: readonly Shape[]): Shape {
  const rank = shapes.reduce((most, { length }) => Math.max(most, length), 0);
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1);
    const size = sizes.reduce((most, n) => (n === 1 ? most : n), 1);
    if (!sizes.every((n) => n === 1 || n === size)) node.refuse(`reads constants of [${shapes.map((s) => s.join(', ')).join('] and [')}]`);
    return size;
  });
}

function expanded(node: NodeView, constant: Constant, shape: Shape): Constant {
  if (`${constant.shape}` === `${shape}`) return constant;
  const own = strides(constant.shape);
  const skipped = shape.length - constant.shape.length;
  return gathered(node, constant, shape, (at) =>
    own.reduce((sum, step, axis) => sum + (constant.shape[axis] === 1 ? 0 : at[axis + skipped] * step), 0),
  );
}

const elementwise =
  (compute: (...args: number[]) => number, kind: 'same' | 'whole' = 'same'): Fold =>
  (node, inputs) => {
    const given = inputs as readonly Constant[];
    const shape = broadcast(
      node,
      given.map(({ shape }) => shape),
    );
    const operands = given.map((constant) => expanded(node, constant, shape).values);
    const isFloat = kind === 'same' && given[given.length - 1].isFloat;
    const size = sizeOf(shape);
    node.spend(size);
    const values = isFloat ? new Float32Array(size) : new Float64Array(size);
    for (let i = 0; i < size; i++) {
      const value = compute(...operands.map((operand) => operand[i]));
      values[i] = value;
    }
    return new Constant(shape, values, isFloat, given[0].name);
  };

/** Whole numbers are cut after a division. */
const division: Fold = (node, inputs) => {
  const whole = !inputs.some((constant) => constant?.isFloat);
  return elementwise((a, b) => (whole ? Math.trunc(a / b) : a / b))(node, inputs);
};

export const axisOf = (node: NodeView, axis: number, rank: number): number => {
  const positive = axis < 0 ? axis + rank : axis;
  return Number.isInteger(positive) && positive >= 0 && positive < rank
    ? positive
    : node.refuse(`has axis ${axis}, and reads ${rank} axes`);
};

/** Axes that an attribute (before) or an input (after) names. */
export const axesOf = (node: NodeView, input: number, rank: number): number[] | undefined => {
  const axes = node.integersAt('axes', input);
  return axes?.map((axis) => axisOf(node, axis, rank));
};

const reshaped = (constant: Constant, shape: Shape): Constant => new Constant(shape, constant.values, constant.isFloat, constant.name);

/** A part of an axis, as Slice names it: [from, to), in steps. */
export interface Part {
  readonly axis: number;
  readonly from: number;
  readonly to: number;
  readonly step: number;
}

/** The parts that Slice takes of a shape. */
export function partsOf(node: NodeView, shape: Shape): Part[] {
  const starts = node.integersAt('starts', 1) ?? node.refuse('has no starts that are known beforehand');
  const ends = node.integersAt('ends', 2) ?? node.refuse('has no ends that are known beforehand');
  const axes = node.integersAt('axes', 3) ?? starts.map((_, axis) => axis);
  const steps = node.integersAt('steps', 4) ?? starts.map(() => 1);
  if (ends.length !== starts.length || axes.length !== starts.length || steps.length !== starts.length)
    node.refuse('has starts, ends, axes and steps that do not go together');
  return starts.flatMap((start, k) => {
    const axis = axisOf(node, axes[k], shape.length);
    const [size, step] = [shape[axis], steps[k]];
    if (!Number.isInteger(step) || step === 0) node.refuse(`has steps ${step}`);
    // Backwards, as far as before the first one.
    if (step < 0) {
      const counted = (value: number) => (value < 0 ? value + size : value);
      const from = Math.min(counted(start), size - 1);
      return [{ axis, from, to: Math.min(Math.max(counted(ends[k]), -1), from), step }];
    }
    // All samples, however many.
    if (Number.isNaN(size) && start === 0 && ends[k] >= 2 ** 31 - 1 && step === 1) return [];
    const place = (value: number) => Math.min(Math.max(value < 0 ? value + size : value, 0), size);
    return [{ axis, from: place(start), to: Math.max(place(ends[k]), place(start)), step }];
  });
}

/** ONNX's type of elements that are true or false. */
const BOOL = 9;
/** Everything but 0 is true; what depends on the number of samples stays so. */
const truthOf = (value: number): number => (Number.isNaN(value) ? value : Number(value !== 0));

export const FOLDS: Readonly<Record<string, Fold | undefined>> = {
  Identity: (_node, [x]) => x as Constant,
  Cast(node, [x]) {
    const { shape, values, name } = x as Constant;
    const to = node.integer('to', 1);
    node.integer('saturate', 1);
    const isFloat = [1, 10, 11, 16].includes(to);
    node.spend(values.length);
    if (to === BOOL) return new Constant(shape, Float64Array.from(values, truthOf), false, name);
    if (!isFloat && (x as Constant).isFloat) {
      return new Constant(shape, Float64Array.from(values, Math.trunc), false, name);
    }
    return new Constant(shape, isFloat ? Float32Array.from(values) : values, isFloat, name);
  },
  Gather(node, [data, indices]) {
    const [x, at] = [data as Constant, indices as Constant];
    const axis = axisOf(node, node.integer('axis', 0), x.shape.length);
    const shape = [...x.shape.slice(0, axis), ...at.shape, ...x.shape.slice(axis + 1)];
    const [own, of] = [strides(x.shape), strides(at.shape)];
    return gathered(node, x, shape, (place) => {
      const index = at.values[of.reduce((sum, step, k) => sum + place[axis + k] * step, 0)];
      const chosen = index < 0 ? index + x.shape[axis] : index;
      if (!(chosen >= 0 && chosen < x.shape[axis])) node.refuse(`takes number ${index} of ${x.shape[axis]}`);
      return own.reduce((sum, step, k) => sum + (k < axis ? place[k] : k === axis ? chosen : place[k + at.shape.length - 1]) * step, 0);
    });
  },
  Slice(node, [data]) {
    const x = data as Constant;
    const parts = new Map(partsOf(node, x.shape).map((part) => [part.axis, part]));
    const own = strides(x.shape);
    const shape = x.shape.map((size, axis) => {
      const part = parts.get(axis);
      return part ? Math.ceil((part.to - part.from) / part.step) : size;
    });
    return gathered(node, x, shape, (at) =>
      own.reduce((sum, step, axis) => sum + ((parts.get(axis)?.from ?? 0) + at[axis] * (parts.get(axis)?.step ?? 1)) * step, 0),
    );
  },
  Concat(node, inputs) {
    const given = inputs as readonly Constant[];
    const axis = axisOf(node, node.integer('axis', 0), given[0].shape.length);
    const others = (shape: Shape) => `${shape.map((n, k) => (k === axis ? '' : n))}`;
    if (!given.every(({ shape }) => shape.length === given[0].shape.length && others(shape) === others(given[0].shape)))
      node.refuse('joins constants that do not go together');
    const shape = given[0].shape.map((n, k) => (k === axis ? given.reduce((sum, { shape }) => sum + shape[axis], 0) : n));
    const [before, after] = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis + 1))];
    node.spend(sizeOf(shape));
    const values = given[0].isFloat ? new Float32Array(sizeOf(shape)) : new Float64Array(sizeOf(shape));
    let to = 0;
    for (let i = 0; i < before; i++)
      for (const { shape, values: from } of given) {
        const run = shape[axis] * after;
        for (let k = 0; k < run; k++) values[to++] = from[i * run + k];
      }
    return new Constant(shape, values, given[0].isFloat);
  },
  Unsqueeze(node, [data]) {
    const x = data as Constant;
    const given = node.integersAt('axes', 1) ?? node.refuse('has no axes that are known beforehand');
    return reshaped(x, unsqueezed(node, x.shape, given));
  },
  Squeeze(node, [data]) {
    const x = data as Constant;
    const axes = axesOf(node, 1, x.shape.length);
    return reshaped(
      x,
      x.shape.filter((size, axis) => {
        if (axes ? !axes.includes(axis) : size !== 1) return true;
        return size === 1 ? false : node.refuse(`drops axis ${axis} of [${x.shape.join(', ')}]`);
      }),
    );
  },
  Reshape(node, [data]) {
    const x = data as Constant;
    const target = node.integersAt('shape', 1) ?? node.refuse('has no shape that is known beforehand');
    const allowsZero = node.integer('allowzero', 0) === 1;
    const sizes = target.map((n, axis) => (n === 0 && !allowsZero ? (x.shape[axis] ?? 0) : n));
    const known = sizeOf(sizes.filter((n) => n !== -1));
    const shape = sizes.map((n) => (n === -1 ? x.size / known : n));
    if (sizes.filter((n) => n === -1).length > 1 || sizeOf(shape) !== x.size || !shape.every((n) => Number.isInteger(n) && n >= 0))
      node.refuse(`makes [${target.join(', ')}] of [${x.shape.join(', ')}]`);
    return reshaped(x, shape);
  },
  Transpose(node, [data]) {
    const x = data as Constant;
    const perm = node.integers('perm') ?? x.shape.map((_, axis) => x.shape.length - 1 - axis);
    if (`${[...perm].sort((a, b) => a - b)}` !== `${x.shape.map((_, axis) => axis)}`) node.refuse(`has perm [${perm.join(', ')}]`);
    const own = strides(x.shape);
    return gathered(
      node,
      x,
      perm.map((axis) => x.shape[axis]),
      (at) => perm.reduce((sum, axis, k) => sum + at[k] * own[axis], 0),
    );
  },
  ConstantOfShape(node, [data]) {
    const shape = Array.from((data as Constant).values);
    if (!shape.every((n) => Number.isSafeInteger(n) && n >= 0)) node.refuse(`makes a constant of [${shape.join(', ')}]`);
    const value = node.tensor('value');
    node.spend(sizeOf(shape));
    const isFloat = value ? value.isFloat : true;
    return new Constant(shape, new Float64Array(sizeOf(shape)).fill(value ? value.values()[0] : 0), isFloat);
  },
  Expand(node, [data, target]) {
    const [x, shape] = [data as Constant, Array.from((target as Constant).values)];
    return expanded(node, x, broadcast(node, [x.shape, shape]));
  },
  Range(node, inputs) {
    const [start, limit, step] = inputs.map((constant) => (constant as Constant).values[0]);
    const count = Math.max(Math.ceil((limit - start) / step), 0);
    if (!Number.isFinite(count)) node.refuse('has no end');
    node.spend(count);
    return new Constant(
      [count],
      Float64Array.from({ length: count }, (_, i) => start + i * step),
      (inputs[0] as Constant).isFloat,
    );
  },
  Clip(node, inputs) {
    const [x] = inputs as readonly Constant[];
    const [least, most] = [node.scalar(1, node.number('min', -Infinity)), node.scalar(2, node.number('max', Infinity))];
    return elementwise((value) => Math.min(Math.max(value, least), most))(node, [x]);
  },
  ReduceProd(node, [data]) {
    const x = data as Constant;
    const axes = axesOf(node, 1, x.shape.length);
    if (axes && axes.length !== x.shape.length) node.refuse('multiplies along some axes of a constant');
    const keeps = node.integer('keepdims', 1) === 1;
    node.spend(x.size);
    node.integer('noop_with_empty_axes', 0);
    return new Constant(keeps ? x.shape.map(() => 1) : [], [Array.from(x.values).reduce((product, n) => product * n, 1)], x.isFloat);
  },
  Shape(node, [data]) {
    const x = data as Constant;
    const sizes = shapePart(node, x.shape);
    return new Constant([sizes.length], sizes, false);
  },
  Add: elementwise((a, b) => a + b),
  Sub: elementwise((a, b) => a - b),
  Mul: elementwise((a, b) => a * b),
  Div: division,
  // Of the type of its base.
  Pow: (node, [base, power]) => elementwise((b, a) => a ** b)(node, [power, base]),
  Sqrt: elementwise((a) => Math.sqrt(a)),
  Reciprocal: elementwise((a) => 1 / a),
  Neg: elementwise((a) => -a),
  Exp: elementwise((a) => Math.exp(a)),
  Floor: elementwise((a) => Math.floor(a)),
  Ceil: elementwise((a) => Math.ceil(a)),
  Abs: elementwise((a) => Math.abs(a)),
  Equal: elementwise((a, b) => (Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : Number(a === b)), 'whole'),
  Where: elementwise((condition, yes, no) => (Number.isNaN(condition) ? Number.NaN : condition ? yes : no)),
};

/** How many operands they read, none of which may be missing; of the others all but the first are optional. */
const OPERANDS: Readonly<Record<string, number | undefined>> = {
  ...{ Gather: 2, Expand: 2, Range: 3, Where: 3, Concat: 1, Equal: 2, Pow: 2, Add: 2, Sub: 2, Mul: 2, Div: 2 },
  ...{ Sqrt: 1, Reciprocal: 1, Neg: 1, Exp: 1, Floor: 1, Ceil: 1, Abs: 1 },
};

/** What the operator makes of constants. Refuses a node that lacks an operand. */
export function foldConstants(node: NodeView, fold: Fold, inputs: readonly (Constant | undefined)[]): ReturnType<Fold> {
  const count = OPERANDS[node.op];
  if (count !== undefined) for (let k = 0; k < Math.max(count, inputs.length); k++) node.constant(k);
  return fold(node, inputs);
}

/** The sizes that Shape tells, all or some of them. */
export function shapePart(node: NodeView, shape: readonly number[]): number[] {
  const [start, end] = [node.integer('start', 0), node.integer('end', shape.length)];
  return shape.slice(start, end);
}

/** With an axis of size 1 at each of these places of the result. */
export function unsqueezed(node: NodeView, shape: Shape, axes: readonly number[]): number[] {
  const rank = shape.length + axes.length;
  const places = new Set(axes.map((axis) => axisOf(node, axis, rank)));
  if (places.size !== axes.length) node.refuse(`has axes [${axes.join(', ')}]`);
  const rest = [...shape];
  return Array.from({ length: rank }, (_, axis) => (places.has(axis) ? 1 : (rest.shift() as number)));
}
