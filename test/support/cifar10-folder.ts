// A folder in CIFAR-10's binary format, small: 80 images for training and 20 for the test.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function writeCifar10(folder: string): void {
  for (const [name, records] of [
    ['data_batch_1.bin', 80],
    ['test_batch.bin', 20],
  ] as const) {
    const bytes = Uint8Array.from({ length: records * 3073 }, (_, i) =>
      i % 3073 === 0 ? (i / 3073) % 10 : Math.imul(i, 0x9e3779b1) >>> 24,
    );
    writeFileSync(join(folder, name), bytes);
  }
}

/** Options of `hybrid train` for a moment's worth of training on such a folder: four steps an epoch. */
export const tinyTraining = (data: string, device: 'wasm' | 'webgpu' | 'reference' = 'reference'): string[] => [
  ...['--arch', 'convmixer', '--dim', '4', '--depth', '1', '--kernel', '3', '--patch', '8'],
  ...['--data', data, '--limit', '60', '--batch', '16', '--device', device, '--bn-momentum', '0.5'],
];
