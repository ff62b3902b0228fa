// Some images without their colours, in place (runtime/data/augment/grayscale.ts draws the same).

import { channels, draw, height, width } from "./abi";
import { GrayscaleArgs, GRAYSCALE_PURPOSE } from "./args.gen";
import { grey } from "./colour";

/** `share`: of the images. */
export function grayscale(rows: i32, from: usize, to: usize, samples: usize, args: GrayscaleArgs): void {
  if (channels(args) != 3) return;
  const bytes = height(args) * width(args) * 3;
  for (let row = 0; row < rows; row++, to += bytes) {
    const word = <u32>i32x4.extract_lane(draw(args, samples, row, GRAYSCALE_PURPOSE, 0), 0);
    if (!(<f64>word / 4294967296.0 < args.share)) continue;
    for (let at = to; at < to + bytes; at += 3) {
      const value = <u8>grey(load<u8>(at), load<u8>(at, 1), load<u8>(at, 2));
      store<u8>(at, value);
      store<u8>(at, value, 1);
      store<u8>(at, value, 2);
    }
  }
}
