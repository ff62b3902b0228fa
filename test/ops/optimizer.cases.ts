// Cases of the ops of the update.

import type { Constants } from '../../runtime/base/constants.ts';
import type { GroupRun } from '../../runtime/optim/groups.ts';
import { type OptimizerName, ofEach, optimizerOf, slotsOf } from '../../runtime/optim/index.ts';
import type { OptimizerRule } from '../../runtime/optim/rule.ts';
import { EXACT, type OpCase, type OpFamily, vector } from '../support/op-case.ts';
import { fixed, type TestTensor, uniform } from '../support/tensors.ts';

interface UpdateCaseOptions {
  readonly ok?: number;
  readonly steps?: number;
  readonly constants?: Constants;
  readonly groups?: readonly GroupRun[];
  /** Of the gradients. */
  readonly scale?: number;
}

/** A step of an optimizer: gradients, parameters and what it keeps of them, for parameters of these shapes. */
export function updateCase(
  rule: OptimizerRule,
  name: string,
  shapes: readonly (readonly number[])[],
  { ok = 1, steps = 6, constants = {}, groups, scale }: UpdateCaseOptions = {},
): OpCase {
  const each = (seed: number, low: number, high: number): TestTensor[] =>
    shapes.map((shape, k) => fixed(shape, uniform(seed + k, low, high)));
  const all = { ...optimizerOf(rule.name as OptimizerName).constants, ...constants };
  return {
    name,
    rows: 1,
    inputs: {
      ok: fixed([1], [ok], 'i32'),
      counter: fixed([1], [steps], 'i32'),
      gradients: each(100, -1, 1),
      ...(scale !== undefined && { scale: fixed([1], [scale]) }),
    },
    attrs: groups ? { ...all, groups } : all,
    // Not below 0: some optimizers take the root of what they keep.
    updates: [...each(200, -1, 1), ...slotsOf(rule, all).flatMap((_, s) => each(300 + 100 * s, 0, 0.1))],
  };
}

/** Cases of every optimizer: sizes, groups, and each constant otherwise than usual. */
const updateCases = (rule: OptimizerRule) => (): OpCase[] => [
  updateCase(rule, 'one scalar', [[1]]),
  updateCase(rule, 'several parameters', [[3, 3, 2, 5], [5], [33]]),
  updateCase(rule, 'not ok', [[7], [2, 3]], { ok: 0 }),
  updateCase(rule, 'scaled', [[7], [2, 3], [33]], { scale: 0.3 }),
  updateCase(rule, 'groups', [[3, 3, 2, 5], [5], [33], [70]], {
    groups: [
      { count: 1, rate: 0.5, decay: 1 },
      { count: 2, rate: 1, decay: 0 },
      { count: 1, rate: 3, decay: 10 },
    ],
  }),
  ...otherConstants(rule).map((constants) => updateCase(rule, JSON.stringify(constants), [[33], [7]], { constants })),
];

/** Every switch turned, and every number 0 that may be. */
export const otherConstants = ({ constants }: OptimizerRule): Constants[] =>
  Object.entries(constants).flatMap(([name, { kind, usual }]) => {
    const value = typeof usual === 'boolean' ? !usual : kind.parse('0');
    return value === undefined ? [] : [{ [name]: value }];
  });

/** The factor that makes gradients of these shapes shorter. */
const lengthCase = (name: string, shapes: readonly (readonly number[])[], norm: number): OpCase => ({
  ...{ name, rows: 1, attrs: { norm } },
  inputs: { gradients: shapes.map((shape, k) => fixed(shape, uniform(100 + k, -1, 1))) },
});

/** Parameters of several chunks. */
const LARGE = [[33_333], [7], [3, 5, 11, 101]];

export const family = {
  finiteCheck: {
    cases: () => [
      { name: 'finite', rows: 1, inputs: [fixed([1], [2]), fixed([7, 5], uniform(1)), fixed([3], uniform(2))], attrs: {} },
      { name: 'NaN loss', rows: 1, inputs: [fixed([1], [Number.NaN]), fixed([7], uniform(1))], attrs: {} },
      { name: 'NaN in the last element', rows: 1, inputs: [fixed([1], [2]), fixed([4], [0, 0, 0, Number.NaN])], attrs: {} },
      {
        name: 'infinity in the middle',
        rows: 1,
        inputs: [fixed([1], [2]), fixed([5], [0, 0, Number.NEGATIVE_INFINITY, 0, 0]), fixed([2], [1, 1])],
        attrs: {},
      },
    ],
    large: () =>
      [0, 16383, 16384, 40000].flatMap((at) =>
        [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38].map((value) => ({
          name: `${value} at ${at} of 40,001`,
          rows: 1,
          inputs: [fixed([1], [2]), fixed([5], uniform(1)), fixed([40_001], (i) => (i === at ? value : 1)), fixed([2], [0, -0])],
          attrs: {},
        })),
      ),
    tolerance: EXACT,
  },
  gradientScale: {
    cases: () => [
      lengthCase('longer', [[3, 3, 2, 5], [5], [33]], 0.5),
      lengthCase('shorter', [[7], [2, 3]], 100),
      lengthCase('one scalar', [[1]], 0.25),
      { name: 'zeros', rows: 1, inputs: { gradients: [fixed([5], [0, 0, -0, 0, 0])] }, attrs: { norm: 1 } },
    ],
    large: () => [lengthCase('chunks', LARGE, 3), lengthCase('whole chunks', [[32_768], [16_384]], 3)],
  },
  movingAverage: {
    cases: () =>
      [{ ok: 0 }, { ok: 1 }, { ok: 1, momentum: 0.3 }, { ok: 1, momentum: 1 }, { ok: 0, momentum: 0 }].map(({ ok, momentum }) => ({
        name: `${ok ? 'ok' : 'not ok'}, ${momentum === undefined ? 'momentum of the run' : `momentum ${momentum}`}`,
        rows: 1,
        inputs: [fixed([1], [ok], 'i32'), vector([33], 1), vector([33], 2, 0, 2)],
        attrs: { momentum },
        updates: [vector([33], 3), vector([33], 4, 0, 2)],
        step: { bnMomentum: 0.9 },
      })),
  },
  countStep: {
    cases: () =>
      [0, 1].map((ok) => ({
        name: ok ? 'ok' : 'not ok',
        rows: 1,
        inputs: [fixed([1], [ok], 'i32')],
        attrs: {},
        updates: [fixed([1], [41], 'i32')],
      })),
    tolerance: EXACT,
  },
  ...ofEach((rule) => ({
    cases: updateCases(rule),
    large: () => [
      ...[0, 1, 99_999].map((steps) => updateCase(rule, `chunks, step ${steps}`, LARGE, { steps })),
      updateCase(rule, 'chunks of groups', LARGE, {
        groups: [
          { count: 1, rate: 0.5, decay: 0 },
          { count: 2, rate: 1, decay: 2 },
        ],
      }),
    ],
  })),
} satisfies OpFamily;
