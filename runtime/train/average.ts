// Averages of the weights: a moving one beside training (`ema`), or one that training goes back to every few steps (`lookahead`, as in Jordan, "94% on
// CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498, section 3.4, after Zhang et al., "Lookahead optimizer"). They are made here, of what is
// read from the device, so that every device and every rank has the same ones. A checkpoint has the average as its weights, and beside the
// optimizer's state those that training goes on from.

import { HybridError } from '../base/errors.ts';
import type { LoadedBatch } from '../data/epoch.ts';
import type { Executable, Update } from '../device.ts';
import type { Checkpoint } from './checkpoint.ts';
import { type DeviceState, readState, readWeights, weightsOf } from './device-state.ts';
import type { TrainSettings } from './settings.ts';

type Weights = ReadonlyMap<string, Float32Array>;

/** In front of the names of weights that training goes on from, in a checkpoint whose weights are averages. */
const UNAVERAGED = 'unaveraged/';

/** Of `lookahead`: how much of the average is left a step, at the end of the run. */
const LOOKAHEAD_DECAY = 0.95;

/** A step's part in the average, and what follows from it. */
export interface Averaged {
  /** Settles when the average has it; rejects where the step failed. */
  readonly done: Promise<void>;
  /** Behind the step, where it was asked for. */
  readonly state?: Promise<DeviceState>;
}

/** The average of a run's weights. Null where the run has none. Throws E_USAGE for settings that exclude each other. */
export function averageOf(
  { ema, lookahead, recalibrateBn }: Pick<TrainSettings, 'ema' | 'lookahead' | 'recalibrateBn'>,
  totalSteps: number,
): WeightAverage | null {
  if (ema === 0 && lookahead === 0) return null;
  const [name, other] = ema === 0 ? ['lookahead', undefined] : ['ema', lookahead > 0 ? 'lookahead' : undefined];
  const excluded = other ?? (recalibrateBn > 0 ? 'recalibrateBn' : undefined);
  if (excluded === undefined) return new WeightAverage({ ema, lookahead, totalSteps });
  const why = other ? 'are two averages of the same weights' : 'exclude each other: moving statistics are averaged with the weights';
  throw new HybridError('E_USAGE', `\`${name}\` and \`${excluded}\` ${why}`, 'Leave one out.', { field: excluded });
}

export class WeightAverage {
  readonly #options: { readonly ema: number; readonly lookahead: number; readonly totalSteps: number };
  #average: Weights = new Map();
  /** All that is under way: steps take their turn. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Until training has gone back to the average, where it is about to. */
  #exchange: Promise<void> = Promise.resolve();
  #exchanged = (): void => {};

  constructor(options: { readonly ema: number; readonly lookahead: number; readonly totalSteps: number }) {
    this.#options = options;
  }

  /** Of the last completed step. The arrays are not changed afterwards. */
  get weights(): Weights {
    return this.#average;
  }

  /** Begins with these. */
  begin(weights: Weights): void {
    this.#average = new Map([...weights].map(([name, data]) => [name, data.slice()]));
  }

  /** What the weights behind a step of the run, from 1, count in the average; 0: nothing. */
  shareOf(step: number): number {
    const { ema, lookahead, totalSteps } = this.#options;
    if (ema > 0) return 1 - ema;
    return step % lookahead === 0 ? 1 - LOOKAHEAD_DECAY ** lookahead * (step / totalSteps) ** 3 : 0;
  }

  #goesBack(step: number): boolean {
    return this.#options.lookahead > 0 && this.shareOf(step) > 0;
  }

  /** The batches, each withheld as long as the weights that it is for are not there. */
  gated(batches: AsyncIterator<LoadedBatch, undefined>): AsyncIterator<LoadedBatch, undefined> {
    this.#exchange = Promise.resolve();
    return {
      next: async () => {
        await this.#exchange;
        return batches.next();
      },
    };
  }

  /** The gradient of a step was given to the device. */
  stepBegins(step: number): void {
    if (!this.#goesBack(step)) return;
    this.#exchange = new Promise((resolve) => {
      this.#exchanged = resolve;
    });
  }

  /** Its update was, too: what it makes of the weights is asked for before this returns. */
  stepEnds(executable: Executable, step: number, update: Promise<Update>, isWanted: boolean): Averaged {
    const share = this.shareOf(step);
    const whole = isWanted ? readState(executable) : undefined;
    const weights = share === 0 ? undefined : (whole?.then((state) => state.weights) ?? readWeights(executable));
    const before = this.#turn;
    const take = async (): Promise<DeviceState | undefined> => {
      const [{ applied }, seen, all] = await Promise.all([update, weights, whole]);
      await before;
      const isBack = applied && this.#goesBack(step);
      if (applied && seen) this.#average = averaged(this.#average, weightsOf({ weights: seen }), share);
      // At once: the next step may be waiting for its turn.
      const state = all && this.#joined(all, isBack);
      if (isBack) await writeAll(executable, this.#average);
      return state;
    };
    // Not behind any other step, which may end later than this one begins.
    const taken = this.#goesBack(step) ? take().finally(this.#exchanged) : take();
    const done = taken.then(() => {});
    this.#turn = done.catch(() => {}); // told by `done`
    return { done, state: whole && (taken as Promise<DeviceState>) };
  }

  /** A state that was read from the device, with the average in its place. */
  joined(state: DeviceState): DeviceState {
    return this.#joined(state, false);
  }

  /** `isBack`: since it was read, training has gone back to the average. */
  #joined({ weights, optimizer }: DeviceState, isBack: boolean): DeviceState {
    const average = new Map([...weights].map(([name, { shape, data }]) => [name, { shape, data: this.#average.get(name) ?? data }]));
    const kept = [...(isBack ? average : weights)].map(([name, tensor]) => [`${UNAVERAGED}${name}`, tensor] as const);
    return { weights: average, optimizer: new Map([...optimizer, ...kept]) };
  }

  /** Does something with the average in the place of the weights, and brings them back. */
  async shown<T>(executable: Executable, use: () => Promise<T>): Promise<T> {
    const weights = weightsOf({ weights: await readWeights(executable) });
    await writeAll(executable, this.#average);
    try {
      return await use();
    } finally {
      await writeAll(executable, weights);
    }
  }
}

/** A checkpoint with the weights that training goes on from. */
export function unaveraged(checkpoint: Checkpoint): Checkpoint {
  const kept = [...checkpoint.optimizer].filter(([name]) => name.startsWith(UNAVERAGED));
  if (kept.length === 0) return checkpoint;
  const weights = new Map([...checkpoint.weights, ...kept.map(([name, tensor]) => [name.slice(UNAVERAGED.length), tensor] as const)]);
  return { ...checkpoint, weights };
}

/** average + (weights − average) · share, in doubles, rounded. */
function averaged(average: Weights, weights: Weights, share: number): Weights {
  return new Map(
    [...weights].map(([name, now]) => {
      const before = average.get(name) ?? now;
      return [name, now.map((value, i) => before[i] + (value - before[i]) * share)];
    }),
  );
}

const writeAll = async (executable: Executable, weights: Weights): Promise<void> =>
  void (await Promise.all([...weights].map(([name, data]) => executable.write(name, data))));
