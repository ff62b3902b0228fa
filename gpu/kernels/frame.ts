// An image in a frame of another size.

import { map } from './elementwise.ts';
import { floats, type KernelText, type Lanes } from './wgsl.ts';

/** [height, width, channels]; channels count accesses. */
type Size = readonly number[];

/** One invocation for each access of the frame. */
export function frame([h, w, c]: Size, [oh, ow, oc]: Size, [top, left, first]: Size, lanes: Lanes): KernelText {
  return map({
    perSample: oh * ow * oc,
    body: `let channel = i32(at % ${oc}u) - ${first};
let pixel = at / ${oc}u;
let column = i32(pixel % ${ow}u) - ${left};
let row = i32(pixel / ${ow}u % ${oh}u) - ${top};
if (channel < 0 || channel >= ${c} || column < 0 || column >= ${w} || row < 0 || row >= ${h}) { set_y(at, ${floats(lanes)}()); return; }
let sample = pixel / ${ow * oh}u;
set_y(at, x(((sample * ${h}u + u32(row)) * ${w}u + u32(column)) * ${c}u + u32(channel)));`,
  });
}
