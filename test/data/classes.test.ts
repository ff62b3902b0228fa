// Classes of a model and of data, by their names.

import { describe, expect, it } from 'vitest';
import { matchClasses, relabelled } from '../../runtime/data/classes.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { hybridError } from '../support/expect-error.ts';

const named = (name: string, ...classes: string[]) => ({ name, classes });
const match = async (...args: Parameters<typeof matchClasses>) => [...matchClasses(...args)];

describe('matchClasses', () => {
  it('goes by names, whatever their order', async () => {
    expect(await match(named('model', 'a', 'b', 'c'), named('data', 'c', 'a'))).toEqual([2, 0]);
    expect((await hybridError('E_DATA', match(named('model', 'a', 'b'), named('data', 'a', 'x')))).message).toContain('"x"');
  });

  it('keeps two classes of one name apart where the order is the same, as the two cranes of ImageNet', async () => {
    const cranes = ['crane', 'dog', 'crane'];
    expect(await match(named('model', ...cranes), named('data', ...cranes))).toEqual([0, 1, 2]);
  });

  it('refuses a name that two classes have where the order is another: all of them would be the first', async () => {
    const inModel = match(named('model', 'crane', 'dog', 'crane'), named('data', 'dog', 'crane'));
    expect((await hybridError('E_DATA', inModel)).message).toContain('model has two classes called "crane"');
    const inData = match(named('model', 'dog', 'crane'), named('data', 'crane', 'dog', 'crane'));
    expect((await hybridError('E_DATA', inData)).message).toContain('data has two classes called "crane"');
    // Where no image is of it, it does not matter.
    const data = { ...named('data', 'dog', 'crane'), labels: [0, 0] };
    expect(await match(named('model', 'crane', 'dog', 'crane'), data)).toEqual([1, 0]);
  });
});

describe('a dataset in memory', () => {
  const options = { name: 'own', shape: [1, 2, 1] as const, classes: ['a', 'b'], labels: Uint8Array.of(0, 1), images: new Uint8Array(4) };

  it('has its labels under other numbers', () => {
    expect([...relabelled(memoryDataset(options), ['b', 'a'], Int32Array.of(1, 0)).labels]).toEqual([1, 0]);
  });

  it.each<[string, object, string]>([
    ['pixels from 0 to 1', { images: Float32Array.of(0, 0.5, 1, 0) }, 'the images of own are a Float32Array, and images are bytes'],
    ['pixels in a list', { images: [0, 1, 2, 3] }, 'the images of own are a Array, and images are bytes'],
    ['labels that are floats', { labels: Float32Array.of(0, 1) }, 'the labels of own are a Float32Array'],
    ['labels of 64 bits', { labels: BigInt64Array.of(0n, 1n) }, 'the labels of own are a BigInt64Array'],
    ['an image too few', { images: new Uint8Array(3) }, 'own has 3 bytes of images for 2 labels, and an image has 2'],
  ])('of %s is refused: they would become other ones', async (_, change, message) => {
    const made = (async () => memoryDataset({ ...options, ...change } as never))();
    expect((await hybridError('E_DATA', made)).message).toBe(message);
  });
});
