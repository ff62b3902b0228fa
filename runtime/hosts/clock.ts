// The clock of the host, by itself: it is all of a host that threads need.

export const time = {
  /** Milliseconds of a monotonic clock that all threads share. (performance.now() counts from the start of each thread.) */
  now(): number {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1000 + nanoseconds / 1e6;
  },
};
