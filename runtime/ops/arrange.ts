// Tensors put beside each other, and axes in another order.

import { defineOp } from '../ir/define-op.ts';
import { attr, list, need } from '../ir/signature.ts';
import { activation, kinds } from './check.ts';

const { image, features } = kinds;

const concat = defineOp({
  doc: 'images beside each other by channels, in the order of the list',
  inputs: { parts: list(image) },
  outputs: { y: image },
  infer({ parts }) {
    const [first] = parts;
    need(
      parts.every(({ shape }) => shape[0] === first.shape[0] && shape[1] === first.shape[1]),
      'images of one height and width',
    );
    return { y: activation([first.shape[0], first.shape[1], parts.reduce((sum, { shape }) => sum + shape[2], 0)]) };
  },
  gradient(g, { args: { parts }, d: { y: dy } }) {
    const shapes = parts.map((id) => g.spec(id).shape);
    return {
      parts: (k) => {
        const before = shapes.slice(0, k).reduce((sum, shape) => sum + shape[2], 0);
        return g.one('frame', { x: dy }, { offset: [0, 0, -before || 0], shape: shapes[k] });
      },
    };
  },
  reference({ inputs: { parts }, outputs: { y } }) {
    const channels = y.shape[3];
    let first = 0;
    for (const { data, shape } of parts) {
      for (let i = 0; i < data.length; i++) y.data[Math.floor(i / shape[3]) * channels + first + (i % shape[3])] = data[i];
      first += shape[3];
    }
  },
});

/** Floats from element to element along each axis of x [shape], in the order of the axes of the result; at most four axes, filled up in front. */
export function permutedStrides(
  shape: readonly number[],
  axes: readonly number[],
): { readonly sizes: number[]; readonly strides: number[] } {
  const own = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * n, 1));
  const front = Array.from({ length: 4 - shape.length }, () => 1);
  return {
    sizes: [...front, ...axes.map((axis) => shape[axis])],
    strides: [...front.map(() => 0), ...axes.map((axis) => own[axis])],
  };
}

const permute = defineOp({
  doc: 'y = x with its axes in another order: axis k of the result is axis axes[k] of x, the rows left out; up to four axes',
  inputs: { x: features },
  outputs: { y: features },
  attrs: {
    axes: attr.custom<readonly number[]>('a list of axes', (value) => Array.isArray(value) && value.every(Number.isSafeInteger)),
  },
  infer({ x }, { axes }) {
    const fits = `${[...axes].sort((a, b) => a - b)}` === `${x.shape.map((_, axis) => axis)}`;
    need(fits && axes.length <= 4, `axes that are those of x [${x.shape}] in some order, four at most`);
    return { y: activation(axes.map((axis) => x.shape[axis])) };
  },
  gradient: (g, { attrs: { axes }, d: { y: dy } }) => ({
    x: () => g.one('permute', { x: dy }, { axes: axes.map((_, axis) => axes.indexOf(axis)) }),
  }),
  reference({ step, inputs: { x }, outputs: { y } }, { axes }) {
    const { sizes, strides } = permutedStrides(x.shape.slice(1), axes);
    const elements = x.data.length / step.rows;
    for (let i = 0; i < y.data.length; i++) {
      let from = Math.floor(i / elements) * elements;
      for (let axis = 3, left = i % elements; axis >= 0; axis--) {
        from += (left % sizes[axis]) * strides[axis];
        left = Math.floor(left / sizes[axis]);
      }
      y.data[i] = x.data[from];
    }
  },
});

export const arranging = { concat, permute };
