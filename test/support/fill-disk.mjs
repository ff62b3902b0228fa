// Saves two states of 8 MiB to the folder in its argument, on a disk that has no place for the second. Prints what came of it as JSON.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RunFolder } from '../../dist/runtime/index.js';

const FLOATS = 2 ** 20;
const state = (mark) => ({
  weights: new Map([['w', { shape: [FLOATS], data: new Float32Array(FLOATS).fill(mark) }]]),
  optimizer: new Map([['optimizer/vars/2', { shape: [FLOATS], data: new Float32Array(FLOATS).fill(mark) }]]),
  progress: { epoch: mark },
  graph: { text: '{}', digest: 'd' },
});

const run = await RunFolder.create({ out: process.argv[2], name: 'r', config: { arch: 'a' } });
const folder = join(run.location, 'checkpoints');
const digest = () =>
  createHash('sha256')
    .update(readFileSync(join(folder, 'last', 'model.safetensors')))
    .digest('hex');
await run.save('last', state(1));
const before = digest();
const error = await run.save('last', state(2)).catch((reason) => reason);
await run.load('last');
await run.close();
console.log(JSON.stringify({ code: error?.code, message: error?.message, before, after: digest(), left: readdirSync(folder) }));
