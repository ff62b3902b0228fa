// Checkpoints in a place of one's own: `CheckpointStore` asks for `save` and `load`. This one keeps them in memory, as bytes; a bucket or a
// database would do the same with the same bytes. A run that is stopped and goes on from there ends with the bits of one that was not.
//
//   node examples/own-checkpoint-store.mjs

import { createHash } from 'node:crypto';
import { buildModel, openDevice, train } from '@hybrid-train/hybrid';
import { syntheticSource } from '@hybrid-train/hybrid/data';
import { readSafetensors, writeSafetensors } from '@hybrid-train/hybrid/formats';

/** @import { Checkpoint, CheckpointStore } from '@hybrid-train/hybrid' */
/** @import { CheckpointKind } from '@hybrid-train/hybrid/runs' */

/** @implements {CheckpointStore} */
class MemoryStore {
  /** For messages. */
  location = 'memory';
  /** @type {Map<string, { weights: Uint8Array, optimizer: Uint8Array, rest: string }>} */
  #saved = new Map();

  /**
   * Whole or not at all: an error thrown here ends the run, and what was saved before stays.
   * @param {CheckpointKind} kind
   * @param {Checkpoint} checkpoint
   */
  async save(kind, { weights, optimizer, ...rest }) {
    this.#saved.set(kind, { weights: writeSafetensors(weights), optimizer: writeSafetensors(optimizer), rest: JSON.stringify(rest) });
    return `memory/${kind}`;
  }

  /**
   * @param {CheckpointKind} kind
   * @returns {Promise<Checkpoint | null>}
   */
  async load(kind) {
    const saved = this.#saved.get(kind);
    return saved ? { weights: tensors(saved.weights), optimizer: tensors(saved.optimizer), ...JSON.parse(saved.rest) } : null;
  }
}

/** @param {Uint8Array} bytes */
const tensors = (bytes) =>
  new Map(
    [...readSafetensors(bytes, 'memory').tensors].map(([name, { shape, data }]) => [
      name,
      { shape, data: Float32Array.from(data, Number) },
    ]),
  );

const device = await openDevice('wasm');
const { train: training } = syntheticSource({ train: 200, test: 0 });
const options = {
  device,
  model: buildModel('convmixer', { input: training.shape, classes: training.classes.length, dim: 8, depth: 1, patch: 4 }),
  train: training,
  epochs: 3,
  batch: 32,
  seed: 1n,
};

const whole = new MemoryStore();
await train({ ...options, store: whole }).result;

// The same run, stopped within its second epoch …
const store = new MemoryStore();
const run = train({ ...options, store });
for await (const event of run) if (event.type === 'step' && event.epoch === 2 && event.step >= 3) await run.stop();
console.log('stopped:', (await run.result).reason);

// … and gone on with, from its last state.
const resume = await store.load('last');
if (!resume) throw new Error('nothing was saved');
console.log('resumed:', (await train({ ...options, store, resume }).result).reason);

/** @param {MemoryStore} from */
async function digest(from) {
  const hash = createHash('sha256');
  for (const [name, { data }] of (await from.load('last'))?.weights ?? []) hash.update(name).update(new Uint8Array(data.buffer));
  return hash.digest('hex');
}
console.log((await digest(store)) === (await digest(whole)) ? 'the same bits as the run that was not stopped' : 'other bits');
await device.close();
