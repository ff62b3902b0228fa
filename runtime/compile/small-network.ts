// Made-up networks for the self-tests of devices, so small that they take no time: one has every heavy op of the architectures, the other a
// product as wide as theirs.

import { type Graph, GraphBuilder, type ValueId } from '../ir/graph.ts';
import { ops } from '../ops/index.ts';

/**
 * Its forward pass on images of 16×16: patch convolution, depthwise and 1×1 with a residual, 3×3, all with batch normalisation and
 * GELU, and a dense head.
 */
export function smallNetwork(channels: number): Graph {
  const g = new GraphBuilder('self-test', ops);
  let names = 0;
  const parameter = (...shape: number[]) => g.state(`parameter ${names++}`, shape, 'parameter');
  const convolve = (op: string, x: ValueId, shape: number[], attrs = {}) => {
    const u = g.one(op, [x, parameter(...shape)], attrs);
    return g.one('gelu', [g.one('bias', [u, parameter(channels)])]);
  };
  const normalize = (x: ValueId) => {
    const k = names++;
    const affine = [parameter(channels), parameter(channels)];
    g.state(`bn${k}/vars/2`, [channels], 'statistic');
    g.state(`bn${k}/vars/3`, [channels], 'statistic');
    const [y, mean, variance] = g.add('batchnorm', [x, ...affine], { epsilon: 1e-3 });
    g.output(`bn${k}/mean`, mean);
    g.output(`bn${k}/variance`, variance);
    return y;
  };
  const images = g.input('images', { dtype: 'u8', shape: [16, 16, 3], perSample: true });
  const labels = g.input('labels', { dtype: 'i32', shape: [], perSample: true });
  const stem = convolve('conv', g.one('rescale', [images], { scale: 1 / 255 }), [2, 2, 3, channels], { stride: 2, padding: 'valid' });
  const x0 = normalize(stem);
  const mixed = g.one('add', [normalize(convolve('depthwise', x0, [5, 5, channels, 1])), x0]);
  const x1 = normalize(convolve('conv', mixed, [1, 1, channels, channels], { stride: 1, padding: 'valid' }));
  const x2 = convolve('conv', x1, [3, 3, channels, channels], { stride: 1, padding: 'same' });
  const pooled = g.one('globalAvgPool', [g.one('maxPool', [x2])]);
  const logits = g.one('conv', [pooled, parameter(channels, 10)], { stride: 1, padding: 'valid' });
  const [loss, correct] = g.add('softmaxCrossEntropy', [logits, labels]);
  g.output('logits', logits);
  g.output('loss', loss);
  g.output('correct', correct);
  return g.finish();
}

/** Channels of the product, and what is added to them at last: the activations are as large as it is. */
export const WIDE_CHANNELS = 128;
export const WIDE_BETA = 'wide beta';

/** On images of 16×16: a 1×1 convolution of as many pixels and columns as the tiles of training take, with batch normalisation and ReLU, and a dense head. */
export function wideProduct(): Graph {
  const g = new GraphBuilder('self-test of products', ops);
  const parameter = (name: string, ...shape: number[]) => g.state(name, shape, 'parameter');
  const images = g.input('images', { dtype: 'u8', shape: [16, 16, 3], perSample: true });
  const labels = g.input('labels', { dtype: 'i32', shape: [], perSample: true });
  const pixels = g.one('rescale', [images], { scale: 1 / 255 });
  const window = { stride: 1, padding: 'valid' };
  const x0 = g.one('conv', [pixels, parameter('wide stem', 1, 1, 3, WIDE_CHANNELS)], window);
  const product = g.one('conv', [x0, parameter('wide kernel', 1, 1, WIDE_CHANNELS, WIDE_CHANNELS)], window);
  const affine = [parameter('wide gamma', WIDE_CHANNELS), parameter(WIDE_BETA, WIDE_CHANNELS)];
  g.state('wide/vars/2', [WIDE_CHANNELS], 'statistic');
  g.state('wide/vars/3', [WIDE_CHANNELS], 'statistic');
  const [y, mean, variance] = g.add('batchnorm', [product, ...affine], { epsilon: 1e-3 });
  g.output('wide/mean', mean);
  g.output('wide/variance', variance);
  const logits = g.one('conv', [g.one('globalAvgPool', [g.one('relu', [y])]), parameter('wide head', WIDE_CHANNELS, 10)], window);
  const [loss, correct] = g.add('softmaxCrossEntropy', [logits, labels]);
  g.output('logits', logits);
  g.output('loss', loss);
  g.output('correct', correct);
  return g.finish();
}
