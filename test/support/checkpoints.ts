// Checkpoints for tests of the place where they are kept.

import type { Checkpoint } from '../../runtime/train/checkpoint.ts';

/** A checkpoint whose every part tells which one it is; `floats` is the size of its weights. */
export function markedCheckpoint(mark: number, floats = 4): Checkpoint {
  return {
    weights: new Map([['layers/dense/vars/0', { shape: [floats], data: new Float32Array(floats).fill(mark) }]]),
    optimizer: new Map([
      ['optimizer/vars/0', { shape: [1], data: Float32Array.of(100 + mark) }],
      ['optimizer/vars/2', { shape: [floats], data: new Float32Array(floats).fill(-mark) }],
    ]),
    progress: { epoch: mark, seed: '42' },
    graph: { text: `{"graph":${mark}}`, digest: `digest-${mark}` },
  };
}

/** The mark of a checkpoint; fails where its parts are of several. */
export function markOf({ weights, optimizer, progress, graph }: Checkpoint): number {
  const mark = Number(progress.epoch);
  const same =
    weights.get('layers/dense/vars/0')?.data.every((x) => x === mark) &&
    optimizer.get('optimizer/vars/2')?.data.every((x) => x === -mark) &&
    optimizer.get('optimizer/vars/0')?.data[0] === 100 + mark &&
    graph.digest === `digest-${mark}`;
  if (!same) throw new Error(`a mixture: ${JSON.stringify({ progress, graph })}`);
  return mark;
}
