// Layer normalisation over the channels of each pixel, and its gradients. Sums run in four lanes, which are added at the end.

import { LayernormArgs, LayernormGradArgs, madd, nextTask, rows, SCRATCH } from '../lib/abi';
import { loadLanes, storeLanes, sumLanes } from '../lib/simd';
import { drain, storeTotals } from '../lib/totals';

/** Pixels of a task of the forward pass. */
const PIXELS: i32 = 64;
/** Pixels that are summed in f32. */
const SUM_PIXELS: i32 = 128;

/** Mean of `channels` floats. */
function meanOf(x: usize, channels: i32): f32 {
  let sum = f32x4.splat(0);
  for (let c = 0; c < channels; c += 4) sum = f32x4.add(sum, loadLanes(x + ((<usize>c) << 2), min(4, channels - c)));
  return sumLanes(sum) / <f32>channels;
}

/** 1/√(variance + ε). */
function inverseOf(x: usize, channels: i32, mean: f32, epsilon: f32): f32 {
  let sum = f32x4.splat(0);
  const centre = f32x4.splat(mean);
  const whole = channels & ~3;
  for (let c = 0; c < whole; c += 4) {
    const d = f32x4.sub(v128.load(x + ((<usize>c) << 2)), centre);
    sum = madd(d, d, sum);
  }
  let total = sumLanes(sum);
  for (let c = whole; c < channels; c++) {
    const d = load<f32>(x + ((<usize>c) << 2)) - mean;
    total += d * d;
  }
  return 1 / sqrt<f32>(total / <f32>channels + epsilon);
}

export function layernorm(args: LayernormArgs): void {
  const channels = args.channels;
  const stride = (<usize>channels) << 2;
  const pixels = rows() * args.pixels;
  const tasks = (pixels + PIXELS - 1) / PIXELS;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const end = min((task + 1) * PIXELS, pixels);
    for (let pixel = task * PIXELS; pixel < end; pixel++) {
      const x = args.x + <usize>pixel * stride;
      const y = args.y + <usize>pixel * stride;
      const mean = meanOf(x, channels);
      const centre = f32x4.splat(mean);
      const inverse = f32x4.splat(inverseOf(x, channels, mean, args.epsilon));
      for (let c = 0; c < channels; c += 4) {
        const at = (<usize>c) << 2;
        const lanes = min(4, channels - c);
        const normal = f32x4.mul(f32x4.sub(loadLanes(x + at, lanes), centre), inverse);
        storeLanes(y + at, madd(normal, loadLanes(args.gamma + at, lanes), loadLanes(args.beta + at, lanes)), lanes);
      }
    }
  }
}

/** dx, and of each tile of samples Σdy·normal and Σdy: `sums` [tiles, 2, C]. */
export function layernormGrad(args: LayernormGradArgs): void {
  const channels = args.channels;
  const stride = (<usize>channels) << 2;
  const samples = rows();
  const tasks = (samples + args.samples - 1) / args.samples;
  // Two rows of sums in f32, of whole vectors, and the totals in doubles.
  const width = (channels + 3) & ~3;
  const row = (<usize>width) << 2;
  const products = SCRATCH;
  const plain = products + row;
  const totals = plain + row;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    memory.fill(products, 0, 6 * row);
    const first = task * args.samples * args.pixels;
    const end = min((task + 1) * args.samples, samples) * args.pixels;
    for (let pixel = first; pixel < end; pixel++) {
      const at = <usize>pixel * stride;
      const x = args.x + at;
      const dy = args.dy + at;
      const mean = meanOf(x, channels);
      const centre = f32x4.splat(mean);
      const inverse = f32x4.splat(inverseOf(x, channels, mean, args.epsilon));
      let sum = f32x4.splat(0);
      let product = sum;
      for (let c = 0; c < channels; c += 4) {
        const byte = (<usize>c) << 2;
        const lanes = min(4, channels - c);
        const d = loadLanes(dy + byte, lanes);
        const normal = f32x4.mul(f32x4.sub(loadLanes(x + byte, lanes), centre), inverse);
        const slope = f32x4.mul(d, loadLanes(args.gamma + byte, lanes));
        sum = f32x4.add(sum, slope);
        product = madd(slope, normal, product);
        v128.store(products + byte, madd(d, normal, v128.load(products + byte)));
        v128.store(plain + byte, f32x4.add(v128.load(plain + byte), d));
      }
      const meanSlope = f32x4.splat(sumLanes(sum) / <f32>channels);
      const meanProduct = f32x4.splat(sumLanes(product) / <f32>channels);
      const dx = args.dx + at;
      for (let c = 0; c < channels; c += 4) {
        const byte = (<usize>c) << 2;
        const lanes = min(4, channels - c);
        const normal = f32x4.mul(f32x4.sub(loadLanes(x + byte, lanes), centre), inverse);
        const slope = f32x4.mul(loadLanes(dy + byte, lanes), loadLanes(args.gamma + byte, lanes));
        const v = f32x4.sub(f32x4.sub(slope, meanSlope), f32x4.mul(normal, meanProduct));
        storeLanes(dx + byte, f32x4.mul(v, inverse), lanes);
      }
      if ((pixel - first + 1) % SUM_PIXELS == 0 || pixel + 1 == end) drain(totals, products, 2 * width);
    }
    const to = args.sums + <usize>task * 2 * stride;
    storeTotals(to, totals, channels);
    storeTotals(to + stride, totals + 2 * row, channels);
  }
}
