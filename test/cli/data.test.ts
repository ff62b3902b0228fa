import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeNpz } from '../../runtime/formats/npz.ts';
import { cli } from '../support/cli.ts';
import { imageFile } from '../support/images.ts';
import { tempFolder } from '../support/temp-folder.ts';

const TINY = ['--arch', 'convmixer', '--dim', '8', '--depth', '1', '--kernel', '3', '--epochs', '1', '--batch', '8', '--threads', '2'];

/** A working folder with `pets` in it: five classes of 40 × 48 images, six for training and two for the test each. */
async function petsFolder(): Promise<string> {
  const cwd = tempFolder();
  for (let k = 0; k < 5; k++) {
    for (const [part, count] of [
      ['train', 6],
      ['test', 2],
    ] as const) {
      mkdirSync(join(cwd, 'pets', part, `kind ${k}`), { recursive: true });
      for (let i = 0; i < count; i++)
        writeFileSync(join(cwd, 'pets', part, `kind ${k}`, `${i}.png`), await imageFile('png', 40, 48, 50 * k + i));
    }
  }
  return cwd;
}

describe('other data than CIFAR-10 from the disk to the test accuracy', () => {
  test('a folder of class folders: its size and its number of classes reach the model, and eval finds them again', async () => {
    const cwd = await petsFolder();
    const io = { cwd, env: { XDG_CACHE_HOME: join(cwd, 'cache') } };
    const { status, stdout, stderr } = await cli(['train', '--data', 'pets', '--image-size', '40x48', '--name', 'one', ...TINY], io);
    expect(stderr).toContain('run folder');
    expect([status, stdout]).toEqual([0, expect.stringContaining('pets test set, 10 images')]);
    expect(readdirSync(join(cwd, 'cache', 'hybrid', 'images'))).toHaveLength(1);
    const evaluated = JSON.parse((await cli(['eval', join('runs', 'one'), '--json'], io)).stdout);
    expect(evaluated.images).toBe(10);
    expect(evaluated.perClass.map(({ name, count }: { name: string; count: number }) => [name, count])).toEqual(
      Array.from({ length: 5 }, (_, k) => [`kind ${k}`, 2]),
    );
    // Read from the disk by the workers instead, it is the same training.
    const again = await cli(['train', '--data', 'pets', '--image-size', '40x48', '--name', 'two', '--data-memory', '0', ...TINY], io);
    expect(again.stdout.split('\n').slice(0, 2)).toEqual(stdout.split('\n').slice(0, 2));
  });

  test('a file of arrays with one channel', async () => {
    const cwd = tempFolder();
    const pixels = (n: number) => Uint8Array.from({ length: n * 12 * 10 }, (_, i) => (i * 31) & 255);
    const labels = (n: number) => Int32Array.from({ length: n }, (_, i) => i % 3);
    const arrays = { x_train: { shape: [24, 12, 10], data: pixels(24) }, y_train: { shape: [24], data: labels(24) } };
    const tests = { x_test: { shape: [6, 12, 10], data: pixels(6) }, y_test: { shape: [6], data: labels(6) } };
    writeFileSync(join(cwd, 'grey.npz'), writeNpz(new Map(Object.entries({ ...arrays, ...tests }))));
    const { status, stdout } = await cli(['train', '--data', 'grey.npz', ...TINY], { cwd });
    expect([status, stdout]).toEqual([0, expect.stringContaining('grey.npz test set, 6 images')]);
  });

  test.each([
    [['--image-size', '0'], /--image-size is "0"/],
    [['--image-size', '32x'], /--image-size is "32x"/],
    [['--image-size', '1x2x3'], /height x width/],
    [['--image-size', '5000'], /1 to 4096/],
    [['--max-bad', '-1'], /--max-bad is "-1"/],
    [['--data-memory', '1.5'], /--data-memory is "1.5"/],
  ])('%j is a usage error', async (flags, message) => {
    const { status, stderr } = await cli(['train', '--data', 'synthetic', ...flags]);
    expect([status, stderr]).toEqual([2, expect.stringMatching(message)]);
  });
});
