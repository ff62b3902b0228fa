// asc: -O1
// Batch normalisation: statistics of a batch, folding them into scale and shift, applying those, and the gradients.
//
// Statistics are sums per tile (samplesPerTile consecutive samples), merged in the order of the tiles in doubles: which
// thread summed a tile cannot change a bit. The sums inside a tile are kept in the first cache and tensors read in order (lib/columns.ts
// says why), some pixels in f32 and those in doubles (lib/totals.ts).

import {
  ACTIVATION_NONE,
  BnFoldArgs,
  BnFoldGradArgs,
  BnGradApplyArgs,
  BnGradFoldArgs,
  BnGradStatsTilesArgs,
  bnMomentum,
  BnStatsMergeArgs,
  BnStatsTilesArgs,
  madd,
  MovingAverageArgs,
  nextTask,
  NormalizeArgs,
  rows,
  SCRATCH,
} from '../lib/abi';
import { pixelsPerChunk } from '../lib/chunks';
import { finish, finishTile } from '../lib/epilogue';
import { copyFloats } from '../lib/simd';
import { beginTile, drain, FIRST_PIXELS, joinTile, placeTileSums, storeTile, storeTotals, SUM_CHANNELS, SUM_PIXELS } from '../lib/totals';

/** A `TileSums` in the thread's scratch; kernels that sum anything else use its rows of sums and totals. */
const TILE_SUMS = SCRATCH;
/** Bytes of the channels that are summed side by side. */
const SUM_BYTES: usize = 4 * SUM_CHANNELS;

/** madd of three floats: what a lane of the vector loop gives, bit for bit. */
// @ts-ignore: decorator
@inline
function maddScalar(a: f32, b: f32, c: f32): f32 {
  return f32x4.extract_lane(madd(f32x4.splat(a), f32x4.splat(b), f32x4.splat(c)), 0);
}

/** tiles [tiles, 2, C]: mean and Σ(x−mean)² of each tile. */
export function bnStatsTiles(args: BnStatsTilesArgs): void {
  const x = args.x;
  const tiles = args.tiles;
  const pixels = args.pixels;
  const width = (<usize>args.channels) << 2;
  const samples = args.samples;
  const tasks = (rows() + samples - 1) / samples;
  const t = placeTileSums(TILE_SUMS, SUM_CHANNELS);
  const centre = t.centre;
  const sum = t.sums;
  const squares = t.squares;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const begin = task * samples;
    const count = min(samples, rows() - begin) * pixels;
    for (let column: usize = 0; column < width; column += SUM_BYTES) {
      const bytes = min(SUM_BYTES, width - column);
      const vectors = bytes & ~15;
      const channels = <i32>(bytes >> 2);
      const first = x + <usize>(begin * pixels) * width + column;
      beginTile(t, 0, channels);
      copyFloats(centre, first, channels);
      for (let pixel = 0, part = FIRST_PIXELS; pixel < count; pixel += part, part = SUM_PIXELS) {
        part = min(part, count - pixel);
        const end = first + <usize>(pixel + part) * width;
        for (let at = first + <usize>pixel * width; at < end; at += width) {
          let c: usize = 0;
          for (; c < vectors; c += 16) {
            const d = f32x4.sub(v128.load(at + c), v128.load(centre + c));
            v128.store(sum + c, f32x4.add(v128.load(sum + c), d));
            v128.store(squares + c, madd(d, d, v128.load(squares + c)));
          }
          for (; c < bytes; c += 4) {
            const d: f32 = load<f32>(at + c) - load<f32>(centre + c);
            store<f32>(sum + c, load<f32>(sum + c) + d);
            store<f32>(squares + c, maddScalar(d, d, load<f32>(squares + c)));
          }
        }
        joinTile(t, 0, channels, pixel, part);
      }
      const mean = tiles + <usize>task * 2 * width + column;
      storeTile(t, 0, channels, mean, mean + width);
    }
  }
}

/** Merges mean and Σ(x−mean)² of the tiles [t, 2, C] in order by Chan's formula. */
export function bnStatsMerge(args: BnStatsMergeArgs): void {
  const tiles = args.tiles;
  const mean = args.mean;
  const variance = args.variance;
  const pixels = args.pixels;
  const channels = args.channels;
  const samples = args.samples;
  const width = (<usize>channels) << 2;
  const tasks = (channels + 15) >> 4;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const end = min((task + 1) << 4, channels);
    for (let channel = task << 4; channel < end; channel++) {
      const c = (<usize>channel) << 2;
      let n: f64 = 0;
      let m: f64 = 0;
      let squares: f64 = 0;
      let at = tiles + c;
      for (let begin = 0; begin < rows(); begin += samples, at += 2 * width) {
        const count = <f64>(min(samples, rows() - begin) * pixels);
        const both = n + count;
        const delta = <f64>load<f32>(at) - m;
        m += (delta * count) / both;
        squares += <f64>load<f32>(at + width) + (delta * delta * n * count) / both;
        n = both;
      }
      store<f32>(mean + c, <f32>m);
      store<f32>(variance + c, <f32>(squares / n));
    }
  }
}

export function bnFold(args: BnFoldArgs): void {
  const mean = args.mean;
  const variance = args.variance;
  const gamma = args.gamma;
  const beta = args.beta;
  const scale = args.scale;
  const shift = args.shift;
  const width = (<usize>args.channels) << 2;
  const epsilon = <f64>args.epsilon;
  if (nextTask() != 0) return;
  for (let c: usize = 0; c < width; c += 4) {
    const s = <f64>load<f32>(gamma + c) / Math.sqrt(<f64>load<f32>(variance + c) + epsilon);
    store<f32>(scale + c, <f32>s);
    store<f32>(shift + c, <f32>(<f64>load<f32>(beta + c) - <f64>load<f32>(mean + c) * s));
  }
}

/** The gradient of gamma where the statistics are fixed. */
export function bnFoldGrad(args: BnFoldGradArgs): void {
  const dscale = args.dscale;
  const dshift = args.dshift;
  const mean = args.mean;
  const variance = args.variance;
  const dgamma = args.dgamma;
  const width = (<usize>args.channels) << 2;
  const epsilon = <f64>args.epsilon;
  if (nextTask() != 0) return;
  for (let c: usize = 0; c < width; c += 4) {
    const centred = <f64>load<f32>(dscale + c) - <f64>load<f32>(mean + c) * <f64>load<f32>(dshift + c);
    store<f32>(dgamma + c, <f32>(centred / Math.sqrt(<f64>load<f32>(variance + c) + epsilon)));
  }
}

/**
 * y = epilogue(x·scale + shift (+ residual, or + (residual·scale + shift))).
 */
export function normalize(args: NormalizeArgs): void {
  const y = args.y;
  const pixels = rows() * args.pixels;
  const channels = args.channels;
  const epilogue = args.epilogue;
  const width = (<usize>channels) << 2;
  // A task is a tile of statistics where there are any.
  const perTask = epilogue.partials ? epilogue.rowsPerTile : pixelsPerChunk(channels);
  const tasks = (pixels + perTask - 1) / perTask;
  if (epilogue.activation.code == ACTIVATION_NONE && epilogue.partials == 0) {
    for (let task = nextTask(); task < tasks; task = nextTask()) {
      normalizePixels(args, task * perTask, min((task + 1) * perTask, pixels), 0, width);
    }
    return;
  }
  const t = placeTileSums(TILE_SUMS, SUM_CHANNELS);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const first = task * perTask;
    const end = min(first + perTask, pixels);
    for (let column: usize = 0; column < width; column += SUM_BYTES) {
      const bytes = min(SUM_BYTES, width - column);
      const count = <i32>(bytes >> 2);
      if (epilogue.partials) beginTile(t, 0, count);
      for (let begin = first; begin < end; begin += BLOCK) {
        const last = min(begin + BLOCK, end);
        normalizePixels(args, begin, last, column, column + bytes);
        const offset = <usize>begin * width + column;
        const to = y + offset;
        const derivative = epilogue.derivative ? epilogue.derivative + offset : 0;
        if (!epilogue.partials) {
          finish(to, width, to, derivative, width, last - begin, count, 0, epilogue.activation, 0, 0, 0);
          continue;
        }
        finishTile(to, width, to, derivative, width, last - begin, count, 0, epilogue.activation, t, 0, begin == first);
        let part = begin - ((begin - first) % SUM_PIXELS);
        const partEnd = min(begin == first ? first + FIRST_PIXELS : part + SUM_PIXELS, end);
        if (part == first && begin > first) part += FIRST_PIXELS;
        if (last == partEnd) joinTile(t, 0, count, part - first, last - part);
      }
      if (epilogue.partials) {
        const mean = epilogue.partials + <usize>task * 2 * width + column;
        storeTile(t, 0, count, mean, mean + width);
      }
    }
  }
}

/** Pixels that an epilogue takes at a time: what they are normalised to is still in the first cache. */
const BLOCK: i32 = FIRST_PIXELS;

/**
 * The pixels from `begin` to `last` and the bytes of each from `column` to `columnEnd` (both exclusive) of a call of `normalize`, before the
 * epilogue.
 */
function normalizePixels(args: NormalizeArgs, begin: i32, last: i32, column: usize, columnEnd: usize): void {
  const x = args.x;
  const scale = args.scale;
  const shift = args.shift;
  const residual = args.residual;
  const residualScale = args.residualScale;
  const residualShift = args.residualShift;
  const y = args.y;
  const width = (<usize>args.channels) << 2;
  const vectors = column + ((columnEnd - column) & ~15);
  const end = <usize>last * width;
  for (let at = <usize>begin * width; at < end; at += width) {
    let c = column;
    if (residual == 0) {
      for (; c < vectors; c += 16) v128.store(y + at + c, madd(v128.load(x + at + c), v128.load(scale + c), v128.load(shift + c)));
    } else if (residualScale == 0) {
      for (; c < vectors; c += 16) {
        const v = madd(v128.load(x + at + c), v128.load(scale + c), v128.load(shift + c));
        v128.store(y + at + c, f32x4.add(v, v128.load(residual + at + c)));
      }
    } else {
      for (; c < vectors; c += 16) {
        const v = madd(v128.load(x + at + c), v128.load(scale + c), v128.load(shift + c));
        const r = madd(v128.load(residual + at + c), v128.load(residualScale + c), v128.load(residualShift + c));
        v128.store(y + at + c, f32x4.add(v, r));
      }
    }
    for (; c < columnEnd; c += 4) {
      let v = maddScalar(load<f32>(x + at + c), load<f32>(scale + c), load<f32>(shift + c));
      if (residualScale) v += maddScalar(load<f32>(residual + at + c), load<f32>(residualScale + c), load<f32>(residualShift + c));
      else if (residual) v += load<f32>(residual + at + c);
      store<f32>(y + at + c, v);
    }
  }
}

/** sums [tiles, 2, C]: Σdy and Σdy·(x−mean) of each tile. */
export function bnGradStatsTiles(args: BnGradStatsTilesArgs): void {
  const dy = args.dy;
  const x = args.x;
  const mean = args.mean;
  const sums = args.sums;
  const pixels = args.pixels;
  const width = (<usize>args.channels) << 2;
  const samples = args.samples;
  const tasks = (rows() + samples - 1) / samples;
  const t = placeTileSums(TILE_SUMS, SUM_CHANNELS);
  const sum = t.sums;
  const product = t.squares;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const begin = task * samples;
    const count = min(samples, rows() - begin) * pixels;
    for (let column: usize = 0; column < width; column += SUM_BYTES) {
      const bytes = min(SUM_BYTES, width - column);
      const vectors = bytes & ~15;
      const channels = <i32>(bytes >> 2);
      const first = <usize>(begin * pixels) * width + column;
      const centre = mean + column;
      beginTile(t, 0, channels);
      for (let pixel = 0; pixel < count; pixel += SUM_PIXELS) {
        const end = first + <usize>min(pixel + SUM_PIXELS, count) * width;
        for (let at = first + <usize>pixel * width; at < end; at += width) {
          let c: usize = 0;
          for (; c < vectors; c += 16) {
            const d = v128.load(dy + at + c);
            v128.store(sum + c, f32x4.add(v128.load(sum + c), d));
            v128.store(product + c, madd(d, f32x4.sub(v128.load(x + at + c), v128.load(centre + c)), v128.load(product + c)));
          }
          for (; c < bytes; c += 4) {
            const d = load<f32>(dy + at + c);
            store<f32>(sum + c, load<f32>(sum + c) + d);
            store<f32>(product + c, maddScalar(d, load<f32>(x + at + c) - load<f32>(centre + c), load<f32>(product + c)));
          }
        }
        drain(t.means, sum, channels);
        drain(t.deviations, product, channels);
      }
      const to = sums + <usize>task * 2 * width + column;
      storeTotals(to, t.means, channels);
      storeTotals(to + width, t.deviations, channels);
    }
  }
}

export function bnGradFold(args: BnGradFoldArgs): void {
  const dySum = args.dySum;
  const dyxSum = args.dyxSum;
  const mean = args.mean;
  const variance = args.variance;
  const gamma = args.gamma;
  const scale = args.scale;
  const alpha = args.alpha;
  const kappa = args.kappa;
  const dgamma = args.dgamma;
  const dbeta = args.dbeta;
  const width = (<usize>args.channels) << 2;
  const count = <f64>rows() * <f64>args.pixels;
  const epsilon = <f64>args.epsilon;
  if (nextTask() != 0) return;
  for (let c: usize = 0; c < width; c += 4) {
    const r = 1 / Math.sqrt(<f64>load<f32>(variance + c) + epsilon);
    const s = <f64>load<f32>(gamma + c) * r;
    const sum = <f64>load<f32>(dySum + c);
    const dg = r * <f64>load<f32>(dyxSum + c);
    const k = (-s * r * dg) / count;
    store<f32>(scale + c, <f32>s);
    store<f32>(kappa + c, <f32>k);
    store<f32>(alpha + c, <f32>((-s * sum) / count - k * <f64>load<f32>(mean + c)));
    store<f32>(dgamma + c, <f32>dg);
    store<f32>(dbeta + c, <f32>sum);
  }
}

/**
 * dx = (scale·dy + alpha + kappa·x)(·derivative); sums [tiles, C]: Σdx of each tile, for the gradient of a bias.
 */
export function bnGradApply(args: BnGradApplyArgs): void {
  const dy = args.dy;
  const x = args.x;
  const scale = args.scale;
  const alpha = args.alpha;
  const kappa = args.kappa;
  const derivative = args.derivative;
  const dx = args.dx;
  const sums = args.sums;
  const pixels = args.pixels;
  const width = (<usize>args.channels) << 2;
  const samples = args.samples;
  const tasks = (rows() + samples - 1) / samples;
  const t = placeTileSums(TILE_SUMS, SUM_CHANNELS);
  const sum = t.sums;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const begin = task * samples;
    const count = min(samples, rows() - begin) * pixels;
    for (let column: usize = 0; column < width; column += SUM_BYTES) {
      const bytes = min(SUM_BYTES, width - column);
      const columnEnd = column + bytes;
      const vectors = column + (bytes & ~15);
      const channels = <i32>(bytes >> 2);
      if (sums) beginTile(t, 0, channels);
      for (let pixel = 0; pixel < count; pixel += SUM_PIXELS) {
        let at = <usize>(begin * pixels + pixel) * width;
        const end = at + <usize>min(SUM_PIXELS, count - pixel) * width;
        for (; at < end; at += width) {
          let to = sum;
          let c = column;
          for (; c < vectors; c += 16, to += 16) {
            let v = madd(v128.load(kappa + c), v128.load(x + at + c), madd(v128.load(scale + c), v128.load(dy + at + c), v128.load(alpha + c)));
            if (derivative) v = f32x4.mul(v, v128.load(derivative + at + c));
            v128.store(dx + at + c, v);
            if (sums) v128.store(to, f32x4.add(v128.load(to), v));
          }
          for (; c < columnEnd; c += 4, to += 4) {
            let v = maddScalar(load<f32>(kappa + c), load<f32>(x + at + c), maddScalar(load<f32>(scale + c), load<f32>(dy + at + c), load<f32>(alpha + c)));
            if (derivative) v *= load<f32>(derivative + at + c);
            store<f32>(dx + at + c, v);
            if (sums) store<f32>(to, load<f32>(to) + v);
          }
        }
        if (sums) drain(t.means, sum, channels);
      }
      if (sums) storeTotals(sums + <usize>task * width + column, t.means, channels);
    }
  }
}

/** moving = moving·momentum + batch·(1 − momentum), where ok. */
export function movingAverage(args: MovingAverageArgs): void {
  const ok = args.ok;
  const mean = args.mean;
  const variance = args.variance;
  const movingMean = args.movingMean;
  const movingVariance = args.movingVariance;
  const width = (<usize>args.channels) << 2;
  if (nextTask() != 0 || load<i32>(ok) == 0) return;
  const momentum: f32 = args.momentum < 0 ? bnMomentum() : args.momentum;
  const rest: f32 = 1 - momentum;
  for (let c: usize = 0; c < width; c += 4) {
    store<f32>(movingMean + c, load<f32>(movingMean + c) * momentum + load<f32>(mean + c) * rest);
    store<f32>(movingVariance + c, load<f32>(movingVariance + c) * momentum + load<f32>(variance + c) * rest);
  }
}
