// The GPU's lane in a timeline: dispatch by dispatch in the first runs, in the time of the host's clock.

import { clock, type Trace } from '../../runtime/base/trace.ts';
import type { Gpu } from './gpu.ts';
import { Stopwatch, tellsTime } from './stopwatch.ts';

/** Runs that are shown dispatch by dispatch, as the threads of the wasm device show theirs: each dispatch is a pass then, which costs time. */
const TRACED_RUNS = 64;
/** Comparisons of both clocks; the closest counts. */
const COMPARISONS = 8;
const LANE = 'GPU';

export class GpuTrace {
  readonly #gpu: Gpu;
  readonly #trace: Trace;
  /** What the GPU's clock, in milliseconds, is behind the host's. */
  readonly #behind: number;
  #left = TRACED_RUNS;

  /** Null where the GPU does not support timestamp queries. */
  static async open(gpu: Gpu, trace: Trace): Promise<GpuTrace | null> {
    return tellsTime(gpu) ? new GpuTrace(gpu, trace, await compareClocks(gpu)) : null;
  }

  private constructor(gpu: Gpu, trace: Trace, behind: number) {
    this.#gpu = gpu;
    this.#trace = trace;
    this.#behind = behind;
  }

  /** For a run of `dispatches` dispatches that is to be shown; undefined after the first runs. */
  next(dispatches: number): Stopwatch | undefined {
    return this.#left-- > 0 ? new Stopwatch(this.#gpu, dispatches) : undefined;
  }

  /** Draws a run that is over, and frees its stopwatch. */
  async draw(stopwatch: Stopwatch, names: readonly string[]): Promise<void> {
    try {
      const times = (await stopwatch.times()).map((time) => time + this.#behind);
      for (const [i, name] of names.entries()) this.#trace.span(LANE, name, times[i], times[i + 1]);
    } finally {
      stopwatch.destroy();
    }
  }
}

/** An empty pass lies between two looks at the host's clock: half of what is between them is the largest error. */
async function compareClocks(gpu: Gpu): Promise<number> {
  let closest = Number.POSITIVE_INFINITY;
  let behind = 0;
  for (let i = 0; i < COMPARISONS; i++) {
    const stopwatch = new Stopwatch(gpu, 1);
    try {
      const begin = clock();
      const valid = gpu.submit('comparison of clocks', (encoder) => {
        encoder.beginComputePass({ timestampWrites: stopwatch.ofPass(0) }).end();
        stopwatch.resolve(encoder);
      });
      const [[first, last]] = await Promise.all([stopwatch.times(), valid]);
      const end = clock();
      if (end - begin >= closest) continue;
      closest = end - begin;
      behind = (begin + end - first - last) / 2;
    } finally {
      stopwatch.destroy();
    }
  }
  return behind;
}
