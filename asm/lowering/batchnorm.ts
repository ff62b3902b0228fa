// Batch normalisation to calls of asm/kernels/batchnorm.ts.

import { samplesPerTile } from '../../runtime/ops/check.ts';
import { channels, mergeSums, pixels, tilesOf } from './elementwise.ts';
import { lowerEpilogue } from './epilogue.ts';
import { callsOf, type Kernels, type Lowering } from './lowering.ts';

/** Argument blocks of these kernels. */
export const batchnormKernels = {
  bnStatsTiles: { x: 'ptr', tiles: 'ptr', pixels: 'i32', channels: 'i32', samples: 'i32' },
  bnStatsMerge: { tiles: 'ptr', mean: 'ptr', variance: 'ptr', pixels: 'i32', channels: 'i32', samples: 'i32' },
  bnFold: { mean: 'ptr', variance: 'ptr', gamma: 'ptr', beta: 'ptr', scale: 'ptr', shift: 'ptr', channels: 'i32', epsilon: 'f32' },
  bnFoldGrad: { dscale: 'ptr', dshift: 'ptr', mean: 'ptr', variance: 'ptr', dgamma: 'ptr', channels: 'i32', epsilon: 'f32' },
  normalize: {
    x: 'ptr',
    scale: 'ptr',
    shift: 'ptr',
    residual: 'ptr?',
    residualScale: 'ptr?',
    residualShift: 'ptr?',
    y: 'ptr',
    pixels: 'i32',
    channels: 'i32',
    epilogue: 'epilogue',
  },
  bnGradStatsTiles: { dy: 'ptr', x: 'ptr', mean: 'ptr', sums: 'ptr', pixels: 'i32', channels: 'i32', samples: 'i32' },
  bnGradFold: {
    dySum: 'ptr',
    dyxSum: 'ptr',
    mean: 'ptr',
    variance: 'ptr',
    gamma: 'ptr',
    scale: 'ptr',
    alpha: 'ptr',
    kappa: 'ptr',
    dgamma: 'ptr',
    dbeta: 'ptr',
    channels: 'i32',
    pixels: 'i32',
    epsilon: 'f32',
  },
  bnGradApply: {
    dy: 'ptr',
    x: 'ptr',
    scale: 'ptr',
    alpha: 'ptr',
    kappa: 'ptr',
    derivative: 'ptr?',
    dx: 'ptr',
    sums: 'ptr?',
    pixels: 'i32',
    channels: 'i32',
    samples: 'i32',
  },
  /** A momentum below 0 stands for that of the run. */
  movingAverage: { ok: 'ptr', mean: 'ptr', variance: 'ptr', movingMean: 'ptr', movingVariance: 'ptr', channels: 'i32', momentum: 'f32' },
} as const satisfies Kernels;
const call = callsOf(batchnormKernels);

/** In place of a momentum: that of the run. */
const OF_THE_RUN = -1;

export const batchnorm = {
  bnStats(node, { capacity, spec, address, scratch }) {
    const [input] = node.inputs;
    const [mean, variance] = node.outputs.map(address);
    const size = node.attrs.pixels as number;
    if (node.attrs.from === 'partials') {
      const sizes = { pixels: size, channels: channels(spec(input)), samples: samplesPerTile(size) };
      return [call('bnStatsMerge', { tiles: address(input), mean, variance, ...sizes })];
    }
    const width = channels(spec(input));
    const { samples, count } = tilesOf(spec(input), capacity);
    const tiles = scratch(count * 2 * width * 4);
    return [
      call('bnStatsTiles', { x: address(input), tiles, pixels: size, channels: width, samples }),
      call('bnStatsMerge', { tiles, mean, variance, pixels: size, channels: width, samples }),
    ];
  },

  bnFold(node, { spec, address }) {
    const [mean, variance, gamma, beta] = node.inputs.map(address);
    const [scale, shift] = node.outputs.map(address);
    const width = channels(spec(node.inputs[0]));
    return [call('bnFold', { mean, variance, gamma, beta, scale, shift, channels: width, epsilon: node.attrs.epsilon as number })];
  },

  bnFoldGrad(node, { spec, address }) {
    const [dscale, dshift, mean, variance] = node.inputs.map(address);
    const size = { channels: channels(spec(node.inputs[0])), epsilon: node.attrs.epsilon as number };
    return [call('bnFoldGrad', { dscale, dshift, mean, variance, dgamma: address(node.outputs[0]), ...size })];
  },

  normalize(node, context) {
    const { spec, address } = context;
    const [x, scale, shift] = node.inputs.map(address);
    const [residual, residualScale, residualShift] = node.inputs.slice(3).map(address) as (number | undefined)[];
    const size = { pixels: pixels(spec(node.inputs[0])), channels: channels(spec(node.inputs[0])) };
    const epilogue = lowerEpilogue(node, context, size.pixels).fields;
    const operands = { x, scale, shift, residual, residualScale, residualShift };
    return [call('normalize', { ...operands, y: address(node.outputs[0]), ...size, epilogue })];
  },

  bnGradStats(node, { capacity, spec, address, scratch }) {
    const [dy, x, mean] = node.inputs;
    const [dySum, dyxSum] = node.outputs.map(address);
    const width = channels(spec(dy));
    const { samples, count } = tilesOf(spec(dy), capacity);
    const sums = scratch(count * 2 * width * 4);
    return [
      call('bnGradStatsTiles', {
        dy: address(dy),
        x: address(x),
        mean: address(mean),
        sums,
        pixels: pixels(spec(dy)),
        channels: width,
        samples,
      }),
      mergeSums(sums, dySum, width, 2 * width, samples),
      mergeSums(sums + width * 4, dyxSum, width, 2 * width, samples),
    ];
  },

  bnGradFold(node, { spec, address }) {
    const [dySum, dyxSum, mean, variance, gamma] = node.inputs.map(address);
    const [scale, alpha, kappa, dgamma, dbeta] = node.outputs.map(address);
    return [
      call('bnGradFold', {
        ...{ dySum, dyxSum, mean, variance, gamma, scale, alpha, kappa, dgamma, dbeta },
        channels: channels(spec(node.inputs[0])),
        pixels: node.attrs.pixels as number,
        epsilon: node.attrs.epsilon as number,
      }),
    ];
  },

  bnGradApply(node, { capacity, spec, address, scratch }) {
    const [dy, x, scale, alpha, kappa, derivative] = node.inputs;
    const [dx, dbias] = node.outputs;
    const width = channels(spec(dy));
    const { samples, count } = tilesOf(spec(dy), capacity);
    const sums = dbias === undefined ? undefined : scratch(count * width * 4);
    const apply = call('bnGradApply', {
      dy: address(dy),
      x: address(x),
      scale: address(scale),
      alpha: address(alpha),
      kappa: address(kappa),
      derivative: derivative === undefined ? undefined : address(derivative),
      dx: address(dx),
      sums,
      pixels: pixels(spec(dy)),
      channels: width,
      samples,
    });
    return sums === undefined ? [apply] : [apply, mergeSums(sums, address(dbias), width, width, samples)];
  },

  movingAverage(node, { spec, address }) {
    const [ok, mean, variance] = node.inputs.map(address);
    const [movingMean, movingVariance] = node.updates.map(address);
    const momentum = (node.attrs.momentum as number | undefined) ?? OF_THE_RUN;
    return [call('movingAverage', { ok, mean, variance, movingMean, movingVariance, channels: channels(spec(node.inputs[1])), momentum })];
  },
} satisfies Record<string, Lowering>;
