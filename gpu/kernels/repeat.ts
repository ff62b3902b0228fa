// Every pixel several times, and the sums of its copies.

import { map } from './elementwise.ts';
import { floats, type KernelText, type Lanes } from './wgsl.ts';

/** The smaller image, `c` in accesses, and how often it has everything. With lanes of four, channels are there once. */
export interface Repetition {
  readonly h: number;
  readonly w: number;
  readonly c: number;
  readonly times: readonly [number, number, number];
}

/** One invocation for each access of y. */
export function repeat({ h, w, c, times }: Repetition): KernelText {
  const [height, width, deep] = [h * times[0], w * times[1], c * times[2]];
  return map({
    perSample: height * width * deep,
    body: `let pixel = at / ${deep}u;
let row = pixel / ${width}u;
let source = ((row / ${height}u * ${h}u + row % ${height}u / ${times[0]}u) * ${w}u + pixel % ${width}u / ${times[1]}u) * ${c}u;
set_y(at, x(source + at % ${deep}u / ${times[2]}u));`,
  });
}

/** One invocation for each access of dx: a row of copies is summed for itself, then the rows. */
export function repeatGrad({ h, w, c, times }: Repetition, lanes: Lanes): KernelText {
  const [width, deep] = [w * times[1], c * times[2]];
  const T = floats(lanes);
  return map({
    perSample: h * w * c,
    body: `let pixel = at / ${c}u;
var source = ((pixel / ${w}u * ${times[0]}u) * ${width}u + pixel % ${w}u * ${times[1]}u) * ${deep}u + at % ${c}u * ${times[2]}u;
var sum = ${T}();
for (var row = 0u; row < ${times[0]}u; row++) {
  var part = ${T}();
  for (var column = 0u; column < ${times[1]}u; column++) {
    for (var i = 0u; i < ${times[2]}u; i++) { part += dy(source + column * ${deep}u + i); }
  }
  sum += part;
  source += ${width * deep}u;
}
set_dx(at, sum);`,
  });
}
