// Weights in PyTorch's layouts: real PyTorch loads them strictly into modules of the same names and gives the same logits. Without
// PyTorch the layouts are checked against their definition.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { writeNpy } from '../../runtime/formats/npz.ts';
import { exportModel } from '../../runtime/interop/export.ts';
import { channelsFirst, transposed } from '../../runtime/interop/layouts.ts';
import { pythonWith, runPython } from '../support/python.ts';
import { batchOf, difference, interopModels, ROWS, Trainer } from '../support/trained.ts';

const counted = (size: number) => Float32Array.from({ length: size }, (_, i) => i);

test('a kernel goes from [h, w, in, out] to [out, in, h, w]', () => {
  const { shape, data } = channelsFirst([2, 3, 4, 5], counted(120), false);
  expect(shape).toEqual([5, 4, 2, 3]);
  for (let h = 0; h < 2; h++)
    for (let w = 0; w < 3; w++)
      for (let i = 0; i < 4; i++)
        for (let o = 0; o < 5; o++) expect(data[((o * 4 + i) * 2 + h) * 3 + w]).toBe(((h * 3 + w) * 4 + i) * 5 + o);
});

test('a depthwise kernel goes from [h, w, C, 1] to [C, 1, h, w]', () => {
  const { shape, data } = channelsFirst([2, 3, 4, 1], counted(24), true);
  expect(shape).toEqual([4, 1, 2, 3]);
  for (let h = 0; h < 2; h++)
    for (let w = 0; w < 3; w++) for (let c = 0; c < 4; c++) expect(data[(c * 2 + h) * 3 + w]).toBe((h * 3 + w) * 4 + c);
});

test('a dense kernel is transposed; after an image its inputs are ordered channels first', () => {
  expect(transposed([2, 3], counted(6), null)).toEqual({ shape: [3, 2], data: Float32Array.of(0, 3, 1, 4, 2, 5) });
  const { data } = transposed([2 * 3 * 4, 5], counted(120), [2, 3, 4]);
  for (let h = 0; h < 2; h++)
    for (let w = 0; w < 3; w++)
      for (let c = 0; c < 4; c++)
        for (let o = 0; o < 5; o++) expect(data[o * 24 + (c * 2 + h) * 3 + w]).toBe(((h * 3 + w) * 4 + c) * 5 + o);
});

const python = pythonWith('the exchange with PyTorch', 'torch', 'numpy');
const folder = mkdtempSync(join(tmpdir(), 'hybrid-torch-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(!python)('PyTorch', { timeout: 900_000 }, () => {
  test('loads every architecture and gives the same logits', async () => {
    const device = await openWasmDevice({ v8Flags: true });
    const here = new Map<string, Float32Array>();
    for (const model of interopModels()) {
      const trainer = await Trainer.start(device, model);
      await trainer.steps(4, 5);
      const trained = await trainer.trained();
      writeFileSync(join(folder, `${model.arch}.safetensors`), await exportModel(trained, 'safetensors', { layout: 'torch' }));
      writeFileSync(join(folder, `${model.arch}.json`), JSON.stringify(model.layers));
      writeFileSync(join(folder, `${model.arch}.npy`), writeNpy({ shape: [ROWS, ...model.input], data: batchOf(model, 0).images }));
      here.set(model.arch, await trainer.logits(0));
      await trainer.close();
    }
    await device.close();
    const peer = (await runPython(python as string, 'torch_peer.py', folder)) as {
      readonly torch: string;
      readonly models: Record<string, { readonly logits: number[]; readonly metadata: Record<string, string> }>;
    };
    let largest = 0;
    for (const [arch, logits] of here) {
      const { logits: theirs, metadata } = peer.models[arch];
      largest = Math.max(largest, difference(theirs, logits));
      expect(difference(theirs, logits), arch).toBeLessThan(2e-5);
      expect(metadata.format).toBe('pt');
      expect(JSON.parse(metadata.about)).toMatchObject({ license: 'CC-BY-4.0', labels: expect.arrayContaining(['sort "0" äö']) });
    }
    process.stderr.write(`PyTorch ${peer.torch}: largest difference of logits ${largest.toExponential(1)}\n`);
  });
});
