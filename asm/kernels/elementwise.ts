// Elementwise ops: rescale, bias, add, dropout, their gradients, and the sums over tiles that bias gradients and batch normalisation
// end in; and, by the build, activations and what else is a formula (asm/abi/elementwise.ts). All of it is bound by memory: one pass over each tensor, in its order.
//
// A result may lie where its input lies: every element is read before it is written, by the same task.

import {
  AddArgs,
  AddParametersArgs,
  MultiplyChannelsArgs,
  BiasArgs,
  DropoutArgs,
  epoch,
  MergeSumsArgs,
  MultiplyArgs,
  nextTask,
  RescaleArgs,
  rows,
  seedHigh,
  seedLow,
  SubtractArgs,
  SumTilesArgs,
} from '../lib/abi';
import { CHUNK, chunkEnd, chunks, pixelsPerChunk } from '../lib/chunks';
import { sumColumns } from '../lib/columns';
import { philox4x32 } from '../lib/philox';
import { loadLanes, storeLanes } from '../lib/simd';

export * from '../lib/elementwise.gen';

/** y = x·scale + offset; x is bytes. */
export function rescale(args: RescaleArgs): void {
  const x = args.x;
  const y = args.y;
  const elements = rows() * args.elements;
  const scale = args.scale;
  const scales = f32x4.splat(scale);
  const offset = args.offset;
  const offsets = f32x4.splat(offset);
  const tasks = chunks(elements);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    let i = task * CHUNK;
    const end = chunkEnd(i, elements);
    for (; i + 8 <= end; i += 8) {
      const words = v128.load8x8_u(x + <usize>i);
      const to = y + ((<usize>i) << 2);
      v128.store(to, f32x4.add(f32x4.mul(f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(words)), scales), offsets));
      v128.store(to + 16, f32x4.add(f32x4.mul(f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(words)), scales), offsets));
    }
    for (; i < end; i++) store<f32>(y + ((<usize>i) << 2), <f32>load<u8>(x + <usize>i) * scale + offset);
  }
}

/** What is done to two numbers: a constant where it is used, so that nothing of it is left but the instruction. */
const ADD = 0;
const SUBTRACT = 1;
const MULTIPLY = 2;

// @ts-ignore: decorator
@inline
function combine(how: i32, a: v128, b: v128): v128 {
  if (how == ADD) return f32x4.add(a, b);
  if (how == SUBTRACT) return f32x4.sub(a, b);
  return f32x4.mul(a, b);
}

/** y = a ∘ b, element by element. */
// @ts-ignore: decorator
@inline
function elements(how: i32, a: usize, b: usize, y: usize, count: i32): void {
  const tasks = chunks(count);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    let i = (<usize>(task * CHUNK)) << 2;
    const end = (<usize>chunkEnd(task * CHUNK, count)) << 2;
    for (; i + 16 <= end; i += 16) v128.store(y + i, combine(how, v128.load(a + i), v128.load(b + i)));
    for (; i < end; i += 4) v128.store_lane<f32>(y + i, combine(how, v128.load32_splat(a + i), v128.load32_splat(b + i)), 0);
  }
}

/** y = x ∘ vector [C], pixel by pixel. */
// @ts-ignore: decorator
@inline
function channelwise(how: i32, x: usize, vector: usize, y: usize, pixels: i32, channels: i32): void {
  const width = (<usize>channels) << 2;
  const vectors = width & ~15;
  const perChunk = pixelsPerChunk(channels);
  const tasks = (pixels + perChunk - 1) / perChunk;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const begin = task * perChunk;
    const end = <usize>min(begin + perChunk, pixels) * width;
    for (let at = <usize>begin * width; at < end; at += width) {
      let c: usize = 0;
      for (; c < vectors; c += 16) v128.store(y + at + c, combine(how, v128.load(x + at + c), v128.load(vector + c)));
      for (; c < width; c += 4)
        v128.store_lane<f32>(y + at + c, combine(how, v128.load32_splat(x + at + c), v128.load32_splat(vector + c)), 0);
    }
  }
}

export function add(args: AddArgs): void {
  elements(ADD, args.a, args.b, args.y, rows() * args.elements);
}

export function subtract(args: SubtractArgs): void {
  elements(SUBTRACT, args.a, args.b, args.y, rows() * args.elements);
}

/** y = a·b: also the gradient of an activation whose slope the forward pass kept. */
export function multiply(args: MultiplyArgs): void {
  elements(MULTIPLY, args.a, args.b, args.y, rows() * args.elements);
}

/** y = a + b, tensors without rows. */
export function addParameters(args: AddParametersArgs): void {
  elements(ADD, args.a, args.b, args.y, args.elements);
}

/** y = x + b [C]. */
export function bias(args: BiasArgs): void {
  channelwise(ADD, args.x, args.b, args.y, rows() * args.pixels, args.channels);
}

/** y = x·factors [C]. */
export function multiplyChannels(args: MultiplyChannelsArgs): void {
  channelwise(MULTIPLY, args.x, args.factors, args.y, rows() * args.pixels, args.channels);
}

/**
 * Element e of a sample is kept, and multiplied by scale, where word e mod 4 of block e / 4 of the sample's random numbers is at least
 * the threshold.
 */
export function dropout(args: DropoutArgs): void {
  const x = args.x;
  const samples = args.samples;
  const y = args.y;
  const elements = args.elements;
  const purpose = <u32>args.purpose;
  const thresholds = i32x4.splat(args.threshold);
  const scales = f32x4.splat(args.scale);
  const blocks = (elements + 3) >> 2;
  const tasks = rows();
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const sample = load<u32>(samples + ((<usize>task) << 2));
    const base = (<usize>task * <usize>elements) << 2;
    for (let block = 0; block < blocks; block++) {
      const kept = i32x4.ge_u(philox4x32(seedLow(), seedHigh(), sample, epoch(), purpose, block), thresholds);
      let i = base + ((<usize>block) << 4);
      const left = elements - (block << 2);
      if (left >= 4) {
        v128.store(y + i, v128.and(kept, f32x4.mul(v128.load(x + i), scales)));
      } else {
        const scale = f32x4.extract_lane(scales, 0);
        for (let lane = 0; lane < left; lane++, i += 4) {
          // Every lane of the mask is all ones or all zeros: its first bit is enough.
          store<f32>(y + i, (i32x4.bitmask(kept) >> lane) & 1 ? load<f32>(x + i) * scale : 0);
        }
      }
    }
  }
}

/** sums [tiles, C] of each tile (of `samples` samples) over its pixels; `mergeSums` adds the tiles. */
export function sumTiles(args: SumTilesArgs): void {
  const dy = args.dy;
  const sums = args.sums;
  const pixels = args.pixels;
  const width = (<usize>args.channels) << 2;
  const samples = args.samples;
  const tasks = (rows() + samples - 1) / samples;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const begin = task * samples;
    const count = min(samples, rows() - begin) * pixels;
    sumColumns(sums + <usize>task * width, dy + <usize>(begin * pixels) * width, count, width);
  }
}

/**
 * out [C]: sums of the tiles, which lie `stride` floats apart, in their order and in doubles: the result depends on shapes alone. A task
 * is a cache line of channels.
 */
export function mergeSums(args: MergeSumsArgs): void {
  const sums = args.sums;
  const out = args.out;
  const channels = args.channels;
  const stride = (<usize>args.stride) << 2;
  const samples = args.samples;
  const tiles = <usize>((rows() + samples - 1) / samples);
  const tasks = (channels + 15) >> 4;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const end = min((task + 1) << 4, channels);
    for (let c = task << 4; c < end; c += 4) {
      const lanes = min(4, end - c);
      let column = sums + ((<usize>c) << 2);
      let low = f64x2.splat(0);
      let high = low;
      for (let tile: usize = 0; tile < tiles; tile++, column += stride) {
        const v = loadLanes(column, lanes);
        low = f64x2.add(low, f64x2.promote_low_f32x4(v));
        high = f64x2.add(high, f64x2.promote_low_f32x4(v128.shuffle<i64>(v, v, 1, 1)));
      }
      const total = v128.shuffle<i64>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2);
      storeLanes(out + ((<usize>c) << 2), total, lanes);
    }
  }
}
