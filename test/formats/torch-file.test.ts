import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { HybridError } from '../../runtime/base/errors.ts';
import { readTorch } from '../../runtime/formats/torch-file.ts';
import { writeZip } from '../../runtime/formats/zip.ts';

const file = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(`../golden/pickles/${name}`, import.meta.url)));
const TABLE: Record<string, [number[], number[]]> = JSON.parse(Buffer.from(file('table.json')).toString());

function refusal(bytes: Uint8Array): HybridError {
  try {
    readTorch(bytes, 'x.pth');
  } catch (error) {
    expect(error).toMatchObject({ name: 'HybridError', code: 'E_CHECKPOINT', remedy: expect.stringMatching(/./) });
    return error as HybridError;
  }
  throw new Error('it was read');
}

describe("PyTorch's files", () => {
  it.each(['table.pth', 'table-legacy.pth'])('%s holds every tensor in its order', (name) => {
    const { tensors, part } = readTorch(file(name), name);
    expect(part).toBeUndefined();
    expect([...tensors.keys()]).toEqual(Object.keys(TABLE));
    for (const [key, [shape, values]] of Object.entries(TABLE)) {
      const tensor = tensors.get(key);
      expect(tensor?.shape, key).toEqual(shape);
      expect(Array.from(tensor?.data ?? [], Number), key).toEqual(values);
    }
    expect(tensors.get('half')?.half).toBe(true);
    expect(tensors.get('scalar')?.data).toBeInstanceOf(BigInt64Array);
  });

  it('a checkpoint of training has its weights under a usual key, and wrappers are taken off', () => {
    const { tensors, part } = readTorch(file('checkpoint.pth'));
    expect(part).toBe('state_dict');
    expect([...tensors.keys()].slice(0, 3)).toEqual(['0.weight', '0.bias', '1.weight']);
  });

  it.each([
    ['whole-model.pth', 'torch.nn.modules.container.Sequential'],
    ['list.pth', 'no table of tensors'],
    ['two-tables.pth', 'several tables of tensors ("first", "second")'],
  ])('%s is refused: %s', (name, words) => expect(refusal(file(name)).message).toContain(words));

  it.each(['table.pth', 'table-legacy.pth'])('%s cut short at every byte is refused', (name) => {
    const whole = file(name);
    for (let length = 0; length < whole.length; length++) refusal(whole.subarray(0, length));
  });

  it.each([
    ['a stride of 0 over a billion elements', 2 ** 30, 0, 0],
    ['an offset beyond the storage', 1, 1, 9],
    ['a shape beyond the storage', 3, 1, 0],
  ])('%s is refused', (_, size, stride, offset) => expect(refusal(archive(size, stride, offset)).message).toMatch(/reaches beyond|claim/));

  it('a tensor within its storage is read', () => {
    expect(readTorch(archive(2, 1, 0)).tensors.get('w')).toEqual({ shape: [2], data: Float32Array.of(1, 2) });
  });

  it('a figure of training that is a tensor, as best_acc1 of the examples of PyTorch, does not hide the weights beside it', () => {
    const { tensors, part } = readTorch(packed(dictionary({ state_dict: dictionary({ 'a.weight': TENSOR }), best_acc1: TENSOR })));
    expect(part).toBe('state_dict');
    expect([...tensors.keys()]).toEqual(['a.weight']);
  });

  it.each(['module._orig_mod.', '_orig_mod.module.', 'module.module.'])('wrappers in one another are taken off: %s', (prefix) => {
    const { tensors } = readTorch(packed(dictionary({ [`${prefix}a.weight`]: TENSOR, [`${prefix}b.weight`]: TENSOR })));
    expect([...tensors.keys()]).toEqual(['a.weight', 'b.weight']);
  });

  it('a parameter with attributes of its own is its numbers', () => {
    const { tensors } = readTorch(packed(dictionary({ w: `ctorch._utils\n_rebuild_parameter_with_state\n(${TENSOR}\x89}}tR` })));
    expect(tensors.get('w')?.data).toEqual(Float32Array.of(1, 2));
  });

  it('the count of an AveragedModel is no weight, and its wrapper is taken off', () => {
    const { tensors } = readTorch(packed(dictionary({ n_averaged: TENSOR, 'module.a.weight': TENSOR })));
    expect([...tensors.keys()]).toEqual(['a.weight']);
  });
});

const int = (value: number) => `J${Buffer.from(Int32Array.of(value).buffer).toString('latin1')}`;

/** Instructions that make a tensor of one axis, over a storage of two numbers. */
function view(size: number, stride: number, offset: number): string {
  const storage = '(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x02tQ';
  return `ctorch._utils\n_rebuild_tensor_v2\n(${storage}${int(offset)}${int(size)}\x85${int(stride)}\x85\x89}tR`;
}
const TENSOR = view(2, 1, 0);

const dictionary = (entries: Readonly<Record<string, string>>): string =>
  `}${Object.entries(entries)
    .map(([key, value]) => `X${int(key.length).slice(1)}${key}${value}s`)
    .join('')}`;

/** An archive with a pickle of this value. */
const packed = (value: string): Uint8Array =>
  writeZip(
    new Map([
      ['archive/data.pkl', new Uint8Array(Buffer.from(`\x80\x02${value}.`, 'latin1'))],
      ['archive/data/0', new Uint8Array(Float32Array.of(1, 2).buffer)],
    ]),
  );

/** An archive with one tensor `w` of one axis, over a storage of two numbers. */
const archive = (size: number, stride: number, offset: number): Uint8Array => packed(dictionary({ w: view(size, stride, offset) }));
