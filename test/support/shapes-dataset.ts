// A tiny dataset that a small model learns in a few steps: the class is where the bright square is.

import { philox4x32 } from '../../runtime/base/philox.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';

export function shapesDataset(size: number, { seed = 1, side = 8 }: { seed?: number; side?: number } = {}): Dataset {
  const words = new Uint32Array(4);
  const labels = new Uint8Array(size);
  const images = new Uint8Array(size * side * side * 3);
  for (let n = 0; n < size; n++) {
    philox4x32([seed, 0], [n, 0, 0, 0], words);
    const label = words[0] & 3;
    labels[n] = label;
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        philox4x32([seed, 1], [n, y, x, 0], words);
        const bright = y >> 2 === label >> 1 && x >> 2 === (label & 1);
        for (let c = 0; c < 3; c++) images[((n * side + y) * side + x) * 3 + c] = (words[c] & 127) + (bright ? 120 : 0);
      }
    }
  }
  return memoryDataset({ name: `${size} squares`, shape: [side, side, 3], classes: ['a', 'b', 'c', 'd'], labels, images });
}
