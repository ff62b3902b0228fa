// Random erasing, in place (runtime/data/augment/erase.ts draws the same and says what the words mean).

import { below, channels, draw, height, width } from "./abi";
import { EraseArgs, ERASE_PURPOSE } from "./args.gen";

const WORD: f64 = 4294967296;

/** `colour`: one byte a channel. */
export function erase(rows: i32, from: usize, to: usize, samples: usize, args: EraseArgs): void {
  const h = height(args);
  const w = width(args);
  const c = channels(args);
  const probability = args.probability;
  const least = args.least;
  const largest = args.largest;
  const ratio = args.ratio;
  const rowBytes = w * c;

  for (let row = 0; row < rows; row++) {
    const words = draw(args, samples, row, ERASE_PURPOSE, 0);
    if (!(<f64>(<u32>i32x4.extract_lane(words, 0)) / WORD < probability)) continue;
    const area = (least + ((largest - least) * <f64>(<u32>i32x4.extract_lane(words, 1))) / WORD) * <f64>(h * w);
    const aspect = 1 + ((ratio - 1) * <f64>(<u32>i32x4.extract_lane(words, 2))) / WORD;
    const long = <i32>Math.floor(Math.sqrt(area * aspect) + 0.5);
    const short = <i32>Math.floor(Math.sqrt(area / aspect) + 0.5);
    const tall = i32x4.extract_lane(words, 3) < 0;
    const high = max(1, min(h, tall ? long : short));
    const wide = max(1, min(w, tall ? short : long));

    const place = draw(args, samples, row, ERASE_PURPOSE, 1);
    const top = below(i32x4.extract_lane(place, 0), h - high + 1);
    const left = below(i32x4.extract_lane(place, 1), w - wide + 1);
    for (let y = top; y < top + high; y++) {
      let at = to + (row * h + y) * rowBytes + left * c;
      for (let x = 0; x < wide; x++) {
        for (let k = 0; k < c; k++, at++) store<u8>(at, <u8>args.colour(k));
      }
    }
  }
}
