// A run folder that version 0.1.0 left behind in the middle of an epoch goes on to the bits with which that version ended (test/golden/make-run.mjs).

import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RunFolder } from '../../app/run/run-folder.ts';
import { openWasmDevice } from '../../asm/host/device.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import type { Device } from '../../runtime/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import type { TrainOptions } from '../../runtime/train/events.ts';
// @ts-expect-error: shared with a script that runs on builds of any version
import { runOptions } from '../golden/run-options.mjs';
import { hybridError } from '../support/expect-error.ts';
import { digestOf, ofType, runPart } from '../support/runs.ts';
import { tempFolder } from '../support/temp-folder.ts';

const OLD = fileURLToPath(new URL('../golden/run-0.1.0', import.meta.url));
const outcome = JSON.parse(readFileSync(join(OLD, 'outcome.json'), 'utf8'));

let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ threads: 1 });
});
afterAll(() => device.close());

async function goOn(changes: Partial<TrainOptions> = {}) {
  const path = join(tempFolder(), 'run');
  cpSync(OLD, path, { recursive: true });
  const folder = await RunFolder.reopen(path);
  try {
    const newest = await folder.newest();
    if (!newest) throw new Error('no checkpoint');
    const options: TrainOptions = {
      ...runOptions({ buildModel, memoryDataset }),
      device,
      store: folder,
      resume: newest.checkpoint,
      ...changes,
    };
    const { result, events } = await runPart(options);
    const last = await folder.load('last');
    const epochs = ofType(events, 'epoch').map(({ epoch, train, validation, lr, best }) => ({ epoch, train, validation, lr, best }));
    const { run, ...rest } = result;
    return { digest: last && digestOf(last), epochs, result: rest };
  } finally {
    await folder.close();
  }
}

test('a run of 0.1.0 goes on: to the same bits, or told that they are others', async () => {
  if (device.arithmetic === outcome.arithmetic) {
    expect(await goOn()).toEqual({ digest: outcome.digest, epochs: outcome.epochs, result: outcome.result });
    return;
  }
  // Kernels of another version, or an engine that fuses multiply-adds: another arithmetic, which is refused unless it is allowed, and comes close.
  expect((await hybridError('E_CHECKPOINT', goOn())).message).toContain(`arithmetic is wasm, ${device.arithmetic}, but was wasm, `);
  const { epochs } = await goOn({ allowChanged: ['arithmetic'] });
  expect(epochs.map(({ epoch, lr }) => [epoch, lr])).toEqual(
    outcome.epochs.map(({ epoch, lr }: { epoch: number; lr: number }) => [epoch, lr]),
  );
  expect(epochs[0].train.loss).toBeCloseTo(outcome.epochs[0].train.loss, 2);
});

test('what it was begun with is known by today’s names', async () => {
  const error = await hybridError('E_CHECKPOINT', goOn({ learningRate: 0.1, earlyStopping: null, allowChanged: ['arithmetic'] }));
  expect(error.message).toMatch(/settings: `learningRate` is 0\.1, but was 0\.3; `earlyStopping` is 0, but was 6$/);
});
