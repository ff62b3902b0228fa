// What the names mean that `read` and `write` of an executable take.

import { HybridError } from '../base/errors.ts';
import { GRADIENTS, STATISTICS } from '../device.ts';

const GRADIENT_PREFIX = 'gradients/';

export type StateName =
  | { readonly kind: 'range'; readonly name: typeof GRADIENTS | typeof STATISTICS }
  /** `name` is that of the parameter. */
  | { readonly kind: 'gradient' | 'state'; readonly name: string };

export function parseStateName(name: string): StateName {
  if (name === GRADIENTS || name === STATISTICS) return { kind: 'range', name };
  return name.startsWith(GRADIENT_PREFIX) ? { kind: 'gradient', name: name.slice(GRADIENT_PREFIX.length) } : { kind: 'state', name };
}

export const unknownName = (name: string): HybridError =>
  new HybridError('E_USAGE', `no state or gradient is called ${name}`, 'The names are those of `state`.');

/** Throws E_USAGE for a name that is only read. */
export function checkWritable(name: string): void {
  if (parseStateName(name).kind === 'gradient')
    throw new HybridError('E_USAGE', `${name} is not state: it cannot be written`, `Write ${GRADIENTS}, which is all of them.`);
}

/** Throws E_USAGE for another number of elements than the tensor has. */
export function checkLength(name: string, found: number, expected: number): void {
  if (found !== expected) throw new HybridError('E_USAGE', `${name} has ${expected} elements, not ${found}`, `Give ${expected} numbers.`);
}
