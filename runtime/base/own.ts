// Options as their caller gave them. Where a program has let somebody write to `Object.prototype`, every options object seems to have
// what was written there; a copy without a prototype has not.

/** A copy of the own properties of `options`, which inherits none. */
export function own<T extends object>(options: T): T {
  return Object.assign(Object.create(null), options);
}
