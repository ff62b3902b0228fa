// Images in another size, and the gradient. The places of pixels are computed as `between` of runtime/ops/resize.ts computes them.

import type { Interpolation } from '../../runtime/ops/resize.ts';
import { map } from './elementwise.ts';
import { f32, floats, type KernelText, type Lanes } from './wgsl.ts';

type Size = readonly number[];

/** Functions that say where pixel i of the result lies among those of an axis: the two around it, and how far it is from the first. */
const places = (from: number, to: number, name: string, interpolation: Interpolation): string => {
  const centre = `(f32(i) + 0.5) * ${f32(from / to)}`;
  return `fn ${name}_place(i: u32) -> f32 { return ${interpolation === 'nearest' ? `floor(${centre})` : `${centre} - 0.5`}; }
fn ${name}_low(place: f32) -> u32 { return u32(clamp(i32(floor(place)), 0, ${from - 1})); }
fn ${name}_high(place: f32) -> u32 { return u32(min(i32(floor(place)) + 1, ${from - 1})); }
`;
};

const declarationsOf = ([h, w]: Size, [height, width]: Size, interpolation: Interpolation): string =>
  places(h, height, 'row', interpolation) + places(w, width, 'column', interpolation);

/** One invocation for each access of y. */
export function resize(from: Size, to: Size, interpolation: Interpolation, lanes: Lanes): KernelText {
  const [[h, w], [height, width]] = [from, to];
  const channels = from[2] / lanes;
  return map({
    perSample: height * width * channels,
    declarations: declarationsOf(from, to, interpolation),
    body: `let pixel = at / ${channels}u;
let c = at % ${channels}u;
let i = pixel / ${width}u;
let y = row_place(i % ${height}u);
let place = column_place(pixel % ${width}u);
let image = i / ${height}u * ${h}u;
let top = (image + row_low(y)) * ${w}u;
let bottom = (image + row_high(y)) * ${w}u;
let left = column_low(place);
let right = column_high(place);
let share = place - floor(place);
let a = x((top + left) * ${channels}u + c);
let b = x((bottom + left) * ${channels}u + c);
let above = a + (x((top + right) * ${channels}u + c) - a) * share;
let below = b + (x((bottom + right) * ${channels}u + c) - b) * share;
set_y(at, above + (below - above) * (y - floor(y)));`,
  });
}

/** The first and the last pixel of the result, with one to spare, that pixel `r` of an axis may be a part of. */
const reach = (from: number, to: number, r: string): readonly [string, string] => [
  `u32(max(0.0, floor((f32(${r}) - 1.0) * ${f32(to / from)}) - 1.0))`,
  `min(${to - 1}u, u32(ceil((f32(${r}) + 2.0) * ${f32(to / from)}) + 1.0))`,
];

/** One invocation for each access of dx: the pixels of dy in whose making it had a part. */
export function resizeGrad(from: Size, to: Size, interpolation: Interpolation, lanes: Lanes): KernelText {
  const [[h, w], [height, width]] = [from, to];
  const channels = from[2] / lanes;
  const T = floats(lanes);
  const [firstRow, lastRow] = reach(h, height, 'row');
  const [firstColumn, lastColumn] = reach(w, width, 'column');
  return map({
    perSample: h * w * channels,
    declarations: `${declarationsOf(from, to, interpolation)}
fn part(place: f32, low: u32, high: u32, wanted: u32) -> f32 {
  let share = place - floor(place);
  return select(0.0, 1.0 - share, low == wanted) + select(0.0, share, high == wanted);
}`,
    body: `let pixel = at / ${channels}u;
let c = at % ${channels}u;
let row = pixel / ${w}u % ${h}u;
let column = pixel % ${w}u;
let image = pixel / ${h * w}u * ${height}u;
var sum = ${T}();
for (var j = ${firstRow}; j <= ${lastRow}; j++) {
  let y = row_place(j);
  let factor = part(y, row_low(y), row_high(y), row);
  if (factor == 0.0) { continue; }
  var line = ${T}();
  for (var i = ${firstColumn}; i <= ${lastColumn}; i++) {
    let place = column_place(i);
    line += part(place, column_low(place), column_high(place), column) * dy(((image + j) * ${width}u + i) * ${channels}u + c);
  }
  sum += factor * line;
}
set_dx(at, sum);`,
  });
}
