// Runs single nodes on the wasm kernels in the calling thread, without gang, plan or executable: for tests of kernels.
// Scratch, outputs and the rows beyond those of the run are filled with NaN before, so that nothing can lean on zeros, and
// what surrounds an output is looked at for stray writes after.

import { hasFma, loadKernels } from '../../asm/host/modules.ts';
import type { Call, Lowering, LoweringContext } from '../../asm/lowering/lowering.ts';
import { type Attrs, byteLength, elementCount } from '../../runtime/ir/graph.ts';
import type { OpName } from '../../runtime/ops/index.ts';
import { type TestInputs, testNode } from './test-node.ts';

// The memory: the step block, the task counter, the thread's scratch, then tensors, arguments and shared scratch.
const STEP = 1024;
const TASKS = 2048;
const SCRATCH = 1 << 16;
const SCRATCH_BYTES = 4 << 20;
const TENSORS = SCRATCH + SCRATCH_BYTES;
const GUARD_BYTES = 256;
/** A NaN that no kernel makes. */
const POISON = 0x7fc0dead;

/** The lowering of the op that is run. */
type AnyLowering = (node: never, context: LoweringContext) => Call[];

export interface KernelRun {
  readonly op: OpName;
  readonly inputs: TestInputs;
  readonly attrs?: Attrs;
  readonly rows: number;
  /** The capacity to lower for; `rows` by default. */
  readonly capacity?: number;
}

/** A lowered node with its operands in place. Outputs have the rows of the run. */
export interface Prepared {
  readonly calls: readonly { readonly kernel: string; run(): void }[];
  readonly outputs: readonly Float32Array[];
  /** Words around the outputs that must stay as they are. */
  readonly guards: readonly Uint32Array[];
}

export class KernelMachine {
  readonly #memory: WebAssembly.Memory;
  readonly #kernels: Record<string, (args: number) => void> = {};

  private constructor(modules: readonly WebAssembly.Module[], mebibytes: number) {
    this.#memory = new WebAssembly.Memory({ initial: mebibytes * 16, maximum: mebibytes * 16, shared: true });
    const env = { memory: this.#memory, step: STEP, tasks: TASKS, scratch: SCRATCH };
    for (const module of modules) Object.assign(this.#kernels, new WebAssembly.Instance(module, { env }).exports);
  }

  /** All kernels of one of the two builds. */
  static async load(build: 'fma' | 'plain' | 'wide', mebibytes = 64): Promise<KernelMachine> {
    if (build !== 'plain' && !hasFma({ v8Flags: true })) throw new Error('this engine has no fused multiply-add');
    const { modules } = await loadKernels({ fma: build !== 'plain', wide: build === 'wide' });
    return new KernelMachine(modules, mebibytes);
  }

  /** Lowers a node and lays out its operands. Whatever was prepared before is overwritten. */
  prepare({ op, inputs: given, attrs = {}, rows, capacity = rows }: KernelRun, lowering: AnyLowering): Prepared {
    const words = new Uint32Array(this.#memory.buffer);
    const { node, specs, inputs } = testNode(op, given, attrs);

    let end = TENSORS;
    const allocate = (bytes: number): number => {
      const address = Math.ceil((end + GUARD_BYTES) / 64) * 64;
      words.fill(POISON, end / 4, Math.ceil((address + bytes + GUARD_BYTES) / 4));
      end = Math.ceil((address + bytes) / 4) * 4;
      if (end + GUARD_BYTES > this.#memory.buffer.byteLength) throw new Error(`the test needs more than ${end >> 20} MiB`);
      return address;
    };
    const addresses = new Map([...node.inputs, ...node.outputs].map((id) => [id, allocate(byteLength(specs[id], capacity))]));
    const address = (id: number): number => addresses.get(id) as number;
    // As for many threads: most ways of cutting work into tasks are taken.
    const context: LoweringContext = { capacity, threads: 16, address, spec: (id) => specs[id], scratch: allocate, kept: () => undefined };

    inputs.forEach(({ spec, data }, i) => {
      const at = [this.#memory.buffer, address(i), data.length] as const;
      const target = spec.dtype === 'f32' ? new Float32Array(...at) : spec.dtype === 'u8' ? new Uint8Array(...at) : new Int32Array(...at);
      target.set(data);
    });
    words[STEP / 4] = rows;
    const calls = (lowering as Lowering)(node, context).map(({ kernel, args }) => {
      const run = this.#kernels[kernel];
      if (!run) throw new Error(`no kernel is called ${kernel}`);
      const at = allocate(args.length * 4);
      const floats = new Float32Array(this.#memory.buffer, at, args.length);
      args.forEach((word, i) => {
        if (typeof word === 'number') words[at / 4 + i] = word;
        else floats[i] = word.f32;
      });
      return {
        kernel,
        run: () => {
          words[TASKS / 4] = 0;
          run(at);
        },
      };
    });
    const outputs = node.outputs.map((id) => {
      const spec = specs[id];
      return new Float32Array(this.#memory.buffer, address(id), elementCount(spec) * (spec.perSample ? rows : 1));
    });
    const guards = node.outputs.flatMap((id, i) => {
      const written = address(id) + outputs[i].byteLength;
      const after = address(id) + byteLength(specs[id], capacity) + GUARD_BYTES;
      return [words.subarray((address(id) - GUARD_BYTES) / 4, address(id) / 4), words.subarray(written / 4, after / 4)];
    });
    return { calls, outputs, guards };
  }

  /** The outputs of a node, with the rows of the run. Entries that no statistics tile has are NaN. */
  run(node: KernelRun, lowering: AnyLowering): Float32Array[] {
    const { calls, outputs, guards } = this.prepare(node, lowering);
    const scratch = new Uint32Array(this.#memory.buffer, SCRATCH, SCRATCH_BYTES / 4);
    for (const call of calls) {
      scratch.fill(POISON);
      call.run();
    }
    if (guards.some((words) => words.some((word) => word !== POISON))) throw new Error(`${node.op} wrote outside its outputs`);
    return outputs.map((output) => output.slice());
  }
}
