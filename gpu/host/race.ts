// Which of some kernels is the fastest, by the clock that it is given. What is known to be right, the first, stays unless another one is surely faster.

/** Milliseconds that so many repeats of a kernel take. */
export type Timed = (repeats: number) => Promise<number>;

export interface RaceOptions {
  /** Milliseconds of a clock, and when it is over by that clock. */
  readonly now: () => number;
  readonly until: number;
  /** Milliseconds that a measurement lasts, at least: what starts and ends it is little of it. */
  readonly long: number;
}

export interface RaceResult {
  readonly winner: number;
  /** Of each, the milliseconds of the best round. */
  readonly milliseconds: readonly number[];
}

const ROUNDS = 3;
/** What another one must save of the first one's time; and it must be faster in most rounds. */
const MARGIN = 0.05;
const MOST_REPEATS = 4096;

/**
 * All take turns, so that what slows the machine down slows all of them. Null: time was up before the last round was over, or the clock
 * stands still.
 */
export async function race(runners: readonly Timed[], { now, until, long }: RaceOptions): Promise<RaceResult | null> {
  const isOver = (): boolean => now() >= until;
  // The first run of each clears memory and wakes the GPU up.
  for (const run of runners) {
    if (isOver()) return null;
    await run(1);
  }
  let repeats = 1;
  for (; ; repeats *= 2) {
    if (isOver()) return null;
    if ((await runners[0](repeats)) >= long) break;
    if (2 * repeats > MOST_REPEATS) break;
  }
  const rounds = runners.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, run] of runners.entries()) {
      if (isOver()) return null;
      rounds[i].push((await run(repeats)) / repeats);
    }
  }
  if (!rounds.flat().every((ms) => ms > 0 && Number.isFinite(ms))) return null;
  const milliseconds = rounds.map((own) => Math.min(...own));
  const fastest = milliseconds.indexOf(Math.min(...milliseconds));
  const wins = rounds[fastest].filter((ms, round) => ms < rounds[0][round]).length;
  const isSure = milliseconds[fastest] < (1 - MARGIN) * milliseconds[0] && 2 * wins > ROUNDS;
  return { winner: isSure ? fastest : 0, milliseconds };
}
