// Whether kernels that should give the same bits do so on this GPU: a driver's compiler may be wrong about one of them only.

import { USAGE } from './binding.ts';
import type { Command, Program } from './encode.ts';
import type { Gpu } from './gpu.ts';

/** Of what a kernel writes so much is looked at: the whole of a small buffer, parts of a large one from its beginning to its end. */
const PARTS = 8;
const PART_BYTES = 1 << 16;
/** Bytes after which the numbers in a buffer begin again. */
const PIECE_BYTES = 1 << 20;

/**
 * Numbers that are finite and neither large nor tiny, whether they are read as f32 or as pairs of f16: halves from 0.5 to 1, of either sign. As
 * bytes they are what they are.
 */
function numbers(): Uint16Array {
  const halves = new Uint16Array(PIECE_BYTES / 2);
  for (let i = 0; i < halves.length; i++) {
    const random = Math.imul(i + 1, 0x9e3779b1) >>> 15;
    halves[i] = 0x3800 | (random & 0x3ff) | ((random & 0x400) << 5);
  }
  return halves;
}

/** Fills buffers with such numbers. */
export async function fill(gpu: Gpu, buffers: readonly GPUBuffer[]): Promise<void> {
  const [piece] = await gpu.allocate([{ label: 'numbers', bytes: PIECE_BYTES, usage: USAGE.copySrc | USAGE.copyDst }]);
  try {
    gpu.write(piece, 0, numbers());
    await gpu.submit('numbers', (encoder) => {
      for (const buffer of buffers)
        for (let at = 0; at < buffer.size; at += PIECE_BYTES)
          encoder.copyBufferToBuffer(piece, 0, buffer, at, Math.min(PIECE_BYTES, buffer.size - at));
    });
  } finally {
    piece.destroy();
  }
}

/** What a program leaves in the buffers that it writes, which are zero before: samples of it. */
export async function resultsOf(
  gpu: Gpu,
  program: Program<Command['dispatch']>,
  rows: number,
  written: readonly GPUBuffer[],
): Promise<Uint8Array> {
  const parts = written.flatMap((buffer) => {
    if (buffer.size <= PARTS * PART_BYTES) return [{ buffer, at: 0, bytes: buffer.size }];
    const step = Math.floor((buffer.size - PART_BYTES) / (PARTS - 1) / 4) * 4;
    return Array.from({ length: PARTS }, (_, i) => ({ buffer, at: i * step, bytes: PART_BYTES }));
  });
  const size = parts.reduce((sum, { bytes }) => sum + bytes, 0);
  const [staging] = await gpu.allocate([{ label: 'results', bytes: size, usage: USAGE.mapRead | USAGE.copyDst }]);
  try {
    await gpu.submit('comparison', (encoder) => {
      for (const buffer of written) encoder.clearBuffer(buffer);
      program.encode(encoder, rows);
      let to = 0;
      for (const { buffer, at, bytes } of parts) {
        encoder.copyBufferToBuffer(buffer, at, staging, to, bytes);
        to += bytes;
      }
    });
    return new Uint8Array(await gpu.download(staging, size));
  } finally {
    staging.destroy();
  }
}
