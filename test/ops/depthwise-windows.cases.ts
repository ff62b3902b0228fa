// Cases of depthwise convolutions over windows of any kind.

import type { Attrs } from '../../runtime/ir/graph.ts';
import { channelCount, type OpFamily, withEpilogues, x } from '../support/op-case.ts';
import { runReference } from '../support/reference.ts';
import { fixed, samples, type TestTensor, uniform } from '../support/tensors.ts';

/** Depthwise convolutions over windows of other kinds: x, w, and how the windows lie. */
export const DEPTHWISE_WINDOWS: readonly (readonly [rows: number, xShape: readonly number[], wShape: readonly number[], attrs: Attrs])[] = [
  [1, [1, 1, 1], [1, 1, 1, 1], {}],
  [2, [5, 7, 3], [3, 3, 3, 1], { stride: 2, padding: 'same' }],
  [3, [8, 8, 33], [3, 3, 33, 1], { stride: 2, padding: 'same' }],
  [2, [6, 5, 16], [5, 5, 16, 1], { stride: 2, padding: 'same' }],
  [2, [7, 6, 20], [3, 3, 20, 1], {}],
  [2, [5, 9, 6], [3, 5, 3, 2], { padding: 'same' }],
  [1, [9, 8, 4], [2, 3, 4, 1], { stride: [1, 3], padding: { top: 1, bottom: 0, left: 2, right: 3 } }],
  [2, [9, 9, 5], [3, 3, 5, 1], { dilation: 2, padding: 'same' }],
  [2, [7, 11, 40], [3, 2, 40, 1], { stride: 2, dilation: [1, 3] }],
  [5, [1, 1, 8], [3, 3, 8, 1], { stride: 2, padding: 'same' }],
  [70, [4, 3, 7], [3, 3, 7, 1], { stride: 2, padding: 'same' }],
  [1, [40, 19, 4], [3, 3, 4, 1], { padding: 'same' }],
  [2, [4, 5, 6], [1, 1, 6, 1], { stride: 3 }],
];

const depthwiseWindowsName = ([rows, xShape, wShape, attrs]: (typeof DEPTHWISE_WINDOWS)[number]): string =>
  `${rows} × [${xShape}] by [${wShape}] ${JSON.stringify(attrs)}`;

/** Gradient-shaped tensor for what a depthwise convolution of this kind gives. */
function depthwiseWindowsDy([rows, xShape, wShape, attrs]: (typeof DEPTHWISE_WINDOWS)[number]): TestTensor {
  const [y] = runReference('depthwiseWindows', [x(rows, xShape), fixed(wShape, uniform(3))], attrs);
  return samples(rows, y.spec.shape, uniform(5));
}

export const family = {
  depthwiseWindows: {
    cases: () => [
      ...DEPTHWISE_WINDOWS.map((one) => ({
        name: depthwiseWindowsName(one),
        rows: one[0],
        inputs: [x(one[0], one[1]), fixed(one[2], uniform(3))],
        attrs: one[3],
      })),
      ...[DEPTHWISE_WINDOWS[2], DEPTHWISE_WINDOWS[5], DEPTHWISE_WINDOWS[10], DEPTHWISE_WINDOWS[11]].flatMap((one) =>
        withEpilogues(depthwiseWindowsName(one), [x(one[0], one[1]), fixed(one[2], uniform(3))], one[1][2], one[3]),
      ),
    ],
    maker: ({ g, draw, parameter }, x) => {
      const attrs = { stride: [1 + draw(3), 1 + draw(2)], dilation: 1 + draw(2), padding: 'same' };
      return g.one('depthwiseWindows', { x, w: parameter(1 + draw(4), 1 + draw(4), channelCount(g, x), 1) }, attrs);
    },
  },
  depthwiseWindowsGradInput: {
    cases: () =>
      DEPTHWISE_WINDOWS.map((one) => ({
        name: depthwiseWindowsName(one),
        rows: one[0],
        inputs: [depthwiseWindowsDy(one), fixed(one[2], uniform(3))],
        attrs: { ...one[3], inputShape: one[1] },
      })),
  },
  depthwiseWindowsGradWeight: {
    cases: () =>
      DEPTHWISE_WINDOWS.map((one) => ({
        name: depthwiseWindowsName(one),
        rows: one[0],
        inputs: [x(one[0], one[1]), depthwiseWindowsDy(one)],
        attrs: { ...one[3], weightShape: one[2] },
      })),
  },
} satisfies OpFamily;
