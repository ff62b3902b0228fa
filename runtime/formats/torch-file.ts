// Weights as PyTorch saves them (.pth, .pt, pytorch_model.bin): a pickle that names tensors, and the numbers of their storages, in an archive (since
// version 1.6) or one after the other in a file that begins with a pickled magic number. Nothing in it is executed (pickle.ts).

import { HybridError } from '../base/errors.ts';
import { fromBfloat16, fromHalf } from './half.ts';
import { readPickle } from './pickle.ts';
import { NUMPY_CONSTRUCTORS, PYTHON_CONSTRUCTORS } from './pickle-numpy.ts';
import { bytesOf, type Constructor, PickleName, type PickleOptions, textOf } from './pickle-values.ts';
import type { FileTensor } from './safetensors.ts';
import { rowMajor } from './strided.ts';
import { type Fail, quote, readZip } from './zip.ts';

/** The tensors of a file, and where in it they were. */
export interface TorchFile {
  /** By name, in the file's order; a prefix that all names share because of a wrapper (`module.`, `_orig_mod.`) is left out. */
  readonly tensors: ReadonlyMap<string, FileTensor>;
  /** Key of the dictionary they were in, such as `state_dict`; absent where the file holds nothing else. */
  readonly part?: string;
}

/** A run of numbers that tensors look at. */
interface Storage {
  readonly type: StorageType;
  readonly key: string;
  readonly elements: number;
}

/** A tensor before its numbers are at hand. */
class View {
  readonly storage: Storage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  constructor(storage: Storage, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

/** Bytes of an element, and the elements of a run of bytes. */
const STORAGE_TYPES = {
  FloatStorage: { bytes: 4, read: (data: ArrayBuffer) => new Float32Array(data) },
  DoubleStorage: { bytes: 8, read: (data: ArrayBuffer) => Float32Array.from(new Float64Array(data)) },
  HalfStorage: { bytes: 2, read: (data: ArrayBuffer) => fromHalf(new Uint16Array(data)) },
  BFloat16Storage: { bytes: 2, read: (data: ArrayBuffer) => fromBfloat16(new Uint16Array(data)) },
  LongStorage: { bytes: 8, read: (data: ArrayBuffer) => new BigInt64Array(data) },
  IntStorage: { bytes: 4, read: (data: ArrayBuffer) => new Int32Array(data) },
  ShortStorage: { bytes: 2, read: (data: ArrayBuffer) => Int32Array.from(new Int16Array(data)) },
  CharStorage: { bytes: 1, read: (data: ArrayBuffer) => Int32Array.from(new Int8Array(data)) },
  ByteStorage: { bytes: 1, read: (data: ArrayBuffer) => new Uint8Array(data) },
  BoolStorage: { bytes: 1, read: (data: ArrayBuffer) => new Uint8Array(data) },
} as const;
type StorageType = keyof typeof STORAGE_TYPES;

/** Keys under which checkpoints of training keep the weights, the likeliest first. */
const PARTS = ['state_dict', 'model_state_dict', 'model', 'net', 'network', 'params', 'weights', 'state_dict_ema', 'model_ema'];
/** How many tensors may share a number on average: tied weights do, two or three times. */
const MAX_SHARING = 8;
/** What wrappers of a module put before each of its names. */
const WRAPPERS = ['module.', '_orig_mod.'];
const AVERAGED = 'n_averaged';

/** The beginning of a file that is no archive: its magic number as a pickle of protocol 2. */
const LEGACY_MAGIC = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
const LEGACY_PROTOCOL = 1001;

const REMEDY = "Save the weights alone, torch.save(model.state_dict(), 'weights.pth'), or as safetensors.";

/** Whether a file begins as one of PyTorch before version 1.6 does. */
export const isLegacyTorch = (bytes: Uint8Array): boolean => LEGACY_MAGIC.every((byte, i) => bytes[i] === byte);

/** Name of the pickle of an archive that PyTorch wrote; undefined for another archive. */
export const torchPickle = (members: ReadonlyMap<string, Uint8Array>): string | undefined =>
  [...members.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name));

/**
 * Reads the tensors of a file that PyTorch wrote: of a state dictionary, or of a checkpoint that has one under a usual key.
 * @param source Name of the file for messages.
 * @throws HybridError E_CHECKPOINT for a file that is damaged, holds no table of tensors, or is a pickle of anything but plain data; the
 * message then has the name of what it asks for.
 */
export function readTorch(bytes: Uint8Array, source = 'the file'): TorchFile {
  const fail: Fail = (what, cause) => {
    throw new HybridError('E_CHECKPOINT', `${source} is not a file of PyTorch's that can be read: ${what}`, REMEDY, { cause });
  };
  const { value, storages } = isLegacyTorch(bytes) ? readLegacy(bytes, source, fail) : readArchive(bytes, source, fail);
  const { part, table } = findTable(value, fail);
  const wrapper = wrapperOf([...table.keys()]);
  // Tensors may share a storage, and each becomes a copy: a table of a million views of one storage would be a bomb.
  const stored = [...storages.values()].reduce((sum, { length }) => sum + length, 0);
  const claimed = [...table.values()].reduce((sum, { shape, storage }) => sum + elementsOf(shape) * STORAGE_TYPES[storage.type].bytes, 0);
  if (claimed > MAX_SHARING * stored) fail(`its ${table.size} tensors claim ${claimed} bytes, and it holds ${stored}`);
  const tensors = new Map<string, FileTensor>();
  const read = new Map<string, FileTensor['data']>();
  for (const [name, view] of table) tensors.set(name.slice(wrapper.length), tensorOf(name, view, storages, read, fail));
  return { tensors, part };
}

/** What all names begin with because of wrappers, one around the other (`module._orig_mod.`). */
function wrapperOf(names: readonly string[]): string {
  let wrapper = '';
  for (;;) {
    const next = WRAPPERS.find((prefix) => names.length > 0 && names.every((name) => name.startsWith(prefix, wrapper.length)));
    if (next === undefined) return wrapper;
    wrapper += next;
  }
}

interface Contents {
  readonly value: unknown;
  /** Bytes by key. */
  readonly storages: ReadonlyMap<string, Uint8Array>;
}

function readArchive(bytes: Uint8Array, source: string, fail: Fail): Contents {
  const members = readZip(bytes, fail);
  const pickle = torchPickle(members);
  if (pickle === undefined) return fail('its archive has no data.pkl');
  const folder = pickle.slice(0, -'data.pkl'.length);
  const order = members.get(`${folder}byteorder`);
  if (order && new TextDecoder().decode(order).trim() !== 'little') fail('it was written by a big-endian machine');
  const { value } = readPickle(members.get(pickle) as Uint8Array, optionsFor(source));
  const prefix = `${folder}data/`;
  const storages = [...members]
    .filter(([name]) => name.startsWith(prefix))
    .map(([name, data]) => [name.slice(prefix.length), data] as const);
  return { value, storages: new Map(storages) };
}

/** Magic number, version, a description of the machine, the pickle, the keys of its storages, and these, each after its number of elements. */
function readLegacy(bytes: Uint8Array, source: string, fail: Fail): Contents {
  const sizes = new Map<string, number>();
  const options = optionsFor(source, (storage) => sizes.set(storage.key, STORAGE_TYPES[storage.type].bytes));
  let at = LEGACY_MAGIC.length;
  const next = (): unknown => {
    const { value, end } = readPickle(bytes, { ...options, start: at });
    at = end;
    return value;
  };
  const protocol = next();
  if (protocol !== LEGACY_PROTOCOL) fail(`it is of version ${String(protocol).slice(0, 20)}, and ${LEGACY_PROTOCOL} is read`);
  const system = next();
  if (system instanceof Map && system.get('little_endian') === false) fail('it was written by a big-endian machine');
  const value = next();
  const keys = next();
  if (!Array.isArray(keys)) return fail('it has no list of storages');
  const storages = new Map<string, Uint8Array>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const key of keys.map(textOf)) {
    const width = key === undefined ? undefined : sizes.get(key);
    if (key === undefined || width === undefined) return fail('its list names a storage that no tensor uses');
    if (at + 8 > bytes.length) fail('it is cut short within its storages');
    const length = Number(view.getBigUint64(at, true)) * width;
    at += 8;
    if (length > bytes.length - at) fail(`storage ${quote(key)} claims ${length} bytes, but only ${bytes.length - at} are left`);
    storages.set(key, bytes.subarray(at, at + length));
    at += length;
  }
  return { value, storages };
}

/** @param onStorage Called with each storage that the pickle names. */
function optionsFor(source: string, onStorage: (storage: Storage) => void = () => {}): PickleOptions {
  return {
    constructors: CONSTRUCTORS,
    source,
    code: 'E_CHECKPOINT',
    remedy: (name) =>
      name.startsWith('__torch__')
        ? "This is a TorchScript program: save its weights, torch.save(torch.jit.load(path).state_dict(), 'weights.pth')."
        : `Only tables of tensors are read. ${REMEDY}`,
    persistent(id, fail) {
      const [kind, type, key, , elements, view = null] = Array.isArray(id) ? id : [];
      const name = type instanceof PickleName ? /^torch\.(\w+)$/.exec(type.name)?.[1] : undefined;
      const text = textOf(key);
      if (textOf(kind) !== 'storage' || text === undefined || !isIndex(elements)) return fail('a storage is not understood');
      if (name === undefined || !Object.hasOwn(STORAGE_TYPES, name))
        return fail(`a storage is of type ${quote(name ?? '')}, which is not read`);
      if (view !== null) return fail('it has storages that are parts of others, as PyTorch before version 0.4 wrote them');
      const storage: Storage = { type: name as StorageType, key: text, elements };
      onStorage(storage);
      return storage;
    },
  };
}

const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isIndices = (value: unknown): value is number[] => Array.isArray(value) && value.length <= 32 && value.every(isIndex);

const tensor: Constructor = {
  make([storage, offset, shape, strides], fail) {
    const known = typeof storage === 'object' && storage !== null && 'elements' in storage;
    if (!known || !isIndex(offset) || !isIndices(shape) || !isIndices(strides) || shape.length !== strides.length) {
      return fail('a tensor is not understood');
    }
    return new View(storage as Storage, offset, shape, strides);
  },
};

const parameter: Constructor = { make: ([value]) => value };

/** Whatever PyTorch writes into tables of tensors, and into what training keeps beside them. None of it does more than hold its arguments. */
const CONSTRUCTORS: ReadonlyMap<string, Constructor> = new Map<string, Constructor>([
  ...PYTHON_CONSTRUCTORS,
  ...NUMPY_CONSTRUCTORS,
  ['torch._utils._rebuild_tensor_v2', tensor],
  ['torch._utils._rebuild_tensor', tensor],
  ['torch._utils._rebuild_parameter', parameter],
  // With attributes that somebody gave it.
  ['torch._utils._rebuild_parameter_with_state', parameter],
  ['torch.Size', { make: ([sizes]) => sizes }],
  ['torch.device', { make: ([name]) => name }],
  ['argparse.Namespace', { make: () => new Map(), complete: () => undefined }],
  ...Object.keys(STORAGE_TYPES).map((name): [string, Constructor] => [`torch.${name}`, {}]),
  ...['float32', 'float', 'float64', 'double', 'float16', 'half', 'bfloat16', 'int64', 'int32', 'int16', 'int8', 'uint8', 'bool'].map(
    (name): [string, Constructor] => [`torch.${name}`, {}],
  ),
]);

interface Table {
  readonly part?: string;
  readonly table: ReadonlyMap<string, View>;
}

function findTable(value: unknown, fail: Fail): Table {
  if (!(value instanceof Map)) return fail('it holds no table of tensors');
  const parts = [...value].flatMap(([key, part]) => (typeof key === 'string' && tensorsIn(part).size > 0 ? [key] : []));
  const usual = PARTS.find((name) => parts.includes(name));
  // Beside such a table a tensor is a figure of training, as `best_acc1` of PyTorch's own examples.
  const whole = tensorsIn(value);
  if (usual === undefined && whole.size > 0) return { table: whole };
  const part = usual ?? (parts.length === 1 ? parts[0] : undefined);
  if (part !== undefined) return { part, table: tensorsIn(value.get(part)) };
  const keys = [...value.keys()].slice(0, 8).map((key) => quote(String(textOf(key) ?? typeof key)));
  return fail(
    parts.length > 0
      ? `it has several tables of tensors (${parts.slice(0, 8).map(quote).join(', ')}), none under a usual key`
      : `it holds no table of tensors; its keys are ${keys.join(', ') || 'none'}`,
  );
}

/** The tensors of a dictionary by name; what else is in it (numbers, texts) is not weights. */
function tensorsIn(value: unknown): Map<string, View> {
  const found = new Map<string, View>();
  if (value instanceof Map)
    for (const [name, entry] of value) if (typeof name === 'string' && entry instanceof View) found.set(name, entry);
  // How many models the mean is of, beside what PyTorch's AveragedModel wraps.
  if ([...found.keys()].every((name) => name === AVERAGED || name.startsWith('module.'))) found.delete(AVERAGED);
  return found;
}

/** @param read Storages that were read before: tensors share them. */
function tensorOf(name: string, view: View, storages: Contents['storages'], read: Map<string, FileTensor['data']>, fail: Fail): FileTensor {
  const { storage, offset, shape, strides } = view;
  const bytes = bytesOf(storages.get(storage.key));
  if (!bytes) return fail(`the numbers of tensor ${quote(name)} are missing`);
  const type = STORAGE_TYPES[storage.type];
  if (bytes.length !== storage.elements * type.bytes) {
    return fail(
      `tensor ${quote(name)} has a storage of ${bytes.length} bytes where ${storage.elements} elements take ${storage.elements * type.bytes}`,
    );
  }
  // As many elements as the storage has at most: a stride of 0 would let one number become a terabyte.
  const elements = elementsOf(shape);
  const last = shape.reduce((at, n, axis) => at + (n - 1) * strides[axis], offset);
  if (elements > storage.elements || (elements > 0 && last >= storage.elements)) {
    return fail(`tensor ${quote(name)} of shape [${shape.join(', ')}] reaches beyond the ${storage.elements} elements of its storage`);
  }
  const key = `${storage.type} ${storage.key}`;
  const data = read.get(key) ?? type.read(Uint8Array.from(bytes).buffer);
  read.set(key, data);
  const half = storage.type === 'HalfStorage' ? { half: true } : {};
  return { shape, data: inOrder(data, view, elements), ...half };
}

const elementsOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** The elements of a view in row-major order; a copy. */
function inOrder(data: FileTensor['data'], { offset, shape, strides }: View, elements: number): FileTensor['data'] {
  let step = 1;
  let contiguous = true;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== step) contiguous = false;
    step *= shape[axis];
  }
  if (contiguous || elements === 0) return data.slice(offset, offset + elements);
  return rowMajor(data, shape, strides, offset);
}
