// What an executable keeps between runs, and how it is read and written.

import type { StateKind } from '../ir/graph.ts';

/** A tensor that lives on the device between runs. */
export interface StateEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: StateKind;
}

/** Names of whole ranges for `read` and `write`. */
export const GRADIENTS = 'gradients';

/** All moving statistics, for `Executable.read` and `write`. */
export const STATISTICS = 'statistics';

/** State by name: all zeros at first. */
export interface Store {
  /** Everything that lives on the device between runs, by name. */
  readonly state: readonly StateEntry[];
  /**
   * State by name, or `gradients/<parameter>` after a `gradient`. The counter `optimizer/vars/0` has one element. `GRADIENTS` and
   * `STATISTICS` are all gradients and all moving statistics in one array, in an order of the device's own.
   */
  read(name: string): Promise<Float32Array>;
  /** State by name; `GRADIENTS` between `gradient` and `update`, `STATISTICS`. */
  write(name: string, data: ArrayLike<number>): Promise<void>;
}
