// Writes small Parquet files, honest or crafted: plain values, in groups of rows, with or without dictionaries.

import { gzipSync } from 'node:zlib';

/** A value of Thrift: a whole number, bytes or text, a list of structures or of texts, or a structure. */
type Thrift = number | string | Uint8Array | readonly Thrift[] | Struct;
interface Struct {
  readonly [field: number]: Thrift | undefined;
}

const isBytes = (value: Thrift): value is string | Uint8Array => typeof value === 'string' || value instanceof Uint8Array;
const typeOf = (value: Thrift): number => (typeof value === 'number' ? 6 : isBytes(value) ? 8 : Array.isArray(value) ? 9 : 12);

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) + 128);
  }
}

/** In the compact form. */
export function thrift(value: Thrift): Buffer {
  if (typeof value === 'number') return varint(value >= 0 ? 2 * value : -2 * value - 1);
  if (isBytes(value)) {
    const bytes = Buffer.from(value as string);
    return Buffer.concat([varint(bytes.length), bytes]);
  }
  if (Array.isArray(value)) {
    const head = value.length < 15 ? Buffer.from([16 * value.length + typeOf(value[0] ?? 0)]) : Buffer.from([0xf0 + typeOf(value[0])]);
    return Buffer.concat([head, ...(value.length < 15 ? [] : [varint(value.length)]), ...value.map(thrift)]);
  }
  let last = 0;
  const fields = Object.entries(value as Struct).flatMap(([key, field]) => {
    if (field === undefined) return [];
    const head = Buffer.from([16 * (Number(key) - last) + typeOf(field)]);
    last = Number(key);
    return [head, thrift(field)];
  });
  return Buffer.concat([...fields, Buffer.from([0])]);
}

export interface WrittenColumn {
  /** One name, or two where it is in a structure. */
  readonly path: readonly string[];
  /** Numbers become INT64, text and bytes BYTE_ARRAY. */
  readonly values: readonly (number | string | Uint8Array)[];
  /** Instead of what follows from the values: a dictionary page before them, packed with gzip, and what it claims. */
  readonly dictionary?: { readonly bytes: Uint8Array; readonly entries: number };
  /** What its description claims of its bytes. */
  readonly claimedBytes?: number;
  /** SNAPPY is 1, GZIP 2, ZSTD 6; as it says, whatever it is. */
  readonly codec?: number;
}

export interface WrittenParquet {
  readonly columns: readonly WrittenColumn[];
  readonly rowsPerGroup?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

const plain = (value: number | string | Uint8Array): Buffer => {
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(value));
    return bytes;
  }
  const bytes = Buffer.from(value as string);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return Buffer.concat([length, bytes]);
};

export function parquetFile({ columns, rowsPerGroup = Number.POSITIVE_INFINITY, metadata = {} }: WrittenParquet): Buffer {
  const rows = columns[0].values.length;
  const pieces: Buffer[] = [Buffer.from('PAR1')];
  let at = 4;
  const put = (bytes: Buffer): number => {
    pieces.push(bytes);
    at += bytes.length;
    return at - bytes.length;
  };
  const typeNumber = ({ values }: WrittenColumn): number => (typeof values[0] === 'number' ? 2 : 6);
  const groups: Struct[] = [];
  for (let first = 0; first < rows; first += rowsPerGroup) {
    const chunks = columns.map((column) => {
      const { values, dictionary, path, claimedBytes, codec } = column;
      const own = values.slice(first, first + rowsPerGroup);
      const start = at;
      const pack = (bytes: Uint8Array): Buffer => (dictionary ? gzipSync(bytes) : Buffer.from(bytes));
      if (dictionary) {
        const packed = pack(dictionary.bytes);
        put(thrift({ 1: 2, 2: dictionary.bytes.length, 3: packed.length, 7: { 1: dictionary.entries, 2: 0 } }));
        put(packed);
      }
      const body = Buffer.concat(own.map(plain));
      const packed = pack(body);
      const data = put(thrift({ 1: 0, 2: body.length, 3: packed.length, 5: { 1: own.length, 2: 0, 3: 3, 4: 3 } }));
      put(packed);
      return {
        2: start,
        3: {
          ...{ 1: typeNumber(column), 2: [0], 3: path, 4: codec ?? (dictionary ? 2 : 0), 5: own.length, 6: at - start },
          ...{ 7: claimedBytes ?? at - start, 9: data, 11: dictionary ? start : undefined },
        },
      } satisfies Struct;
    });
    groups.push({ 1: chunks, 2: 0, 3: Math.min(rowsPerGroup, rows - first) });
  }
  const element = (column: WrittenColumn, name: string): Struct => ({
    ...{ 1: typeNumber(column), 3: 0, 4: name, 6: typeof column.values[0] === 'string' ? 0 : undefined },
  });
  const schema = columns.flatMap((column): Struct[] =>
    column.path.length === 1 ? [element(column, column.path[0])] : [{ 3: 0, 4: column.path[0], 5: 1 }, element(column, column.path[1])],
  );
  const pairs = Object.entries(metadata).map(([key, value]): Struct => ({ 1: key, 2: value }));
  const footer = thrift({ 1: 1, 2: [{ 4: 'schema', 5: columns.length }, ...schema], 3: rows, 4: groups, 5: pairs });
  const size = Buffer.alloc(4);
  size.writeUInt32LE(footer.length);
  return Buffer.concat([...pieces, footer, size, Buffer.from('PAR1')]);
}

/** A description of columns as Hugging Face's datasets writes it. */
export const huggingFace = (features: object): Record<string, string> => ({ huggingface: JSON.stringify({ info: { features } }) });
