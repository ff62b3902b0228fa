// ONNX files written by hand, well-formed or not.

/** A field of a message: a whole number, a float, text or bytes. */
export function field(number: number, value: number | bigint | string | Uint8Array | { readonly float: number }): Uint8Array {
  if (typeof value === 'number' || typeof value === 'bigint') return bytesOf(varint(BigInt(number) << 3n), varint(BigInt(value)));
  if (value instanceof Uint8Array || typeof value === 'string') {
    const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
    return bytesOf(varint((BigInt(number) << 3n) | 2n), varint(BigInt(bytes.length)), bytes);
  }
  const float = new Uint8Array(Float32Array.of(value.float).buffer);
  return bytesOf(varint((BigInt(number) << 3n) | 5n), float);
}

export function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    if (rest <= 0x7fn) return Uint8Array.from(bytes);
  }
}

export const bytesOf = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

type Attribute = number | string | readonly number[] | { readonly float: number } | { readonly bytes: Uint8Array };

export interface HandNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs?: readonly string[];
  readonly name?: string;
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

/** A node makes the value of its name where nothing else is said. */
export function node({ op, inputs, name = op.toLowerCase(), outputs = [name], domain = '', attributes = {} }: HandNode): Uint8Array {
  const attribute = ([key, value]: [string, Attribute]): Uint8Array => {
    if (typeof value === 'number') return bytesOf(field(1, key), field(3, value), field(20, 2));
    if (typeof value === 'string') return bytesOf(field(1, key), field(4, value), field(20, 3));
    if ('float' in value) return bytesOf(field(1, key), field(2, value), field(20, 1));
    if ('bytes' in value) return bytesOf(field(1, key), value.bytes);
    return bytesOf(field(1, key), ...value.map((n) => field(8, n)), field(20, 7));
  };
  return bytesOf(
    ...inputs.map((input) => field(1, input)),
    ...outputs.map((output) => field(2, output)),
    field(3, name),
    field(4, op),
    field(7, domain),
    ...Object.entries(attributes).map((entry) => field(5, attribute(entry))),
  );
}

/** A constant of floats, or of whole numbers where its data are bigints; `bytes` in place of what belongs to the shape. */
export function tensor(name: string, shape: readonly number[], data?: readonly number[] | readonly bigint[] | Uint8Array): Uint8Array {
  const count = shape.reduce((product, n) => product * n, 1);
  const values = data ?? Array.from({ length: count }, (_, i) => Math.sin(i));
  const isWhole = typeof values[0] === 'bigint';
  const bytes =
    values instanceof Uint8Array ? values : isWhole ? BigInt64Array.from(values as bigint[]) : Float32Array.from(values as number[]);
  return bytesOf(
    ...shape.map((n) => field(1, n)),
    field(2, isWhole ? 7 : 1),
    field(8, name),
    field(9, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)),
  );
}

const value = (name: string, shape: readonly (number | string)[], type = 1): Uint8Array =>
  bytesOf(
    field(1, name),
    field(
      2,
      field(
        1,
        bytesOf(field(1, type), field(2, bytesOf(...shape.map((n) => field(1, typeof n === 'number' ? field(1, n) : field(2, n)))))),
      ),
    ),
  );

export interface HandModel {
  readonly nodes: readonly Uint8Array[];
  readonly constants?: readonly Uint8Array[];
  readonly input?: readonly (number | string)[];
  readonly inputType?: number;
  readonly output?: string;
  readonly opset?: number;
}

/** A file with the input `x`. */
export function onnx({ nodes, constants = [], input = ['n', 3, 8, 8], inputType = 1, output = 'gemm', opset = 17 }: HandModel): Uint8Array {
  const graph = bytesOf(
    ...nodes.map((bytes) => field(1, bytes)),
    field(2, 'g'),
    ...constants.map((bytes) => field(5, bytes)),
    field(11, value('x', input, inputType)),
    field(12, value(output, ['n', 2])),
  );
  return bytesOf(field(1, 8), field(2, 'by hand'), field(7, graph), field(8, bytesOf(field(1, ''), field(2, opset))));
}

/** The mean of each of so many channels, and a dense layer of two classes. */
export const head = (from: string, channels = 3) => ({
  nodes: [
    node({ op: 'GlobalAveragePool', inputs: [from] }),
    node({ op: 'Flatten', inputs: ['globalaveragepool'] }),
    node({ op: 'Gemm', inputs: ['flatten', 'kernel'] }),
  ],
  constants: [tensor('kernel', [channels, 2])],
});
