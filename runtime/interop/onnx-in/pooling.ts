// Pooling.

import { placeWindow } from '../../ops/window.ts';
import { type Converter, IMAGE, type Rules } from './converter.ts';
import { type NodeWindow, readWindow, surrounded } from './convolution.ts';
import { axesOf } from './fold.ts';
import type { NodeView } from './node-view.ts';
import { Value } from './value.ts';

export const pooling: Rules = {
  MaxPool(c, node) {
    const x = node.value();
    const image = c.image(node, x);
    const window = windowOf(node, image);
    if (node.integer('storage_order', 0) !== 0) node.refuse('has storage_order 1');
    const { kernel, stride, pads, isSame } = window;
    const facts = { notNegative: x.facts.notNegative };
    const pool = (
      image: Parameters<Converter['shaped']>[0],
      options: { poolSize: typeof kernel; strides: typeof stride; padding: 'valid' | 'same' },
    ) => result(c.layer('MaxPooling2D', options, image), facts);
    // Zeros are no largest number where all are 0 or more.
    if (isSame || facts.notNegative || pads.every((n) => n === 0)) {
      const { padded, padding } = surrounded(c, window, image);
      return pool(padded, { poolSize: kernel, strides: stride, padding });
    }
    // With a step of one pixel `same` pads like that with what is not a number, and then every so many pixels are taken.
    const [height, width] = kernel;
    if (`${pads}` !== `${[(height - 1) / 2, (width - 1) / 2, (height - 1) / 2, (width - 1) / 2]}`)
      return node.refuse(`has pads [${pads.join(', ')}] around numbers that may be negative`);
    const all = c.layer('MaxPooling2D', { poolSize: kernel, strides: 1, padding: 'same' }, image);
    return pool(all, { poolSize: [1, 1], strides: stride, padding: 'valid' });
  },
  AveragePool(c, node) {
    const x = node.value();
    const image = c.image(node, x);
    const window = windowOf(node, image);
    const { kernel, stride, pads, isSame } = window;
    const countsPads = node.integer('count_include_pad', 0) === 1;
    const facts = { notNegative: x.facts.notNegative };
    const average = (x: typeof image, padding: 'valid' | 'same') =>
      result(c.layer('AveragePooling2D', { poolSize: kernel, strides: stride, padding }, x), facts);
    if (pads.every((n) => n === 0)) return average(image, 'valid');
    // What pads the image is in no mean here.
    if (!countsPads) {
      const { pads: same } = placeWindow([image.shape[0], image.shape[1]], kernel, { stride, padding: 'same' });
      const isEqual = isSame || `${pads}` === `${[same.top, same.left, same.bottom, same.right]}`;
      return isEqual ? average(image, 'same') : node.refuse(`has pads [${pads.join(', ')}] without count_include_pad`);
    }
    if (`${pads}` !== `${node.integers('pads') ?? [0, 0, 0, 0]}`)
      return node.refuse('has ceil_mode 1, or auto_pad, with count_include_pad');
    return average(surrounded(c, { ...window, isSame: false }, image).padded, 'valid');
  },
  GlobalAveragePool: (c, node) => overAll(c, node, node.value(), [1, 2], true, 'GlobalAveragePooling2D'),
  GlobalMaxPool: (c, node) => overAll(c, node, node.value(), [1, 2], true, 'GlobalMaxPooling2D'),
  ReduceMean: (c, node) => reduced(c, node, 'GlobalAveragePooling2D'),
  ReduceMax: (c, node) => reduced(c, node, 'GlobalMaxPooling2D'),
};

const result = (y: ReturnType<Converter['layer']>, facts: { readonly notNegative?: boolean }): Value =>
  new Value([y.shape[2], y.shape[0], y.shape[1]], IMAGE, y, facts);

function windowOf(node: NodeView, image: Parameters<typeof readWindow>[1]): NodeWindow {
  const [height, width, ...more] = node.integers('kernel_shape') ?? node.refuse('has no kernel_shape');
  if (more.length > 0 || !(height > 0 && width > 0)) node.refuse(`has kernel_shape [${[height, width, ...more].join(', ')}]`);
  const window = readWindow(node, image, [height, width], { ceils: node.integer('ceil_mode', 0) === 1 });
  if (`${window.dilation}` !== '1,1') node.refuse(`has dilations [${window.dilation.join(', ')}]`);
  // Else a window could lie in what pads the image, and nothing else.
  const [top, left, bottom, right] = window.pads;
  if (top >= height || left >= width || (bottom >= height && !window.isSame) || (right >= width && !window.isSame))
    node.refuse(`has pads [${window.pads.join(', ')}] for a window of ${height}×${width}`);
  return window;
}

/** Means and largest numbers over axes. */
function reduced(c: Converter, node: NodeView, type: 'GlobalAveragePooling2D' | 'GlobalMaxPooling2D'): Value {
  const x = node.value();
  const keeps = node.integer('keepdims', 1) === 1;
  node.integer('noop_with_empty_axes', 0);
  // Samples are axis 0.
  const axes = (axesOf(node, 1, x.shape.length + 1) ?? node.refuse('reduces all axes')).map((axis) => axis - 1);
  if (axes.includes(-1) || axes.length === 0) node.refuse('reduces the axis of the samples');
  const [axis] = axes;
  const isMean = type === 'GlobalAveragePooling2D';
  if (isMean && axes.length === 1 && axis === x.last && axis === x.shape.length - 1 && keeps) return channelMean(node, x, axis);
  return overAll(c, node, x, axes, keeps, type);
}

function overAll(
  c: Converter,
  node: NodeView,
  x: Value,
  axes: readonly number[],
  keeps: boolean,
  type: 'GlobalAveragePooling2D' | 'GlobalMaxPooling2D',
): Value {
  const kept = x.shape.flatMap((_, axis) => (axes.includes(axis) ? [] : [axis]));
  if (kept.length !== 1 || new Set(axes).size !== axes.length || axes.length + 1 !== x.shape.length)
    return node.refuse(
      `reduces axes ${axes.map((axis) => axis + 1).join(', ')} of [${['samples', ...x.shape].join(', ')}], and all but the channels are read`,
    );
  const last = c.withLast(x, kept[0]);
  const channels = x.shape[kept[0]];
  const { shape } = last.tensor;
  const image = shape.length === 3 ? last.tensor : c.shaped(last.tensor, [shape.length === 1 ? 1 : shape[0], 1, channels]);
  const facts = { notNegative: x.facts.notNegative };
  if (!keeps) return new Value([channels], [0], c.layer(type, {}, image), facts);
  const ones = x.shape.map((size, axis) => (axis === kept[0] ? size : 1));
  const y = c.layer(type, { keepdims: true }, image);
  return new Value(
    ones,
    last.order,
    c.shaped(
      y,
      last.order.map((axis) => ones[axis]),
    ),
    facts,
  );
}

/** The mean over channels: a step to a layer normalisation, and nothing else. */
function channelMean(node: NodeView, x: Value, axis: number): Value {
  const shape = x.shape.map((size, k) => (k === axis ? 1 : size));
  const { made } = x;
  const kind = made?.kind === 'squared' && made.axis === axis ? 'variance' : 'mean';
  const of = kind === 'variance' && made?.kind === 'squared' ? made.of : x;
  return new Value(
    shape,
    x.order,
    () => node.refuse('takes the mean over channels, which is read as a part of a layer normalisation only'),
    {
      made: { kind, of, axis },
    },
  );
}
