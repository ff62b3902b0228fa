// ONNX files of other programs on the command line: imported, used, exported again, gone on with.

import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { cli } from '../support/cli.ts';
import { imageFile } from '../support/images.ts';
import { head, node, onnx } from '../support/onnx.ts';
import { tempFolder } from '../support/temp-folder.ts';

const fixture = fileURLToPath(new URL('../golden/onnx/residual.onnx', import.meta.url));

async function folder() {
  const cwd = tempFolder();
  cpSync(fixture, join(cwd, 'torch.onnx'));
  const picture = await imageFile('png', 24, 20);
  writeFileSync(join(cwd, 'a.png'), picture);
  for (const name of ['a', 'b', 'c'])
    for (let k = 0; k < 4; k++) {
      mkdirSync(join(cwd, 'photos', name), { recursive: true });
      writeFileSync(join(cwd, 'photos', name, `${k}.png`), picture);
    }
  for (const part of ['train', 'test'])
    for (const name of 'pqrst') {
      mkdirSync(join(cwd, 'five', part, name), { recursive: true });
      writeFileSync(join(cwd, 'five', part, name, '0.png'), picture);
    }
  const run = async (...argv: string[]) => {
    const result = await cli(argv, { cwd });
    expect(result.status, result.stderr).toBe(0);
    return result;
  };
  /** Probabilities by class. */
  const predict = async (model: string, ...more: string[]) => {
    const { stdout, stderr } = await run('predict', model, 'a.png', '--json', '--top-k', '5', '--device', 'reference', ...more);
    const numbers = [...stdout.matchAll(/"(?:probability|p)":\s*([\d.e-]+)/g)].map(([, value]) => Number(value));
    expect(numbers.length, stdout).toBe(5);
    return { numbers, stderr };
  };
  return { cwd, run, predict };
}

const close = (got: readonly number[], expected: readonly number[]) =>
  expect(Math.max(...got.map((value, i) => Math.abs(value - expected[i])))).toBeLessThan(1e-6);

test('what is assumed of the pixels is said, and can be said otherwise', async () => {
  const { predict } = await folder();
  const { numbers, stderr } = await predict('torch.onnx');
  expect(stderr).toMatch(
    /does not say how pixels are prepared: ImageNet's mean and deviation are taken\. Give --mean and --std otherwise\./,
  );
  const given = await predict('torch.onnx', '--mean', '0.485,0.456,0.406', '--std', '0.229,0.224,0.225');
  expect(given.stderr).not.toMatch(/prepared/);
  expect(given.numbers).toEqual(numbers);
  expect((await predict('torch.onnx', '--mean', '0', '--std', '1')).numbers).not.toEqual(numbers);
});

test('it becomes a run, and files of other kinds, that predict the same', { timeout: 120_000 }, async () => {
  const { run, predict } = await folder();
  const { numbers } = await predict('torch.onnx');
  const { stdout } = await run('import', 'torch.onnx', '--name', 'net');
  expect(stdout).toMatch(/torch for 20×24×3 images and 5 classes, without a state of the optimizer/);
  close((await predict('runs/net')).numbers, numbers);
  for (const format of ['keras', 'onnx', 'safetensors']) {
    await run('export', 'runs/net', '--format', format, '--output', `out.${format}`, '--class-names', 'p,q,r,s,t');
    const again = await predict(`out.${format}`);
    // Our own files say how pixels are prepared.
    expect(again.stderr).not.toMatch(/prepared/);
    close(again.numbers, numbers);
  }
  const { stdout: evaluated } = await run('eval', 'out.onnx', '--data', 'five', '--device', 'reference', '--json');
  expect(JSON.parse(evaluated)).toMatchObject({ accuracy: 0.2 });
});

test('it is trained further on other classes, with its backbone frozen', { timeout: 240_000 }, async () => {
  const { run } = await folder();
  const { stdout, stderr } = await run(
    ...[
      'train',
      '--init',
      'torch.onnx',
      '--data',
      'photos',
      '--image-size',
      '20x24',
      '--epochs',
      '1',
      '--batch',
      '4',
      '--freeze',
      'backbone',
    ],
    ...['--device', 'reference', '--workers', '0', '--no-figures', '--name', 'tuned'],
  );
  expect(stdout + stderr).toMatch(/weights of torch: \d+ of \d+ layers are loaded; initialised randomly: fc \(5 classes before, 3 now\)/);
});

test('what cannot be taken in is told by the node, and the options that do not go with a file are', async () => {
  const { cwd } = await folder();
  const far = node({ op: 'Pad', inputs: ['x', 'p'], name: 'far', attributes: { mode: 'reflect' } });
  const end = head('far');
  writeFileSync(join(cwd, 'x.onnx'), onnx({ nodes: [far, ...end.nodes], constants: end.constants }));
  const refused = async (...argv: string[]) => {
    const { status, stderr } = await cli(argv, { cwd });
    return { status, stderr };
  };
  const { status, stderr } = await refused('import', 'x.onnx');
  expect([status, stderr]).toEqual([
    5,
    expect.stringMatching(
      /error\[E_CHECKPOINT\]: .*x\.onnx cannot be taken in: its node Pad "far" (reads "p", which nothing|has mode reflect)/,
    ),
  ]);
  expect((await refused('predict', 'torch.onnx', 'a.png', '--mean', '0.1,0.2')).stderr).toMatch(
    /--mean has 2 numbers, and the images of .*torch\.onnx 3 channels/,
  );
  expect((await refused('predict', 'torch.onnx', 'a.png', '--std', '0')).stderr).toMatch(/--std is "0", but must be one number above 0/);
});

test('a folder is read in the size of the network, measured as a whole where it has no parts, and drawn', {
  timeout: 240_000,
}, async () => {
  const { cwd, run } = await folder();
  const machine = ['--device', 'reference'];
  for (const name of 'pqrst') {
    mkdirSync(join(cwd, 'flat', name), { recursive: true });
    for (let k = 0; k < 4; k++) cpSync(join(cwd, 'a.png'), join(cwd, 'flat', name, `${k}.png`));
  }
  const whole = await run('eval', 'torch.onnx', '--data', 'flat', ...machine);
  expect(whole.stderr).toContain('the data has no test images: measuring all its 20 images');
  expect(whole.stdout).toMatch(/\bflat, 20 images|\bflat \(20|\bflat\b.*20/);
  expect(whole.stdout).not.toContain('training set');
  const short = ['--epochs', '1', '--batch', '4', '--workers', '0', '--no-figures', '--val-fraction', '0.25', '--split', 'first'];
  const trained = await run('train', '--model', 'torch.onnx', '--data', 'flat', '--name', 'r', ...short, ...machine);
  expect(trained.stderr).toContain('15 images for training, 5 for validation');
  // Of images that it was trained on, those that were held back.
  const own = await run('eval', 'r', '--json', ...machine);
  expect(JSON.parse(own.stdout)).toMatchObject({ images: 5 });
  const drawn = await run('visualize', 'torch.onnx', '--data', 'flat', '--figures', 'confusion', '--format', 'svg', ...machine);
  expect(drawn.stdout).toContain('confusion.svg');
});
