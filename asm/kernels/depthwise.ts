// asc: -O1
// Depthwise convolution of stride 1 with `same` padding, and its gradients. Every channel is an image of its own; a vector
// holds four of them.
//
// Work goes by sample, band of rows and group of 16 channels (a cache line): the group is gathered into the thread's
// scratch, in a plane for each four channels and with its border of zeros, so that the loops know neither padding nor
// the channel stride. Output rows are computed eight columns at a time; columns that do not exist are computed from
// zeros and not stored.

import { madd, nextTask, rows, SCRATCH } from '../lib/abi';
import { Epilogue, finish } from '../lib/epilogue';
import { ceilDiv } from '../lib/gemm';
import { addFloats, copyFloats, loadLanes, storeLanes, zeroFloats } from '../lib/simd';

/** Channels of a group. */
const GROUP: i32 = 16;
/** Columns that are computed at a time. */
const COLUMNS: i32 = 8;
/** Bytes of a pixel in a plane: four channels. */
const PIXEL: usize = 16;

// The thread's scratch: Σy and Σy² of a row of a group, and of all of up to 2,048 channels (the sums of short rows are added
// up, because one long sum in f32 would lose digits); the weights of a group, up to 31×31; then whatever the lowering
// found to fit.
const ROW_SUMS = SCRATCH;
const ROW_SQUARES = ROW_SUMS + 4 * GROUP;
const SUMS = ROW_SQUARES + 4 * GROUP;
const SQUARES = SUMS + 4 * 2048;
const WEIGHTS = SQUARES + 4 * 2048;
const PLANES = WEIGHTS + 64 * 961;

/** Argument words of `depthwise`; those of an Epilogue follow. */
// @ts-ignore: decorator
@unmanaged
class Depthwise {
  input: usize;
  weights: usize;
  output: usize;
  /** [C] each: what x is multiplied by, and what is then added. 0: x is taken as it is. */
  scale: usize;
  shift: usize;
  height: i32;
  width: i32;
  channels: i32;
  /** Rows and columns of the kernel, and the rows and columns of zeros before the image. */
  size: i32;
  pad: i32;
  /** Nonzero: the kernel is applied in reverse, which gives the gradient for the input. */
  reversed: i32;
  /** What a task computes. With partials: the samples of a tile. Channels are a multiple of 16. */
  taskSamples: i32;
  taskChannels: i32;
  /** Output rows whose input is gathered at a time. */
  bandRows: i32;
}

/** y = epilogue(depthwise convolution of x). */
export function depthwise(args: usize): void {
  const call = changetype<Depthwise>(args);
  const epilogue = changetype<Epilogue>(args + offsetof<Depthwise>());
  const samples = rows();
  const channels = call.channels;
  const channelTasks = ceilDiv(channels, call.taskChannels);
  const tasks = ceilDiv(samples, call.taskSamples) * channelTasks;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const first = (task / channelTasks) * call.taskSamples;
    const end = min(samples, first + call.taskSamples);
    const firstChannel = (task % channelTasks) * call.taskChannels;
    const endChannel = min(channels, firstChannel + call.taskChannels);
    if (epilogue.partials) {
      zeroFloats(SUMS, call.taskChannels);
      zeroFloats(SQUARES, call.taskChannels);
    }
    for (let sample = first; sample < end; sample++) {
      for (let channel = firstChannel; channel < endChannel; channel += GROUP) {
        convolve(call, epilogue, sample, channel, min(GROUP, endChannel - channel), (<usize>(channel - firstChannel)) << 2);
      }
    }
    if (epilogue.partials) {
      const tile = epilogue.partials + ((<usize>((first / call.taskSamples) * 2 * channels + firstChannel)) << 2);
      copyFloats(tile, SUMS, endChannel - firstChannel);
      copyFloats(tile + ((<usize>channels) << 2), SQUARES, endChannel - firstChannel);
    }
  }
}

/** One sample's `count` channels from `channel` on; `sums` is where theirs begin in SUMS and SQUARES. */
function convolve(call: Depthwise, epilogue: Epilogue, sample: i32, channel: i32, count: i32, sums: usize): void {
  const height = call.height;
  const width = call.width;
  const size = call.size;
  const planes = ceilDiv(count, 4);
  const columns = ceilDiv(width, COLUMNS) * COLUMNS;
  const rowBytes = <usize>(columns + size - 1) * PIXEL;
  const planeBytes = <usize>(call.bandRows + size - 1) * rowBytes;
  const weightBytes = <usize>(size * size) * PIXEL;
  const stride = (<usize>call.channels) << 2;
  const image = (<usize>(sample * height * width * call.channels + channel)) << 2;
  const scale = call.scale ? call.scale + ((<usize>channel) << 2) : 0;
  const shift = call.shift + ((<usize>channel) << 2);
  /** A row of results: 16 channels a pixel. */
  const results = PLANES + <usize>planes * planeBytes;

  packWeights(call, channel, count);
  for (let top = 0; top < height; top += call.bandRows) {
    const band = min(call.bandRows, height - top);
    for (let y = 0; y < band + size - 1; y++) {
      const from = call.input + image + <usize>((top + y - call.pad) * width) * stride;
      const inside = top + y >= call.pad && top + y - call.pad < height;
      gatherRow(PLANES + <usize>y * rowBytes, planeBytes, from, stride, inside ? width : 0, call.pad, columns + size - 1, count, scale, shift);
    }
    for (let y = 0; y < band; y++) {
      for (let plane = 0; plane < planes; plane++) {
        const x = PLANES + <usize>plane * planeBytes + <usize>y * rowBytes;
        const w = WEIGHTS + <usize>plane * weightBytes;
        for (let column = 0; column < columns; column += COLUMNS) {
          const to = results + <usize>(column * 64 + plane * 16);
          if (size == 5) convolve5(x + <usize>column * PIXEL, rowBytes, w, to);
          else convolveAny(x + <usize>column * PIXEL, rowBytes, w, size, to);
        }
      }
      if (epilogue.partials) zeroFloats(ROW_SUMS, 2 * GROUP);
      const offset = image + <usize>((top + y) * width) * stride;
      finish(
        results,
        64,
        call.output + offset,
        epilogue.derivative ? epilogue.derivative + offset : 0,
        stride,
        width,
        count,
        epilogue.bias ? epilogue.bias + ((<usize>channel) << 2) : 0,
        epilogue.activation,
        epilogue.partials ? ROW_SUMS : 0,
        ROW_SQUARES,
      );
      if (epilogue.partials) {
        addFloats(SUMS + sums, ROW_SUMS, GROUP);
        addFloats(SQUARES + sums, ROW_SQUARES, GROUP);
      }
    }
  }
}

/** The weights of `count` channels from `channel` on, plane by plane. */
function packWeights(call: Depthwise, channel: i32, count: i32): void {
  const taps = call.size * call.size;
  let to = WEIGHTS;
  for (let at = 0; at < count; at += 4) {
    for (let tap = 0; tap < taps; tap++) {
      const from = call.reversed ? taps - 1 - tap : tap;
      v128.store(to, loadLanes(call.weights + ((<usize>(from * call.channels + channel + at)) << 2), min(4, count - at)));
      to += PIXEL;
    }
  }
}

/**
 * Gathers a row of `width` pixels, `stride` bytes apart, into row `to` of the planes, with `before` pixels of zeros in front
 * of it and zeros behind it up to `total` pixels. A width of 0 makes a row of zeros. Pixels are multiplied by `scale` and
 * `shift` is added, unless `scale` is 0.
 */
function gatherRow(
  to: usize,
  planeBytes: usize,
  from: usize,
  stride: usize,
  width: i32,
  before: i32,
  total: i32,
  count: i32,
  scale: usize,
  shift: usize,
): void {
  for (let at = 0; at < count; at += 4) {
    const plane = to + (<usize>at >> 2) * planeBytes;
    zeroFloats(plane, before * 4);
    zeroFloats(plane + <usize>(before + width) * PIXEL, (total - before - width) * 4);
  }
  to += <usize>before * PIXEL;
  if (count == GROUP) {
    const to1 = to + planeBytes;
    const to2 = to1 + planeBytes;
    const to3 = to2 + planeBytes;
    const end = <usize>width * PIXEL;
    if (scale) {
      const s0 = v128.load(scale);
      const s1 = v128.load(scale, 16);
      const s2 = v128.load(scale, 32);
      const s3 = v128.load(scale, 48);
      const t0 = v128.load(shift);
      const t1 = v128.load(shift, 16);
      const t2 = v128.load(shift, 32);
      const t3 = v128.load(shift, 48);
      for (let x: usize = 0; x < end; x += PIXEL) {
        v128.store(to + x, madd(v128.load(from), s0, t0));
        v128.store(to1 + x, madd(v128.load(from, 16), s1, t1));
        v128.store(to2 + x, madd(v128.load(from, 32), s2, t2));
        v128.store(to3 + x, madd(v128.load(from, 48), s3, t3));
        from += stride;
      }
    } else {
      for (let x: usize = 0; x < end; x += PIXEL) {
        v128.store(to + x, v128.load(from));
        v128.store(to1 + x, v128.load(from, 16));
        v128.store(to2 + x, v128.load(from, 32));
        v128.store(to3 + x, v128.load(from, 48));
        from += stride;
      }
    }
  } else {
    for (let at = 0; at < count; at += 4) {
      const lanes = min(4, count - at);
      const offset = (<usize>at) << 2;
      const plane = to + (offset >> 4) * planeBytes;
      for (let x: usize = 0; x < <usize>width; x++) {
        let v = loadLanes(from + x * stride + offset, lanes);
        if (scale) v = madd(v, loadLanes(scale + offset, lanes), loadLanes(shift + offset, lanes));
        v128.store(plane + x * PIXEL, v);
      }
    }
  }
}

/**
 * Eight columns of results of a 5×5 kernel, 64 bytes apart. Five weights stay in registers for a kernel row and each
 * input is loaded once for it; a result still adds its taps one after the other.
 */
function convolve5(x: usize, rowBytes: usize, w: usize, to: usize): void {
  let c0 = f32x4.splat(0);
  let c1 = c0;
  let c2 = c0;
  let c3 = c0;
  let c4 = c0;
  let c5 = c0;
  let c6 = c0;
  let c7 = c0;
  const end = w + 25 * PIXEL;
  while (w < end) {
    const w0 = v128.load(w);
    const w1 = v128.load(w, 16);
    const w2 = v128.load(w, 32);
    const w3 = v128.load(w, 48);
    const w4 = v128.load(w, 64);
    let v = v128.load(x);
    c0 = madd(v, w0, c0);
    v = v128.load(x, 16);
    c0 = madd(v, w1, c0);
    c1 = madd(v, w0, c1);
    v = v128.load(x, 32);
    c0 = madd(v, w2, c0);
    c1 = madd(v, w1, c1);
    c2 = madd(v, w0, c2);
    v = v128.load(x, 48);
    c0 = madd(v, w3, c0);
    c1 = madd(v, w2, c1);
    c2 = madd(v, w1, c2);
    c3 = madd(v, w0, c3);
    v = v128.load(x, 64);
    c0 = madd(v, w4, c0);
    c1 = madd(v, w3, c1);
    c2 = madd(v, w2, c2);
    c3 = madd(v, w1, c3);
    c4 = madd(v, w0, c4);
    v = v128.load(x, 80);
    c1 = madd(v, w4, c1);
    c2 = madd(v, w3, c2);
    c3 = madd(v, w2, c3);
    c4 = madd(v, w1, c4);
    c5 = madd(v, w0, c5);
    v = v128.load(x, 96);
    c2 = madd(v, w4, c2);
    c3 = madd(v, w3, c3);
    c4 = madd(v, w2, c4);
    c5 = madd(v, w1, c5);
    c6 = madd(v, w0, c6);
    v = v128.load(x, 112);
    c3 = madd(v, w4, c3);
    c4 = madd(v, w3, c4);
    c5 = madd(v, w2, c5);
    c6 = madd(v, w1, c6);
    c7 = madd(v, w0, c7);
    v = v128.load(x, 128);
    c4 = madd(v, w4, c4);
    c5 = madd(v, w3, c5);
    c6 = madd(v, w2, c6);
    c7 = madd(v, w1, c7);
    v = v128.load(x, 144);
    c5 = madd(v, w4, c5);
    c6 = madd(v, w3, c6);
    c7 = madd(v, w2, c7);
    v = v128.load(x, 160);
    c6 = madd(v, w4, c6);
    c7 = madd(v, w3, c7);
    v = v128.load(x, 176);
    c7 = madd(v, w4, c7);
    x += rowBytes;
    w += 5 * PIXEL;
  }
  v128.store(to, c0);
  v128.store(to, c1, 64);
  v128.store(to, c2, 128);
  v128.store(to, c3, 192);
  v128.store(to, c4, 256);
  v128.store(to, c5, 320);
  v128.store(to, c6, 384);
  v128.store(to, c7, 448);
}

/** The same for a kernel of any size. */
function convolveAny(x: usize, rowBytes: usize, w: usize, size: i32, to: usize): void {
  let c0 = f32x4.splat(0);
  let c1 = c0;
  let c2 = c0;
  let c3 = c0;
  let c4 = c0;
  let c5 = c0;
  let c6 = c0;
  let c7 = c0;
  for (let y = 0; y < size; y++) {
    const end = x + <usize>size * PIXEL;
    for (let p = x; p < end; p += PIXEL) {
      const v = v128.load(w);
      c0 = madd(v128.load(p), v, c0);
      c1 = madd(v128.load(p, 16), v, c1);
      c2 = madd(v128.load(p, 32), v, c2);
      c3 = madd(v128.load(p, 48), v, c3);
      c4 = madd(v128.load(p, 64), v, c4);
      c5 = madd(v128.load(p, 80), v, c5);
      c6 = madd(v128.load(p, 96), v, c6);
      c7 = madd(v128.load(p, 112), v, c7);
      w += PIXEL;
    }
    x += rowBytes;
  }
  v128.store(to, c0);
  v128.store(to, c1, 64);
  v128.store(to, c2, 128);
  v128.store(to, c3, 192);
  v128.store(to, c4, 256);
  v128.store(to, c5, 320);
  v128.store(to, c6, 384);
  v128.store(to, c7, 448);
}

/** Argument words of `depthwiseGradWeight`. */
// @ts-ignore: decorator
@unmanaged
class GradWeight {
  input: usize;
  gradient: usize;
  /** dw [size, size, channels] of each chunk of samples. */
  partials: usize;
  /** Of the input, as above. */
  scale: usize;
  shift: usize;
  height: i32;
  width: i32;
  channels: i32;
  size: i32;
  pad: i32;
  /** Samples that are summed up in one go: fixed by the shape, because it decides bits. */
  chunkSamples: i32;
  taskChannels: i32;
  bandRows: i32;
}

/** dw of each chunk of samples. */
export function depthwiseGradWeight(args: usize): void {
  const call = changetype<GradWeight>(args);
  const samples = rows();
  const channels = call.channels;
  const taps = call.size * call.size;
  const channelTasks = ceilDiv(channels, call.taskChannels);
  const tasks = ceilDiv(samples, call.chunkSamples) * channelTasks;
  // The sums of all groups of the task, each plane by plane, come before the gathered images.
  const sums = PLANES;
  const groupFloats = taps * GROUP;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const chunk = task / channelTasks;
    const first = chunk * call.chunkSamples;
    const end = min(samples, first + call.chunkSamples);
    const firstChannel = (task % channelTasks) * call.taskChannels;
    const endChannel = min(channels, firstChannel + call.taskChannels);
    const groups = ceilDiv(endChannel - firstChannel, GROUP);
    zeroFloats(sums, groups * groupFloats);
    for (let sample = first; sample < end; sample++) {
      for (let group = 0; group < groups; group++) {
        const channel = firstChannel + group * GROUP;
        const planes = sums + ((<usize>(groups * groupFloats)) << 2);
        correlate(call, sample, channel, min(GROUP, endChannel - channel), sums + ((<usize>(group * groupFloats)) << 2), planes);
      }
    }
    const target = call.partials + ((<usize>(chunk * taps * channels)) << 2);
    for (let channel = firstChannel; channel < endChannel; channel += 4) {
      const offset = channel - firstChannel;
      const from = sums + ((<usize>((offset / GROUP) * groupFloats + ((offset % GROUP) / 4) * taps * 4)) << 2);
      for (let tap = 0; tap < taps; tap++) {
        const to = target + ((<usize>(tap * channels + channel)) << 2);
        storeLanes(to, v128.load(from + <usize>tap * PIXEL), min(4, endChannel - channel));
      }
    }
  }
}

/** Adds one sample's part of dw, for `count` channels from `channel` on, to `sums`. */
function correlate(call: GradWeight, sample: i32, channel: i32, count: i32, sums: usize, planesAt: usize): void {
  const height = call.height;
  const width = call.width;
  const size = call.size;
  const planes = ceilDiv(count, 4);
  const columns = ceilDiv(width, 4) * 4;
  const rowBytes = <usize>(columns + size - 1) * PIXEL;
  const planeBytes = <usize>(call.bandRows + size - 1) * rowBytes;
  const gradientRowBytes = <usize>columns * PIXEL;
  const gradientPlaneBytes = <usize>call.bandRows * gradientRowBytes;
  const gradients = planesAt + <usize>planes * planeBytes;
  const stride = (<usize>call.channels) << 2;
  const image = (<usize>(sample * height * width * call.channels + channel)) << 2;
  const scale = call.scale ? call.scale + ((<usize>channel) << 2) : 0;
  const shift = call.shift + ((<usize>channel) << 2);

  for (let top = 0; top < height; top += call.bandRows) {
    const band = min(call.bandRows, height - top);
    for (let y = 0; y < band + size - 1; y++) {
      const from = call.input + image + <usize>((top + y - call.pad) * width) * stride;
      const inside = top + y >= call.pad && top + y - call.pad < height;
      gatherRow(planesAt + <usize>y * rowBytes, planeBytes, from, stride, inside ? width : 0, call.pad, columns + size - 1, count, scale, shift);
    }
    for (let y = 0; y < band; y++) {
      const from = call.gradient + image + <usize>((top + y) * width) * stride;
      gatherRow(gradients + <usize>y * gradientRowBytes, gradientPlaneBytes, from, stride, width, 0, columns, count, 0, 0);
    }
    for (let plane = 0; plane < planes; plane++) {
      const x = planesAt + <usize>plane * planeBytes;
      const dy = gradients + <usize>plane * gradientPlaneBytes;
      let to = sums + <usize>(plane * size * size) * PIXEL;
      for (let y = 0; y < size; y++) {
        const row = x + <usize>y * rowBytes;
        if (size == 5) {
          correlate5(row, dy, band, gradientRowBytes, to);
          to += 5 * PIXEL;
        } else {
          for (let tap = 0; tap < size; tap++) {
            correlateTap(row + <usize>tap * PIXEL, rowBytes, dy, band, gradientRowBytes, to);
            to += PIXEL;
          }
        }
      }
    }
  }
}

/** Adds to a row of a 5×5 kernel's dw, even and odd columns apart: twice as many sums as taps keep the adders busy. */
function correlate5(x: usize, dy: usize, band: i32, dyRowBytes: usize, to: usize): void {
  let a0 = v128.load(to);
  let a1 = v128.load(to, 16);
  let a2 = v128.load(to, 32);
  let a3 = v128.load(to, 48);
  let a4 = v128.load(to, 64);
  let b0 = f32x4.splat(0);
  let b1 = b0;
  let b2 = b0;
  let b3 = b0;
  let b4 = b0;
  for (let y = 0; y < band; y++) {
    const end = dy + dyRowBytes;
    while (dy < end) {
      const d0 = v128.load(dy);
      const d1 = v128.load(dy, 16);
      a0 = madd(v128.load(x), d0, a0);
      let v = v128.load(x, 16);
      a1 = madd(v, d0, a1);
      b0 = madd(v, d1, b0);
      v = v128.load(x, 32);
      a2 = madd(v, d0, a2);
      b1 = madd(v, d1, b1);
      v = v128.load(x, 48);
      a3 = madd(v, d0, a3);
      b2 = madd(v, d1, b2);
      v = v128.load(x, 64);
      a4 = madd(v, d0, a4);
      b3 = madd(v, d1, b3);
      b4 = madd(v128.load(x, 80), d1, b4);
      dy += 2 * PIXEL;
      x += 2 * PIXEL;
    }
    x += 4 * PIXEL;
  }
  v128.store(to, f32x4.add(a0, b0));
  v128.store(to, f32x4.add(a1, b1), 16);
  v128.store(to, f32x4.add(a2, b2), 32);
  v128.store(to, f32x4.add(a3, b3), 48);
  v128.store(to, f32x4.add(a4, b4), 64);
}

/** Adds to one tap of dw, four columns apart. */
function correlateTap(x: usize, xRowBytes: usize, dy: usize, band: i32, dyRowBytes: usize, to: usize): void {
  let c0 = v128.load(to);
  let c1 = f32x4.splat(0);
  let c2 = c1;
  let c3 = c1;
  for (let y = 0; y < band; y++) {
    for (let at: usize = 0; at < dyRowBytes; at += 4 * PIXEL) {
      c0 = madd(v128.load(x + at), v128.load(dy + at), c0);
      c1 = madd(v128.load(x + at, 16), v128.load(dy + at, 16), c1);
      c2 = madd(v128.load(x + at, 32), v128.load(dy + at, 32), c2);
      c3 = madd(v128.load(x + at, 48), v128.load(dy + at, 48), c3);
    }
    x += xRowBytes;
    dy += dyRowBytes;
  }
  v128.store(to, f32x4.add(f32x4.add(c0, c1), f32x4.add(c2, c3)));
}

/** Adds the chunks' gradients in order. Words: partials, dw, elements of dw, samples of a chunk. */
export function depthwiseGradWeightReduce(args: usize): void {
  const partials = load<usize>(args);
  const target = load<usize>(args, 4);
  const n = load<i32>(args, 8);
  const chunks = ceilDiv(rows(), load<i32>(args, 12));
  const block = 256;
  const tasks = ceilDiv(n, block);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const end = min(n, task * block + block);
    for (let i = task * block; i < end; i += 4) {
      const lanes = min(4, end - i);
      const from = partials + ((<usize>i) << 2);
      let sum = loadLanes(from, lanes);
      for (let chunk = 1; chunk < chunks; chunk++) sum = f32x4.add(sum, loadLanes(from + ((<usize>(chunk * n)) << 2), lanes));
      storeLanes(target + ((<usize>i) << 2), sum, lanes);
    }
  }
}
