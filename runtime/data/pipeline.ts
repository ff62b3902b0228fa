// From datasets to batches: order, read, augment, ahead of time. A pipeline has one crew of workers and, for each feed (the
// training set, say), a loader with its ring of slots.
//
// Credits: a batch is filled as soon as a slot is free, in the order of the epoch, and its slot is free again when the consumer
// asks for the next batch. Tasks end in any order; every row has its place, so batches are the same for any number of workers.

import { HybridError, invariant } from '../base/errors.ts';
import { refuseUnknownOptions } from '../base/kinds.ts';
import { missingPart, requireWebAssembly } from '../base/restrictions.ts';
import type { Trace } from '../base/trace.ts';
import { host } from '../hosts/index.ts';
import type { FeedOptions } from './feed.ts';
import type { KernelModule } from './kernels.ts';
import type { Loader } from './loader.ts';
import type { Crew, CrewOptions, CrewStats } from './pool.ts';

/** What works on the batches of a pipeline. */
export interface PipelineOptions {
  /** Worker threads; 1 by default, which is enough for any set in memory. 0: the calling thread prepares batches between its other work. */
  readonly workers?: number;
  readonly trace?: Trace;
  /** Limits and the body of the workers, for tests. */
  readonly crew?: Pick<CrewOptions, 'taskLimitMs' | 'startLimitMs' | 'script'>;
}

/**
 * From datasets to batches, prepared ahead of time by worker threads. `train` and `evaluate` open their own; a loop of one's own opens
 * one.
 */
export class DataPipeline<Name extends string = string> implements AsyncDisposable {
  readonly #loaders: ReadonlyMap<string, Loader>;
  readonly #crew: Crew;

  /**
   * Throws E_USAGE for options that are not possible, E_ENVIRONMENT where the kernels were not built, E_WORKER_BOOT where workers do
   * not start, E_MEMORY where the slots cannot be had.
   */
  static async open<Name extends string>(
    feeds: { readonly [name in Name]?: FeedOptions },
    options: PipelineOptions = {},
  ): Promise<DataPipeline<Name>> {
    refuseUnknownOptions<PipelineOptions>(options, { workers: true, trace: true, crew: true }, 'DataPipeline.open');
    const { workers: asked = 1, trace, crew } = options;
    if (!(Number.isInteger(asked) && asked >= 0 && asked <= 256))
      throw new HybridError('E_USAGE', `${asked} data workers`, 'Give a whole number from 0 to 256.');
    // Workers fill slots that they have in common with this thread.
    const workers = host.unshared === null ? asked : 0;
    const entries = Object.entries<FeedOptions | undefined>(feeds).flatMap(([name, feed]) => (feed ? [[name, feed] as const] : []));
    const kernels = await loadDataKernels();
    // Loaded with the first pipeline, not with the library.
    const [{ setUp }, { Loader }, { openCrew }] = await Promise.all([import('./feed.ts'), import('./loader.ts'), import('./pool.ts')]);
    const setups = await Promise.all(entries.map(([, feed]) => setUp(feed, workers)));
    const opened = await openCrew({ workers, trace, kernels, feeds: setups, ...crew });
    // Datasets that this thread reads are asked one call at a time, whichever loaders they feed.
    const turn = turns();
    const loaders = entries.map(([name, feed], index) => {
      return [name, new Loader({ feed, setup: setups[index], index, crew: opened, turn, kernels })] as const;
    });
    return new DataPipeline(new Map(loaders), opened);
  }

  private constructor(loaders: ReadonlyMap<string, Loader>, crew: Crew) {
    this.#crew = crew;
    this.#loaders = loaders;
  }

  /** The loader of a feed. Throws E_INTERNAL for a name that the pipeline was not opened with. */
  loader(name: Name): Loader {
    const loader = this.#loaders.get(name);
    invariant(loader, `the pipeline has no feed ${name}`);
    return loader;
  }

  get workers(): number {
    return this.#crew.workers;
  }

  get stats(): Readonly<CrewStats> {
    return this.#crew.stats;
  }

  /** Ends epochs and workers. */
  async close(): Promise<void> {
    for (const loader of this.#loaders.values()) loader.close();
    await this.#crew.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Compiles the kernels. Throws E_ENVIRONMENT where they were not built, or are damaged. */
export async function loadDataKernels(path = 'data.wasm'): Promise<KernelModule> {
  requireWebAssembly();
  try {
    // A few kilobytes: at once, because compiling in the background does not keep the process alive.
    return new WebAssembly.Module(await host.asset(path));
  } catch (cause) {
    throw missingPart('the data kernels', host.assetPath(path), cause);
  }
}

/** Makes one call after the other. */
function turns(): <T>(call: () => T | Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (call) => {
    const next = last.then(call);
    last = next.catch(() => {});
    return next;
  };
}
