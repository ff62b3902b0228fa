// Reads ONNX files: the graph of a model with its constants, as the file has them. What the operators mean is another matter
// (runtime/interop/onnx-import.ts). Names and numbers are those of the public specification.
//
// A file may come from anywhere. Nodes, operands, attributes and sizes are bounded; subgraphs are never entered; constants are views of the
// file until somebody asks for their values, and then as large as the bytes that are there.

import { HybridError } from '../base/errors.ts';
import { FLOATS, type Packed, TYPES, valuesOf } from './onnx-types.ts';
import { Protobuf, type ProtobufField } from './protobuf.ts';
import { type Fail, quote } from './zip.ts';

/** A node. Names of values are unique in a graph; an input that is left out is the empty name. */
export interface OnnxFileNode {
  readonly op: string;
  /** Empty, or `ai.onnx`: the standard's own operators. */
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, OnnxAttribute>;
}

export type OnnxAttribute = number | string | readonly number[] | OnnxFileTensor | 'subgraph' | 'unread';

/** A constant whose values are still in the file, or in one beside it. */
export class OnnxFileTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** Number of its type in the specification. */
  readonly type: number;
  readonly #values: () => ArrayLike<number>;

  constructor(name: string, shape: readonly number[], type: number, values: () => ArrayLike<number>) {
    this.name = name;
    this.shape = shape;
    this.type = type;
    this.#values = values;
  }

  get size(): number {
    return this.shape.reduce((product, n) => product * n, 1);
  }

  get isFloat(): boolean {
    return FLOATS.has(this.type);
  }

  /** Float32Array of types of floats, numbers otherwise: as many as the shape says. */
  values(): ArrayLike<number> {
    return this.#values();
  }
}

/** An input or output of the graph. */
export interface OnnxFileValue {
  readonly name: string;
  readonly type: number;
  /** A size that is free is its name, or empty. */
  readonly shape: readonly (number | string)[] | undefined;
}

export interface OnnxFile {
  readonly opset: number;
  readonly producer: string;
  readonly metadata: ReadonlyMap<string, string>;
  readonly nodes: readonly OnnxFileNode[];
  readonly constants: ReadonlyMap<string, OnnxFileTensor>;
  readonly inputs: readonly OnnxFileValue[];
  readonly outputs: readonly OnnxFileValue[];
  /** Bytes of the file and of those beside it: what is made of it is measured by them. */
  readonly bytes: number;
}

export interface ReadOnnxOptions {
  /** Name of the file, for messages. */
  readonly source?: string;
  /** Contents of the files that `externalFiles` named. */
  readonly external?: ReadonlyMap<string, Uint8Array>;
}

const MOST_FIELDS = 2_000_000;
const MOST_NODES = 20_000;
/** Inputs, outputs or attributes of a node. */
const MOST_OF_NODE = 4096;
const MOST_CONSTANTS = 100_000;
const MOST_AXES = 16;
/** Files beside it. */
const MOST_FILES = 10_000;
/** Characters of a name. */
const MOST_NAME = 65_536;
/** Of a list that is an attribute. */
const MOST_NUMBERS = 65_536;

/** Whether bytes that nothing else marks may be such a file: it begins with the version of the specification, a small number. */
export const looksLikeOnnx = (bytes: Uint8Array): boolean =>
  bytes.length > 8 &&
  bytes[8] !== 0x7b &&
  bytes[0] === 0x08 &&
  bytes[1] > 0 &&
  bytes[1] < 0x40 &&
  [0x12, 0x1a, 0x22, 0x2a, 0x32, 0x3a, 0x42].includes(bytes[2]);

const failure =
  (source: string): Fail =>
  (what, cause) => {
    throw new HybridError(
      'E_CHECKPOINT',
      `${source} is not an ONNX file that can be used: ${what}`,
      'If it was copied or downloaded, download it again; else export the model again.',
      { cause },
    );
  };

/** The names of the files beside it that its constants are in. Throws E_CHECKPOINT as `readOnnx` does. */
export function externalFiles(bytes: Uint8Array, source = 'the file'): string[] {
  const names = new Set<string>();
  new Reader(bytes, failure(source), undefined, (location) => names.add(location)).model();
  return [...names];
}

/**
 * Reads a file.
 * @throws HybridError E_CHECKPOINT for anything that is no complete model, and for one that is larger than any network.
 */
export function readOnnx(bytes: Uint8Array, { source = 'the file', external }: ReadOnnxOptions = {}): OnnxFile {
  return new Reader(bytes, failure(source), external).model();
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #fail: Fail;
  readonly #external: ReadonlyMap<string, Uint8Array> | undefined;
  readonly #onExternal: ((location: string) => void) | undefined;
  readonly #wire: Protobuf;
  #files = new Set<string>();

  constructor(bytes: Uint8Array, fail: Fail, external?: ReadonlyMap<string, Uint8Array>, onExternal?: (location: string) => void) {
    this.#bytes = bytes;
    this.#fail = fail;
    this.#external = external;
    this.#onExternal = onExternal;
    this.#wire = new Protobuf(MOST_FIELDS, fail);
  }

  model(): OnnxFile {
    const fail = this.#fail;
    let version = 0;
    let producer = '';
    let graph: Uint8Array | undefined;
    let opset: number | undefined;
    const metadata = new Map<string, string>();
    this.#wire.read(this.#bytes, 'the model', {
      1: (field) => {
        version = field.integer();
      },
      2: (field) => {
        producer = this.#name(field);
      },
      7: (field) => {
        if (graph) fail('it has two graphs');
        graph = field.bytes();
      },
      8: (field) => {
        const { domain, version } = this.#operatorSet(field.bytes());
        if (domain !== '' && domain !== 'ai.onnx') return;
        if (opset !== undefined) fail('it names two versions of the operators');
        opset = version;
      },
      14: (field) => {
        const [key, value] = this.#pair(field.bytes());
        metadata.set(key, value);
      },
      // Functions are operators of the file's own: a node that is one is refused by its domain.
    });
    if (!graph) return fail('it has no graph');
    if (version < 3 || opset === undefined) return fail('it does not say which version of the specification it is of');
    return { opset, producer, metadata, ...this.#graph(graph), bytes: this.#size() };
  }

  #size(): number {
    let size = this.#bytes.length;
    for (const name of this.#files) size += this.#external?.get(name)?.length ?? 0;
    return size;
  }

  #operatorSet(bytes: Uint8Array): { readonly domain: string; readonly version: number } {
    let [domain, version] = ['', 0];
    this.#wire.read(bytes, 'a version of operators', {
      1: (field) => {
        domain = this.#name(field);
      },
      2: (field) => {
        version = field.integer();
      },
    });
    return { domain, version };
  }

  #pair(bytes: Uint8Array): [key: string, value: string] {
    let [key, value] = ['', ''];
    this.#wire.read(bytes, 'an entry of the metadata', {
      1: (field) => {
        key = this.#name(field);
      },
      2: (field) => {
        value = field.text();
      },
    });
    return [key, value];
  }

  #graph(bytes: Uint8Array): Pick<OnnxFile, 'nodes' | 'constants' | 'inputs' | 'outputs'> {
    const fail = this.#fail;
    const nodes: OnnxFileNode[] = [];
    const constants = new Map<string, OnnxFileTensor>();
    const inputs: OnnxFileValue[] = [];
    const outputs: OnnxFileValue[] = [];
    const values = (list: OnnxFileValue[]) => (field: ProtobufField) => {
      if (list.length >= MOST_CONSTANTS) fail(`its graph has more than ${MOST_CONSTANTS} inputs or outputs`);
      list.push(this.#value(field.bytes()));
    };
    this.#wire.read(bytes, 'the graph', {
      1: (field) => {
        if (nodes.length >= MOST_NODES) fail(`it has more than ${MOST_NODES} nodes`);
        nodes.push(this.#node(field.bytes()));
      },
      5: (field) => {
        if (constants.size >= MOST_CONSTANTS) fail(`it has more than ${MOST_CONSTANTS} constants`);
        const tensor = this.#tensor(field.bytes(), 'a constant');
        if (constants.has(tensor.name)) fail(`two of its constants are called ${quote(tensor.name)}`);
        constants.set(tensor.name, tensor);
      },
      11: values(inputs),
      12: values(outputs),
      15: () => fail('it has sparse constants'),
    });
    return { nodes, constants, inputs, outputs };
  }

  #node(bytes: Uint8Array): OnnxFileNode {
    const inputs: string[] = [];
    const outputs: string[] = [];
    const attributes = new Map<string, OnnxAttribute>();
    let [name, op, domain] = ['', '', ''];
    const names = (list: string[]) => (field: ProtobufField) => {
      if (list.length >= MOST_OF_NODE) this.#fail(`a node has more than ${MOST_OF_NODE} inputs or outputs`);
      list.push(this.#name(field));
    };
    this.#wire.read(bytes, 'a node', {
      1: names(inputs),
      2: names(outputs),
      3: (field) => {
        name = this.#name(field);
      },
      4: (field) => {
        op = this.#name(field);
      },
      5: (field) => {
        if (attributes.size >= MOST_OF_NODE) this.#fail(`a node has more than ${MOST_OF_NODE} attributes`);
        const [key, value] = this.#attribute(field.bytes());
        if (attributes.has(key)) this.#fail(`a node has ${quote(key)} twice`);
        attributes.set(key, value);
      },
      7: (field) => {
        domain = this.#name(field);
      },
    });
    if (op === '') this.#fail('a node has no operator');
    return { op, domain, name, inputs, outputs, attributes };
  }

  #attribute(bytes: Uint8Array): [name: string, value: OnnxAttribute] {
    let name = '';
    let type = 0;
    const found = new Map<number, OnnxAttribute>();
    const ints: number[] = [];
    const floats: number[] = [];
    const isOf = (number: number, value: (field: ProtobufField) => OnnxAttribute) => (field: ProtobufField) =>
      void found.set(number, value(field));
    this.#wire.read(bytes, 'an attribute', {
      1: (field) => {
        name = this.#name(field);
      },
      20: (field) => {
        type = field.integer();
      },
      2: isOf(1, (field) => field.float()),
      3: isOf(2, (field) => field.integer()),
      4: isOf(3, (field) => field.text()),
      5: isOf(4, (field) => this.#tensor(field.bytes(), 'an attribute')),
      6: isOf(5, () => 'subgraph'),
      7: (field) => this.#append(floats, field.floats(MOST_NUMBERS)),
      8: (field) => this.#append(ints, field.integers(MOST_NUMBERS)),
      9: isOf(8, () => 'unread'),
      10: isOf(9, () => 'unread'),
      11: isOf(10, () => 'subgraph'),
    });
    // What is 0 or empty may be left out on the wire.
    const usual: Readonly<Record<number, OnnxAttribute>> = { 1: 0, 2: 0, 3: '', 6: floats, 7: ints };
    const value = type === 6 ? floats : type === 7 ? ints : (found.get(type) ?? usual[type]);
    if (type === 0 || value === undefined) return [name, 'unread'];
    return [name, value];
  }

  #append(list: number[], more: readonly number[]): void {
    if (list.length + more.length > MOST_NUMBERS) this.#fail(`an attribute has more than ${MOST_NUMBERS} numbers`);
    for (const value of more) list.push(value);
  }

  #value(bytes: Uint8Array): OnnxFileValue {
    let name = '';
    let type = 0;
    let shape: (number | string)[] | undefined;
    const dimension = (bytes: Uint8Array): number | string => {
      let size: number | string = '';
      this.#wire.read(bytes, 'a dimension', {
        1: (field) => {
          size = field.integer();
        },
        2: (field) => {
          size = this.#name(field);
        },
      });
      return size;
    };
    const dimensions = (field: ProtobufField) => {
      shape = [];
      this.#wire.read(field.bytes(), 'a shape', {
        1: (field) => {
          if ((shape as unknown[]).length >= MOST_AXES) this.#fail(`a shape has more than ${MOST_AXES} axes`);
          (shape as (number | string)[]).push(dimension(field.bytes()));
        },
      });
    };
    this.#wire.read(bytes, 'an input or output', {
      1: (field) => {
        name = this.#name(field);
      },
      2: (field) =>
        this.#wire.read(field.bytes(), 'a type', {
          1: (field) =>
            this.#wire.read(field.bytes(), 'a type', {
              1: (field) => {
                type = field.integer();
              },
              2: dimensions,
            }),
        }),
    });
    return { name, type, shape };
  }

  #tensor(bytes: Uint8Array, what: string): OnnxFileTensor {
    const fail = this.#fail;
    const shape: number[] = [];
    let name = '';
    let type = 0;
    let isExternal = false;
    const external = new Map<string, string>();
    let packed: Packed | undefined;
    let raw: Uint8Array | undefined;
    const values = (kind: Packed['kind']) => (field: ProtobufField) => {
      if (packed || raw) fail(`${what} has its values twice`);
      packed = { kind, bytes: field.bytes() };
    };
    this.#wire.read(bytes, what, {
      1: (field) => {
        for (const size of field.integers(MOST_AXES)) {
          if (shape.length >= MOST_AXES) fail(`${what} has more than ${MOST_AXES} axes`);
          if (!(Number.isSafeInteger(size) && size >= 0)) fail(`${what} has a size of ${size}`);
          shape.push(size);
        }
      },
      2: (field) => {
        type = field.integer();
      },
      3: () => fail(`${what} is in segments`),
      4: values('float'),
      5: values('int'),
      6: () => fail(`${what} holds text`),
      7: values('int'),
      8: (field) => {
        name = this.#name(field);
      },
      9: (field) => {
        if (packed || raw) fail(`${what} has its values twice`);
        raw = field.bytes();
      },
      10: values('double'),
      11: values('int'),
      13: (field) => {
        const [key, value] = this.#pair(field.bytes());
        external.set(key, value);
      },
      14: (field) => {
        isExternal = field.integer() === 1;
      },
    });
    const called = name === '' ? what : quote(name);
    const element = TYPES[type];
    const size = shape.reduce((product, n) => product * n, 1);
    if (!Number.isSafeInteger(size)) fail(`${called} has the impossible shape [${shape.join(', ')}]`);
    if (isExternal) {
      const location = this.#location(external.get('location') ?? '', called);
      const at = (key: string): number | undefined => {
        const text = external.get(key);
        if (text === undefined) return undefined;
        const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
        return Number.isSafeInteger(value) ? value : fail(`${called} has the ${key} ${quote(text)}`);
      };
      const [offset = 0, length] = [at('offset'), at('length')];
      return new OnnxFileTensor(name, shape, type, () => {
        const file = this.#external?.get(location) ?? fail(`${called} is in ${quote(location)}, which is not there`);
        const end = offset + (length ?? size * (element?.bytes ?? 0));
        if (end > file.length) fail(`${called} ends at byte ${end} of ${quote(location)}, which has ${file.length}`);
        return valuesOf(called, type, size, { kind: 'raw', bytes: file.subarray(offset, end) }, fail);
      });
    }
    const held = raw ? { kind: 'raw' as const, bytes: raw } : packed;
    return new OnnxFileTensor(name, shape, type, () => valuesOf(called, type, size, held, fail));
  }

  /** A file beside this one, and nowhere else. */
  #location(location: string, called: string): string {
    const name = location.replace(/^\.\//, '');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: such names are refused
    if (name === '' || name === '.' || name === '..' || name.length > 255 || /[/\\:\u0000-\u001f]/.test(name))
      this.#fail(`${called} is in ${quote(location)}, and only files in the same folder are read`);
    if (!this.#files.has(name)) {
      if (this.#files.size >= MOST_FILES) this.#fail(`its constants are in more than ${MOST_FILES} files`);
      this.#files.add(name);
      this.#onExternal?.(name);
    }
    return name;
  }

  #name(field: ProtobufField): string {
    const text = field.text();
    return text.length <= MOST_NAME ? text : this.#fail(`it has a name of ${text.length} characters`);
  }
}
