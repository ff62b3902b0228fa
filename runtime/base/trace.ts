// What a timeline takes. Nothing is noted where nobody passes a trace.

import { time } from '../hosts/clock.ts';

/** Takes a timeline: what ran from when to when. */
export interface Trace {
  /** Something that took from `begin` to `end`, in milliseconds of `clock`; lanes are drawn one below the other. */
  span(lane: string, name: string, begin: number, end: number, args?: Readonly<Record<string, number | string>>): void;
}

/** Milliseconds of the machine's monotonic clock, which all threads share. */
export const clock = (): number => time.now();
