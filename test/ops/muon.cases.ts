// Cases of a step of Muon with a matrix.

import { completeConstants } from '../../runtime/base/constants.ts';
import { muon } from '../../runtime/optim/muon.ts';
import type { OpCase, OpFamily } from '../support/op-case.ts';
import { fixed, uniform } from '../support/tensors.ts';

interface MuonCaseOptions {
  readonly ok?: number;
  readonly scale?: number;
  readonly attrs?: Readonly<Record<string, unknown>>;
  /** Of the gradient; of uniform numbers where nothing is said. */
  readonly gradient?: (index: number) => number;
  readonly moment?: (index: number) => number;
}

/** A step with a parameter of that shape, so large that its errors show. */
export function muonCase(name: string, shape: readonly number[], options: MuonCaseOptions = {}): OpCase {
  const { ok = 1, scale, attrs = {}, gradient = uniform(1), moment = uniform(2, -0.1, 0.1) } = options;
  return {
    name: `${name} [${shape}]`,
    rows: 1,
    inputs: { ok: fixed([1], [ok], 'i32'), gradient: fixed(shape, gradient), ...(scale !== undefined && { scale: fixed([1], [scale]) }) },
    attrs: { ...completeConstants(muon.matrices?.constants ?? {}, {}, 'muon'), ...attrs },
    updates: [fixed(shape, uniform(3)), fixed(shape, moment)],
    step: { learningRate: 0.1, weightDecay: 0.5 },
  };
}

/** Sizes that hurt: single numbers, rows and columns, more rows than columns and fewer, no multiple of a vector or a tile. */
const SHAPES = [
  [1, 1],
  [1, 7],
  [7, 1],
  [3, 3, 3, 13],
  [10, 130],
  [130, 10],
  [3, 3, 3, 64],
  [5, 6],
] as const;

export const family = {
  muon: {
    cases: () => [
      ...SHAPES.map((shape) => muonCase('sizes', shape)),
      muonCase('not ok', [5, 7], { ok: 0 }),
      muonCase('scaled', [5, 7], { scale: 0.01 }),
      muonCase('factors', [5, 7], { attrs: { rate: 3, decay: 0.25 } }),
      muonCase('without decay', [7, 5], { attrs: { decay: 0 } }),
      muonCase('without Nesterov', [7, 5], { attrs: { nesterov: false } }),
      muonCase('without Nesterov, scaled', [2, 3, 5, 4], { attrs: { nesterov: false, momentum: 0 }, scale: 30 }),
      muonCase('steps even', [9, 17], { attrs: { steps: 2 } }),
      muonCase('one step', [17, 9], { attrs: { steps: 1, rmsRate: 0.5 } }),
      muonCase('zeros', [5, 7], { gradient: () => 0, moment: () => 0 }),
      muonCase('of rank one', [6, 9], { gradient: (i) => ((i % 9) - 4) * (Math.floor(i / 9) + 1), moment: () => 0 }),
      muonCase('small numbers', [6, 9], { gradient: (i) => uniform(1)(i) * 1e-12, moment: () => 0 }),
    ],
    large: () => [muonCase('large', [256, 256]), muonCase('large', [3, 3, 64, 128]), muonCase('chunks', [120, 140])],
    // Small singular values grow by 3.44 a step, and with them what rounding made of them; numbers are those of w ± 0.1·0.2·√rows.
    updates: { wasm: { absolute: 1e-5, relative: 1e-5 }, gpu: { absolute: 2e-5, relative: 1e-5 } },
  },
} satisfies OpFamily;
