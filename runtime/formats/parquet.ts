// Parquet files, as far as sets of images need them: columns of numbers, text and bytes, plain or in structures, but no lists. Written for files
// from anywhere: every loop ends with the bytes or with the rows, no room is made for more than either can hold. (hyparquet, the library for
// all of Parquet, trusts what a page claims: a run of 2^30 repetitions fills memory, and one of no bits never ends.)

import * as zlib from 'node:zlib';
import { HybridError } from '../base/errors.ts';
import { unpackSnappy } from './snappy.ts';
import { readThrift, ThriftFields } from './thrift.ts';
import { Varints } from './varints.ts';
import type { Fail } from './zip.ts';

/** A column of values. */
export interface ParquetColumn {
  /** Names from the top: `['image', 'bytes']`. */
  readonly path: readonly string[];
  readonly type: ParquetType;
  /** Whether bytes are text, as the file says. */
  readonly text: boolean;
  /** A list, or in one: it cannot be read. */
  readonly repeated: boolean;
}

export type ParquetType = 'BOOLEAN' | 'INT32' | 'INT64' | 'INT96' | 'FLOAT' | 'DOUBLE' | 'BYTE_ARRAY' | 'FIXED_LEN_BYTE_ARRAY';

/** What a value is: bytes, a number, a truth, or nothing. */
export type ParquetValue = Uint8Array | number | boolean | null;

export interface ParquetFile {
  readonly columns: readonly ParquetColumn[];
  /** Rows of each group. */
  readonly groups: readonly number[];
  /** What writers say beside: pandas' and Hugging Face's descriptions, in JSON. */
  readonly metadata: ReadonlyMap<string, string>;
  /** The values of a column in a group, one a row. */
  read(column: ParquetColumn, group: number): Promise<ParquetValue[]>;
  /** The first values of a column in a group, about so many but fewer where they are large, without reading all of it. */
  peek(column: ParquetColumn, group: number, most: number): Promise<ParquetValue[]>;
}

export interface ParquetOptions {
  /** Name of the file, for messages. */
  readonly source: string;
  /** Bytes. */
  readonly size: number;
  /** So many bytes from a place in it. */
  readonly readAt: (offset: number, length: number) => Promise<Uint8Array>;
}

const TYPES: readonly ParquetType[] = ['BOOLEAN', 'INT32', 'INT64', 'INT96', 'FLOAT', 'DOUBLE', 'BYTE_ARRAY', 'FIXED_LEN_BYTE_ARRAY'];
const CODECS = ['none', 'SNAPPY', 'GZIP', 'LZO', 'BROTLI', 'LZ4', 'ZSTD', 'LZ4_RAW'] as const;
const PLAIN = 0;
const PLAIN_DICTIONARY = 2;
const RLE = 3;
const DELTA_BINARY_PACKED = 5;
const DELTA_LENGTH_BYTE_ARRAY = 6;
const DELTA_BYTE_ARRAY = 7;
const RLE_DICTIONARY = 8;
const ENCODINGS = [
  ...['PLAIN', '1', 'PLAIN_DICTIONARY', 'RLE', 'BIT_PACKED', 'DELTA_BINARY_PACKED', 'DELTA_LENGTH_BYTE_ARRAY', 'DELTA_BYTE_ARRAY'],
  ...['RLE_DICTIONARY', 'BYTE_STREAM_SPLIT'],
];
/** What a file begins and ends with. */
const MAGIC = 0x31524150; // PAR1
/** Of a description of a file or a page; a number in it takes eight times its bytes. */
const MAX_HEADER_BYTES = 2 ** 24;
/** Of one column in one group, unpacked: it is held as a whole. */
const MAX_CHUNK_BYTES = 2 ** 30;
const GZIP_RATIO = 1032;
const MAX_ROWS = 2 ** 26;
/** Of a column whose first values are looked at: a page has one or two million by default, and a dictionary of as many before it. */
const PEEK_BYTES = 2 ** 23;
const MOST_CATEGORIES = 2 ** 16;

const WRITE_AGAIN = 'Write it again with pandas, pyarrow or datasets; if it was copied or downloaded, download it again.';
const SMALLER_GROUPS = 'Write it again in smaller groups of rows: row_group_size=1000 (pyarrow, pandas), batch_size=1000 (datasets).';
const FEWER_GROUPS = 'Write it again as several files, or in groups of more rows: row_group_size=1000.';
const OTHER_COMPRESSION = "Write it again with compression='snappy' (pandas, pyarrow)";

/** Also with a remedy of its own. */
type ParquetFail = (what: string, cause?: unknown, remedy?: string) => never;

interface Chunk {
  readonly codec: number;
  readonly start: number;
  readonly bytes: number;
}

interface Leaf extends ParquetColumn {
  /** How many of its ancestors and itself may be missing. */
  readonly maxDefinition: number;
  readonly fixedBytes: number;
}

/** Reads the footer. @throws HybridError E_DATA for anything but a complete file; also from `read`, where a column is not what it claims. */
export async function openParquet({ source, size, readAt }: ParquetOptions): Promise<ParquetFile> {
  const fail: ParquetFail = (what, cause, remedy = WRITE_AGAIN) => {
    throw new HybridError('E_DATA', `${source} is not a Parquet file that can be read: ${what}`, remedy, { cause });
  };
  if (size < 12) fail('it is too short');
  const tail = viewOf(await readAt(size - 8, 8));
  if (viewOf(await readAt(0, 4)).getUint32(0, true) !== MAGIC || tail.getUint32(4, true) !== MAGIC)
    fail('it does not begin and end as such files do, or is cut short');
  const footerBytes = tail.getUint32(0, true);
  if (footerBytes > size - 12) fail(`its description claims ${footerBytes} bytes`);
  if (footerBytes > MAX_HEADER_BYTES)
    fail(`its description has ${footerBytes} bytes, more than ${MAX_HEADER_BYTES}`, undefined, FEWER_GROUPS);
  const footer = new ThriftFields(readThrift(await readAt(size - 8 - footerBytes, footerBytes), fail).value, fail);
  const leaves = leavesOf(footer.structs(2), fail);
  const rows = footer.structs(4).map((group) => ({ rows: group.count(3), chunks: chunksOf(group, leaves, size, fail) }));
  const total = rows.reduce((sum, group) => sum + group.rows, 0);
  // An image and its class take more.
  if (total > Math.min(size, MAX_ROWS)) fail(`it claims ${total} rows in ${size} bytes`);
  const metadata = new Map(footer.structs(5).flatMap((pair) => [[pair.text(1) ?? '', pair.text(2) ?? ''] as const]));
  const values = async (column: ParquetColumn, index: number, peeked?: number): Promise<ParquetValue[]> => {
    const at = leaves.indexOf(column as Leaf);
    const group = rows[index];
    const chunk = group.chunks[at];
    const leaf = leaves[at];
    if (leaf.repeated) fail(`its column ${leaf.path.join('.')} holds lists`);
    const bytes = await readAt(chunk.start, peeked === undefined ? chunk.bytes : Math.min(chunk.bytes, PEEK_BYTES));
    return new ChunkReader(leaf, chunk.codec, group.rows, fail).read(bytes, peeked);
  };
  return {
    columns: leaves,
    groups: rows.map((group) => group.rows),
    metadata,
    read: (column, group) => values(column, group),
    async peek(column, group, most) {
      // Where its first page has more bytes, or is damaged, the whole column says.
      const first = await values(column, group, most).catch(() => []);
      return first.length > 0 ? first : values(column, group);
    },
  };
}

/** The columns of a schema, which is a tree in the order of a walk. */
function leavesOf(schema: readonly ThriftFields[], fail: Fail): Leaf[] {
  const leaves: Leaf[] = [];
  let at = 1;
  const walk = (path: readonly string[], definition: number, repeated: boolean): void => {
    const element = schema[at++];
    if (!element || path.length > 16) fail('its schema is damaged');
    const own = [...path, element.text(4) ?? ''];
    const repetition = element.number(3) ?? 0;
    const maxDefinition = definition + (repetition === 0 ? 0 : 1);
    const inList = repeated || repetition === 2;
    const children = element.number(5) ?? 0;
    if (children > 0) {
      for (let i = 0; i < children; i++) walk(own, maxDefinition, inList);
      return;
    }
    const type = TYPES[element.number(1) ?? -1];
    if (!type) fail(`its column ${own.join('.')} is of an unknown type`);
    const text = element.number(6) === 0 || element.struct(10)?.struct(1) !== undefined;
    leaves.push({ path: own, type, text, repeated: inList, maxDefinition, fixedBytes: element.number(2) ?? 0 });
  };
  const top = schema[0]?.number(5) ?? 0;
  for (let i = 0; i < top; i++) walk([], 0, false);
  if (leaves.length === 0) fail('it has no columns');
  return leaves;
}

function chunksOf(group: ThriftFields, leaves: readonly Leaf[], size: number, fail: ParquetFail): Chunk[] {
  const columns = group.structs(1);
  if (columns.length !== leaves.length) fail(`a group of rows has ${columns.length} columns instead of ${leaves.length}`);
  return columns.map((column, i) => {
    const about = column.struct(3) ?? fail('a column is not described');
    if (about.texts(3).join('\0') !== leaves[i].path.join('\0')) fail('its columns are in another order than its schema');
    const bytes = about.count(7);
    const data = about.count(9);
    const dictionary = about.number(11);
    // Some writers leave 0 where there is none.
    const start = dictionary !== undefined && dictionary > 0 && dictionary < data ? dictionary : data;
    if (!Number.isSafeInteger(start) || start < 4 || start + bytes > size)
      fail(`a column claims ${bytes} bytes at byte ${start} of ${size}`);
    if (bytes > MAX_CHUNK_BYTES)
      fail(`a column of a group of rows has ${bytes} bytes, more than ${MAX_CHUNK_BYTES}`, undefined, SMALLER_GROUPS);
    return { codec: about.number(4) ?? -1, start, bytes };
  });
}

/** The values of one column in one group of rows. */
class ChunkReader {
  readonly #leaf: Leaf;
  readonly #codec: number;
  readonly #rows: number;
  readonly #fail: ParquetFail;
  #unpacked = 0;

  constructor(leaf: Leaf, codec: number, rows: number, fail: ParquetFail) {
    this.#leaf = leaf;
    this.#codec = codec;
    this.#rows = rows;
    this.#fail = (what, cause, remedy) => fail(`its column ${leaf.path.join('.')}: ${what}`, cause, remedy);
  }

  /** With `peeked` the pages up to so many values, or up to the first that is not all there. */
  read(bytes: Uint8Array, peeked?: number): ParquetValue[] {
    const fail = this.#fail;
    const values: ParquetValue[] = [];
    let dictionary: ParquetValue[] | undefined;
    for (let at = 0; values.length < Math.min(this.#rows, peeked ?? this.#rows); ) {
      if (at >= bytes.length) fail(`it ends after ${values.length} of ${this.#rows} rows`);
      const { value, end } = readThrift(bytes.subarray(at, at + MAX_HEADER_BYTES), fail);
      const header = new ThriftFields(value, fail);
      const [size, packed] = [header.count(2), header.count(3)];
      at += end;
      if (peeked !== undefined && values.length > 0 && packed > bytes.length - at) break;
      if (packed > bytes.length - at) fail(`a page claims ${packed} bytes of the ${bytes.length - at} that are left`);
      const page = bytes.subarray(at, at + packed);
      at += packed;
      const [v1, v2, entries] = [header.struct(5), header.struct(8), header.struct(7)];
      if (header.number(1) === 2 && entries) {
        const plain = this.#unpack(page, size);
        dictionary = this.#plain(plain, this.#most(entries.count(1), plain));
      } else if (header.number(1) === 0 && v1) {
        const all = this.#unpack(page, size);
        const count = this.#fitting(v1.count(1), values.length);
        const { levels, rest } = this.#levels(all, count);
        this.#add(values, count, levels, (n) => this.#decode(rest, v1.number(2) ?? -1, n, dictionary));
      } else if (header.number(1) === 3 && v2) {
        const count = this.#fitting(v2.count(1), values.length);
        const [definition, repetition] = [v2.count(5), v2.count(6)];
        if (definition + repetition > Math.min(page.length, size)) fail('a page has impossible sizes');
        const levels =
          this.#leaf.maxDefinition > 0
            ? this.#hybrid(page.subarray(repetition, repetition + definition), 1 + Math.floor(Math.log2(this.#leaf.maxDefinition)), count)
            : undefined;
        const body = page.subarray(definition + repetition);
        const rest = v2.flag(7) === false ? body : this.#unpack(body, size - definition - repetition);
        this.#add(values, count, levels, (n) => this.#decode(rest, v2.number(4) ?? -1, n, dictionary));
      }
      // Pages of an index are passed over.
    }
    return values;
  }

  /** What a page holds, in the rows that are left. */
  #fitting(count: number, before: number): number {
    return count <= this.#rows - before ? count : this.#fail(`a page claims ${count} of the ${this.#rows - before} rows that are left`);
  }

  /** Entries of a dictionary. Each takes bytes; there are no more than rows, but that categories are all written, also those without a row. */
  #most(count: number, { length }: Uint8Array): number {
    if (count > 8 * length) this.#fail(`${length} bytes cannot hold the ${count} values that they claim`);
    if (count > Math.max(this.#rows, MOST_CATEGORIES)) this.#fail(`a dictionary of ${count} values is for ${this.#rows} rows`);
    return count;
  }

  #add(values: ParquetValue[], count: number, levels: Int32Array | undefined, decode: (present: number) => ParquetValue[]): void {
    const { maxDefinition } = this.#leaf;
    const present = levels ? levels.reduce((sum, level) => sum + (level === maxDefinition ? 1 : 0), 0) : count;
    const decoded = decode(present);
    if (decoded.length !== present) this.#fail(`a page has ${decoded.length} values instead of ${present}`);
    for (let i = 0, k = 0; i < count; i++) values.push(!levels || levels[i] === maxDefinition ? decoded[k++] : null);
  }

  /** Of the first kind of page: a length and the levels, before the values. */
  #levels(page: Uint8Array, count: number): { readonly levels?: Int32Array; readonly rest: Uint8Array } {
    if (this.#leaf.maxDefinition === 0) return { rest: page };
    if (page.length < 4) this.#fail('a page ends too early');
    const bytes = viewOf(page).getUint32(0, true);
    if (bytes > page.length - 4) this.#fail('a page has impossible sizes');
    const width = 1 + Math.floor(Math.log2(this.#leaf.maxDefinition));
    return { levels: this.#hybrid(page.subarray(4, 4 + bytes), width, count), rest: page.subarray(4 + bytes) };
  }

  #unpack(packed: Uint8Array, size: number): Uint8Array {
    const fail = this.#fail;
    this.#unpacked += size;
    if (this.#unpacked > MAX_CHUNK_BYTES) fail(`it unpacks to more than ${MAX_CHUNK_BYTES} bytes`, undefined, SMALLER_GROUPS);
    const name = CODECS[this.#codec];
    if (name === 'none') return packed.length === size ? packed : fail(`a page has ${packed.length} bytes instead of ${size}`);
    if (size === 0) return new Uint8Array(0);
    if (name === 'SNAPPY') return unpackSnappy(packed, size, fail);
    if (name === 'GZIP' && size > packed.length * GZIP_RATIO + 64) fail(`${packed.length} compressed bytes cannot hold ${size}`);
    const unpack =
      name === 'GZIP' ? zlib.gunzipSync : name === 'BROTLI' ? zlib.brotliDecompressSync : name === 'ZSTD' ? unpackZstd() : undefined;
    if (!unpack) {
      if (name === 'ZSTD')
        return fail(
          `it is compressed with ZSTD, which this Node (${process.version}) cannot unpack: 22.15 and later can`,
          undefined,
          `${OTHER_COMPRESSION}, or use a newer Node.`,
        );
      return fail(
        `it is compressed with ${name ?? `the unknown method ${this.#codec}`}; SNAPPY, GZIP, BROTLI and ZSTD are read`,
        undefined,
        `${OTHER_COMPRESSION}.`,
      );
    }
    let page: Uint8Array;
    try {
      page = unpack(packed, { maxOutputLength: size + 1 });
    } catch (error) {
      return fail(`a page cannot be unpacked: ${(error as Error).message}`, error);
    }
    return page.length === size ? page : fail(`a page unpacks to ${page.length} bytes instead of ${size}`);
  }

  #decode(page: Uint8Array, encoding: number, count: number, dictionary: ParquetValue[] | undefined): ParquetValue[] {
    const { type } = this.#leaf;
    if (count === 0) return [];
    if (encoding === PLAIN) return this.#plain(page, count);
    if (encoding === PLAIN_DICTIONARY || encoding === RLE_DICTIONARY) {
      if (!dictionary) return this.#fail('a page needs a dictionary that is not there');
      const width = page[0] ?? this.#fail('a page ends too early');
      if (width > 31) this.#fail(`indices of ${width} bits are impossible`);
      return Array.from(this.#hybrid(page.subarray(1), width, count), (index) =>
        index < dictionary.length ? dictionary[index] : this.#fail(`a page names entry ${index} of a dictionary of ${dictionary.length}`),
      );
    }
    if (encoding === RLE && type === 'BOOLEAN') {
      if (page.length < 4) this.#fail('a page ends too early');
      return Array.from(this.#hybrid(page.subarray(4), 1, count), (bit) => bit === 1);
    }
    if (encoding === DELTA_BINARY_PACKED && (type === 'INT32' || type === 'INT64')) return this.#deltas(page, count).values;
    if (encoding === DELTA_LENGTH_BYTE_ARRAY && type === 'BYTE_ARRAY') {
      const { values, end } = this.#deltas(page, count);
      return this.#pieces(page.subarray(end), values);
    }
    if (encoding === DELTA_BYTE_ARRAY && type === 'BYTE_ARRAY') {
      const shared = this.#deltas(page, count);
      const own = this.#deltas(page.subarray(shared.end), count);
      const ends = this.#pieces(page.subarray(shared.end + own.end), own.values);
      let before: Uint8Array = new Uint8Array(0);
      return ends.map((piece, i) => {
        const length = shared.values[i];
        if (!(length >= 0 && length <= before.length)) this.#fail('a value begins with more of the one before than that has');
        this.#unpacked += length;
        if (this.#unpacked > MAX_CHUNK_BYTES) this.#fail(`it unpacks to more than ${MAX_CHUNK_BYTES} bytes`, undefined, SMALLER_GROUPS);
        before = length === 0 ? piece : Uint8Array.from([...before.subarray(0, length), ...piece]);
        return before;
      });
    }
    return this.#fail(`its values are encoded as ${ENCODINGS[encoding] ?? encoding}, which is not read for ${type}`);
  }

  #plain(page: Uint8Array, count: number): ParquetValue[] {
    const view = viewOf(page);
    const { type, fixedBytes } = this.#leaf;
    const fixed = (width: number, read: (at: number) => ParquetValue): ParquetValue[] => {
      if (width <= 0 || count * width > page.length) this.#fail(`${count} values of ${width} bytes do not fit into ${page.length}`);
      return Array.from({ length: count }, (_, i) => read(i * width));
    };
    if (type === 'INT32') return fixed(4, (at) => view.getInt32(at, true));
    if (type === 'INT64') return fixed(8, (at) => Number(view.getBigInt64(at, true)));
    if (type === 'FLOAT') return fixed(4, (at) => view.getFloat32(at, true));
    if (type === 'DOUBLE') return fixed(8, (at) => view.getFloat64(at, true));
    if (type === 'FIXED_LEN_BYTE_ARRAY') return fixed(fixedBytes, (at) => page.subarray(at, at + fixedBytes));
    if (type === 'BOOLEAN') {
      if (count > 8 * page.length) this.#fail('a page ends too early');
      return Array.from({ length: count }, (_, i) => ((page[i >> 3] >> (i & 7)) & 1) === 1);
    }
    if (type === 'INT96') return this.#fail('its type INT96 is not read');
    const values: Uint8Array[] = [];
    for (let at = 0; values.length < count; ) {
      if (at + 4 > page.length) this.#fail('a page ends too early');
      const length = view.getUint32(at, true);
      at += 4;
      if (length > page.length - at) this.#fail(`a value claims ${length} bytes of the ${page.length - at} that are left`);
      values.push(page.subarray(at, at + length));
      at += length;
    }
    return values;
  }

  #pieces(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
    let at = 0;
    return lengths.map((length) => {
      if (!(length >= 0 && length <= bytes.length - at)) this.#fail('a value claims more bytes than are left');
      at += length;
      return bytes.subarray(at - length, at);
    });
  }

  /** Runs of one value, and groups of eight packed values. */
  #hybrid(bytes: Uint8Array, width: number, count: number): Int32Array {
    const out = new Int32Array(count);
    const from = new Varints(bytes, 'a run of values', this.#fail);
    for (let done = 0; done < count; ) {
      const head = Number(from.unsigned());
      const runs = Math.floor(head / 2);
      if (runs === 0) this.#fail('a run has no values');
      if (head % 2 === 0) {
        const value = from.fixed(Math.ceil(width / 8));
        const end = Math.min(count, done + runs);
        out.fill(value, done, end);
        done = end;
        continue;
      }
      let [bits, held] = [0, 0];
      for (const end = Math.min(count, done + 8 * runs), mask = 2 ** width; done < end; done++) {
        while (held < width) {
          bits += from.byte() * 2 ** held;
          held += 8;
        }
        out[done] = bits % mask;
        bits = Math.floor(bits / mask);
        held -= width;
      }
    }
    return out;
  }

  /** Differences of whole numbers in blocks of packed values. */
  #deltas(bytes: Uint8Array, count: number): { readonly values: number[]; readonly end: number } {
    const from = new Varints(bytes, 'a block of values', this.#fail);
    const [block, minis, total] = [Number(from.unsigned()), Number(from.unsigned()), Number(from.unsigned())];
    const each = block / minis;
    if (total !== count || !(block > 0 && block <= 2 ** 16) || !(minis > 0 && each % 8 === 0 && each > 0))
      this.#fail('a block of values is impossible');
    let last = from.signed();
    const wrap = (value: bigint): bigint => BigInt.asIntN(this.#leaf.type === 'INT32' ? 32 : 64, value);
    const values: number[] = [Number(last)];
    while (values.length < count) {
      const least = from.signed();
      const widths = Array.from({ length: minis }, () => from.byte());
      for (const width of widths) {
        if (values.length >= count) break;
        if (width > 64) this.#fail(`values of ${width} bits are impossible`);
        const end = from.at + (each * width) / 8;
        if (end > bytes.length) this.#fail('a block of values ends too early');
        let [bits, held] = [0n, 0n];
        for (let i = 0; i < each && values.length < count; i++) {
          while (held < BigInt(width)) {
            bits |= BigInt(from.byte()) << held;
            held += 8n;
          }
          last = wrap(last + least + (bits & ((1n << BigInt(width)) - 1n)));
          bits >>= BigInt(width);
          held -= BigInt(width);
          values.push(Number(last));
        }
        from.at = end;
      }
    }
    return { values, end: from.at };
  }
}

/** From Node 22.15 on. */
const unpackZstd = (): typeof zlib.gunzipSync | undefined => (zlib as { zstdDecompressSync?: typeof zlib.gunzipSync }).zstdDecompressSync;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
