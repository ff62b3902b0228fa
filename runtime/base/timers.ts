// Timers that do not keep a process alive. Those of a page are numbers, and keep nothing alive.

type Timer = ReturnType<typeof setInterval>;

export const inBackground = (timer: Timer): void => void (timer as Partial<Timer>).unref?.();

/** The opposite, again. */
export const inForeground = (timer: Timer): void => void (timer as Partial<Timer>).ref?.();
