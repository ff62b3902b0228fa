// Whether another compilation of the kernels can be trusted and is worth it: a training step of a small made-up network
// that runs every heavy kernel, on the calling thread, must come out bit for bit the same, and faster.

import { compileGraph, trainingGraph } from '../../runtime/compile/compile.ts';
import { smallNetwork } from '../../runtime/compile/small-network.ts';
import { ARENA, STEP, TASKS, writeStep } from './abi.ts';
import { type Layout, layOut, PAGE_BYTES, writePrograms } from './program.ts';

const ROWS = 8;
const CHANNELS = 64;
/** How often each kernel call is timed; the best counts, so that a machine busy with other things is no reason to refuse. */
const ROUNDS = 4;

/** Whether `candidate` gives the bits of `trusted`, and whether it takes less time. Takes some 20 ms. */
export function compareKernels(
  candidate: readonly WebAssembly.Module[],
  trusted: readonly WebAssembly.Module[],
  kernels: readonly string[],
): { readonly equal: boolean; readonly faster: boolean } {
  const graphs = { train: compileGraph(trainingGraph(smallNetwork(CHANNELS))) };
  const layout = layOut(graphs, ROWS, 1);
  const sides = [candidate, trusted].map((modules) => new Side(modules, kernels, layout));
  for (let round = 0; round < ROUNDS; round++) for (const side of sides) side.step();
  const [a, b] = sides.map((side) => side.results());
  return { equal: a.every((word, i) => word === b[i]), faster: sides[0].bestMs() < sides[1].bestMs() };
}

/** One of the compilations with a memory of its own. */
class Side {
  readonly #memory: WebAssembly.Memory;
  readonly #calls: (() => void)[] = [];
  /** Least time that each of them has taken. Some ten microseconds each: rarely is one interrupted every time. */
  readonly #best: number[] = [];
  readonly #layout: Layout;

  constructor(modules: readonly WebAssembly.Module[], kernels: readonly string[], layout: Layout) {
    this.#layout = layout;
    const pages = layout.bytes / PAGE_BYTES;
    this.#memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const { buffer } = this.#memory;
    const env = { memory: this.#memory, step: STEP, tasks: TASKS, scratch: layout.threadScratch };
    const exported = Object.assign({}, ...modules.map((module) => new WebAssembly.Instance(module, { env }).exports));

    // Inputs and state: noise, a function of the address alone.
    const { plan } = layout;
    const noise = (i: number) => (Math.imul(i + 1, 0x9e3779b1) >>> 8) / 2 ** 24;
    const floats = new Float32Array(buffer);
    for (const { offset, bytes, kind } of plan.state.values()) {
      if (kind !== 'parameter' && kind !== 'statistic') continue;
      for (let at = 0; at < bytes; at += 4) floats[(ARENA + offset + at) / 4] = 0.3 * (noise(at / 4) - 0.5);
    }
    const images = plan.inputs.get('images');
    if (images)
      new Uint8Array(buffer, ARENA + images.offset, images.bytes).forEach((_, i, all) => {
        all[i] = 256 * noise(i);
      });
    writeStep(buffer, { rows: ROWS, epoch: 1, seed: 1n, learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 });

    const words = new Int32Array(buffer);
    for (const { address, calls } of writePrograms(layout, buffer, kernels).values()) {
      for (let call = 0; call < calls; call++) {
        const kernel = exported[kernels[words[address / 4 + 2 * call]]];
        const args = words[address / 4 + 2 * call + 1];
        this.#calls.push(() => kernel(args));
      }
    }
  }

  step(): void {
    const words = new Int32Array(this.#memory.buffer);
    for (const [i, call] of this.#calls.entries()) {
      words[TASKS / 4] = 0;
      const begin = performance.now();
      call();
      this.#best[i] = Math.min(this.#best[i] ?? Number.POSITIVE_INFINITY, performance.now() - begin);
    }
  }

  /** Milliseconds of an undisturbed step. */
  bestMs(): number {
    return this.#best.reduce((sum, ms) => sum + ms, 0);
  }

  /** State, gradients, and what outlives a program. */
  results(): Int32Array {
    return new Int32Array(this.#memory.buffer, ARENA, this.#layout.plan.ranges.arena.offset / 4);
  }
}
