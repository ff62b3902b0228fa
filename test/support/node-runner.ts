// Runs single nodes on a gang of the wasm device, operands placed by hand. What a kernel may not lean on is poisoned with
// NaN before (outputs, scratch, rows beyond the run), and what surrounds tensors is looked at for stray writes after.

import { ARENA, align, SCRATCH_BYTES, writeStep } from '../../asm/host/abi.ts';
import { Gang } from '../../asm/host/gang.ts';
import { type KernelModules, loadKernels } from '../../asm/host/modules.ts';
import { loweringOf } from '../../asm/lowering/index.ts';
import type { Lowering } from '../../asm/lowering/lowering.ts';
import { BYTES_PER_ELEMENT, byteLength, type DType, type TensorSpec } from '../../runtime/ir/graph.ts';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import type { OpCase } from './op-case.ts';
import { STEP } from './reference.ts';
import { testNode } from './test-node.ts';

const MEMORY_BYTES = 24 << 20;
const GUARD_BYTES = 64;
/** A NaN that no kernel makes. */
const POISON = 0x7fc0dead;
type View = Float32Array | Uint8Array | Int32Array;
const ARRAYS: Record<DType, new (buffer: SharedArrayBuffer, offset: number, length: number) => View> = {
  f32: Float32Array,
  u8: Uint8Array,
  i32: Int32Array,
};

export class NodeRunner {
  readonly #memory: WebAssembly.Memory;
  readonly #kernels: KernelModules;
  readonly #gang: Gang;
  readonly #scratch: number;

  static async open(build: 'fma' | 'plain' | 'wide', threads: number): Promise<NodeRunner> {
    const pages = MEMORY_BYTES / 65536;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const kernels = await loadKernels({ v8Flags: true, fma: build !== 'plain', wide: build === 'wide' });
    const scratch = MEMORY_BYTES - threads * SCRATCH_BYTES;
    const gang = await Gang.start({ ...kernels, memory, threads, scratch, spins: 100 });
    return new NodeRunner(memory, kernels, gang, scratch);
  }

  private constructor(memory: WebAssembly.Memory, kernels: KernelModules, gang: Gang, scratch: number) {
    this.#memory = memory;
    this.#kernels = kernels;
    this.#gang = gang;
    this.#scratch = scratch;
  }

  /** Outputs with the rows of the run, and the updated tensors. Tensors without rows that follow one another lie as in a flat range. */
  async run(op: KernelOpName, { rows, inputs: given, attrs, updates = [], step = {} }: OpCase, capacity = rows) {
    const { buffer } = this.#memory;
    const words = new Int32Array(buffer);
    const floats = new Float32Array(buffer);
    // What threads scribble on, and below what lies in memory for this node: the rest nobody knows the address of.
    words.fill(POISON, this.#scratch / 4);
    const { node, specs, inputs } = testNode(op, given, attrs, updates);
    const { outputs } = node;

    let end = ARENA;
    const guards: { begin: number; end: number }[] = [];
    const place = (bytes: number, address = align(end + GUARD_BYTES)): number => {
      words.fill(POISON, Math.floor(end / 4), (align(address + bytes) + 2 * GUARD_BYTES) / 4);
      end = address + bytes;
      return address;
    };
    const isFlat = (spec: TensorSpec): boolean => spec.dtype === 'f32' && !spec.perSample;
    const addresses = specs.map((spec, id) => {
      const bytes = byteLength(spec, capacity);
      const follows = id > 0 && isFlat(spec) && isFlat(specs[id - 1]) && !outputs.includes(id) && !outputs.includes(id - 1);
      if (!follows) return place(bytes);
      // The padding of a flat range is zero and must stay so.
      const padding = end;
      const address = place(bytes, align(end, 16));
      words.fill(0, Math.ceil(padding / 4), address / 4);
      return address;
    });
    for (const [id, spec] of specs.entries()) {
      const written = byteLength(spec, rows);
      const next = Math.min(...addresses.filter((address) => address > addresses[id]), align(end) + GUARD_BYTES);
      guards.push({ begin: Math.ceil((addresses[id] + written) / 4), end: next / 4 });
      // The last vector of a flat range is whole.
      if (isFlat(spec) && !outputs.includes(id))
        words.fill(0, Math.ceil((addresses[id] + written) / 4), align(addresses[id] + written, 16) / 4);
    }
    end = align(end) + GUARD_BYTES;
    const view = (id: number): View => {
      const spec = specs[id];
      return new ARRAYS[spec.dtype](buffer, addresses[id], byteLength(spec, rows) / BYTES_PER_ELEMENT[spec.dtype]);
    };
    for (const [i, id] of node.inputs.entries()) view(id).set(inputs[i].data);
    for (const [i, id] of node.updates.entries()) view(id).set(updates[i].data);
    const before = guards.map((guard) => words.slice(guard.begin, guard.end));

    const lowering = loweringOf(op) as Lowering;
    const calls = lowering(node, {
      ...{ capacity, threads: this.#gang.threads },
      spec: (id) => specs[id],
      address: (id) => addresses[id],
      scratch: (bytes) => place(bytes),
      kept: () => undefined,
    });
    const program = place(calls.length * 8);
    for (const [i, { kernel, args }] of calls.entries()) {
      const block = place(args.length * 4);
      words[program / 4 + 2 * i] = this.#kernels.kernels.indexOf(kernel);
      words[program / 4 + 2 * i + 1] = block;
      for (const [k, word] of args.entries()) {
        if (typeof word === 'number') words[block / 4 + k] = word;
        else floats[block / 4 + k] = word.f32;
      }
    }
    if (end > this.#scratch) throw new Error(`the test needs more than ${this.#scratch} bytes`);
    writeStep(buffer, { ...STEP, ...step, rows });
    await this.#gang.run({ address: program, calls: calls.length, commit: 0, describe: (call) => calls[call].kernel });

    for (const [g, guard] of guards.entries()) {
      const after = words.subarray(guard.begin, guard.end);
      if (after.some((word, i) => word !== before[g][i])) throw new Error(`${op} wrote outside of tensor ${g}`);
    }
    return { outputs: node.outputs.map((id) => view(id).slice()), updates: node.updates.map((id) => view(id).slice()) };
  }

  close(): Promise<void> {
    return this.#gang.close();
  }
}
