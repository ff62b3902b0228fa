// A step allocates a constant handful of objects in JavaScript, however many ops it has, leaves none behind, and so never
// brings about a collection of the old generation. Measured in processes of their own: the test runner makes garbage too.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

interface Heap {
  readonly ops: number;
  /** Bytes that a step allocates, and that it leaves behind. */
  readonly made: number;
  readonly left: number;
  /** Collections of the old generation while steps ran, and in all. */
  readonly majors: number;
  readonly seen: number;
}

const STEPS = 60;
const dist = (file: string) => JSON.stringify(new URL(`../../dist/${file}`, import.meta.url).href);

async function measure(depth: number): Promise<Heap> {
  const program = `
    import { constants, PerformanceObserver } from 'node:perf_hooks';
    const { buildModel, initialize, openDevice, trainingGraphs } = await import(${dist('runtime/index.js')});
    const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 8, depth: ${depth}, kernel: 3, patch: 2 });
    const device = await openDevice('wasm', { threads: 2, v8Flags: true });
    const graphs = trainingGraphs(model);
    const executable = await device.compile(graphs, { capacity: 4, seed: 1n });
    for (const [name, data] of initialize(model, 1n)) await executable.write(name, data);
    const batch = { rows: 4, images: new Uint8Array(4 * 8 * 8 * 3).fill(7), labels: Int32Array.of(0, 1, 2, 3), samples: Int32Array.of(0, 1, 2, 3) };
    const hyper = { learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 };
    const steps = async (count) => {
      for (let i = 0; i < count; i++) await Promise.all([executable.gradient(batch), executable.update(hyper)]);
    };
    const collections = [];
    const observer = new PerformanceObserver((list) => collections.push(...list.getEntries()));
    observer.observe({ entryTypes: ['gc'] });
    await steps(50); // code is compiled and caches are filled
    gc();
    const before = process.memoryUsage().heapUsed;
    const begin = performance.now();
    await steps(${STEPS});
    const end = performance.now();
    const made = process.memoryUsage().heapUsed - before;
    gc();
    const left = process.memoryUsage().heapUsed - before;
    await new Promise((resolve) => setTimeout(resolve, 50)); // the observer hears of collections later
    const majors = collections.filter(({ detail }) => detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR);
    await device.close();
    console.log(JSON.stringify({
      ops: graphs.train.nodes.length, made: made / ${STEPS}, left: left / ${STEPS},
      majors: majors.filter(({ startTime }) => startTime > begin && startTime < end).length, seen: majors.length,
    }));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', '--input-type=module', '-e', program], {
    timeout: 60_000,
  });
  return JSON.parse(stdout);
}

test('what a step allocates does not grow with the number of ops, nothing of it stays, and no old generation is collected', async () => {
  const small = await measure(2);
  const large = await measure(24);
  expect(large.ops).toBeGreaterThan(6 * small.ops);
  // A few promises, closures and views a run; some kilobytes of slack for what else the engine does meanwhile.
  expect(large.made).toBeLessThan(24 * 1024);
  expect(large.made).toBeLessThan(1.5 * small.made + 2048);
  for (const { left, majors, seen } of [small, large]) {
    expect(left).toBeLessThan(1024);
    // All steps together allocate a tenth of the young generation, and the old one does not grow: nothing asks for a
    // collection of it. Those that the measurement itself asks for show that they are seen.
    expect(majors).toBe(0);
    expect(seen).toBeGreaterThanOrEqual(2);
  }
});
