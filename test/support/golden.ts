// Reads the golden files that test/golden/make_golden.py wrote (format: there) and compares tensors with what is in them.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Of the format: this reader knows one. */
export const GOLDEN_VERSION = 1;
const MAGIC = 'HYBGOLD\0';

export const REGENERATE =
  'Write the golden files anew with test/golden/make_golden.py; the lines at its top say how (a Python environment with TensorFlow and Keras, half a minute).';

export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly data: Float64Array | Float32Array | Int32Array | Uint8Array;
}

export interface GoldenFile {
  /** Versions of the packages that computed the tensors. */
  readonly versions: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: JSON, one form per kind of file
  readonly metadata: any;
  readonly tensors: ReadonlyMap<string, GoldenTensor>;
}

const ARRAYS = { float64: Float64Array, float32: Float32Array, int32: Int32Array, uint8: Uint8Array } as const;

/** Reads `test/golden/<name>.bin`. */
export function readGolden(name: string): GoldenFile {
  const path = fileURLToPath(new URL(`../golden/${name}.bin`, import.meta.url));
  return parseGolden(readFileSync(path), `test/golden/${name}.bin`);
}

/** Throws with the way to write the file anew where magic, version or length are not what this reader knows. */
export function parseGolden(bytes: Uint8Array, name: string): GoldenFile {
  const fail = (message: string): never => {
    throw new Error(`${name}: ${message}. ${REGENERATE}`);
  };
  if (bytes.length < 16 || Buffer.from(bytes.subarray(0, 8)).toString('latin1') !== MAGIC) fail('is not a golden file (wrong magic)');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(8, true);
  if (version !== GOLDEN_VERSION) fail(`has format version ${version}, this reader knows ${GOLDEN_VERSION}`);
  const start = 16 + view.getUint32(12, true);
  if (bytes.length < start) fail(`ends after ${bytes.length} bytes, inside its header`);
  const { versions, metadata, tensors } = JSON.parse(Buffer.from(bytes.subarray(16, start)).toString('utf8')) as {
    versions: Record<string, string>;
    metadata: unknown;
    tensors: { name: string; dtype: keyof typeof ARRAYS; shape: number[]; offset: number }[];
  };
  const read = ({ name: tensor, dtype, shape, offset }: (typeof tensors)[number]): [string, GoldenTensor] => {
    const array = ARRAYS[dtype];
    const length = shape.reduce((product, n) => product * n, 1) * array.BYTES_PER_ELEMENT;
    if (start + offset + length > bytes.length) fail(`ends after ${bytes.length} bytes, inside ${tensor}`);
    // A copy: the bytes of a file need not be aligned.
    const first = bytes.byteOffset + start + offset;
    return [tensor, { shape, data: new array(bytes.buffer.slice(first, first + length) as ArrayBuffer) }];
  };
  return { versions, metadata, tensors: new Map(tensors.map(read)) };
}

/** Largest difference of two tensors, in units of the largest golden element. */
export function worstDifference(actual: ArrayLike<number>, golden: ArrayLike<number>): number {
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < golden.length; i++) {
    // Math.max passes NaN on: a NaN anywhere is a difference of NaN, which no tolerance allows.
    difference = Math.max(difference, Math.abs(actual[i] - golden[i]));
    largest = Math.max(largest, Math.abs(golden[i]));
  }
  return difference === 0 ? 0 : difference / largest;
}

/**
 * Largest difference of a tensor from a golden digest: eight elements spread evenly over it, its Euclidean norm, its sum.
 * Elements count in units of the largest golden one or the root mean square, whichever is more; norm and sum in units of
 * the norm and of the largest sum that this norm allows.
 */
export function digestDifference(actual: ArrayLike<number>, golden: ArrayLike<number>): number {
  const count = actual.length;
  let squares = 0;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    squares += actual[i] * actual[i];
    sum += actual[i];
  }
  const elements = Array.from(golden).slice(0, 8);
  const [norm, goldenSum] = [golden[8], golden[9]];
  const difference = Math.max(...elements.map((element, i) => Math.abs(actual[Math.floor((i * (count - 1)) / 7)] - element)));
  if (norm === 0) return squares;
  const scale = Math.max(norm / Math.sqrt(count), ...elements.map(Math.abs));
  return Math.max(difference / scale, Math.abs(Math.sqrt(squares) - norm) / norm, Math.abs(sum - goldenSum) / (norm * Math.sqrt(count)));
}

/**
 * Compares tensors of one file, one by one, and remembers which were compared: a test that forgets a tensor fails.
 *
 * `check` only takes notes; `finish` throws with a table of all tensors, worst first, where one exceeds its tolerance.
 */
export class GoldenComparison {
  readonly #rows: { name: string; worst: number; tolerance: number }[] = [];
  readonly #open: Set<string>;

  constructor(
    readonly file: GoldenFile,
    /** Names to be compared. */
    names: Iterable<string>,
  ) {
    this.#open = new Set(names);
  }

  check(name: string, actual: ArrayLike<number>, tolerance: number): void {
    const golden = this.#take(name);
    if (actual.length !== golden.length) throw new Error(`${name} has ${golden.length} elements; there are ${actual.length}`);
    this.#rows.push({ name, worst: worstDifference(actual, golden), tolerance });
  }

  /** A tensor of which the file holds the digest. */
  checkDigest(name: string, actual: ArrayLike<number>, tolerance: number): void {
    this.#rows.push({ name, worst: digestDifference(actual, this.#take(name)), tolerance });
  }

  /** One element of a tensor that has a tolerance for each. */
  checkElement(name: string, index: number, actual: number, tolerance: number): void {
    this.#rows.push({ name: `${name}[${index}]`, worst: worstDifference([actual], [this.#take(name)[index]]), tolerance });
  }

  #take(name: string): GoldenTensor['data'] {
    const golden = this.file.tensors.get(name);
    if (!golden) throw new Error(`the golden file has no tensor ${name}`);
    this.#open.delete(name);
    return golden.data;
  }

  finish(): void {
    if (this.#open.size) throw new Error(`never compared: ${[...this.#open].join(', ')}`);
    const bad = this.#rows.filter(({ worst, tolerance }) => !(worst <= tolerance));
    if (!bad.length) return;
    const excess = (row: { worst: number; tolerance: number }) =>
      Number.isNaN(row.worst) ? Number.POSITIVE_INFINITY : row.worst / row.tolerance;
    const table = [...this.#rows]
      .sort((a, b) => excess(b) - excess(a))
      .map(({ name, worst, tolerance }) => `  ${worst.toExponential(2)} (allowed ${tolerance.toExponential(0)})  ${name}`);
    throw new Error(`${bad.length} of ${this.#rows.length} tensors differ from Keras by too much:\n${table.join('\n')}`);
  }
}
