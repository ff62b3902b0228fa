// Networks that somebody wrote: `--model net.mjs`, and the networks of examples/.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { cli } from '../support/cli.ts';

const cwd = mkdtempSync(join(tmpdir(), 'hybrid-module-'));
afterAll(() => rmSync(cwd, { recursive: true, force: true }));
const inFolder = (...argv: string[]) => cli(argv, { cwd });
const EXAMPLES = fileURLToPath(new URL('../../examples/networks/', import.meta.url));
const LAYERS = new URL('../../dist/runtime/entries/layers.js', import.meta.url).href;
const SMALL = ['--data', 'synthetic', '--limit', '48', '--batch', '16', '--threads', '1', '--no-figures', '--quiet'];

function module(name: string, text: string): string {
  writeFileSync(join(cwd, name), text);
  return name;
}

describe('examples/networks', () => {
  test.each([
    ['resnet-20', 274_042],
    ['mobilenet-v2', 607_674],
    ['custom-head', 32_938],
    ['small-vit', 84_154],
  ])('%s has %d parameters, and is trained', async (name, parameters) => {
    const file = `${EXAMPLES}${name}.mjs`;
    const { stdout } = await inFolder('summary', file, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ arch: name, total: { count: parameters } });
    const run = await inFolder('train', '--model', file, ...SMALL, '--epochs', '1', '--name', name);
    expect(run).toMatchObject({ status: 0, stdout: expect.stringContaining('epoch') });
  });
});

test('--arch resnet-20 is the network of the example', async () => {
  const layersOf = async (given: string) => JSON.parse((await inFolder('summary', given, '--json')).stdout);
  expect(await layersOf('resnet-20')).toEqual(await layersOf(`${EXAMPLES}resnet-20.mjs`));
  expect(await inFolder('train', '--arch', 'resnet-20', ...SMALL, '--epochs', '1', '--name', 'named')).toMatchObject({ status: 0 });
});

test('a run of a module needs it no more: it is resumed, evaluated and exported by what it keeps', async () => {
  const net = module(
    'net.mjs',
    `import { functionalModel, input, layers } from '${LAYERS}';
     const images = input([32, 32, 3]);
     const x = layers.batchNormalization(layers.conv2d(images, { filters: 4, kernelSize: 8, strides: 8, trainable: false }), { momentum: 0.5 });
     export default functionalModel({ name: 'mine', input: images, output: layers.dense(layers.flatten(x), { units: 10 }) });`,
  );
  expect(await inFolder('train', '--model', net, ...SMALL, '--epochs', '1', '--name', 'r')).toMatchObject({ status: 0 });
  rmSync(join(cwd, net));
  expect(await inFolder('train', '--resume', 'r', '--epochs', '2', '--quiet', '--no-figures')).toMatchObject({ status: 0 });
  expect(await inFolder('eval', 'r', '--data', 'synthetic', '--limit', '48')).toMatchObject({ status: 0 });
  expect(await inFolder('export', 'r', '--format', 'keras', '-o', 'r.keras')).toMatchObject({ status: 0 });
  const { stdout } = await inFolder('summary', 'r.keras', '--json');
  expect(JSON.parse(stdout)).toMatchObject({ trainable: { count: 8 + 650 }, nonTrainable: { count: 772 + 8 } });
});

test.each([
  ['throws', "throw new Error('no such thing')", /throws\.mjs throws: no such thing/],
  ['nothing', 'export const model = 1;', /nothing\.mjs exports nothing by default/],
  ['number', 'export default 5;', /number\.mjs exports a number that is not a network/],
  [
    'broken',
    "export default { layers: [], config: { arch: 'x', input: [8, 8, 3], classes: 2, network: [] } };",
    /broken\.mjs exports a object that is not a network/,
  ],
  ['graph', 'export default { forward() {} };', /graph\.mjs exports a model that is a graph/],
  [
    'layer',
    `import { input, layers } from '${LAYERS}'; export default layers.conv2d(input([8, 8, 3]), { filters: 4, kernel: 3 });`,
    /layer\.mjs throws: conv2d \(Conv2D\) has no setting kernel/,
  ],
  ['syntax', 'export default (', /syntax\.mjs throws: /],
])('a module that is none (%s) is refused in a sentence', async (name, text, message) => {
  const { status, stdout, stderr } = await inFolder('train', '--model', module(`${name}.mjs`, text), ...SMALL);
  expect(stderr).toMatch(message);
  expect([status, stdout]).toEqual([2, '']);
});

test('one for other images is refused with what it would have to be, and one that is nowhere by its name', async () => {
  const net = module(
    'small.mjs',
    `import { functionalModel, input, layers } from '${LAYERS}';
     const images = input([8, 8, 3]);
     export default functionalModel({ name: 'small', input: images, output: layers.dense(layers.flatten(images), { units: 3 }) });`,
  );
  const { status, stderr } = await inFolder('train', '--model', net, ...SMALL);
  expect([status, stderr]).toEqual([
    2,
    expect.stringMatching(/small takes 8×8×3 images of 3 classes; .*\n.*input of \[8, 8, 3\] and 10 units/),
  ]);
  expect(await inFolder('train', '--model', 'nowhere.mjs', ...SMALL)).toMatchObject({ status: 5 });
});
