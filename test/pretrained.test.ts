// The models that come with the package: each has a card, and does on real images what its card claims.

import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { PRETRAINED, pretrainedPath } from '../app/pretrained.ts';
import { readWeights } from '../app/saved-weights.ts';
import { readCifar } from '../app/sources/cifar.ts';
import { openWasmDevice } from '../asm/host/device.ts';
import { nodeFiles } from '../runtime/base/files.ts';
import type { Dataset } from '../runtime/data/dataset.ts';
import { evaluate } from '../runtime/train/evaluate.ts';
import { cli } from './support/cli.ts';
import { tempFolder } from './support/temp-folder.ts';

const sample = fileURLToPath(new URL('../../shared/data/cifar10-sample', import.meta.url));
const present = existsSync(sample);
if (!present) process.stderr.write('SKIPPED: the accuracy of pretrained models, because there is no ../shared/data/cifar10-sample\n');

/** Share of the test images, as the card claims it. */
function claimed(card: string): number {
  const percent = /^\| test accuracy \| \*\*(\d+\.\d+) %\*\*/m.exec(card)?.[1];
  if (percent === undefined) throw new Error('the card claims no test accuracy');
  return Number(percent) / 100;
}

describe.each(PRETRAINED)('%s', (name) => {
  const path = pretrainedPath(name);
  const card = readFileSync(path.replace(/safetensors$/, 'md'), 'utf8');

  it('is a few MB, knows its classes and its licence, and its card says how it was made', async () => {
    expect(statSync(path).size).toBeLessThan(5e6);
    const { trained } = await readWeights(path);
    expect(trained).toMatchObject({ license: 'MIT', classes: expect.arrayContaining(['airplane', 'truck']) });
    for (const said of [/hybrid train /, /JPEG/, /of the 50,000 training images/, /MIT/]) expect(card).toMatch(said);
    expect(claimed(card)).toBeGreaterThanOrEqual(0.85);
  });

  it.skipIf(!present)('keeps its claim on real test images, within three standard errors', async () => {
    const { test } = await readCifar(nodeFiles, sample);
    const dataset = test as Dataset;
    const { trained } = await readWeights(path);
    if (!trained) throw new Error('no model');
    const device = await openWasmDevice({ v8Flags: true });
    const evaluation = evaluate({ device, model: trained.model, weights: trained.weights, dataset, batch: 128 });
    const { accuracy } = await evaluation.finally(() => device.close());
    const claim = claimed(card);
    expect(Math.abs(accuracy - claim)).toBeLessThanOrEqual(3 * Math.sqrt((claim * (1 - claim)) / dataset.size));
  });

  it('is proposed to those who mistype it', async () => {
    const { status, stderr } = await cli(['eval', `${name}0`], { cwd: tempFolder() });
    expect(status).toBe(5);
    expect(stderr).toContain(`did you mean ${name}?`);
  });

  it('is found by its name, unless a file of that name is there', async () => {
    const cwd = tempFolder();
    const { status, stdout } = await cli(['export', name, '--format', 'npz', '--json'], { cwd });
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ path: join(cwd, `${name}.npz`), arch: name.replace('-cifar10', '') });
    writeFileSync(join(cwd, name), 'something of their own');
    const own = await cli(['export', name, '--format', 'npz', '--force'], { cwd });
    expect(own).toMatchObject({ status: 5, stderr: expect.stringContaining(`${join(cwd, name)} is not`) });
  });
});
