// Images as CIFAR's files have them, channel by channel: what data workers turn into NHWC with a kernel, and everybody else here.

import type { Dataset } from './dataset.ts';

/** One image from planar (channel, row, column) to NHWC. */
export function interleave(planar: Uint8Array, [height, width, channels]: Dataset['shape'], out: Uint8Array, to: number): void {
  const pixels = height * width;
  for (let p = 0; p < pixels; p++) for (let c = 0; c < channels; c++) out[to++] = planar[c * pixels + p];
}
