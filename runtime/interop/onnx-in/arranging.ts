// What moves numbers, and computes nothing.

import type { LayerTensor } from '../../layers/functional.ts';
import { sizeOf } from '../../layers/layer.ts';
import { type Converter, IMAGE, type Rules } from './converter.ts';
import { isBytes } from './elementwise.ts';
import { axesOf, axisOf, type Part, partsOf, shapePart, unsqueezed } from './fold.ts';
import type { NodeView } from './node-view.ts';
import { Constant, Value } from './value.ts';

export const arranging: Rules = {
  Identity: (_c, node) => node.value(),
  Dropout(_c, node) {
    node.number('ratio', 0.5);
    node.integer('seed', 0);
    if (node.inputs[2] && node.scalar(2, 0) !== 0) node.refuse('drops numbers: export the model for inference');
    node.optional(1);
    return node.value();
  },
  Cast(_c, node) {
    node.integer('saturate', 1);
    const to = node.integer('to', 1);
    // Half as many digits would be another result.
    if (to !== 1) node.refuse(`makes numbers of type ${to}, and floats of 32 bits are read`);
    return node.value();
  },
  Constant(_c, node) {
    const tensor = node.tensor('value');
    if (tensor) return Constant.of(tensor);
    if (node.has('value_float')) return new Constant([], [node.number('value_float', 0)], true);
    if (node.has('value_int')) return new Constant([], [node.integer('value_int', 0)], false);
    const [floats, ints] = [node.floats('value_floats'), node.integers('value_ints')];
    const list = floats ?? ints ?? node.refuse('has no value');
    return new Constant([list.length], [...list], floats !== undefined);
  },
  Shape(_c, node) {
    const sizes = shapePart(node, [Number.NaN, ...node.value().shape]);
    return new Constant([sizes.length], sizes, false);
  },
  Reshape(c, node) {
    const x = node.value();
    const target = node.integersAt('shape', 1) ?? node.refuse('has no shape that is known beforehand');
    if (node.integer('allowzero', 0) !== 0 && target.includes(0)) node.refuse('has allowzero 1');
    const [samples, ...sizes] = target.map((n, axis) =>
      n !== 0 ? n : axis === 0 ? Number.NaN : (x.shape[axis - 1] ?? node.refuse('keeps an axis that is not there')),
    );
    const own = sizeOf(x.shape);
    const open = sizes.filter((n) => n === -1).length;
    const known = sizeOf(sizes.filter((n) => n !== -1));
    const shape = sizes.map((n) => (n === -1 ? own / known : n));
    // The axis of the samples stays: as many as there are, -1, or as many as the graph was written for.
    const isSample = Number.isNaN(samples) || samples === -1 || samples === node.samples;
    if (!isSample || open > 1 || (open === 1 && samples === -1) || sizeOf(shape) !== own)
      node.refuse(`makes [${target.map((n) => (Number.isNaN(n) ? 'samples' : n)).join(', ')}] of [${['samples', ...x.shape].join(', ')}]`);
    return c.reshaped(node, x, shape);
  },
  Flatten(c, node) {
    const x = node.value();
    const axis = axisOf(node, node.integer('axis', 1), x.shape.length + 1);
    if (axis !== 1) node.refuse(`has axis ${axis}`);
    return c.reshaped(node, x, [sizeOf(x.shape)]);
  },
  Squeeze(c, node) {
    const x = node.value();
    const axes = axesOf(node, 1, x.shape.length + 1) ?? node.refuse('does not say which axes it drops');
    if (axes.some((axis) => x.shape[axis - 1] !== 1))
      node.refuse(`drops axes ${axes.join(', ')} of [${['samples', ...x.shape].join(', ')}]`);
    return c.reshaped(
      node,
      x,
      x.shape.filter((_, axis) => !axes.includes(axis + 1)),
    );
  },
  Unsqueeze(c, node) {
    const x = node.value();
    const axes = node.integersAt('axes', 1) ?? node.refuse('has no axes that are known beforehand');
    // One in the place of the samples.
    const shape = unsqueezed(node, [Number.NaN, ...x.shape], axes);
    if (!Number.isNaN(shape[0])) node.refuse('puts an axis before that of the samples');
    return c.reshaped(node, x, shape.slice(1));
  },
  Transpose(_c, node) {
    const x = node.value();
    const rank = x.shape.length + 1;
    const perm = node.integers('perm') ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
    if (`${[...perm].sort((a, b) => a - b)}` !== `${Array.from({ length: rank }, (_, axis) => axis)}` || perm[0] !== 0)
      node.refuse(`has perm [${perm.join(', ')}] for [${['samples', ...x.shape].join(', ')}]`);
    const moved = perm.slice(1).map((axis) => axis - 1);
    // Nothing moves: the axes have other numbers.
    const order = x.order.map((axis) => moved.indexOf(axis));
    const { notNegative, isImage } = x.facts;
    if (x.facts.flat) return x;
    return new Value(
      moved.map((axis) => x.shape[axis]),
      order,
      () => x.tensor,
      { notNegative, isImage },
    );
  },
  Concat(c, node) {
    const parts = node.inputs.map((_, k) => node.value(k));
    const [first] = parts;
    const axis = axisOf(node, node.integer('axis', 0), first.shape.length + 1) - 1;
    if (axis < 0) node.refuse('joins samples');
    if (parts.length === 1) return first;
    const others = ({ shape }: Value) => `${shape.map((n, k) => (k === axis ? '' : n))}`;
    if (!parts.every((part) => part.shape.length === first.shape.length && others(part) === others(first)))
      node.refuse(`joins [${parts.map(({ shape }) => ['samples', ...shape].join(', ')).join('] and [')}] along axis ${axis + 1}`);
    const { order } = first;
    const tensors = parts.map((part) => c.inOrder(part, order));
    const y = c.layer('Concatenate', { axis: order.indexOf(axis) + 1 }, tensors);
    const shape = first.shape.map((n, k) => (k === axis ? parts.reduce((sum, part) => sum + part.shape[axis], 0) : n));
    return new Value(shape, order, y, { notNegative: parts.every((part) => part.facts.notNegative) });
  },
  Slice(c, node) {
    const x = node.value();
    const parts = partsOf(node, [Number.NaN, ...x.shape]);
    return parts.reduce((value, part) => {
      if (part.axis === 0) node.refuse('takes some of the samples');
      if (part.step !== 1) node.refuse(`has steps ${part.step}`);
      return cut(c, node, value, { ...part, axis: part.axis - 1 });
    }, x);
  },
  Split(c, node) {
    const x = node.value();
    const axis = axisOf(node, node.integer('axis', 0), x.shape.length + 1) - 1;
    if (axis < 0) node.refuse('takes some of the samples');
    const size = x.shape[axis];
    const count = node.integer('num_outputs', node.outputs.length);
    const share = Math.ceil(size / count);
    const sizes = node.integersAt('split', 1) ?? Array.from({ length: count }, (_, k) => Math.min(share, size - k * share));
    if (sizes.length !== node.outputs.length || sizes.reduce((sum, n) => sum + n, 0) !== size || !sizes.every((n) => n > 0))
      node.refuse(`parts ${size} into ${sizes.join(', ')}`);
    let from = 0;
    return sizes.map((n) => {
      from += n;
      return cut(c, node, x, { axis, from: from - n, to: from, step: 1 });
    });
  },
  Gather(c, node) {
    const x = node.value();
    const index = node.constant(1);
    const axis = axisOf(node, node.integer('axis', 0), x.shape.length + 1) - 1;
    if (axis < 0 || index.size !== 1 || index.shape.length > 1) node.refuse('takes several numbers of an axis, or some of the samples');
    const at = index.values[0] < 0 ? index.values[0] + x.shape[axis] : index.values[0];
    const one = cut(c, node, x, { axis, from: at, to: at + 1, step: 1 });
    if (index.shape.length === 1) return one;
    return c.reshaped(
      node,
      one,
      one.shape.filter((_, k) => k !== axis),
    );
  },
  Pad(c, node) {
    const x = node.value();
    const mode = node.text('mode', 'constant');
    if (mode !== 'constant') node.refuse(`has mode ${mode}`);
    const value = node.has('value') ? node.number('value', 0) : node.scalar(2, 0);
    if (value !== 0) node.refuse(`pads with ${value}`);
    const pads = node.integersAt('pads', 1) ?? node.refuse('has no pads that are known beforehand');
    const axes = axesOf(node, 3, x.shape.length + 1) ?? Array.from({ length: x.shape.length + 1 }, (_, axis) => axis);
    if (pads.length !== 2 * axes.length || !pads.every((n) => Number.isInteger(n) && n >= 0 && n <= MOST_PADS))
      node.refuse(`has pads [${pads.join(', ')}]`);
    const around = new Map(axes.map((axis, k) => [axis - 1, [pads[k], pads[k + axes.length]] as const]));
    const isPadded = (axis: number) => (around.get(axis) ?? [0, 0]).some((n) => n > 0);
    if (![-1, ...x.shape.keys()].some(isPadded)) return x;
    const order = x.order.length === 3 && isPadded(x.last) ? IMAGE : x.order;
    if (x.shape.length !== 3 || isPadded(-1) || isPadded(order[2]))
      node.refuse(`has pads [${pads.join(', ')}] for [${['samples', ...x.shape].join(', ')}]`);
    const of = (axis: number) => around.get(axis) ?? ([0, 0] as const);
    const y = c.layer('ZeroPadding2D', { padding: [of(order[0]), of(order[1])] }, c.inOrder(x, order));
    const shape = x.shape.map((n, axis) => n + of(axis)[0] + of(axis)[1]);
    return new Value(shape, order, y, { notNegative: x.facts.notNegative, ...(isBytes(x) && { isImage: 'bytes' }) });
  },
  Resize: (c, node) => enlarged(c, node, node.opset < 11 ? 1 : 2, 3),
  Upsample: (c, node) => enlarged(c, node, 1, 2),
};

const MOST_PADS = 4096;

/** A part of one axis. */
function cut(c: Converter, node: NodeView, x: Value, { axis, from, to }: Part): Value {
  const size = x.shape[axis];
  if (from === 0 && to === size) return x;
  if (!(from >= 0 && to > from && to <= size)) return node.refuse(`takes ${from} to ${to} of ${size}`);
  const place = x.order.indexOf(axis);
  const own = c.inOrder(x, x.order);
  const { shape } = own;
  const [before, after] = [sizeOf(shape.slice(0, place)), sizeOf(shape.slice(place + 1))];
  // The axis as the columns of an image, of which some are cut off.
  const columns = c.shaped(own, [before, size, after]);
  const cropping = [
    [0, 0],
    [from, size - to],
  ] as const;
  const y: LayerTensor = c.layer('Cropping2D', { cropping }, columns);
  const sizes = shape.map((n, k) => (k === place ? to - from : n));
  return new Value(
    x.shape.map((n, k) => (k === axis ? to - from : n)),
    x.order,
    c.shaped(y, sizes),
    { notNegative: x.facts.notNegative, isImage: x.facts.isImage },
  );
}

/** Each pixel several times. */
function enlarged(c: Converter, node: NodeView, scalesAt: number, sizesAt: number): Value {
  const x = node.value();
  const image = c.image(node, x);
  const mode = node.text('mode', 'nearest');
  if (mode !== 'nearest') node.refuse(`has mode ${mode}`);
  const transformation = node.text('coordinate_transformation_mode', node.opset < 11 ? 'asymmetric' : 'half_pixel');
  const nearest = node.text('nearest_mode', node.opset < 11 ? 'floor' : 'round_prefer_floor');
  node.number('cubic_coeff_a', -0.75);
  node.integer('exclude_outside', 0);
  node.number('extrapolation_value', 0);
  node.integer('antialias', 0);
  const policy = node.text('keep_aspect_ratio_policy', 'stretch');
  if (node.integers('axes')) node.refuse('has axes');
  const isPlain =
    (transformation === 'asymmetric' && nearest === 'floor') || (transformation.endsWith('half_pixel') && nearest === 'round_prefer_floor');
  if (!isPlain) node.refuse(`has coordinate_transformation_mode ${transformation} and nearest_mode ${nearest}`);
  const scales = node.has('scales') ? node.floats('scales') : node.optional(scalesAt);
  const list = scales === undefined ? [] : Array.from(scales instanceof Constant ? scales.values : scales);
  const sizes = sizesAt < node.inputs.length && node.inputs[sizesAt] ? node.integersAt('sizes', sizesAt) : undefined;
  const factors = list.length > 0 ? list : (sizes ?? []).map((n, axis) => (axis === 0 ? 1 : n / x.shape[axis - 1]));
  const [samples, channels, height, width] = factors;
  if (
    factors.length !== 4 ||
    samples !== 1 ||
    channels !== 1 ||
    ![height, width].every((n) => Number.isInteger(n) && n >= 1 && n <= MOST_PADS)
  )
    node.refuse(`makes ${factors.join(', ')} of one number, and whole numbers for height and width are read`);
  // Of sizes that are another shape of image one side would be shorter or longer than what is said.
  if (policy !== 'stretch' && height !== width) node.refuse(`has keep_aspect_ratio_policy ${policy}`);
  const y = c.layer('UpSampling2D', { size: [height, width] }, image);
  return new Value([x.shape[0], y.shape[0], y.shape[1]], IMAGE, y, { notNegative: x.facts.notNegative });
}
