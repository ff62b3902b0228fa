// Depthwise convolutions over any windows, tap by tap. Results and gradients of images have an invocation for each access; where there are
// statistics it takes a channel of some images, as in depthwise.ts; and gradients of weights a tap and a channel of some images.

import type { Window } from '../../runtime/ops/window.ts';
import { aroundRow, finishAndSum, forChannels, withSums } from './depthwise.ts';
import { map } from './elementwise.ts';
import { type Epilogue, epilogueDeclarations, finish } from './epilogue.ts';
import { floats, type KernelText, type Lanes } from './wgsl.ts';

/** Statements for each tap of the window of result (y, x0) inside the image: `at` is the access of x, `tap` that of w. */
const overTaps = ({ image: [h, w], kernel, stride, dilation, pads }: Window, channels: number, term: string): string => `
for (var ky = 0; ky < ${kernel[0]}; ky++) {
  let iy = y * ${stride[0]} - ${pads.top} + ky * ${dilation[0]};
  if (iy < 0 || iy >= ${h}) { continue; }
  for (var kx = 0; kx < ${kernel[1]}; kx++) {
    let ix = x0 * ${stride[1]} - ${pads.left} + kx * ${dilation[1]};
    if (ix < 0 || ix >= ${w}) { continue; }
    let at = image + u32(iy * ${w} + ix) * ${channels}u;
    let tap = u32(ky * ${kernel[1]} + kx) * ${channels}u + c;
    ${term}
  }
}`;

/** Statements that find the pixel and channel of access `at` of images of that size: c, y, x0 and the sample. */
const placeOf = ([h, w]: readonly number[], channels: number): string => `let c = at % ${channels}u;
let pixel = at / ${channels}u;
let sample = pixel / ${h * w}u;
let y = i32(pixel / ${w}u % ${h}u);
let x0 = i32(pixel % ${w}u);`;

const MULTIPLY = 'v = fma(w(tap), x(at), v);';

/** y = epilogue(x convolved with w). `channels` counts accesses. */
export const depthwiseWindows = (window: Window, channels: number, epilogue: Epilogue, lanes: Lanes): KernelText =>
  map({
    perSample: window.out[0] * window.out[1] * channels,
    declarations: epilogueDeclarations(epilogue, lanes),
    body: `${placeOf(window.out, channels)}
let image = sample * ${window.image[0] * window.image[1] * channels}u + c;
var v = ${epilogue.bias ? 'bias(c)' : `${floats(lanes)}()`};
${overTaps(window, channels, MULTIPLY)}
{ ${finish(epilogue, lanes, 'v', 'at')} }`,
  });

/** The same with statistics of tiles of `samples` images, an element at a time. */
export function depthwiseWindowsWithStatistics(window: Window, channels: number, epilogue: Epilogue, samples: number): KernelText {
  const [oh, ow] = window.out;
  const row = `for (var x0 = 0; x0 < ${ow}; x0++) {
  var v = ${epilogue.bias ? 'b' : '0.0'};
  ${overTaps(window, channels, MULTIPLY)}
  let at = (sample * ${oh * ow}u + u32(y * ${ow} + x0)) * ${channels}u + c;
  ${finishAndSum(epilogue, true)}
}`;
  return forChannels(
    { c: channels },
    samples,
    epilogueDeclarations(epilogue, 1),
    `${epilogue.bias ? 'let b = bias(c);' : ''}
${withSums(
  { c: channels },
  epilogue,
  `for (var sample = firstSample; sample < endSample; sample++) {
  let image = sample * ${window.image[0] * window.image[1] * channels}u + c;
  for (var y = 0; y < ${oh}; y++) {
    ${aroundRow({ h: oh }, epilogue, ow, row)}
  }
}`,
)}`,
  );
}

/** dx: each pixel gets, of every window that it is in, dy times its weight there. `channels` counts accesses. */
export const depthwiseWindowsGradInput = (
  { image, out: [oh, ow], kernel, stride, dilation, pads }: Window,
  channels: number,
  lanes: Lanes,
): KernelText =>
  map({
    perSample: image[0] * image[1] * channels,
    body: `${placeOf(image, channels)}
let results = sample * ${oh * ow * channels}u + c;
var v = ${floats(lanes)}();
for (var ky = 0; ky < ${kernel[0]}; ky++) {
  let below = y + ${pads.top} - ky * ${dilation[0]};
  if (below < 0 || below % ${stride[0]} != 0 || below / ${stride[0]} >= ${oh}) { continue; }
  for (var kx = 0; kx < ${kernel[1]}; kx++) {
    let beside = x0 + ${pads.left} - kx * ${dilation[1]};
    if (beside < 0 || beside % ${stride[1]} != 0 || beside / ${stride[1]} >= ${ow}) { continue; }
    let source = results + u32(below / ${stride[0]} * ${ow} + beside / ${stride[1]}) * ${channels}u;
    v = fma(w(u32(ky * ${kernel[1]} + kx) * ${channels}u + c), dy(source), v);
  }
}
set_dx(at, v);`,
  });

/** Accesses of a weight gradient: an invocation takes one, of `samples` images, which are a part: `sums` [parts][taps][channels]. */
export const gradientAccesses = ({ kernel }: Window, channels: number): number => kernel[0] * kernel[1] * channels;

export function depthwiseWindowsGradWeight(window: Window, channels: number, samples: number, lanes: Lanes): KernelText {
  const {
    image: [h, w],
    out: [oh, ow],
    kernel,
    stride,
    dilation,
    pads,
  } = window;
  const accesses = gradientAccesses(window, channels);
  return forChannels(
    { c: accesses },
    samples,
    '',
    `let channel = c % ${channels}u;
let tap = i32(c / ${channels}u);
let top = tap / ${kernel[1]} * ${dilation[0]} - ${pads.top};
let left = tap % ${kernel[1]} * ${dilation[1]} - ${pads.left};
var sum = ${floats(lanes)}();
for (var sample = firstSample; sample < endSample; sample++) {
  for (var y = 0; y < ${oh}; y++) {
    let iy = y * ${stride[0]} + top;
    if (iy < 0 || iy >= ${h}) { continue; }
    var part = ${floats(lanes)}();
    for (var x0 = 0; x0 < ${ow}; x0++) {
      let ix = x0 * ${stride[1]} + left;
      if (ix < 0 || ix >= ${w}) { continue; }
      let source = (sample * ${h * w}u + u32(iy * ${w} + ix)) * ${channels}u + channel;
      part = fma(x(source), dy((sample * ${oh * ow}u + u32(y * ${ow} + x0)) * ${channels}u + channel), part);
    }
    sum += part;
  }
}
set_sums(t * ${accesses}u + c, sum);`,
  );
}
