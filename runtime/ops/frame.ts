// An image in a frame of another size: zeros around it, or only a part of it. Padding, cropping and putting images beside each other by
// channels are this one copy, and so is its gradient.

import { defineOp } from '../ir/define-op.ts';
import { attr, need } from '../ir/signature.ts';
import { activation, kinds } from './check.ts';

const { image } = kinds;

/** [rows, columns, channels]; negative where what comes before is cut off. */
const offsetAttr = attr.custom<readonly number[]>(
  'three whole numbers: rows, columns, channels',
  (value) => Array.isArray(value) && value.length === 3 && value.every(Number.isSafeInteger),
);

const frame = defineOp({
  doc: 'y = zeros of `shape` with x at `offset`; what reaches beyond is cut off. Its gradient is itself, the other way round',
  inputs: { x: image },
  outputs: { y: image },
  attrs: { offset: offsetAttr, shape: attr.shape },
  infer({ x }, { offset, shape }) {
    const overlaps = shape.length === 3 && shape.every((n, axis) => offset[axis] < n && offset[axis] + x.shape[axis] > 0);
    need(overlaps, `x [n, h, w, C] of which a part is in [${shape}] at offset [${offset}]`);
    return { y: activation(shape) };
  },
  gradient: (g, { args: { x }, attrs: { offset }, d: { y: dy } }) => ({
    // `|| 0`: there is no negative zero in a graph.
    x: () => g.one('frame', { x: dy }, { offset: offset.map((n) => -n || 0), shape: g.spec(x).shape }),
  }),
  reference({ inputs: { x }, outputs: { y } }, { offset: [top, left, first] }) {
    const [rows, height, width, channels] = x.shape;
    const [, outHeight, outWidth, outChannels] = y.shape;
    for (let n = 0; n < rows; n++) {
      for (let oy = 0; oy < outHeight; oy++) {
        const iy = oy - top;
        if (iy < 0 || iy >= height) continue;
        for (let ox = 0; ox < outWidth; ox++) {
          const ix = ox - left;
          if (ix < 0 || ix >= width) continue;
          for (let oc = Math.max(0, first); oc < Math.min(outChannels, first + channels); oc++)
            y.data[((n * outHeight + oy) * outWidth + ox) * outChannels + oc] =
              x.data[((n * height + iy) * width + ix) * channels + oc - first];
        }
      }
    }
  },
});

export const framing = { frame };
