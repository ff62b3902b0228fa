// From a kernel's text and its operands to a dispatch: declares the buffers, and the functions through which kernels reach them.
//
// A device need not bind more than eight storage buffers at a time. Where a kernel has more operands, its vectors (scale, shift
// and the like) are first copied into one scratch buffer; the kernel does not see the difference.

import { invariant } from '../../runtime/base/errors.ts';
import { elementCount, type ValueId } from '../../runtime/ir/graph.ts';
import { floats, foldedGroups, type KernelText, type Lanes, type Storage } from '../kernels/wgsl.ts';
import type { Binding, Dispatch, LoweringContext, Operand } from './lowering.ts';
import { lossScale, STEP_WGSL } from './step.ts';

interface Buffer {
  readonly name: string;
  readonly operand: Operand;
  readonly access: Binding['access'];
  readonly storage: Storage;
  readonly lanes: Lanes;
  /** Elements of a vector that may be copied elsewhere; undefined for all other operands. */
  readonly vector?: number;
}

type Workgroups = Dispatch['workgroups'];

const TYPES: Record<Storage, (lanes: Lanes) => string> = {
  f32: floats,
  unscaled: floats,
  f16: (lanes) => (lanes === 4 ? 'vec4<f16>' : 'f16'),
  i32: () => 'i32',
  u32: () => 'u32',
  bytes: () => 'u32',
};

/** The operands of a kernel under construction. */
export class KernelOperands {
  readonly #buffers: Buffer[] = [];
  readonly #accessors: string[] = [];
  readonly #context: LoweringContext;
  readonly #name: string;

  constructor(name: string, context: LoweringContext) {
    this.#name = name;
    this.#context = context;
  }

  /** A tensor that the kernel reads as `name(i)`, in accesses of `lanes` elements. Undefined: it has none. */
  read(name: string, id: ValueId | undefined, lanes: Lanes = 1): this {
    if (id === undefined) return this;
    return this.#add({ name, operand: { value: id }, access: 'read', storage: this.#context.storage(id), lanes });
  }

  /** Vectors without rows that the kernel reads, by name. */
  vectors(ids: Readonly<Record<string, ValueId | undefined>>, lanes: Lanes): this {
    for (const [name, id] of Object.entries(ids)) {
      if (id === undefined) continue;
      const vector = elementCount(this.#context.spec(id));
      this.#add({ name, operand: { value: id }, access: 'read', storage: 'f32', lanes, vector });
    }
    return this;
  }

  /**
   * The coefficients of `bnGradFold` by name: vectors of their own or, where all ids are equal or there is only one, the parts of one.
   */
  coefficients(names: readonly string[], ids: readonly (ValueId | undefined)[], access: Binding['access'], lanes: Lanes): this {
    const [id] = ids;
    if (id === undefined) return this;
    if (ids.length === names.length && ids[1] !== id) {
      const each = Object.fromEntries(names.map((name, i) => [name, ids[i]]));
      if (access === 'read') return this.vectors(each, lanes);
      for (const name of names) this.write(name, each[name], lanes);
      return this;
    }
    const vector = elementCount(this.#context.spec(id));
    const operand = { value: id };
    this.#add({ name: 'coefficients', operand, access, storage: 'f32', lanes, ...(access === 'read' && { vector }) });
    for (const [i, name] of names.entries()) {
      const at = `${(i * vector) / names.length / lanes}u + i`;
      this.#accessors.push(`fn ${name}(i: u32) -> ${floats(lanes)} { return coefficients(${at}); }`);
      if (access === 'read_write') this.#accessors.push(`fn set_${name}(i: u32, v: ${floats(lanes)}) { set_coefficients(${at}, v); }`);
    }
    return this;
  }

  /** A tensor that the kernel writes by `set_name(i, v)`, and may read by `name(i)`. */
  write(name: string, id: ValueId | undefined, lanes: Lanes = 1): this {
    if (id === undefined) return this;
    return this.#add({ name, operand: { value: id }, access: 'read_write', storage: this.#context.storage(id), lanes });
  }

  /** Anything but a value: scratch, a flat range; or a value under another type. */
  raw(name: string, operand: Operand, access: Binding['access'], lanes: Lanes = 1, storage: Storage = 'f32'): this {
    return this.#add({ name, operand, access, storage, lanes });
  }

  #add(buffer: Buffer): this {
    this.#buffers.push(buffer);
    return this;
  }

  /** The dispatch, after those that bring its vectors together if need be. */
  dispatch(text: KernelText, workgroups: Workgroups): Dispatch[] {
    const { storageBuffers } = this.#context.limits;
    if (this.#buffers.length <= storageBuffers) return [assemble(this.#name, this.#buffers, this.#accessors, text, workgroups)];
    const vectors = this.#buffers.filter(({ vector }) => vector !== undefined);
    const others = this.#buffers.filter(({ vector }) => vector === undefined);
    invariant(
      others.length + 1 <= storageBuffers,
      `${this.#name} needs ${others.length + 1} storage buffers and the device binds ${storageBuffers} at a time`,
    );
    const packed = pack(vectors, this.#context);
    return [
      ...packed.dispatches,
      assemble(this.#name, [...others, packed.buffer], [...packed.accessors, ...this.#accessors], text, workgroups),
    ];
  }
}

/** Copies vectors, one after the other, into scratch. */
function pack(vectors: readonly Buffer[], context: LoweringContext): { dispatches: Dispatch[]; buffer: Buffer; accessors: string[] } {
  const [{ lanes }] = vectors;
  const offsets: number[] = [];
  let accesses = 0;
  for (const { vector = 0 } of vectors) {
    offsets.push(accesses);
    accesses += vector / lanes;
  }
  const operand = context.scratch(Math.ceil((accesses * lanes * 4) / 16) * 16);
  const buffer: Buffer = { name: 'packed', operand, access: 'read', storage: 'f32', lanes };
  const most = context.limits.storageBuffers - 1;
  const dispatches: Dispatch[] = [];
  for (let first = 0; first < vectors.length; first += most) {
    const part = vectors.slice(first, first + most);
    const longest = Math.max(...part.map(({ vector = 0 }) => vector / lanes));
    const copies = part.map(
      ({ name, vector = 0 }, i) => `if (i < ${vector / lanes}u) { set_packed(${offsets[first + i]}u + i, ${name}(i)); }`,
    );
    const text: KernelText = { workgroup: [64, 1, 1], body: `let i = group.x * 64u + local;\n${copies.join('\n')}` };
    const groups = foldedGroups(longest, 64);
    dispatches.push(assemble('packVectors', [...part, { ...buffer, access: 'read_write' }], [], text, () => groups));
  }
  const accessors = vectors.map(({ name }, i) => `fn ${name}(i: u32) -> ${floats(lanes)} { return packed(${offsets[i]}u + i); }`);
  return { dispatches, buffer: { ...buffer, access: 'read' }, accessors };
}

const PARAMETERS = [
  '@builtin(local_invocation_index) local: u32',
  '@builtin(workgroup_id) group: vec3u',
  '@builtin(num_workgroups) groups: vec3u',
];

function assemble(
  kernel: string,
  buffers: readonly Buffer[],
  accessors: readonly string[],
  text: KernelText,
  workgroups: Workgroups,
): Dispatch {
  const { workgroup, enables = [], attributes = '', parameters = [], declarations = '', body } = text;
  const extensions = new Set([...enables, ...(buffers.some(({ storage }) => storage === 'f16') ? ['f16'] : [])]);
  const code = [
    ...[...extensions].map((extension) => `enable ${extension};`),
    STEP_WGSL,
    ...buffers.map((buffer, i) => declare(buffer, i, `${declarations}${body}`.includes(`${buffer.name}_half(`))),
    ...accessors,
    declarations,
    `@compute @workgroup_size(${workgroup.join(', ')}) ${attributes}
fn main(${[...PARAMETERS, ...parameters].join(', ')}) {
${body}
}`,
  ].join('\n');
  return { kernel, code, bindings: buffers.map(({ operand, access }) => ({ operand, access })), workgroups };
}

/** `asStored`: the kernel also reads its accesses as they are stored, by `name_half(i)`. */
function declare({ name, access, storage, lanes }: Buffer, i: number, asStored: boolean): string {
  const type = TYPES[storage](lanes);
  const value = storage === 'f16' ? floats(lanes) : type;
  const buffer = `@group(0) @binding(${1 + i}) var<storage, ${access}> ${name}_buffer: array<${type}>;`;
  const read = `fn ${name}(i: u32) -> ${value} { return ${value === type ? `${name}_buffer[i]` : `${value}(${name}_buffer[i])`}; }`;
  const stored = asStored ? `\nfn ${name}_half(i: u32) -> ${type} { return ${name}_buffer[i]; }` : '';
  if (access === 'read') return `${buffer}\n${read}${stored}`;
  if (storage === 'unscaled') return `${buffer}\nfn set_${name}(i: u32, v: ${value}) { ${name}_buffer[i] = v * ${lossScale(-1)}; }`;
  return `${buffer}\n${read}\nfn set_${name}(i: u32, v: ${value}) { ${name}_buffer[i] = ${value === type ? 'v' : `${type}(v)`}; }`;
}
