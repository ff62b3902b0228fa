import { describe, expect, test } from 'vitest';
import { readHdf5, readHdf5File, writeHdf5 } from '../../runtime/formats/hdf5.ts';
import type { FileTensor } from '../../runtime/formats/safetensors.ts';
import { hybridError } from '../support/expect-error.ts';

const tensors = new Map<string, FileTensor>([
  ['layers/dense/vars/0', { shape: [2, 3], data: Float32Array.of(1, -0, Number.NaN, 1e-45, 5, 6) }],
  ['layers/dense/vars/1', { shape: [3], data: Int32Array.of(1, 2, -3) }],
  ['optimizer/vars/0', { shape: [], data: BigInt64Array.of(2n ** 60n) }],
]);
const written = () =>
  writeHdf5(tensors, {
    groups: ['vars', 'layers/dropout/vars'],
    attributes: new Map([
      ['@hybrid', 'ä'],
      ['vars@name', 'functional'],
    ]),
  });

describe('HDF5', () => {
  test('gives back names, shapes, types and bits', async () => {
    const found = await readHdf5(await written());
    expect([...found.keys()].sort()).toEqual([...tensors.keys()].sort());
    for (const [name, tensor] of tensors) expect(found.get(name)).toEqual(tensor);
  });

  test('gives back its texts', async () => {
    expect((await readHdf5File(await written())).texts).toEqual(expect.arrayContaining(['functional', 'ä']));
  });

  test('every cut is refused', async () => {
    const bytes = await written();
    for (let length = 0; length < bytes.length; length += 97)
      await hybridError('E_CHECKPOINT', readHdf5(bytes.subarray(0, length), 'w.h5'));
  });

  test('changed bytes give arrays or a refusal, and the next file is read as ever', async () => {
    const bytes = await written();
    let state = 7;
    const random = (n: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    for (let run = 0; run < 300; run++) {
      const changed = Uint8Array.from(bytes);
      for (let k = 0; k < 3; k++) changed[random(changed.length)] = random(256);
      await readHdf5(changed, 'w.h5').catch((error) => expect(error).toMatchObject({ code: 'E_CHECKPOINT' }));
    }
    expect((await readHdf5(bytes)).size).toBe(3);
  });
});
