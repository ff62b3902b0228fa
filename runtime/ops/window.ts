// Windows that slide over an image: what convolutions, depthwise convolutions and pooling have in common. The one place that computes
// sizes and padding; all sizes are [rows, columns].

import { type Attribute, attr, refuse } from '../ir/signature.ts';

/** Rows and columns. */
export type Pair = readonly [number, number];

/** Zeros (or nothing, for pooling) around an image. */
export interface Pads {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

/**
 * `valid` reads no pixel outside the image; `same` pads to ⌈n/stride⌉ results, as Keras and TensorFlow do: an odd total puts the extra row at the
 * bottom and the extra column at the right. Or by numbers, as ONNX and PyTorch do.
 */
export type Padding = 'valid' | 'same' | Pads;

/** A window as attributes and layers have it: one number stands for both axes. */
export interface WindowAttrs {
  readonly stride?: number | Pair;
  readonly padding?: Padding;
  readonly dilation?: number | Pair;
  readonly groups?: number;
}

/** A window placed on an image. */
export interface Window {
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly dilation: Pair;
  readonly pads: Pads;
  readonly groups: number;
  /** Size of the image. */
  readonly image: Pair;
  /** Number of windows: the size of the result. */
  readonly out: Pair;
}

const pair = (value: number | Pair): Pair => (typeof value === 'number' ? [value, value] : value);

/** Kinds of attributes for ops with windows. */
export const windowAttr = {
  size: attr.either(attr.count, attr.pair),
  padding: attr.either(
    attr.choice('valid', 'same'),
    attr.record({ top: attr.natural, bottom: attr.natural, left: attr.natural, right: attr.natural }) as Attribute<Pads>,
  ),
};

/** Pixels that a window spans along one axis. */
const span = (kernel: number, dilation: number): number => (kernel - 1) * dilation + 1;

/** Places windows of `kernel` on an image, or refuses the node where none fits. `what` is for the message. */
export function placeWindow(
  image: Pair,
  kernel: number | Pair,
  { stride = 1, padding = 'valid', dilation = 1, groups = 1 }: WindowAttrs,
  what = 'an image',
): Window {
  const sizes = { kernel: pair(kernel), stride: pair(stride), dilation: pair(dilation) };
  const along = (axis: 0 | 1, before: number, after: number): [before: number, after: number, out: number] => {
    const [n, k, s] = [image[axis], span(sizes.kernel[axis], sizes.dilation[axis]), sizes.stride[axis]];
    if (padding === 'same') {
      const out = Math.ceil(n / s);
      const total = Math.max((out - 1) * s + k - n, 0);
      return [Math.floor(total / 2), Math.ceil(total / 2), out];
    }
    return [before, after, Math.floor((n + before + after - k) / s) + 1];
  };
  const given = typeof padding === 'string' ? { top: 0, bottom: 0, left: 0, right: 0 } : padding;
  const [top, bottom, rows] = along(0, given.top, given.bottom);
  const [left, right, columns] = along(1, given.left, given.right);
  if (!(rows > 0 && columns > 0)) {
    const around = typeof padding === 'string' ? padding : JSON.stringify(padding);
    const window = `${sizes.kernel.join('×')}, stride ${sizes.stride.join('×')}, dilation ${sizes.dilation.join('×')}, padding ${around}`;
    refuse(`${what} of ${image.join('×')} has no room for a window of ${window}`, 'Use a larger image, a smaller window, or padding same.');
  }
  return { ...sizes, pads: { top, bottom, left, right }, groups, image, out: [rows, columns] };
}

/** Calls `visit` for each row of windows along an axis that is in the image: the position of the result, of the tap, and of the pixel it reads. */
export function forEachTapAlong(window: Window, axis: 0 | 1, visit: (out: number, tap: number, at: number) => void): void {
  const before = axis === 0 ? window.pads.top : window.pads.left;
  for (let out = 0; out < window.out[axis]; out++) {
    for (let tap = 0; tap < window.kernel[axis]; tap++) {
      const at = out * window.stride[axis] + tap * window.dilation[axis] - before;
      if (at >= 0 && at < window.image[axis]) visit(out, tap, at);
    }
  }
}

/** Whether windows are 2×2, side by side and nothing pads them: devices have faster kernels for those. */
export const isHalving = ({ kernel, stride, pads }: Window): boolean =>
  `${[...kernel, ...stride]}` === '2,2,2,2' && Object.values(pads).every((pad) => pad === 0);
