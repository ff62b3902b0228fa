import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { HybridError } from '../../runtime/base/errors.ts';
import { readTorch } from '../../runtime/formats/torch-file.ts';
import { writeZip } from '../../runtime/formats/zip.ts';

const file = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(`../golden/pickles/${name}`, import.meta.url)));
const TABLE: Record<string, [number[], number[]]> = JSON.parse(Buffer.from(file('table.json')).toString());

function refusal(bytes: Uint8Array): HybridError {
  const start = process.cpuUsage();
  try {
    readTorch(bytes, 'x.pth');
  } catch (error) {
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1e6).toBeLessThan(1);
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

  /** Each in an archive, and as the older kind. */
  const hostile = Object.entries({
    'a call of os.system': ["cos\nsystem\n(S'touch /tmp/x'\ntR", 'os.system'],
    'a call of builtins.eval in protocol 4': ['\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R', 'builtins.eval'],
    'code that a state is given to': ["csubprocess\nPopen\n)\x81}S'args'\nS'ls'\nsb", 'subprocess.Popen'],
    'a table of torch.load': ['ctorch\nload\n(U\x01xtR', 'torch.load'],
    'a text of 4 GB': ['X\xff\xff\xff\xff', '4294967295 bytes'],
    'tuples in tuples': [`)${'\x85'.repeat(500_000)}`, 'more than 400000'],
  });
  it.each(hostile)('%s is refused, and nothing is done', (_, [text, words]) => {
    expect(refusal(packed(text)).message).toContain(words);
    expect(refusal(legacy(text)).message).toContain(words);
  });

  it('a memo that is used twice in each of 10,000 lists is no table, whatever it stands for', () => {
    const doubling = `]q\x00${'](h\x00h\x00eq\x00'.repeat(10_000)}`;
    const text = `${doubling}${'0'.repeat(10_000)}`;
    expect(refusal(packed(text)).message).toContain('no table of tensors');
    expect(refusal(legacy(text)).message).toContain('names a storage that no tensor uses');
  });

  it('a storage of 4 GB in the older kind is one that is not there', () => {
    const count = new Uint8Array(BigUint64Array.of(2n ** 30n).buffer);
    const file = legacy(dictionary({ w: TENSOR }), count, new Uint8Array(Float32Array.of(1, 2).buffer));
    expect(refusal(file).message).toMatch(/1073741824|4294967296/);
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

/** A file of the older kind with a pickle of this value, and its storage `0`: the number of its elements, and these. */
const legacy = (
  value: string,
  count = new Uint8Array(BigUint64Array.of(2n).buffer),
  data = new Uint8Array(Float32Array.of(1, 2).buffer),
): Uint8Array => {
  const pickles = ['\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19', 'M\xe9\x03', '}U\x0dlittle_endian\x88s', value, ']U\x010a'];
  return new Uint8Array(Buffer.concat([Buffer.from(pickles.map((text) => `\x80\x02${text}.`).join(''), 'latin1'), count, data]));
};
