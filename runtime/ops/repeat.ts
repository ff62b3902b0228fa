// Every pixel several times: what upsampling to the nearest pixel, broadcasting along axes of an image, and a depthwise convolution with more
// than one kernel a channel need. And its gradient, the sums of what a pixel became.

import { defineOp } from '../ir/define-op.ts';
import { attr, need } from '../ir/signature.ts';
import { activation, kinds } from './check.ts';

const { image } = kinds;

const timesAttr = {
  /** Rows, columns, channels. */
  times: attr.custom<readonly [number, number, number]>(
    'three whole numbers above 0: rows, columns, channels',
    (value) => Array.isArray(value) && value.length === 3 && value.every((n) => Number.isSafeInteger(n) && n > 0),
  ),
};

/** Calls `visit` for every element of the large image with its offset and that of the element it repeats. */
function forEachCopy(
  [h, w, channels]: readonly number[],
  times: readonly number[],
  rows: number,
  visit: (large: number, small: number) => void,
): void {
  const [height, width, deep] = [h * times[0], w * times[1], channels * times[2]];
  for (let n = 0, at = 0; n < rows; n++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const pixel = ((n * h + Math.floor(y / times[0])) * w + Math.floor(x / times[1])) * channels;
        for (let c = 0; c < deep; c++) visit(at++, pixel + Math.floor(c / times[2]));
      }
}

const repeat = defineOp({
  doc: 'y = x with every row, column and channel repeated as often as `times` says, copies beside each other',
  inputs: { x: image },
  outputs: { y: image },
  attrs: timesAttr,
  infer: ({ x }, { times }) => ({ y: activation(x.shape.map((n, axis) => n * times[axis])) }),
  gradient: (g, { attrs, d: { y: dy } }) => ({ x: () => g.one('repeatGrad', { dy }, attrs) }),
  reference({ step, inputs: { x }, outputs: { y } }, { times }) {
    forEachCopy(x.shape.slice(1), times, step.rows, (large, small) => {
      y.data[large] = x.data[small];
    });
  },
});

const repeatGrad = defineOp({
  doc: 'dx of `repeat`: the sum of the copies of each element',
  inputs: { dy: image },
  outputs: { dx: image },
  attrs: timesAttr,
  infer({ dy }, { times }) {
    need(
      dy.shape.every((n, axis) => n % times[axis] === 0),
      `dy of sizes that are multiples of [${times}]`,
    );
    return { dx: activation(dy.shape.map((n, axis) => n / times[axis])) };
  },
  reference({ step, inputs: { dy }, outputs: { dx } }, { times }) {
    forEachCopy(dx.shape.slice(1), times, step.rows, (large, small) => {
      dx.data[small] += dy.data[large];
    });
  },
});

export const repetition = { repeat, repeatGrad };
