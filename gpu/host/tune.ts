// Which of the candidates of a product (gpu/lowering/product-tile.ts) a GPU takes: raced once, before an executable that trains is made, and
// kept in a file. Candidates give the same bits, so that no answer depends on a clock; the one that wins is looked at, on numbers, whether it does.
// Software adapters do not race.

import { HybridError } from '../../runtime/base/errors.ts';
import type { TuneStore } from '../../runtime/device-settings.ts';
import { NO_SCALARS } from '../../runtime/ir/step.ts';
import type { LoweringContext, Site } from '../lowering/lowering.ts';
import { packStep, STEP_BYTES } from '../lowering/step.ts';
import { USAGE } from './binding.ts';
import { type Command, Program } from './encode.ts';
import { type Gpu, STORAGE } from './gpu.ts';
import type { Pipelines } from './pipelines.ts';
import { describeDispatch, type Layout, type PlacedDispatch } from './program.ts';
import { type RaceResult, race, type Timed } from './race.ts';
import { fill, resultsOf } from './same-bits.ts';
import { Stopwatch, tellsTime } from './stopwatch.ts';
import { readTuneFile, type TunedGpu, type TunedSite, writeTuneFile } from './tune-file.ts';

/** Milliseconds for all races of an executable. */
const BUDGET_MS = 500;
/** Products that are raced: those with the most arithmetic, which together have nearly all of it. */
const MOST_SITES = 5;
/** Milliseconds of a measurement, at least, by the GPU's clock and by the host's, which also has the way to the GPU and back. */
const LONG = 2;
const LONG_BY_HOST = 20;

/** Where and how kernels are raced. */
export interface TuneOptions {
  /** Keeps what was found. */
  readonly store: TuneStore;
  /** Whether what is known is raced again. */
  readonly renew?: boolean;
  /** Milliseconds for all races of an executable; 500 by default. */
  readonly budgetMs?: number;
  /** Milliseconds of a clock. */
  readonly now?: () => number;
  /** What takes the times of a candidate; the GPU's timestamps or, without, the host's clock. */
  readonly timer?: (parts: TimedParts) => Timed;
  /** What a candidate leaves in the buffers that it writes; by default it runs, and samples are taken. */
  readonly results?: (parts: TimedParts, written: readonly GPUBuffer[]) => Promise<Uint8Array>;
  /** Told what was raced, in a sentence. */
  readonly onNotice?: (text: string) => void;
}

export interface TimedParts {
  readonly gpu: Gpu;
  readonly command: Command<PlacedDispatch>;
  readonly rows: number;
  readonly site: string;
  readonly candidate: string;
}

/** What races need of the device. */
export interface TuneParts {
  readonly gpu: Gpu;
  readonly pipelines: Pipelines;
  readonly capacity: number;
  layOut(choose: NonNullable<LoweringContext['choose']>): Layout;
}

type Choose = NonNullable<LoweringContext['choose']>;

/** A site whose candidates can be raced: a dispatch for each. */
interface Contest {
  readonly site: string;
  readonly candidates: readonly string[];
  readonly dispatches: readonly PlacedDispatch[];
}

/** The choices of a device. */
export class Tuner {
  readonly #options: TuneOptions;
  readonly #of: TunedGpu;
  readonly #known = new Map<string, TunedSite>();
  /** Not to be raced again by this device, whatever became of the race: it may have cost the GPU. */
  readonly #done = new Set<string>();
  #read: Promise<void> | undefined;

  constructor({ adapter }: Pick<Gpu, 'adapter'>, precision: TunedGpu['precision'], options: TuneOptions) {
    const { vendor, architecture, device, description } = adapter;
    this.#options = options;
    this.#of = { vendor, architecture, device, description, precision, hybrid: options.store.version };
  }

  readonly choose: Choose = ({ name, candidates }) => Math.max(0, candidates.indexOf(this.#known.get(name)?.choice ?? ''));

  /**
   * Races what is not known yet of an executable, half a second at most, and keeps it. Compilation comes on top: the candidates', most of which the
   * executable would not need. Rejects only with what ends the device as well: the GPU was lost, or does not answer.
   */
  async tune(parts: TuneParts): Promise<void> {
    const { store, now = () => performance.now(), budgetMs = BUDGET_MS, onNotice } = this.#options;
    this.#read ??= readTuneFile(store, this.#of).then((found) => {
      for (const [name, site] of found) this.#known.set(name, site);
    });
    await this.#read;
    const contests = this.#contests(parts);
    if (contests.length === 0) return;
    for (const { site } of contests) this.#done.add(site);
    const entrants = await Promise.all(contests.map((contest) => compileContest(contest, parts)));
    const begin = now();
    const found = new Map<string, TunedSite>();
    for (const { site, candidates, commands } of entrants) {
      const result = await this.#race(site, candidates, commands, parts, { now, until: begin + budgetMs });
      const ms = candidates.map((name, i) => [name, result?.milliseconds[i]]).filter(([, time]) => time !== undefined);
      found.set(site, { choice: candidates[result?.winner ?? 0], milliseconds: Object.fromEntries(ms) });
    }
    for (const [name, site] of found) this.#known.set(name, site);
    const raced = [...found.values()].filter(({ milliseconds }) => Object.keys(milliseconds).length > 0);
    const faster = raced.filter(({ choice, milliseconds }) => choice !== Object.keys(milliseconds)[0]).length;
    const seconds = ((now() - begin) / 1000).toFixed(2);
    const kept = await writeTuneFile(store, this.#of, found).then(
      () => '',
      (error: unknown) => `; they cannot be kept: ${error instanceof HybridError ? error.message : (error as Error).message}`,
    );
    onNotice?.(
      `measured ${raced.length} of ${found.size} products on ${parts.gpu.adapter.name} in ${seconds} s: ${faster} take another tile than the usual one${kept}`,
    );
  }

  /** Those of the program that trains that are to be raced, by their arithmetic. */
  #contests({ gpu, layOut }: TuneParts): Contest[] {
    if (gpu.adapter.software) return [];
    const placed = (layout: Layout): PlacedDispatch[] =>
      layout.programs.filter(({ graph }) => graph === 'train').flatMap(({ dispatches }) => dispatches);
    const flops = new Map<string, number>();
    const own = placed(layOut(this.choose));
    const isOpen = ({ name, candidates }: Site): boolean =>
      !this.#done.has(name) && (this.#options.renew || !candidates.includes(this.#known.get(name)?.choice ?? ''));
    const sites = new Map<string, Site>();
    for (const { site } of own) {
      if (!site) continue;
      sites.set(site.name, site);
      flops.set(site.name, (flops.get(site.name) ?? 0) + site.flops);
    }
    const heaviest = [...flops].sort(([, a], [, b]) => b - a).slice(0, MOST_SITES);
    const names = heaviest.map(([name]) => name).filter((name) => isOpen(sites.get(name) as Site));
    const places = names.map((name) => own.findIndex(({ site }) => site?.name === name));
    const most = Math.max(0, ...places.map((place) => own[place].site?.candidates.length ?? 0));
    const layouts = Array.from({ length: most }, (_, i) =>
      placed(layOut((site) => (names.includes(site.name) ? Math.min(i, site.candidates.length - 1) : this.choose(site)))),
    );
    return places.map((place, i) => {
      const candidates = own[place].site?.candidates ?? [];
      return { site: names[i], candidates, dispatches: candidates.map((_, candidate) => layouts[candidate][place]) };
    });
  }

  /** Null: the first candidate stays, for want of time, of memory or of others that compile. */
  async #race(
    site: string,
    candidates: readonly string[],
    commands: readonly Omit<Command<PlacedDispatch>, 'bindGroup'>[],
    { gpu, pipelines, capacity: rows }: TuneParts,
    clock: { readonly now: () => number; readonly until: number },
  ): Promise<RaceResult | null> {
    if (candidates.length < 2 || clock.now() >= clock.until) return null;
    const [{ dispatch }] = commands;
    let buffers: GPUBuffer[];
    try {
      buffers = await gpu.allocate([
        { label: 'step', bytes: STEP_BYTES, usage: USAGE.uniform | USAGE.copyDst },
        ...dispatch.regions.map(({ bytes }, i) => ({ label: `operand ${i}`, bytes, usage: STORAGE })),
      ]);
    } catch (error) {
      if (error instanceof HybridError && error.code === 'E_MEMORY') return null;
      throw error;
    }
    try {
      const block = new ArrayBuffer(STEP_BYTES);
      packStep({ rows, epoch: 0, seed: 0n, ...NO_SCALARS }, block);
      gpu.write(buffers[0], 0, new Uint8Array(block));
      await fill(gpu, buffers.slice(1));
      const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
      const bindGroup = gpu.device.createBindGroup({ label: site, layout: pipelines.layout(dispatch), entries });
      const { timer = tellsTime(gpu) ? timedByGpu : timedByHost, results = sampled } = this.#options;
      const entrants = commands.map((command, i) => ({ gpu, command: { ...command, bindGroup }, rows, site, candidate: candidates[i] }));
      const result = await race(entrants.map(timer), { ...clock, long: tellsTime(gpu) ? LONG : LONG_BY_HOST });
      if (!result || result.winner === 0) return result;
      const written = buffers.slice(1).filter((_, i) => dispatch.bindings[i].access !== 'read');
      const expected = await results(entrants[0], written);
      const found = await results(entrants[result.winner], written);
      const isSame = found.length === expected.length && found.every((byte, i) => byte === expected[i]);
      return isSame ? result : { ...result, winner: 0 };
    } finally {
      for (const buffer of buffers) buffer.destroy();
    }
  }
}

/** The candidates that compile, the first one always among them, with their pipelines. */
async function compileContest({ site, candidates, dispatches }: Contest, { gpu, pipelines }: TuneParts) {
  const [first] = dispatches;
  const isSame = ({ regions, bindings }: PlacedDispatch): boolean =>
    regions.length === first.regions.length &&
    regions.every(({ bytes }, i) => bytes === first.regions[i].bytes && bindings[i].access === first.bindings[i].access);
  const compiled = await Promise.all(
    dispatches.map(async (dispatch, i) => {
      if (!isSame(dispatch)) return null;
      try {
        return { name: candidates[i], command: { dispatch, pipeline: await pipelines.pipeline(dispatch, describeDispatch(dispatch)) } };
      } catch (error) {
        if (i === 0 || gpu.failure) throw error;
        return null;
      }
    }),
  );
  const entrants = compiled.filter((entrant) => entrant !== null);
  return { site, candidates: entrants.map(({ name }) => name), commands: entrants.map(({ command }) => command) };
}

const sampled = ({ gpu, command, rows }: TimedParts, written: readonly GPUBuffer[]): Promise<Uint8Array> =>
  resultsOf(gpu, new Program([command]), rows, written);

function timedByGpu({ gpu, command, rows }: TimedParts): Timed {
  return async (repeats) => {
    const stopwatch = new Stopwatch(gpu, 1);
    try {
      const program = new Program([command]);
      await gpu.submit('race', (encoder) => program.repeat(encoder, rows, repeats, stopwatch));
      const [ms] = await stopwatch.read();
      return ms;
    } finally {
      stopwatch.destroy();
    }
  };
}

function timedByHost({ gpu, command, rows }: TimedParts): Timed {
  return async (repeats) => {
    const program = new Program([command]);
    const begin = performance.now();
    await gpu.submit('race', (encoder) => program.repeat(encoder, rows, repeats));
    await gpu.within('race', gpu.device.queue.onSubmittedWorkDone());
    return performance.now() - begin;
  };
}
