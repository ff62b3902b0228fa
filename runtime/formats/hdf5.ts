// HDF5 files of plain arrays, as Keras keeps weights in them: a tree of groups with little-endian numbers at its leaves.
// The work is done by the HDF5 library itself, compiled to WebAssembly (h5wasm): it is loaded at the first use, sees one
// file at a time in a memory of its own, and can reach nothing else.
//
// What a hostile file can claim is bounded by its own size: arrays are read only if they lie in the file as they are
// (compressed ones could unpack to anything), and in sum no more bytes than the file has.

import type { Dataset, Group } from 'h5wasm';
import { HybridError, invariant } from '../base/errors.ts';
import type { FileTensor } from './safetensors.ts';
import { type Fail, quote } from './zip.ts';

/** The first bytes of an HDF5 file. */
const HDF5_MAGIC: readonly number[] = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];

/** Keras nests four levels: `layers/conv2d/vars/0`. */
const MAX_DEPTH = 8;
/** Far above any model. Links make loops, and let a small file claim any number of names. */
const MAX_OBJECTS = 100_000;

/** Kinds of arrays by the library's class of type and the bytes of an element. */
const TYPES = { 'float 4': Float32Array, 'integer 4': Int32Array, 'integer 8': BigInt64Array } as const;

/** What a file holds. */
export interface Hdf5File {
  /** All arrays by path, such as `layers/conv2d/vars/0`; a shape of [] is a scalar. */
  readonly tensors: Map<string, FileTensor>;
  /** The texts of variable length that it keeps, those of attributes among them, in no order. */
  readonly texts: readonly string[];
}

/**
 * The arrays of a file.
 * @param source Name of the file for messages.
 * @throws HybridError E_CHECKPOINT for anything but a whole file whose arrays are float32, int32 or int64.
 */
export const readHdf5 = async (bytes: Uint8Array, source = 'the file'): Promise<Map<string, FileTensor>> =>
  (await readHdf5File(bytes, source)).tensors;

/** Arrays and texts. Throws as `readHdf5` does. */
export async function readHdf5File(bytes: Uint8Array, source = 'the file'): Promise<Hdf5File> {
  const fail: Fail = (what, cause) => {
    throw new HybridError(
      'E_CHECKPOINT',
      `${source} is not an HDF5 file of weights: ${what}`,
      'Use a file that Keras wrote; if it was copied or downloaded, download it again.',
      { cause },
    );
  };
  if (!HDF5_MAGIC.every((byte, i) => bytes[i] === byte)) fail('it does not begin as HDF5 files do');
  const hdf5 = await library();
  const { module } = hdf5;
  const path = newPath();
  try {
    module.FS.writeFile(path, bytes);
    const file = new hdf5.File(path, 'r');
    if (file.file_id < 0n) fail('its structure is damaged');
    try {
      return { tensors: new Reader(hdf5, bytes.length, fail).read(file), texts: heapTexts(bytes) };
    } finally {
      file.close();
    }
  } catch (error) {
    if (error instanceof HybridError) throw error;
    return fail('its structure is damaged', error); // the library's errors are of many kinds, down to traps of its WebAssembly
  } finally {
    module.FS.unlink(path);
  }
}

class Reader {
  readonly #hdf5: Library;
  readonly #fail: Fail;
  readonly #tensors = new Map<string, FileTensor>();
  #bytesLeft: number;
  #objects = 0;

  constructor(hdf5: Library, fileBytes: number, fail: Fail) {
    this.#hdf5 = hdf5;
    this.#bytesLeft = fileBytes;
    this.#fail = fail;
  }

  read(root: Group): Map<string, FileTensor> {
    this.#group(root, '', 0);
    return this.#tensors;
  }

  #group(group: Group, prefix: string, depth: number): void {
    if (depth > MAX_DEPTH) this.#fail(`it nests more than ${MAX_DEPTH} groups`);
    for (const name of group.keys()) {
      if (++this.#objects > MAX_OBJECTS) this.#fail(`it has more than ${MAX_OBJECTS} objects`);
      const path = prefix + name;
      const object = group.get(name);
      if (object instanceof this.#hdf5.Group) this.#group(object, `${path}/`, depth + 1);
      else if (object instanceof this.#hdf5.Dataset) this.#tensors.set(path, this.#dataset(object, path));
      else this.#fail(`${quote(path)} is neither a group nor an array`); // above all links into other files
    }
  }

  #dataset(dataset: Dataset, path: string): FileTensor {
    const { type, size, shape, chunks, littleEndian, total_size: elements } = dataset.metadata;
    const { module } = this.#hdf5;
    const { H5T_FLOAT, H5T_INTEGER } = module.H5T_class_t;
    const name = type === H5T_FLOAT.value ? 'float' : type === H5T_INTEGER.value ? 'integer' : 'other';
    const Type = (TYPES as Record<string, (typeof TYPES)[keyof typeof TYPES] | undefined>)[`${name} ${size}`];
    if (!Type || !littleEndian || !shape) {
      return this.#fail(`${quote(path)} is not an array of little-endian float32, int32 or int64`);
    }
    if (chunks) this.#fail(`${quote(path)} is compressed or in pieces; only arrays that lie in the file as they are get read`);
    const bytes = elements * size;
    if (!(bytes <= this.#bytesLeft)) this.#fail(`${quote(path)} claims ${bytes} bytes, more than the file has left`);
    this.#bytesLeft -= bytes;
    if (elements === 0) return { shape, data: new Type(0) };

    // Not `dataset.value`: it does not look at whether the reading succeeded.
    const place = module._malloc(bytes);
    try {
      const status = module.get_dataset_data(dataset.file_id, dataset.path, null, null, null, BigInt(place));
      if (place === 0 || status < 0) this.#fail(`${quote(path)} cannot be read`);
      return { shape, data: new Type(module.HEAPU8.slice(place, place + bytes).buffer) };
    } finally {
      module._free(place);
    }
  }
}

/** Signature, version and size come before the texts of a global heap; index, references and size before each text. */
const HEAP_HEAD = 16;
/** Of all texts together. */
const MOST_TEXT_BYTES = 1 << 25;

/**
 * Texts of variable length are in collections that begin with `GCOL`. They are read here, from the bytes: asked for the value of an
 * attribute, the library does not come back from some damaged files.
 */
function heapTexts(bytes: Uint8Array): string[] {
  const file = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const next = (from: number): number => {
    for (let at = bytes.indexOf(0x47, from); at >= 0; at = bytes.indexOf(0x47, at + 1))
      if (bytes[at + 1] === 0x43 && bytes[at + 2] === 0x4f && bytes[at + 3] === 0x4c) return at;
    return -1;
  };
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const texts: string[] = [];
  let left = MOST_TEXT_BYTES;
  for (let at = next(0); at >= 0; at = next(at + 4)) {
    if (at + HEAP_HEAD > bytes.length) break;
    const end = Math.min(bytes.length, at + Number(file.getBigUint64(at + 8, true)));
    for (let object = at + HEAP_HEAD; object + HEAP_HEAD <= end && file.getUint16(object, true) !== 0; ) {
      const size = Number(file.getBigUint64(object + 8, true));
      const text = object + HEAP_HEAD;
      if (size > left || text + size > end) break;
      left -= size;
      try {
        texts.push(decoder.decode(bytes.subarray(text, text + size)).replace(/\0+$/, ''));
      } catch {
        // no text
      }
      object = text + Math.ceil(size / 8) * 8;
    }
  }
  return texts;
}

/**
 * Lays arrays down as a file.
 * @param tensors By path; the groups on the way are made.
 * @param groups Paths of further groups, empty ones.
 * @param attributes Texts by the path of a group and their name: `optimizer/vars@name`, `@hybrid` of the file.
 */
export async function writeHdf5(
  tensors: ReadonlyMap<string, FileTensor>,
  { groups = [], attributes = new Map() }: { readonly groups?: Iterable<string>; readonly attributes?: ReadonlyMap<string, string> } = {},
): Promise<Uint8Array> {
  const { module, File } = await library();
  const path = newPath();
  const made = new Set<string>();
  try {
    const file = new File(path, 'w');
    const makeGroups = (steps: readonly string[]): void => {
      for (let depth = 1; depth <= steps.length; depth++) {
        const group = steps.slice(0, depth).join('/');
        if (!made.has(group)) file.create_group(group);
        made.add(group);
      }
    };
    try {
      for (const group of groups) makeGroups(group.split('/'));
      for (const [name, { shape, data }] of tensors) {
        makeGroups(name.split('/').slice(0, -1));
        file.create_dataset({ name, data, shape: [...shape] });
      }
      for (const [place, text] of attributes) {
        const at = place.lastIndexOf('@');
        const group = at === 0 ? file : file.get(place.slice(0, at));
        (group as Group).create_attribute(place.slice(at + 1), text);
      }
    } finally {
      invariant(file.close() >= 0, 'the HDF5 library could not finish a file');
    }
    return Uint8Array.from(module.FS.readFile(path));
  } finally {
    module.FS.unlink(path);
  }
}

type Library = Awaited<ReturnType<typeof load>>;
let loading: Promise<Library> | undefined;
const library = (): Promise<Library> => (loading ??= load());

async function load() {
  const { ready, File, Group, Dataset } = await import('h5wasm');
  const module = await ready;
  // What the library prints about damaged files is no message for our users: its stderr (2) becomes its null device.
  const { FS } = module as unknown as { FS: typeof module.FS & { getStream(descriptor: number): Parameters<typeof module.FS.close>[0] } };
  FS.close(FS.getStream(2));
  FS.open('/dev/null', 'w');
  return { module, File, Group, Dataset };
}

let files = 0;
/** In the library's own file system; never used again, because the library goes on knowing a file that it failed to close. */
const newPath = () => `/${files++}.h5`;
