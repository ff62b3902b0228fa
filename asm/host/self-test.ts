// Whether another compilation of the kernels can be trusted and is worth it: a training step of a small made-up network
// that runs every heavy kernel, on the calling thread, must come out bit for bit the same, and faster.
//
// The first step of a process is run by what V8 compiles in a hurry (Liftoff), which joins nothing and is as plain as code can be; V8
// optimises, and revectorizes, what has run for a while. So the step is repeated until it gets no faster, and the last one
// must still have the bits of the first.

import { compileGraph, trainingGraph } from '../../runtime/compile/compile.ts';
import { smallNetwork } from '../../runtime/compile/small-network.ts';
import { host } from '../../runtime/hosts/index.ts';
import { ARENA, STEP, TASKS, writeStep } from './abi.ts';
import { type Layout, layOut, PAGE_BYTES, writePrograms } from './program.ts';

const ROWS = 8;
const CHANNELS = 64;
/** Optimised code comes from threads in the background: so long, at least, has nothing got faster. */
const SETTLED_MS = 40;
/** On a machine that is busy with other things this is where patience ends. */
const LIMIT_MS = 400;
/** What counts as faster: less is noise. */
const GAIN = 0.98;

/** Whether `candidate` gives the bits of `trusted`, and whether it takes less time. Takes some 100 ms, a step of some ms at a time. */
export async function compareKernels(
  candidate: readonly WebAssembly.Module[],
  trusted: readonly WebAssembly.Module[],
  kernels: readonly string[],
): Promise<{ readonly equal: boolean; readonly faster: boolean }> {
  const graphs = { train: compileGraph(trainingGraph(smallNetwork(CHANNELS))) };
  const layout = layOut(graphs, ROWS, 1);
  const sides = [candidate, trusted].map((modules) => new Side(modules, kernels, layout));
  const first = sides.map((side) => side.run().slice());
  const begin = performance.now();
  let best = Number.POSITIVE_INFINITY;
  for (let now = begin, settled = begin; now - settled < SETTLED_MS && now - begin < LIMIT_MS; now = performance.now()) {
    await host.turn();
    for (const side of sides) side.run();
    const sum = sides[0].bestMs() + sides[1].bestMs();
    if (sum < GAIN * best) {
      best = sum;
      settled = performance.now();
    }
  }
  const all = [...first, ...sides.map((side) => side.run())];
  return { equal: all.every((words) => words.every((word, i) => word === first[0][i])), faster: sides[0].bestMs() < sides[1].bestMs() };
}

/** One of the compilations with a memory of its own. */
class Side {
  readonly #memory: WebAssembly.Memory;
  readonly #calls: (() => void)[] = [];
  /** Least time that each of them has taken, so that a machine busy with other things is no reason to refuse. */
  readonly #best: number[] = [];
  readonly #layout: Layout;

  constructor(modules: readonly WebAssembly.Module[], kernels: readonly string[], layout: Layout) {
    this.#layout = layout;
    const pages = layout.bytes / PAGE_BYTES;
    this.#memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const { buffer } = this.#memory;
    const env = { memory: this.#memory, step: STEP, tasks: TASKS, scratch: layout.threadScratch };
    const exported = Object.assign({}, ...modules.map((module) => new WebAssembly.Instance(module, { env }).exports));

    const words = new Int32Array(buffer);
    for (const { address, calls } of writePrograms(layout, buffer, kernels).values()) {
      for (let call = 0; call < calls; call++) {
        const kernel = exported[kernels[words[address / 4 + 2 * call]]];
        const args = words[address / 4 + 2 * call + 1];
        this.#calls.push(() => kernel(args));
      }
    }
    writeStep(buffer, { rows: ROWS, epoch: 1, seed: 1n, learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 });
  }

  /** One step from the same state every time; its results are state, gradients, and what outlives a program. */
  run(): Int32Array {
    this.#fill();
    const words = new Int32Array(this.#memory.buffer);
    for (const [i, call] of this.#calls.entries()) {
      words[TASKS / 4] = 0;
      const begin = performance.now();
      call();
      this.#best[i] = Math.min(this.#best[i] ?? Number.POSITIVE_INFINITY, performance.now() - begin);
    }
    return this.#results();
  }

  /** Inputs and state: noise, a function of the address alone. */
  #fill(): void {
    const { buffer } = this.#memory;
    const { plan } = this.#layout;
    this.#results().fill(0);
    const noise = (i: number) => (Math.imul(i + 1, 0x9e3779b1) >>> 8) / 2 ** 24;
    const floats = new Float32Array(buffer);
    for (const { offset, bytes, kind } of plan.state.values()) {
      if (kind !== 'parameter' && kind !== 'statistic') continue;
      for (let at = 0; at < bytes; at += 4) floats[(ARENA + offset + at) / 4] = 0.3 * (noise(at / 4) - 0.5);
    }
    const images = plan.inputs.get('images');
    if (!images) return;
    const pixels = new Uint8Array(buffer, ARENA + images.offset, images.bytes);
    for (let i = 0; i < pixels.length; i++) pixels[i] = 256 * noise(i);
  }

  /** Milliseconds of an undisturbed step. */
  bestMs(): number {
    return this.#best.reduce((sum, ms) => sum + ms, 0);
  }

  #results(): Int32Array {
    return new Int32Array(this.#memory.buffer, ARENA, this.#layout.plan.ranges.arena.offset / 4);
  }
}
