// Pooling over the pixels of an image: the mean of all (before the classifier), the maximum of 2×2 (stride 2, valid).

import type { OpDefinition, ReferenceTensor } from '../ir/op.ts';
import { accept, activation, channelsOf, elementwiseCost, isActivation, pixelsOf, sameShape, throughFirstOutput } from './check.ts';

export interface GlobalAvgPoolGradAttrs {
  /** Shape of x without rows. */
  readonly inputShape: readonly number[];
}

export const globalAvgPool: OpDefinition = {
  infer(inputs) {
    const [x] = inputs;
    accept('globalAvgPool', inputs, inputs.length === 1 && isActivation(x) && x.shape.length === 3, 'x [n, h, w, C]');
    return [activation([x.shape[2]])];
  },
  gradient: throughFirstOutput((g, node, dy, wanted) => [
    wanted[0] ? g.one('globalAvgPoolGrad', [dy], { inputShape: g.spec(node.inputs[0]).shape }) : null,
  ]),
  reference({ inputs, outputs }) {
    const [, h, w, channels] = inputs[0].shape;
    const [x, y] = [inputs[0].data, outputs[0].data];
    const pixels = h * w;
    for (let i = 0; i < x.length; i++) y[Math.floor(i / (pixels * channels)) * channels + (i % channels)] += x[i] / pixels;
  },
  cost: elementwiseCost(1),
};

export const globalAvgPoolGrad: OpDefinition = {
  infer(inputs, attrs) {
    const { inputShape } = attrs as unknown as GlobalAvgPoolGradAttrs;
    const [dy] = inputs;
    const fits = inputs.length === 1 && isActivation(dy) && inputShape.length === 3 && sameShape(dy.shape, [channelsOf(inputShape)]);
    accept('globalAvgPoolGrad', inputs, fits, `dy [n, C] of x [${inputShape}]`);
    return [activation(inputShape)];
  },
  reference({ inputs, outputs }, attrs) {
    const { inputShape } = attrs as unknown as GlobalAvgPoolGradAttrs;
    const [dy, dx] = [inputs[0].data, outputs[0].data];
    const pixels = pixelsOf(inputShape);
    const channels = channelsOf(inputShape);
    for (let i = 0; i < dx.length; i++) dx[i] = dy[Math.floor(i / (pixels * channels)) * channels + (i % channels)] / pixels;
  },
  cost: elementwiseCost(1),
};

/** Shape of 2×2 windows with stride 2: an odd last row or column belongs to none. */
const halved = ([h, w, channels]: readonly number[]): number[] => [Math.floor(h / 2), Math.floor(w / 2), channels];

/** Calls `visit` for every output element with its offset and the offset in x of its window's first maximum in row-major order. */
function forEachWindow(x: ReferenceTensor, visit: (y: number, maximum: number) => void): void {
  const [rows, h, w, channels] = x.shape;
  const [oh, ow] = halved([h, w, channels]);
  for (let n = 0; n < rows; n++) {
    for (let oy = 0; oy < oh; oy++) {
      for (let ox = 0; ox < ow; ox++) {
        for (let c = 0; c < channels; c++) {
          const at = (dy: number, dx: number): number => ((n * h + 2 * oy + dy) * w + 2 * ox + dx) * channels + c;
          let maximum = at(0, 0);
          for (const other of [at(0, 1), at(1, 0), at(1, 1)]) if (x.data[other] > x.data[maximum]) maximum = other;
          visit(((n * oh + oy) * ow + ox) * channels + c, maximum);
        }
      }
    }
  }
}

export const maxPool: OpDefinition = {
  infer(inputs) {
    const [x] = inputs;
    const fits = inputs.length === 1 && isActivation(x) && x.shape.length === 3 && x.shape[0] >= 2 && x.shape[1] >= 2;
    accept('maxPool', inputs, fits, 'x [n, h, w, C] with h and w of 2 or more');
    return [activation(halved(x.shape))];
  },
  gradient: throughFirstOutput((g, node, dy, wanted) => [wanted[0] ? g.one('maxPoolGrad', [dy, node.inputs[0]]) : null]),
  reference({ inputs, outputs }) {
    const [x, y] = [inputs[0].data, outputs[0].data];
    forEachWindow(inputs[0], (at, maximum) => {
      y[at] = x[maximum];
    });
  },
  cost: elementwiseCost(1),
};

export const maxPoolGrad: OpDefinition = {
  infer(inputs) {
    const [dy, x] = inputs;
    const fits = inputs.length === 2 && isActivation(dy) && isActivation(x) && x.shape.length === 3 && sameShape(dy.shape, halved(x.shape));
    accept('maxPoolGrad', inputs, fits, 'dy [n, ⌊h/2⌋, ⌊w/2⌋, C], x [n, h, w, C]');
    return [activation(x.shape)];
  },
  reference({ inputs, outputs }) {
    const [dy, dx] = [inputs[0].data, outputs[0].data];
    forEachWindow(inputs[1], (at, maximum) => {
      dx[maximum] = dy[at];
    });
  },
  cost: elementwiseCost(1),
};
