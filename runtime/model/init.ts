// Initial values of a model's variables: Keras' initialisers on counter-based random numbers.

import { HybridError } from '../base/errors.ts';
import { bits64 } from '../base/kinds.ts';
import { PURPOSE, philox4x32, philoxKey } from '../base/philox.ts';
import { type Initializer, SCALINGS, type VarianceScaling } from '../layers/initializers.ts';
import { type Shape, sizeOf } from '../layers/layer.ts';
import type { TrainableModel } from './model.ts';

/**
 * Keras' fans: the last two axes times the product of all others. Depthwise kernels [k, k, C, 1] get no special treatment, so their fans are
 * k²·C and k²; a vector has one.
 */
function fansOf(shape: Shape): { readonly fan_in: number; readonly fan_out: number; readonly fan_avg: number } {
  const receptiveField = sizeOf(shape.slice(0, -2));
  const [fanIn, fanOut] = shape.length > 1 ? shape.slice(-2).map((n) => n * receptiveField) : [sizeOf(shape), sizeOf(shape)];
  return { fan_in: fanIn, fan_out: fanOut, fan_avg: (fanIn + fanOut) / 2 };
}

/** Limit of Glorot's uniform initialiser, √(6 / (fan_in + fan_out)). */
export function glorotLimit(shape: Shape): number {
  const { fan_in, fan_out } = fansOf(shape);
  return Math.sqrt(6 / (fan_in + fan_out));
}

/**
 * Initial values of all variables by name, as their initialisers say.
 *
 * Element e of the k-th variable that is drawn (kernels, in the order of the model's variables, elements in C order) is a function of
 * word e mod 4 of the Philox block with counter (0, 0, 256 + k, ⌊e/4⌋) and the seed as key: a kernel does not depend on the size of the kernels
 * before it. A kernel that is measured of images has what PyTorch begins with: training measures it. With u = word / 2³² it is (2u − 1)·limit of a uniform distribution, and the normal distribution's quantile of u otherwise. Throws
 * E_USAGE for an initialiser that is not known here.
 */
export function initialize(model: Pick<TrainableModel, 'variables'>, seed: bigint): Map<string, Float32Array> {
  bits64.check(seed, 'seed');
  const key = philoxKey(seed);
  let drawn = 0;
  return new Map(
    model.variables.map(({ name, shape, initializer }) => {
      const values = new Float32Array(sizeOf(shape));
      const source = sourceOf(initializer, shape, name);
      if (typeof source === 'number') values.fill(source);
      else fill(values, source, key, PURPOSE.initializer + drawn++);
      if (initializer === 'dirac') passOn(values, shape);
      return [name, values];
    }),
  );
}

/** What PyTorch's convolutions begin with: uniform up to 1/√fan_in. */
const LIKE_PYTORCH: VarianceScaling = { scale: 1 / 3, mode: 'fan_in', distribution: 'uniform' };

/** Filter o of a kernel [height, width, inputs, filters] becomes the identity of channel o, for as many as there are of both. */
function passOn(values: Float32Array, [height, width, inputs, filters]: Shape): void {
  const count = Math.min(inputs, filters);
  // Where padding `same` has the pixel itself.
  const centre = Math.floor((height - 1) / 2) * width + Math.floor((width - 1) / 2);
  for (let row = 0; row < height * width * inputs; row++) values.fill(0, row * filters, row * filters + count);
  for (let o = 0; o < count; o++) values[(centre * inputs + o) * filters + o] = 1;
}

/** A value from a random number u in [0, 1). */
type Draw = (u: number) => number;

/** What a variable is filled with: one number, or draws. */
function sourceOf(initializer: Initializer, shape: Shape, name: string): number | Draw {
  if (initializer === 'zeros') return 0;
  if (initializer === 'ones') return 1;
  if (initializer === 'dirac' || initializer === 'whitening') return scaled(LIKE_PYTORCH, shape);
  if (initializer === 'glorot_uniform') return uniform(glorotLimit(shape));
  if (typeof initializer === 'string') return scaled(SCALINGS[initializer], shape);
  const { type, settings } = initializer;
  const number = (key: string, fallback: number): number => (typeof settings[key] === 'number' ? settings[key] : fallback);
  switch (type) {
    case 'VarianceScaling':
      return scaled({ scale: 1, mode: 'fan_in', distribution: 'truncated_normal', ...settings } as VarianceScaling, shape);
    case 'Constant':
      return number('value', 0);
    case 'RandomUniform': {
      const [from, to] = [number('minval', -0.05), number('maxval', 0.05)];
      return (u) => from + u * (to - from);
    }
    case 'RandomNormal':
      return normal(number('mean', 0), number('stddev', 0.05));
    case 'TruncatedNormal':
      return truncated(number('mean', 0), number('stddev', 0.05));
  }
  throw new HybridError(
    'E_USAGE',
    `${name} uses the initialiser ${type}, which is not supported`,
    `Provide initial weights, or use ${Object.keys(SCALINGS).join(', ')}, zeros or ones.`,
  );
}

const uniform =
  (limit: number): Draw =>
  (u) =>
    (2 * u - 1) * limit;

const normal =
  (mean: number, deviation: number): Draw =>
  (u) =>
    mean + deviation * quantile(u + 2 ** -33);

/** Normal within two standard deviations: what lies beyond is not drawn. */
const truncated =
  (mean: number, deviation: number): Draw =>
  (u) =>
    mean + deviation * quantile(BEYOND_TWO + (u + 2 ** -33) * (1 - 2 * BEYOND_TWO));

/** Share of a normal distribution below two standard deviations. */
const BEYOND_TWO = 0.022750131948179195;
/** Standard deviation of a normal distribution of deviation 1 that is cut off at 2. */
const CUT_DEVIATION = 0.87962566103423978;

function scaled({ scale, mode, distribution }: VarianceScaling, shape: Shape): Draw {
  const variance = scale / Math.max(1, fansOf(shape)[mode]);
  if (distribution === 'uniform') return uniform(Math.sqrt(3 * variance));
  return distribution === 'untruncated_normal' ? normal(0, Math.sqrt(variance)) : truncated(0, Math.sqrt(variance) / CUT_DEVIATION);
}

function fill(values: Float32Array, draw: Draw, key: readonly number[], purpose: number): void {
  const words = new Uint32Array(4);
  const counter = [0, 0, purpose, 0];
  for (let e = 0; e < values.length; e++) {
    if (e % 4 === 0) {
      counter[3] = e / 4;
      philox4x32(key, counter, words);
    }
    values[e] = draw(words[e % 4] / 2 ** 32);
  }
}

/** The x below which a share p of the standard normal distribution lies: Acklam's rational functions, to a relative 1.2e-9. */
function quantile(p: number): number {
  const polynomial = (coefficients: readonly number[], x: number) => coefficients.reduce((sum, c) => sum * x + c, 0);
  if (p > 0.5) return -quantile(1 - p);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return polynomial(TAIL, q) / (polynomial(TAIL_BELOW, q) * q + 1);
  }
  const r = (p - 0.5) ** 2;
  return (polynomial(CENTRE, r) * (p - 0.5)) / (polynomial(CENTRE_BELOW, r) * r + 1);
}

const CENTRE = [-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239];
const CENTRE_BELOW = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572];
const TAIL = [-0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783];
const TAIL_BELOW = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416];
