// Batch normalisation to calls of asm/kernels/batchnorm.ts.

import { samplesPerTile } from '../../runtime/ops/check.ts';
import { channels, mergeSums, pixels, tilesOf } from './elementwise.ts';
import { lowerEpilogue } from './epilogue.ts';
import { f32, type Lowering } from './lowering.ts';

/** What tiles hold, for bnStatsMerge: mean and Σ(x−mean)², or Σx and Σx². */
const CENTRED = 0;
const SUMS = 1;

export const batchnorm = {
  bnStats(node, { capacity, spec, address, scratch }) {
    const [input] = node.inputs;
    const [mean, variance] = node.outputs.map(address);
    const size = node.attrs.pixels as number;
    if (node.attrs.from === 'partials') {
      const args = [address(input), mean, variance, size, channels(spec(input)), samplesPerTile(size), SUMS];
      return [{ kernel: 'bnStatsMerge', args }];
    }
    const width = channels(spec(input));
    const { samples, count } = tilesOf(spec(input), capacity);
    const tiles = scratch(count * 2 * width * 4);
    return [
      { kernel: 'bnStatsTiles', args: [address(input), tiles, size, width, samples] },
      { kernel: 'bnStatsMerge', args: [tiles, mean, variance, size, width, samples, CENTRED] },
    ];
  },

  bnFold(node, { spec, address }) {
    const args = [...node.inputs.map(address), ...node.outputs.map(address), channels(spec(node.inputs[0]))];
    return [{ kernel: 'bnFold', args: [...args, f32(node.attrs.epsilon as number)] }];
  },

  normalize(node, context) {
    const { spec, address } = context;
    const [x] = node.inputs;
    // Residual, its scale and its shift: 0 where there are none.
    const operands = Array.from({ length: 6 }, (_, i) => (i < node.inputs.length ? address(node.inputs[i]) : 0));
    const sizes = [pixels(spec(x)), channels(spec(x))];
    const { words } = lowerEpilogue(node, context, pixels(spec(x)));
    return [{ kernel: 'normalize', args: [...operands, address(node.outputs[0]), ...sizes, ...words] }];
  },

  bnGradStats(node, { capacity, spec, address, scratch }) {
    const [dy, x, mean] = node.inputs;
    const [dySum, dyxSum] = node.outputs.map(address);
    const width = channels(spec(dy));
    const { samples, count } = tilesOf(spec(dy), capacity);
    const sums = scratch(count * 2 * width * 4);
    return [
      { kernel: 'bnGradStatsTiles', args: [address(dy), address(x), address(mean), sums, pixels(spec(dy)), width, samples] },
      mergeSums(sums, dySum, width, 2 * width, samples),
      mergeSums(sums + width * 4, dyxSum, width, 2 * width, samples),
    ];
  },

  bnGradFold(node, { spec, address }) {
    const addresses = [...node.inputs.map(address), ...node.outputs.map(address)];
    const args = [...addresses, channels(spec(node.inputs[0])), node.attrs.pixels as number, f32(node.attrs.epsilon as number)];
    return [{ kernel: 'bnGradFold', args }];
  },

  bnGradApply(node, { capacity, spec, address, scratch }) {
    const [dy, x, scale, alpha, kappa, derivative] = node.inputs;
    const [dx, dbias] = node.outputs;
    const width = channels(spec(dy));
    const { samples, count } = tilesOf(spec(dy), capacity);
    const sums = dbias === undefined ? 0 : scratch(count * width * 4);
    const args = [
      ...[dy, x, scale, alpha, kappa].map(address),
      derivative === undefined ? 0 : address(derivative),
      address(dx),
      sums,
      pixels(spec(dy)),
      width,
      samples,
    ];
    const apply = { kernel: 'bnGradApply', args };
    return dbias === undefined ? [apply] : [apply, mergeSums(sums, address(dbias), width, width, samples)];
  },

  movingAverage(node, { spec, address }) {
    const args = [...node.inputs.map(address), ...node.updates.map(address), channels(spec(node.inputs[1]))];
    return [{ kernel: 'movingAverage', args }];
  },
} satisfies Record<string, Lowering>;
