// Pooling over the pixels of an image.

import type { Window } from '../../runtime/ops/window.ts';
import { map } from './elementwise.ts';
import { PART, TOGETHER } from './tiles.ts';
import { each, floats, isNaNText, type KernelText, type Lanes } from './wgsl.ts';

/** One invocation for each channel of a sample. `channels` counts accesses. */
export const globalAvgPool = (pixels: number, channels: number, lanes: Lanes): KernelText =>
  map({
    perSample: channels,
    body: `let first = at / ${channels}u * ${pixels * channels}u + at % ${channels}u;
var sum = ${floats(lanes)}();
for (var begin = 0u; begin < ${pixels}u; begin += ${PART}u) {
  let end = min(begin + ${PART}u, ${pixels}u);
  var part = ${floats(lanes)}();
  var pixel = begin;
  for (; pixel + ${TOGETHER}u <= end; pixel += ${TOGETHER}u) {
    ${each(TOGETHER, (k) => `let x${k} = x(first + (pixel + ${k}u) * ${channels}u);`)}
    ${each(TOGETHER, (k) => `part += x${k};`)}
  }
  for (; pixel < end; pixel++) { part += x(first + pixel * ${channels}u); }
  sum += part;
}
set_y(at, sum / ${pixels}.0);`,
  });

export const globalAvgPoolGrad = (pixels: number, channels: number): KernelText =>
  map({
    perSample: pixels * channels,
    body: `set_dx(at, dy(at / ${pixels * channels}u * ${channels}u + at % ${channels}u) / ${pixels}.0);`,
  });

/** An image and its windows of 2×2. `c` counts accesses. */
export interface PoolShape {
  readonly h: number;
  readonly w: number;
  readonly c: number;
}

/** Statements that find the window of output access `at`: `corner`, and its four accesses v0 to v3 in row-major order. */
const windowOf = ({ h, w, c }: PoolShape): string => {
  const [oh, ow] = [Math.floor(h / 2), Math.floor(w / 2)];
  return `let pixel = at / ${c}u;
let row = pixel / ${ow}u;
let corner = ((row / ${oh}u * ${h}u + row % ${oh}u * 2u) * ${w}u + pixel % ${ow}u * 2u) * ${c}u + at % ${c}u;
${each(4, (i) => `let v${i} = x(corner + ${((i >> 1) * w + (i & 1)) * c}u);`)}`;
};

/** The larger of two numbers; NaN wins. */
const larger = (lanes: Lanes): string => `fn larger(a: ${floats(lanes)}, b: ${floats(lanes)}) -> ${floats(lanes)} {
  let bIsNaN = ${isNaNText('b', lanes)};
  let aIsNaN = ${isNaNText('a', lanes)};
  return select(select(a, b, b > a), select(b, a, aIsNaN), aIsNaN | bIsNaN);
}`;

/** A NaN anywhere in the window comes through, so that the loss shows it; comparisons need not see it, its bits do. */
export function maxPool(shape: PoolShape, lanes: Lanes): KernelText {
  return map({
    perSample: Math.floor(shape.h / 2) * Math.floor(shape.w / 2) * shape.c,
    declarations: larger(lanes),
    body: `${windowOf(shape)}\nset_y(at, larger(larger(larger(v0, v1), v2), v3));`,
  });
}

/** One invocation for each access of x: dy of its window if x is the first maximum there, else zero. */
export function maxPoolGrad({ h, w, c }: PoolShape, lanes: Lanes): KernelText {
  const T = floats(lanes);
  const [oh, ow] = [Math.floor(h / 2), Math.floor(w / 2)];
  return map({
    perSample: h * w * c,
    body: `let pixel = at / ${c}u;
let px = pixel % ${w}u;
let py = pixel / ${w}u % ${h}u;
if (px >= ${2 * ow}u || py >= ${2 * oh}u) { set_dx(at, ${T}()); return; }
let corner = at - ((py & 1u) * ${w}u + (px & 1u)) * ${c}u;
${each(4, (i) => `let v${i} = x(corner + ${((i >> 1) * w + (i & 1)) * c}u);`)}
let inSecond = v1 > v0;
let first = select(v0, v1, inSecond);
let inThird = v2 > first;
let second = select(first, v2, inThird);
let inFourth = v3 > second;
let place = select(select(select(${lanes === 4 ? 'vec4u' : 'u32'}(0u), ${lanes === 4 ? 'vec4u' : 'u32'}(1u), inSecond), ${lanes === 4 ? 'vec4u' : 'u32'}(2u), inThird), ${lanes === 4 ? 'vec4u' : 'u32'}(3u), inFourth);
let mine = (py & 1u) * 2u + (px & 1u);
let window = (pixel / ${w * h}u * ${oh}u + py / 2u) * ${ow}u + px / 2u;
set_dx(at, select(${T}(), dy(window * ${c}u + at % ${c}u), place == ${lanes === 4 ? 'vec4u' : ''}(mine)));`,
  });
}

/** Statements for output access `at` that give the rows `top` to below `bottom` and columns `left` to below `right` of its window, and its image. */
const boundsOf = (
  { image: [h, w], out: [oh, ow], kernel, stride, pads }: Window,
  channels: number,
): string => `let pixel = at / ${channels}u;
let image = i32(pixel / ${oh * ow}u) * ${h * w};
let begin = vec2i(i32(pixel / ${ow}u % ${oh}u) * ${stride[0]} - ${pads.top}, i32(pixel % ${ow}u) * ${stride[1]} - ${pads.left});
let first = max(begin, vec2i(0));
let end = min(begin + vec2i(${kernel[0]}, ${kernel[1]}), vec2i(${h}, ${w}));`;

const place = (w: number, channels: number, row: string, column: string): string =>
  `u32(image + ${row} * ${w} + ${column}) * ${channels}u + at % ${channels}u`;

/** Any windows; `channels` counts accesses. */
export function poolWindows(window: Window, channels: number, kind: 'avg' | 'max', lanes: Lanes): KernelText {
  const at = place(window.image[1], channels, 'row', 'column');
  return map({
    perSample: window.out[0] * window.out[1] * channels,
    declarations: kind === 'max' ? larger(lanes) : '',
    body: `${boundsOf(window, channels)}
var result = ${kind === 'max' ? `x(${place(window.image[1], channels, 'first.x', 'first.y')})` : `${floats(lanes)}()`};
for (var row = first.x; row < end.x; row++) {
  for (var column = first.y; column < end.y; column++) { result = ${kind === 'max' ? `larger(result, x(${at}))` : `result + x(${at})`}; }
}
set_y(at, result${kind === 'max' ? '' : ' / f32((end.x - first.x) * (end.y - first.y))'});`,
  });
}

/** One invocation for each access of x: the sum of what comes to it from the windows that it is in. */
export function poolWindowsGrad(
  { image: [h, w], out: [oh, ow], kernel, stride, pads }: Window,
  channels: number,
  kind: 'avg' | 'max',
  lanes: Lanes,
): KernelText {
  const T = floats(lanes);
  const other = place(w, channels, 'row', 'column');
  const mask = lanes === 4 ? 'vec4<bool>(true)' : 'true';
  const isFirst = `var isFirst = ${mask};
    for (var row = first.x; row < end.x; row++) {
      for (var column = first.y; column < end.y; column++) {
        let v = x(${other});
        if (row * ${w} + column < own.x * ${w} + own.y) { isFirst = isFirst & (v < value); } else { isFirst = isFirst & (v <= value); }
      }
    }
    sum += select(${T}(), g, isFirst);`;
  return map({
    perSample: h * w * channels,
    body: `let pixel = at / ${channels}u;
let image = i32(pixel / ${h * w}u) * ${h * w};
let results = i32(pixel / ${h * w}u) * ${oh * ow};
let own = vec2i(i32(pixel / ${w}u % ${h}u), i32(pixel % ${w}u));
${kind === 'max' ? 'let value = x(at);' : ''}
let shifted = own + vec2i(${pads.top}, ${pads.left});
let lowest = max((shifted - vec2i(${kernel[0]}, ${kernel[1]}) + vec2i(${stride[0]}, ${stride[1]})) / vec2i(${stride[0]}, ${stride[1]}), vec2i(0));
let highest = min(shifted / vec2i(${stride[0]}, ${stride[1]}), vec2i(${oh - 1}, ${ow - 1}));
var sum = ${T}();
for (var line = lowest.x; line <= highest.x; line++) {
  for (var place = lowest.y; place <= highest.y; place++) {
    let begin = vec2i(line * ${stride[0]} - ${pads.top}, place * ${stride[1]} - ${pads.left});
    let first = max(begin, vec2i(0));
    let end = min(begin + vec2i(${kernel[0]}, ${kernel[1]}), vec2i(${h}, ${w}));
    if (own.x >= end.x || own.y >= end.y) { continue; }
    let g = dy(u32(results + line * ${ow} + place) * ${channels}u + at % ${channels}u);
    ${kind === 'max' ? isFirst : 'sum += g / f32((end.x - first.x) * (end.y - first.y));'}
  }
}
set_dx(at, sum);`,
  });
}
