// Graphs written here pass ONNX's checker and give the same logits in ONNX Runtime, batch normalisation folded or not.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { writeNpz } from '../../runtime/formats/npz.ts';
import { exportModel } from '../../runtime/interop/export.ts';
import { pythonWith, runPython } from '../support/python.ts';
import { batchOf, difference, interopModels, ROWS, Trainer } from '../support/trained.ts';

interface PeerResult {
  readonly opset: number;
  readonly operators: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly seen: Readonly<Record<string, string>>;
  readonly logits: readonly number[];
  readonly alone: readonly number[];
}

/** With room for what was measured. */
const EQUAL = 2e-5;

const python = pythonWith('the exchange with ONNX Runtime', 'onnx', 'onnxruntime', 'numpy');
const MODELS = interopModels();
const folder = mkdtempSync(join(tmpdir(), 'hybrid-onnx-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const here = new Map<string, Float32Array>();
let peers: { readonly onnx: string; readonly runtime: string; readonly models: Readonly<Record<string, PeerResult>> };
let largest = 0;

describe.skipIf(!python)('ONNX Runtime', { timeout: 900_000 }, () => {
  beforeAll(async () => {
    const device = await openWasmDevice({ v8Flags: true });
    for (const model of MODELS) {
      const trainer = await Trainer.start(device, model);
      await trainer.steps(4, 5, 6);
      const trained = await trainer.trained();
      for (const [ending, foldBatchNorm] of [
        ['.onnx', false],
        ['.folded.onnx', true],
      ] as const) {
        writeFileSync(join(folder, model.arch + ending), await exportModel(trained, 'onnx', { foldBatchNorm, version: '1.2.3' }));
      }
      const { images } = batchOf(model, 0);
      writeFileSync(
        join(folder, `${model.arch}.data.npz`),
        writeNpz(new Map([['images', { shape: [ROWS, ...model.input], data: images }]])),
      );
      here.set(model.arch, await trainer.logits(0));
      await trainer.close();
    }
    await device.close();
    peers = (await runPython(python as string, 'onnx_peer.py', folder)) as typeof peers;
    return () => {
      process.stderr.write(`ONNX ${peers.onnx}, Runtime ${peers.runtime}: largest difference of logits ${largest.toExponential(1)}\n`);
    };
  }, 900_000);

  test.each(MODELS.map((model) => [model.arch, model] as const))('%s', (arch, model) => {
    const own = here.get(arch) as Float32Array;
    const count = (operators: readonly string[], name: string) => operators.filter((operator) => operator === name).length;
    const norms = model.layers.filter(({ type }) => type === 'BatchNormalization').length;
    for (const ending of ['.onnx', '.folded.onnx']) {
      const peer = peers.models[arch + ending];
      expect(peer.opset).toBe(17);
      largest = Math.max(largest, difference(peer.logits, own));
      expect(difference(peer.logits, own)).toBeLessThan(EQUAL);
      expect(difference(peer.alone, own.subarray(0, model.classes))).toBeLessThan(EQUAL);
      expect(JSON.parse(peer.seen.labels)[1]).toBe('sort "1" äö');
      expect(JSON.parse(peer.seen.input)).toMatchObject({ height: model.input[0], range: [0, 255] });
      expect(peer.metadata).toMatchObject({ license: 'CC-BY-4.0', normalization: expect.stringContaining('255') });
      expect(count(peer.operators, 'BatchNormalization')).toBe(ending === '.onnx' ? norms : 0);
    }
    // Where an average or a patch embedding follows, the normalisation is gone: it costs nothing any more.
    const adds = (ending: string) => count(peers.models[arch + ending].operators, 'Add');
    const disappeared = norms - (adds('.folded.onnx') - adds('.onnx'));
    expect(disappeared).toBe(arch === 'conv-pooling' ? 0 : arch.startsWith('convmixer-2stage') ? 2 : 1);
  });
});
