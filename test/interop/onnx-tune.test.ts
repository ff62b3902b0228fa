// A network of PyTorch's that came as an ONNX file is trained further as PyTorch trains it with the statistics of its batch normalisation kept
// (`eval()`): the losses of three steps, whatever is frozen, with the normalisation apart or folded into the convolutions.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readWeights } from '../../app/saved-weights.ts';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import type { TrainedModel } from '../../runtime/interop/trained-model.ts';
import { readNetwork } from '../../runtime/model/layered-model.ts';
import type { Model, NetworkLayer } from '../../runtime/model/model.ts';
import { type Freeze, stagesOf } from '../../runtime/train/freeze.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { pythonWith, runPython } from '../support/python.ts';

interface Peer {
  readonly torch: string;
  readonly rate: number;
  readonly images: number[];
  readonly labels: number[];
  readonly everything: number[];
  readonly 'without norms': number[];
  readonly head: number[];
  readonly folded: number[];
}

const python = pythonWith("fine-tuning of an ONNX file beside PyTorch's", 'torch', 'torchvision', 'onnx', 'numpy');
const folder = mkdtempSync(join(tmpdir(), 'hybrid-onnx-tune-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** With normalisations that compute with their moving statistics in training too, as those of Keras' that are called so. */
const withStatistics = ({ arch, config }: Model): Model =>
  readNetwork(
    arch,
    (config.network as readonly NetworkLayer[]).map((layer) =>
      'type' in layer && layer.type === 'BatchNormalization' ? { ...layer, inference: true } : layer,
    ),
  );

describe.skipIf(!python)('PyTorch', { timeout: 900_000 }, () => {
  let device: Device;
  let peer: Peer;
  beforeAll(async () => {
    device = await openWasmDevice({ v8Flags: true });
    peer = (await runPython(python as string, 'onnx_tune_peer.py', folder)) as Peer;
    return () => device.close();
  }, 900_000);

  test.each<[keyof Peer, string, Freeze]>([
    ['everything', 'apart', 'none'],
    ['without norms', 'apart', '*bn*,*downsample.1'],
    ['head', 'apart', 'backbone'],
    ['folded', 'folded', 'none'],
    ['head', 'folded', 'backbone'],
  ])('%s is trained (%s)', async (what, file, freeze) => {
    const { trained } = (await readWeights(join(folder, `${file}.onnx`))) as { readonly trained: TrainedModel };
    const norms = trained.model.layers.filter(({ type }) => type === 'BatchNormalization').length;
    expect(norms).toBe(file === 'apart' ? 20 : 0);
    const model = what === 'everything' ? withStatistics(trained.model) : trained.model;
    const { groups } = stagesOf(model, freeze)[0];
    const rows = peer.labels.length;
    const graphs = trainingGraphs(model, { groups, optimizer: { name: 'sgd', momentum: 0, nesterov: false } });
    const executable = await device.compile(graphs, { capacity: rows, seed: 1n });
    const batch = {
      rows,
      images: Uint8Array.from(peer.images),
      labels: Int32Array.from(peer.labels),
      samples: Int32Array.from(peer.labels, (_, i) => i),
      epoch: 1,
    };
    try {
      for (const [name, data] of trained.weights) await executable.write(name, data);
      const losses: number[] = [];
      for (let step = 0; step < 3; step++) {
        losses.push((await executable.gradient(batch)).loss);
        await executable.update({ learningRate: peer.rate, weightDecay: 0, bnMomentum: 0.99 });
      }
      const expected = peer[what] as number[];
      const most = Math.max(...losses.map((loss, step) => Math.abs(loss - expected[step])));
      process.stderr.write(
        `PyTorch ${peer.torch}, ResNet-18 (${file}), ${what}: losses ${losses.map((loss) => loss.toFixed(4)).join(', ')} differ by ${most.toExponential(1)}\n`,
      );
      expect(most).toBeLessThan(1e-3);
      // Something was learnt.
      expect(losses[2]).toBeLessThan(losses[0] - 1e-3);
      for (const { name, kind } of model.variables)
        if (kind === 'statistic') expect(await executable.read(name), name).toEqual(trained.weights.get(name));
    } finally {
      await executable.close();
    }
  });
});
