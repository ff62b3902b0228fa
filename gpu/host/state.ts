// Where the state of an executable lies in its buffers, by the names of the contract.

import { parseStateName, unknownName } from '../../runtime/compile/state-names.ts';
import type { StateEntry } from '../../runtime/device.ts';
import { elementCount } from '../../runtime/ir/graph.ts';
import { LOSS_SCALE } from '../lowering/loss-scale.ts';
import type { BufferPlan, Region } from './slots.ts';

/** A tensor that can be read, or a whole range of them. */
export interface StateTensor {
  readonly region: Region;
  readonly isInteger: boolean;
  readonly count: number;
}

export class StateRegions {
  readonly #plan: BufferPlan;

  constructor(plan: BufferPlan) {
    this.#plan = plan;
  }

  get entries(): StateEntry[] {
    return [...this.#plan.state].map(([name, { spec, kind }]) => ({ name, shape: spec.shape, kind }));
  }

  /** The flat ranges, whole. */
  get ranges(): Region[] {
    const { state, buffers } = this.#plan;
    const indices = [...new Set([...state.values()].map(({ buffer }) => buffer))];
    return indices.map((buffer) => ({ buffer, offset: 0, bytes: buffers[buffer].bytes }));
  }

  /** Of the loss scale, where the loss is scaled. */
  get lossScale(): Region | undefined {
    return this.#plan.state.get(LOSS_SCALE);
  }

  /** Throws E_USAGE for a name that nothing has. */
  tensor(name: string): StateTensor {
    const { state, gradients, ranges } = this.#plan;
    const parsed = parseStateName(name);
    if (parsed.kind === 'range') {
      const range = ranges.get(parsed.name);
      // A network without batch normalisation has no moving statistics: as on other devices they are an array of none.
      const region = range ?? { buffer: 0, offset: 0, bytes: 0 };
      return { region, isInteger: false, count: region.bytes / 4 };
    }
    const place = state.get(parsed.name);
    const region = parsed.kind === 'gradient' ? gradients.get(parsed.name) : place;
    if (!place || !region) throw unknownName(name);
    return { region, isInteger: place.spec.dtype === 'i32', count: elementCount(place.spec) };
  }
}
