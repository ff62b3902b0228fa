import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { HybridError } from '../../runtime/base/errors.ts';
import { openParquet, type ParquetValue } from '../../runtime/formats/parquet.ts';
import { unpackSnappy } from '../../runtime/formats/snappy.ts';
import { hybridError } from '../support/expect-error.ts';
import { parquetFile, thrift } from '../support/parquet.ts';

const golden = (name: string): Uint8Array => readFileSync(fileURLToPath(new URL(`../golden/parquet/${name}.parquet`, import.meta.url)));

const opened = (bytes: Uint8Array) =>
  openParquet({
    source: 'x.parquet',
    size: bytes.length,
    readAt: async (offset, length) => Uint8Array.from(bytes.subarray(offset, offset + length)),
  });

/** All columns by their path. */
async function columnsOf(bytes: Uint8Array): Promise<Record<string, ParquetValue[]>> {
  const file = await opened(bytes);
  const found: Record<string, ParquetValue[]> = {};
  for (const column of file.columns) {
    const values: ParquetValue[] = [];
    for (const group of file.groups.keys()) for (const value of await file.read(column, group)) values.push(value);
    found[column.path.join('.')] = values;
  }
  return found;
}

const text = (value: ParquetValue): string => new TextDecoder().decode(value as Uint8Array);
const isPng = (value: ParquetValue): boolean => value instanceof Uint8Array && text(value.subarray(1, 4)) === 'PNG';
const zstd = 'zstdDecompressSync' in (await import('node:zlib'));

describe('Parquet', () => {
  it.each([
    ['cifar/plain_text/train-00000-of-00002', 'label', [0, 1, 2, 0, 1, 2, 0]],
    ['none', 'label', [0, 1, 2, 0, 1, 2, 0, 1, 2]],
    ['gzip', 'label', ['airplane', 'automobile', 'bird', 'airplane', 'automobile', 'bird', 'airplane', 'automobile', 'bird']],
    ['brotli', 'label', [0, 1, 2, 0, 1, 2, 0, 1, 2]],
    ['v2', 'label', ['airplane', 'automobile', 'bird', 'airplane', 'automobile', 'bird', 'airplane', 'automobile', 'bird']],
    ['delta', 'label', [0, 1, 2, 0, 1, 2, 0, 1, 2]],
    ['deltatext', 'label', ['airplane', 'automobile', 'bird', 'airplane', 'automobile', 'bird', 'airplane', 'automobile', 'bird']],
    ['bool', 'label', [false, true, false, true, false, true, false, true, false]],
    ['fine', 'fine_label', [0, 1, 2, 0, 1, 2, 0, 1, 2]],
  ])('%s: every encoding and compression that writers use gives the same values', async (name, label, expected) => {
    const columns = await columnsOf(golden(name));
    expect(columns[label].map((value) => (value instanceof Uint8Array ? text(value) : value))).toEqual(expected);
    const images = columns['image.bytes'] ?? columns.image;
    expect(images.map(isPng)).toEqual(expected.map(() => true));
    if (columns['image.path']) expect(columns['image.path'].map(text)).toEqual(expected.map((_, i) => `${i}.png`));
  });

  it('zstd is read where Node can unpack it, and told where it cannot; LZ4 is refused by name', async () => {
    if (zstd) expect((await columnsOf(golden('zstd'))).label).toHaveLength(9);
    else expect((await hybridError('E_DATA', columnsOf(golden('zstd')))).message).toMatch(/ZSTD, which this Node .* 22\.15 and later can/);
    expect((await hybridError('E_DATA', columnsOf(golden('lz4')))).message).toMatch(/compressed with LZ4(_RAW)?; SNAPPY/);
  });

  it('a look at a column reads the start of it alone, and all of it where its first page is longer', async () => {
    const looked = async (bytes: Uint8Array) => {
      const reads: number[] = [];
      const readAt = async (offset: number, length: number) => {
        reads.push(length);
        return Uint8Array.from(bytes.subarray(offset, offset + length));
      };
      const file = await openParquet({ source: 'x.parquet', size: bytes.length, readAt });
      reads.length = 0;
      const values = await file.peek(file.columns[0], 0, 2);
      return { reads, values };
    };
    const image = new Uint8Array(2 ** 20).fill(7);
    const columns = (count: number) => [{ path: ['image'], values: Array<Uint8Array>(count).fill(image) }];
    const MiB = 2 ** 20;
    // One page of 4 MiB is shorter than a look, one of 12 is not; three groups of one row each have pages of their own.
    const short = await looked(parquetFile({ columns: columns(4) }));
    expect(short.reads).toEqual([expect.any(Number)]);
    expect(short.reads[0]).toBeLessThan(5 * MiB);
    expect(short.values.slice(0, 2)).toEqual([image, image]);
    const long = await looked(parquetFile({ columns: columns(12) }));
    expect(long.reads).toHaveLength(2);
    expect(long.reads[0]).toBe(8 * MiB);
    expect(long.values).toHaveLength(12);
    // Many pages in one column: no more than a look, of which the pages that are whole are given.
    const paged = await looked(golden('cifar/plain_text/train-00000-of-00002'));
    expect(paged.values.length).toBeGreaterThan(0);
    expect(paged.reads).toHaveLength(1);
  });

  it('metadata and groups of rows are there', async () => {
    const { groups, metadata, columns } = await opened(golden('cifar/plain_text/train-00000-of-00002'));
    expect(groups).toEqual([3, 3, 1]);
    expect(JSON.parse(metadata.get('huggingface') ?? '').info.features.label.names).toHaveLength(3);
    expect(columns.map(({ path, type, text: isText }) => [path.join('.'), type, isText])).toEqual([
      ['image.bytes', 'BYTE_ARRAY', false],
      ['image.path', 'BYTE_ARRAY', true],
      ['label', 'INT64', false],
    ]);
  });

  const NAMES = ['none', 'gzip', 'v2', 'delta', 'deltatext', 'fine'];

  it('a file cut short at any byte is refused', async () => {
    for (const name of NAMES) {
      const whole = golden(name);
      for (let length = 0; length < whole.length; length++) await hybridError('E_DATA', columnsOf(whole.subarray(0, length)));
    }
  });

  it('whatever byte is changed, to whatever: read or refused, at once', async () => {
    for (const [k, name] of NAMES.entries()) {
      const whole = golden(name);
      for (let at = 0; at < whole.length; at++) {
        for (const byte of [[0, 0x7f, 0x80, 0xff][(at + k) % 4], whole[at] ^ (1 << (at % 8))]) {
          const bytes = Uint8Array.from(whole);
          bytes[at] = byte;
          await columnsOf(bytes).catch((error: unknown) => {
            if (!(error instanceof HybridError && error.code === 'E_DATA')) throw error;
          });
        }
      }
    }
  });

  it.each([
    ['a footer of 4 GB', [0xff, 0xff, 0xff, 0xff], /description claims 4294967295 bytes/],
    ['a footer of nothing', [0, 0, 0, 0], /header ends too early/],
  ])('%s is refused', async (_, size, message) => {
    const bytes = Uint8Array.from(golden('none'));
    bytes.set(size, bytes.length - 8);
    expect((await hybridError('E_DATA', columnsOf(bytes))).message).toMatch(message);
  });

  it('a dictionary of very many empty values for one row is refused before there is room for them', async () => {
    const column = (entries: number) =>
      parquetFile({ columns: [{ path: ['a'], values: ['x'], dictionary: { bytes: Buffer.alloc(4 * entries), entries } }] });
    // Categories without a row are honest.
    expect((await columnsOf(column(1000))).a.map(text)).toEqual(['x']);
    expect((await hybridError('E_DATA', columnsOf(column(100_000)))).message).toMatch(/a dictionary of 100000 values is for 1 rows/);
  });

  it('a description of empty structures without end, or of too many bytes, is refused', async () => {
    const structures = thrift({ 1: 1 });
    const list = Buffer.concat([structures.subarray(0, -1), Buffer.from([0x49, 0xfc, 0x80, 0x80, 0x40]), Buffer.alloc(2 ** 20 + 1)]);
    const bytes = (footer: Uint8Array): Buffer => {
      const size = Buffer.alloc(4);
      size.writeUInt32LE(footer.length);
      return Buffer.concat([Buffer.from('PAR1'), footer, size, Buffer.from('PAR1')]);
    };
    expect((await hybridError('E_DATA', columnsOf(bytes(list)))).message).toMatch(/more than 524288 parts/);
    expect((await hybridError('E_DATA', columnsOf(bytes(Buffer.alloc(2 ** 24 + 1))))).message).toMatch(/description has 16777217 bytes/);
  });

  it('what writing again in the same way would not mend has a remedy of its own', async () => {
    const column = { path: ['a'], values: [1] };
    const large = parquetFile({ columns: [{ ...column, claimedBytes: 2 ** 30 + 1 }] });
    const opening = openParquet({
      source: 'x.parquet',
      size: 2 ** 31,
      readAt: async (offset, length) => {
        const at = offset < large.length ? offset : offset - 2 ** 31 + large.length;
        return Uint8Array.from(large.subarray(at, at + length));
      },
    });
    expect((await hybridError('E_DATA', opening)).remedy).toMatch(/row_group_size=1000/);
    const lz4 = await hybridError('E_DATA', columnsOf(parquetFile({ columns: [{ ...column, codec: 7 }] })));
    expect(lz4.remedy).toMatch(/compression='snappy'/);
  });

  it('is told apart from other files', async () => {
    for (const bytes of [new Uint8Array(0), Buffer.from('PAR1'), Buffer.from('<html>not found</html>'), Buffer.from('PAR1xxxxxxxxPAR2')])
      expect((await hybridError('E_DATA', columnsOf(bytes))).message).toMatch(/too short|does not begin and end/);
  });
});

describe('Snappy', () => {
  const fail = (what: string): never => {
    throw new Error(what);
  };

  it('pieces that repeat themselves, short and long', () => {
    // "ab", then 10 bytes from 2 back, then one literal.
    const packed = Uint8Array.from([13, 1 << 2, 97, 98, ((10 - 1) << 2) | 2, 2, 0, 0 << 2, 99]);
    expect(Buffer.from(unpackSnappy(packed, 13, fail)).toString()).toBe('ababababababc');
  });

  it.each([
    ['a size that lies', [13, 0, 97], 14, /claim 13 bytes instead of 14/],
    ['a bomb', [0x80, 0x80, 0x80, 0x80, 1, 0, 97], 2 ** 28, /cannot hold/],
    ['a piece from before the beginning', [4, 0, 97, (2 << 2) | 2, 9, 0], 4, /repeats what is not there/],
    ['a literal beyond the end', [9, 8 << 2, 97], 9, /longer than what is left/],
    ['an end in the middle', [2, 0, 97], 2, /give 1 bytes/],
    ['no end', [0x80], 2, /compressed page ends too early/],
  ])('%s is refused', (_, bytes, size, message) => {
    expect(() => unpackSnappy(Uint8Array.from(bytes), size, fail)).toThrow(message);
  });
});
