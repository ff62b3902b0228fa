// What a timeline takes. Nothing is noted where nobody passes a trace.

/** Takes a timeline: what ran from when to when. */
export interface Trace {
  /** Something that took from `begin` to `end`, in milliseconds of `clock`; lanes are drawn one below the other. */
  span(lane: string, name: string, begin: number, end: number, args?: Readonly<Record<string, number | string>>): void;
}

/** Milliseconds of the machine's monotonic clock, which all threads share (performance.now() counts from the start of each). */
export function clock(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}
