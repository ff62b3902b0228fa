// Saves states of 8 MiB to the run folder in its first argument as fast as it can, each with the next mark, and prints the mark when the
// save was told to be done. Ends when it is killed.

import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { RunFolder } from '../../dist/runtime/index.js';

const [path, first] = process.argv.slice(2);
const FLOATS = 2 ** 20;
const run = existsSync(path)
  ? await RunFolder.reopen(path)
  : await RunFolder.create({ out: dirname(path), name: basename(path), config: { arch: 'a' } });
const weights = new Float32Array(FLOATS);
const moments = new Float32Array(FLOATS);
for (let mark = Number(first); ; mark++) {
  weights.fill(mark);
  moments.fill(-mark);
  await run.save('last', {
    weights: new Map([['layers/dense/vars/0', { shape: [FLOATS], data: weights }]]),
    optimizer: new Map([
      ['optimizer/vars/0', { shape: [1], data: Float32Array.of(100 + mark) }],
      ['optimizer/vars/2', { shape: [FLOATS], data: moments }],
    ]),
    progress: { epoch: mark },
    graph: { text: '{}', digest: `digest-${mark}` },
  });
  process.stdout.write(`${mark}\n`);
}
