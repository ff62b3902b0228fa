// Convolutions.

import type { LayerTensor } from '../../layers/functional.ts';
import type { Pair } from '../../layers/kinds.ts';
import { placeWindow } from '../../ops/window.ts';
import { channelsLast } from '../layouts.ts';
import { type Converter, IMAGE, type Rules } from './converter.ts';
import { forTraining } from './elementwise.ts';
import { nameOf } from './names.ts';
import type { NodeView } from './node-view.ts';
import { Value } from './value.ts';

export const convolution: Rules = {
  Conv(c, node) {
    const { value: x, by } = forTraining(c, node, node.value());
    const kernel = node.constant(1);
    const [outputs, inputs, height, width] = kernel.shape;
    if (kernel.shape.length !== 4) node.refuse(`has a kernel of [${kernel.shape.join(', ')}], and only those of images are read`);
    const image = c.image(node, x);
    const groups = node.integer('group', 1);
    if (groups < 1 || inputs * groups !== image.shape[2] || outputs % groups !== 0)
      node.refuse(`has a kernel of [${kernel.shape.join(', ')}] in ${groups} groups for ${image.shape[2]} channels`);
    const window = readWindow(node, image, [height, width]);
    const { padded, padding } = surrounded(c, window, image);
    const isDepthwise = groups > 1 && groups === image.shape[2];
    const shape = isDepthwise ? [height, width, groups, outputs / groups] : [height, width, inputs, outputs];
    const numbers = () => Float32Array.from(kernel.values, (value) => value * by);
    const weights = () => channelsLast(shape, numbers(), isDepthwise);
    const common = { kernelSize: [height, width] as const, strides: window.stride, padding, dilationRate: window.dilation };
    const make = (bias?: Float32Array): Value => {
      const options = { ...common, useBias: bias !== undefined };
      const all = () => ({ kernel: weights(), ...(bias && { bias }) });
      const name = nameOf(node);
      const build = () =>
        isDepthwise
          ? c.layer('DepthwiseConv2D', { ...options, depthMultiplier: outputs / groups }, padded, all, name)
          : c.layer('Conv2D', { ...options, filters: outputs, groups }, padded, all, name);
      const { out } = placeWindow([padded.shape[0], padded.shape[1]], [height, width], {
        stride: window.stride,
        padding,
        dilation: window.dilation,
      });
      // A bias may come with the next node.
      return bias
        ? new Value([outputs, ...out], IMAGE, build())
        : new Value([outputs, ...out], IMAGE, build, { made: { kind: 'unbiased', with: make } });
    };
    return make(node.optional(2) && node.vector(2, outputs));
  },
};

/** A window as a node says it: where exactly its zeros are. */
export interface NodeWindow {
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly dilation: Pair;
  /** Top, left, bottom, right. */
  readonly pads: readonly [number, number, number, number];
  /** Whether they are what an exporter of TensorFlow's `same` writes. */
  readonly isSame: boolean;
}

export function readWindow(node: NodeView, image: LayerTensor, kernel: Pair, { ceils = false } = {}): NodeWindow {
  const pair = (name: string): Pair => {
    const [height, width, ...more] = node.integers(name) ?? [1, 1];
    if (more.length > 0 || !(height > 0 && width > 0)) node.refuse(`has ${name} [${[height, width, ...more].join(', ')}]`);
    return [height, width];
  };
  const said = node.integers('kernel_shape');
  if (said && `${said}` !== `${kernel}`) node.refuse(`has kernel_shape [${said.join(', ')}] for a kernel of [${kernel.join(', ')}]`);
  const [stride, dilation] = [pair('strides'), pair('dilations')];
  const auto = node.text('auto_pad', 'NOTSET');
  const given = node.integers('pads');
  const size: Pair = [image.shape[0], image.shape[1]];
  const { pads: same } = placeWindow(size, kernel, { stride, dilation, padding: 'same' });
  const upper = [same.top, same.left, same.bottom, same.right] as const;
  if (auto === 'SAME_UPPER') return { kernel, stride, dilation, pads: upper, isSame: true };
  // The odd one comes first.
  if (auto === 'SAME_LOWER') {
    const pads = [same.bottom, same.right, same.top, same.left] as const;
    return { kernel, stride, dilation, pads, isSame: `${pads}` === `${upper}` };
  }
  if (auto !== 'NOTSET' && auto !== 'VALID') node.refuse(`has auto_pad ${auto}`);
  const pads = auto === 'VALID' ? [0, 0, 0, 0] : [...(given ?? [0, 0, 0, 0])];
  if (pads.length !== 4 || !pads.every((n) => n >= 0 && n <= MOST_PADS)) node.refuse(`has pads [${pads.join(', ')}]`);
  if (ceils)
    for (const axis of [0, 1] as const) {
      const span = (kernel[axis] - 1) * dilation[axis] + 1;
      const room = size[axis] + pads[axis] + pads[axis + 2] - span;
      const last = Math.ceil(room / stride[axis]) * stride[axis];
      // A window that would begin in what pads the end is none.
      if (last > room && last < size[axis] + pads[axis]) pads[axis + 2] += last - room;
    }
  // Of windows that move by one pixel, and where the odd one comes last, it means the same for images of any size.
  const isPlain = `${stride}` === '1,1' || pads[0] !== pads[2] || pads[1] !== pads[3];
  return { kernel, stride, dilation, pads: pads as [number, number, number, number], isSame: isPlain && `${pads}` === `${upper}` };
}

/** Far more than any window reaches over the edge. */
const MOST_PADS = 4096;

/** The image with its zeros, and how the window lies on it. */
export function surrounded(c: Converter, { pads: [top, left, bottom, right], isSame }: NodeWindow, image: LayerTensor) {
  if (top + left + bottom + right === 0) return { padded: image, padding: 'valid' as const };
  if (isSame) return { padded: image, padding: 'same' as const };
  const padding = [
    [top, bottom],
    [left, right],
  ] as const;
  return { padded: c.layer('ZeroPadding2D', { padding }, image), padding: 'valid' as const };
}
