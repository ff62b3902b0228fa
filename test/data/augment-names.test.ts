import { describe, expect, test } from 'vitest';
import { activeAugmentations } from '../../runtime/data/augment/augmentations.ts';
import { AUGMENT_NAMES, augmentOptions } from '../../runtime/data/augment/names.ts';
import { meanColour } from '../../runtime/data/mean-colour.ts';
import { firstSamples } from '../../runtime/data/split.ts';
import { syntheticSource } from '../../runtime/data/synthetic.ts';

describe('augmentOptions', () => {
  test('what the flag had before means the same', () => {
    expect(augmentOptions('none')).toEqual({ crop: 0, flip: false });
    expect(augmentOptions('flip')).toEqual({ crop: 0, flip: true });
    expect(augmentOptions('crop,flip')).toEqual({ crop: 4, flip: true });
  });

  test('every name is possible by itself, and with another value', () => {
    for (const [name, { value }] of Object.entries(AUGMENT_NAMES)) {
      const kernels = activeAugmentations(augmentOptions(name), [32, 32, 3]);
      expect(kernels).toHaveLength(augmentOptions(name).mix ? 0 : 1);
      expect(augmentOptions(`${name}=${value}`)).toEqual(augmentOptions(name));
    }
    expect(augmentOptions('crop-reflect=2,rotate=0.1,randaugment=0.3')).toEqual({
      crop: 2,
      flip: false,
      padding: 'reflect',
      rotate: 0.1,
      policy: { operations: 2, magnitude: 0.3 },
    });
  });

  test.each([
    ['flop', /no augmentation "flop"; did you mean flip\?/],
    ['crop,', /no augmentation ""/],
    ['__proto__', /no augmentation/],
    ['crop,crop', /crop is given twice/],
    ['crop,crop-reflect', /crop and crop-reflect exclude each other/],
    ['erase,cutout', /erase and cutout exclude each other/],
    ['mixup,cutmix', /mixup and cutmix exclude each other/],
    ['crop=', /expects a number after '='/],
    ['crop=1=2', /expects a number after '='/],
    ['crop=x', /expects a number after '='/],
  ])('%s is refused', (list, message) => {
    expect(() => augmentOptions(list)).toThrow(expect.objectContaining({ code: 'E_USAGE', message: expect.stringMatching(message) }));
  });
});

test('the mean colour is also that of a part of a set', async () => {
  const { train } = syntheticSource({ train: 40, test: 0 });
  const bytes = new Uint8Array(10 * 3072);
  train.read([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], bytes);
  const mean = [0, 1, 2].map((c) => Math.round(bytes.reduce((sum, byte, i) => sum + (i % 3 === c ? byte : 0), 0) / 10_240));
  expect(await meanColour(firstSamples(train, 10))).toEqual(mean);
});
