// The clock of a page and its workers.

export const time = {
  /** Milliseconds of a monotonic clock that all threads share. (performance.now() counts from the start of each thread.) */
  now: (): number => performance.timeOrigin + performance.now(),
};
