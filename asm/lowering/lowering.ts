// From a node of the graph to kernel calls of the wasm device: the types that the files of this folder share.

import type { Node, TensorSpec, ValueId } from '../../runtime/ir/graph.ts';
import type { KernelOpName, OpNode } from '../../runtime/ops/index.ts';
import { type FieldKind, type Fields, STRUCTS, type StructName, type ValuesOf } from '../abi/fields.ts';

/** A word of an argument block: an integer or address, or an f32. */
export type Word = number | { readonly f32: number };

/** One kernel call of the program. */
export interface Call {
  readonly kernel: string;
  readonly args: readonly Word[];
  /** Fills what `LoweringContext.kept` gave: once is enough, until weights are written. */
  readonly keeps?: boolean;
}

/** Kernels by name, with the fields of their argument blocks. */
export type Kernels = Readonly<Record<string, Fields>>;

/** Makes calls of kernels of a table, with values for all fields of their argument blocks. */
export const callsOf =
  <const T extends Kernels>(table: T) =>
  <K extends keyof T & string>(kernel: K, args: ValuesOf<T[K]>): Call => {
    const words: Word[] = [];
    writeFields(words, table[kernel], args);
    return { kernel, args: words };
  };

/** Appends the words of fields, as AssemblyScript lays out a class: an f64 at an even word. */
function writeFields(words: Word[], fields: Fields, values: Readonly<Record<string, unknown>>): void {
  for (const [name, kind] of Object.entries(fields)) writeField(words, kind, values[name]);
}

function writeField(words: Word[], kind: FieldKind, value: unknown): void {
  if (Array.isArray(kind)) {
    const entries = value as readonly Readonly<Record<string, unknown>>[];
    words.push(entries.length);
    for (const entry of entries) writeFields(words, STRUCTS[kind[0] as StructName], entry);
  } else if (kind === 'f32') {
    words.push({ f32: value as number });
  } else if (kind === 'f64') {
    if (words.length % 2 === 1) words.push(0);
    words.push(...new Int32Array(new Float64Array([value as number]).buffer));
  } else if (kind === 'ptr' || kind === 'ptr?' || kind === 'i32' || kind === 'flag') {
    words.push(Number(value ?? 0));
  } else {
    writeFields(words, STRUCTS[kind as StructName], value as Readonly<Record<string, unknown>>);
  }
}

export interface LoweringContext {
  /** Largest number of rows of a run. */
  readonly capacity: number;
  /** Threads that share the tasks of a call. */
  readonly threads: number;
  spec(id: ValueId): TensorSpec;
  /** Address in the device's memory, fixed for the life of the executable. */
  address(id: ValueId): number;
  /** Address of `bytes` bytes (64-byte aligned) shared by all threads that live during this node only. Each call gives a new range. */
  scratch(bytes: number): number;
  /**
   * Address of `bytes` bytes that are kept from run to run, for what is made of value `id` alone (packed weights); undefined where that value changes from
   * run to run, or the program that is lowered is not the only kind that runs: scratch is for that.
   */
  kept(id: ValueId, bytes: number): number | undefined;
}

/**
 * Tasks into which few rows are cut again, by channels, for the sake of `threads` threads: enough to keep them evenly busy. More would have each
 * thread read what the others read, and that comes from their caches.
 */
export const fewestTasks = (threads: number): number => Math.min(48, 3 * threads);

/** From a node to kernel calls. */
export type Lowering = (node: Node, context: LoweringContext) => Call[];

/** One for each op that has kernels, which knows the operands, results and attributes of its node. */
export type Lowerings = { readonly [K in KernelOpName]: { lower(node: OpNode<K>, context: LoweringContext): Call[] }['lower'] };
