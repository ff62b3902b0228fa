// The update phase: finite check, length of the gradients, the optimizers over the flat ranges of the plan, step count. Memory-bound; none of it uses fused
// multiply-add, so that it rounds as Keras in float32 does, in both builds.

import {
  AdamwArgs,
  CountStepArgs,
  FiniteChunksArgs,
  FiniteMergeArgs,
  LionArgs,
  nextTask,
  SCRATCH,
  SgdArgs,
  SquareChunksArgs,
  SquareMergeArgs,
} from '../lib/abi';
import { nextChunk, nextPiece, Piece } from '../lib/groups';

const PIECE = changetype<Piece>(SCRATCH);

/** An f32 is infinite or NaN where all of these bits are set: bit patterns, since no arithmetic may optimise NaN away. */
const EXPONENT: i32 = 0x7f800000;

/** flags, an i32 a chunk: no element of the chunk is infinite or NaN. */
export function finiteChunks(args: FiniteChunksArgs): void {
  const flags = args.flags;
  const mask = i32x4.splat(EXPONENT);
  for (let task = nextChunk(args.at(0), args.ranges, PIECE); task >= 0; task = nextChunk(args.at(0), args.ranges, PIECE)) {
    let at = PIECE.begin;
    const end = PIECE.end;
    let bad = i32x4.splat(0);
    for (; at + 16 <= end; at += 16) bad = v128.or(bad, i32x4.eq(v128.and(v128.load(at), mask), mask));
    for (; at < end; at += 4) bad = v128.or(bad, i32x4.eq(v128.and(v128.load32_splat(at), mask), mask));
    store<i32>(flags + ((<usize>task) << 2), <i32>!v128.any_true(bad));
  }
}

/** ok = all flags. */
export function finiteMerge(args: FiniteMergeArgs): void {
  const flags = args.flags;
  const count = args.count;
  if (nextTask() != 0) return;
  let ok = 1;
  for (let i = 0; i < count; i++) ok &= load<i32>(flags + ((<usize>i) << 2));
  store<i32>(args.ok, ok);
}

/** sums, an f64 a chunk: the squares of the chunk's elements. */
export function squareChunks(args: SquareChunksArgs): void {
  const sums = args.sums;
  for (let task = nextChunk(args.at(0), args.ranges, PIECE); task >= 0; task = nextChunk(args.at(0), args.ranges, PIECE)) {
    let at = PIECE.begin;
    const end = PIECE.end;
    let low = f64x2.splat(0);
    let high = f64x2.splat(0);
    for (; at + 16 <= end; at += 16) {
      const g = v128.load(at);
      const first = f64x2.promote_low_f32x4(g);
      const last = f64x2.promote_low_f32x4(v128.shuffle<i64>(g, g, 1, 1));
      low = f64x2.add(low, f64x2.mul(first, first));
      high = f64x2.add(high, f64x2.mul(last, last));
    }
    let sum = f64x2.extract_lane(low, 0) + f64x2.extract_lane(low, 1) + f64x2.extract_lane(high, 0) + f64x2.extract_lane(high, 1);
    for (; at < end; at += 4) sum += <f64>load<f32>(at) * <f64>load<f32>(at);
    store<f64>(sums + ((<usize>task) << 3), sum);
  }
}

/** scale = norm over the root of all sums where that is less than 1, else 1. */
export function squareMerge(args: SquareMergeArgs): void {
  const sums = args.sums;
  const count = args.count;
  if (nextTask() != 0) return;
  let sum: f64 = 0;
  for (let i = 0; i < count; i++) sum += load<f64>(sums + ((<usize>i) << 3));
  store<f32>(args.scale, <f32>min<f64>(1, args.norm / Math.sqrt(sum)));
}

/** A factor of all gradients: 1 where there is none, which changes no bit. */
// @ts-ignore: decorator
@inline
function factor(scale: usize): v128 {
  return scale ? v128.load32_splat(scale) : f32x4.splat(1);
}

/** beta to the power of t, by squaring. */
function power(beta: f64, t: i32): f64 {
  let result: f64 = 1;
  for (; t > 0; t >>= 1, beta *= beta) if (t & 1) result *= beta;
  return result;
}

/** Keras' AdamW over flat ranges, where ok; padding between tensors is zero and stays zero. */
export function adamw(args: AdamwArgs): void {
  if (load<i32>(args.ok) == 0) return;
  const gradients = args.gradients;
  const scale = factor(args.scale);
  const parameters = args.parameters;
  const moments1 = args.moment1;
  const moments2 = args.moment2;
  const t = load<i32>(args.counter) + 1;
  const correction = Math.sqrt(1 - power(args.beta2, t)) / (1 - power(args.beta1, t));
  const rest1 = f32x4.splat(<f32>(1 - args.beta1));
  const rest2 = f32x4.splat(<f32>(1 - args.beta2));
  const epsilon = f32x4.splat(<f32>args.epsilon);
  while (nextPiece(args.at(0), args.groups, PIECE)) {
    const alpha = f32x4.splat(<f32>(<f64>PIECE.rate * correction));
    const rate = f32x4.splat(PIECE.rate);
    const decay = f32x4.splat(PIECE.decay);
    const end = PIECE.end;
    for (let i = PIECE.begin; i < end; i += 16) {
      const g = f32x4.mul(v128.load(gradients + i), scale);
      let w = v128.load(parameters + i);
      let m = v128.load(moments1 + i);
      let v = v128.load(moments2 + i);
      w = f32x4.sub(w, f32x4.mul(f32x4.mul(w, decay), rate));
      m = f32x4.add(m, f32x4.mul(f32x4.sub(g, m), rest1));
      v = f32x4.add(v, f32x4.mul(f32x4.sub(f32x4.mul(g, g), v), rest2));
      w = f32x4.sub(w, f32x4.div(f32x4.mul(m, alpha), f32x4.add(f32x4.sqrt(v), epsilon)));
      v128.store(parameters + i, w);
      v128.store(moments1 + i, m);
      v128.store(moments2 + i, v);
    }
  }
}

/** Keras' SGD; without momentum it has no slot. */
export function sgd(args: SgdArgs): void {
  if (load<i32>(args.ok) == 0) return;
  const gradients = args.gradients;
  const scale = factor(args.scale);
  const parameters = args.parameters;
  const velocities = args.velocity;
  const nesterov = args.nesterov != 0;
  const momentum = f32x4.splat(<f32>args.momentum);
  while (nextPiece(args.at(0), args.groups, PIECE)) {
    const rate = f32x4.splat(PIECE.rate);
    const decay = f32x4.splat(PIECE.decay);
    const end = PIECE.end;
    for (let i = PIECE.begin; i < end; i += 16) {
      const slope = f32x4.mul(f32x4.mul(v128.load(gradients + i), scale), rate);
      let w = v128.load(parameters + i);
      w = f32x4.sub(w, f32x4.mul(f32x4.mul(w, decay), rate));
      if (velocities) {
        let v = f32x4.sub(f32x4.mul(v128.load(velocities + i), momentum), slope);
        v128.store(velocities + i, v);
        if (nesterov) v = f32x4.sub(f32x4.mul(v, momentum), slope);
        w = f32x4.add(w, v);
      } else {
        w = f32x4.sub(w, slope);
      }
      v128.store(parameters + i, w);
    }
  }
}

/** Keras' Lion: the sign of 0 is 0. */
export function lion(args: LionArgs): void {
  if (load<i32>(args.ok) == 0) return;
  const gradients = args.gradients;
  const scale = factor(args.scale);
  const parameters = args.parameters;
  const momenta = args.momentum;
  const beta1 = f32x4.splat(<f32>args.beta1);
  const beta2 = f32x4.splat(<f32>args.beta2);
  const rest1 = f32x4.splat(<f32>(1 - args.beta1));
  const rest2 = f32x4.splat(<f32>(1 - args.beta2));
  const zero = f32x4.splat(0);
  while (nextPiece(args.at(0), args.groups, PIECE)) {
    const rate = f32x4.splat(PIECE.rate);
    const decay = f32x4.splat(PIECE.decay);
    const end = PIECE.end;
    for (let i = PIECE.begin; i < end; i += 16) {
      const g = f32x4.mul(v128.load(gradients + i), scale);
      let w = v128.load(parameters + i);
      const m = v128.load(momenta + i);
      const mean = f32x4.add(f32x4.mul(m, beta1), f32x4.mul(g, rest1));
      w = f32x4.sub(w, f32x4.mul(f32x4.mul(w, decay), rate));
      w = f32x4.sub(w, v128.and(rate, f32x4.gt(mean, zero)));
      w = f32x4.add(w, v128.and(rate, f32x4.lt(mean, zero)));
      v128.store(parameters + i, w);
      v128.store(momenta + i, f32x4.add(f32x4.mul(m, beta2), f32x4.mul(g, rest2)));
    }
  }
}

export function countStep(args: CountStepArgs): void {
  const counter = args.counter;
  if (nextTask() == 0) store<i32>(counter, load<i32>(counter) + load<i32>(args.ok));
}
