// From planar images (CHW, as CIFAR's files have them) to NHWC.

import { channels, height, width } from "./abi";
import { InterleaveArgs } from "./args.gen";

export function interleave(rows: i32, from: usize, to: usize, samples: usize, args: InterleaveArgs): void {
  const pixels = height(args) * width(args);
  const c = channels(args);
  for (let row = 0; row < rows; row++, from += pixels * c, to += pixels * c) {
    let done = 0;
    if (c == 3) {
      for (; done + 16 <= pixels; done += 16) interleave3(from + done, to + done * 3, pixels);
    }
    for (let k = 0; k < c; k++) {
      for (let i = done; i < pixels; i++) store<u8>(to + i * c + k, load<u8>(from + k * pixels + i));
    }
  }
}

/** 16 pixels of three channels. Each vector takes its red and green first, then the blue. */
// @ts-ignore: decorator
@inline
function interleave3(from: usize, to: usize, plane: usize): void {
  const r = v128.load(from);
  const g = v128.load(from + plane);
  const b = v128.load(from + 2 * plane);
  const rg0 = v128.shuffle<u8>(r, g, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
  const rg1 = v128.shuffle<u8>(r, g, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
  const rg2 = v128.shuffle<u8>(r, g, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
  v128.store(to, v128.shuffle<u8>(rg0, b, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15));
  v128.store(to, v128.shuffle<u8>(rg1, b, 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15), 16);
  v128.store(to, v128.shuffle<u8>(rg2, b, 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31), 32);
}
