// Makes a batch of a resident set: takes images by their index, cuts a shifted window of each, mirrors it, and leaves it as NHWC bytes.
// The same bytes as asm/data/interleave.ts and asm/data/crop.ts make, from the same random words.

import type { ResidentImages } from '../../runtime/device.ts';
import { PHILOX } from './philox.ts';
import { each, flatIndex, type KernelText } from './wgsl.ts';

export const GATHER_INVOCATIONS = 64;
/** Purpose of the words that decide crop and flip (runtime/base/philox.ts). */
const AUGMENT = 2;

/**
 * `set0(word)`, `set1(word)` … hold the images, `perBuffer` in each, `picks(i)` the indices of `rows` images and, from element
 * `capacity` on, their samples; `out` takes the batch. Four bytes an invocation.
 */
export function gather(
  { shape: [h, w, c], layout, crop, flip, padding, seed }: Pick<ResidentImages, 'shape' | 'layout' | 'crop' | 'flip' | 'padding' | 'seed'>,
  { buffers, perBuffer, capacity }: { readonly buffers: number; readonly perBuffer: number; readonly capacity: number },
): KernelText {
  const bytes = h * w * c;
  const key = `vec2u(${BigInt.asUintN(32, seed)}u, ${BigInt.asUintN(32, seed >> 32n)}u)`;
  const words = (epoch: string): string => `philox(${key}, vec4u(sample, ${epoch}, ${AUGMENT}u, 0u))`;
  const mirrored = {
    true: 'words.z >> 31u',
    false: '0u',
    // The opposite in every other epoch of what epoch 0 would have.
    alternate: `(${words('0u')}.z >> 31u) ^ (step.epoch & 1u)`,
  }[`${flip}`];
  const colour = padding?.reduceRight((rest, value, i) => (rest ? `select(${rest}, ${value}u, channel == ${i}u)` : `${value}u`), '');
  const outside =
    padding === null
      ? `y = reflected(y, ${h});
  x = reflected(x, ${w});`
      : `if (y < 0 || y >= ${h} || x < 0 || x >= ${w}) { return ${colour}; }`;
  const at = layout === 'planar' ? `channel * ${h * w}u + u32(y) * ${w}u + u32(x)` : `(u32(y) * ${w}u + u32(x)) * ${c}u + channel`;
  return {
    workgroup: [GATHER_INVOCATIONS, 1, 1],
    declarations: `${PHILOX}
struct Window { dx: i32, dy: i32, mirrored: u32 }
fn windowOf(sample: u32) -> Window {
  let words = ${words('step.epoch')};
  // ⌊word · n / 2³²⌋ is the high word of the product.
  return Window(i32(multiplyHigh(words.x, ${2 * crop + 1}u)) - ${crop}, i32(multiplyHigh(words.y, ${2 * crop + 1}u)) - ${crop}, ${mirrored});
}
fn reflected(i: i32, size: i32) -> i32 { return select(select(i, 2 * (size - 1) - i, i >= size), -i, i < 0); }
fn stored(buffer: u32, word: u32) -> u32 {
${each(buffers - 1, (i) => `  if (buffer == ${i}u) { return set${i}(word); }`)}
  return set${buffers - 1}(word);
}
fn byteOf(index: u32, window: Window, i: u32) -> u32 {
  let channel = i % ${c}u;
  let pixel = i / ${c}u;
  let column = pixel % ${w}u;
  var y = i32(pixel / ${w}u) + window.dy;
  var x = i32(select(column, ${w - 1}u - column, window.mirrored == 1u)) + window.dx;
  ${outside}
  let byte = (index % ${perBuffer}u) * ${bytes}u + ${at};
  return (stored(index / ${perBuffer}u, byte >> 2u) >> ((byte & 3u) * 8u)) & 0xffu;
}`,
    body: `${flatIndex(GATHER_INVOCATIONS)}
let total = step.rows * ${bytes}u;
if (at * 4u >= total) { return; }
var row = at * 4u / ${bytes}u;
var window = windowOf(picks(${capacity}u + row));
var word = 0u;
for (var k = 0u; k < 4u; k++) {
  let i = at * 4u + k;
  if (i >= total) { break; }
  // An image need not end with a word.
  if (i / ${bytes}u != row) {
    row = i / ${bytes}u;
    window = windowOf(picks(${capacity}u + row));
  }
  word |= byteOf(picks(row), window, i % ${bytes}u) << (k * 8u);
}
set_out(at, word);`,
  };
}
