// Groups of parameters that an optimizer treats alike. A group is a piece of the flat ranges: the parameters of a group follow one
// another, so that the update of all of them stays one kernel.

import { HybridError } from '../base/errors.ts';

/** What a group may go by. */
export interface ParameterInfo {
  /** Such as `layers/conv2d/vars/0`. */
  readonly name: string;
  readonly shape: readonly number[];
}

/** Parameters that are trained alike. */
export interface ParameterGroup {
  /** Which parameters belong to it, of those that belong to no group before it. */
  match(parameter: ParameterInfo): boolean;
  /** Factor on the learning rate; 1 by default. */
  readonly rateFactor?: number;
  /** Factor on the weight decay; 1 by default. */
  readonly decayFactor?: number;
  /** They stay as they are: neither gradients nor slots are made for them. */
  readonly frozen?: boolean;
}

/** The same groups, but that only the parameters with one of the `names` decay. */
export function decayOf(names: ReadonlySet<string>, groups: readonly ParameterGroup[]): readonly ParameterGroup[] {
  return [...groups, { match: () => true }].flatMap((group) => {
    const undecayed = { ...group, match: (one: ParameterInfo) => !names.has(one.name) && group.match(one), decayFactor: 0 };
    return group.frozen ? [group] : [undecayed, group];
  });
}

/** The same groups, but that the parameters with one of the `names` have a rate larger by `factor`; what decays of them in a step stays as it is. */
export function rateOf(names: ReadonlySet<string>, factor: number, groups: readonly ParameterGroup[]): readonly ParameterGroup[] {
  return [...groups, { match: () => true }].flatMap((group: ParameterGroup) => {
    const { rateFactor = 1, decayFactor = 1, frozen, match } = group;
    const faster = { match: (one: ParameterInfo) => names.has(one.name) && match(one) };
    return frozen ? [group] : [{ ...faster, rateFactor: rateFactor * factor, decayFactor: decayFactor / factor }, group];
  });
}

/** So many parameters that follow one another. */
export interface GroupRun {
  readonly count: number;
  readonly rate: number;
  readonly decay: number;
}

/** Factors of a parameter that is updated by itself. */
export type Factors = Pick<GroupRun, 'rate' | 'decay'>;

/** All parameters in one group whose factors are 1. */
export const oneGroup = (count: number): readonly GroupRun[] => [{ count, rate: 1, decay: 1 }];

/** Rows that kernels have room for. */
export const MOST_GROUPS = 16;

export interface Grouped<P> {
  /** Those that are trained: in the order of their groups, and of the model in each; behind all of these the matrices, likewise. */
  readonly trained: readonly P[];
  /** Of those that are no matrices. */
  readonly runs: readonly GroupRun[];
  /** Of each matrix. */
  readonly matrices: readonly Factors[];
  readonly frozen: readonly P[];
}

/**
 * Sorts parameters into groups; those that belong to none have the factors 1, and groups with equal factors are one. `matrixNames`: those that the
 * optimizer updates one by one.
 * @throws HybridError E_USAGE where nothing is left to train, for factors below 0, and for more than MOST_GROUPS.
 */
export function groupParameters<P extends ParameterInfo>(
  parameters: readonly P[],
  groups: readonly ParameterGroup[] = [],
  matrixNames: ReadonlySet<string> = new Set(),
): Grouped<P> {
  for (const { rateFactor = 1, decayFactor = 1 } of groups) {
    for (const [name, factor] of Object.entries({ rateFactor, decayFactor })) {
      if (!(Number.isFinite(factor) && factor >= 0))
        throw new HybridError('E_USAGE', `a group has ${name} ${factor}`, 'Give a number from 0 on.');
    }
  }
  const runs = new Map<string, { rate: number; decay: number; members: P[]; matrices: P[] }>([
    ['1 1', { rate: 1, decay: 1, members: [], matrices: [] }],
  ]);
  const frozen: P[] = [];
  for (const parameter of parameters) {
    const group = groups.find((one) => one.match(parameter));
    if (group?.frozen) {
      frozen.push(parameter);
      continue;
    }
    const { rateFactor: rate = 1, decayFactor: decay = 1 } = group ?? {};
    const key = `${rate} ${decay}`;
    const run = runs.get(key) ?? { rate, decay, members: [], matrices: [] };
    (matrixNames.has(parameter.name) ? run.matrices : run.members).push(parameter);
    runs.set(key, run);
  }
  if (parameters.length === 0) throw new HybridError('E_USAGE', 'there are no parameters to train', 'Evaluate the model, or declare some.');
  const all = [...runs.values()];
  const found = all.filter(({ members }) => members.length > 0);
  if (frozen.length === parameters.length)
    throw new HybridError('E_USAGE', `all ${parameters.length} parameters are frozen`, 'Leave at least one trainable.');
  if (found.length > MOST_GROUPS) {
    throw new HybridError(
      'E_USAGE',
      `there are ${found.length} groups of parameters`,
      `Give at most ${MOST_GROUPS} with different factors.`,
    );
  }
  return {
    trained: [...found.flatMap(({ members }) => members), ...all.flatMap(({ matrices }) => matrices)],
    runs: found.map(({ rate, decay, members }) => ({ count: members.length, rate, decay })),
    matrices: all.flatMap(({ rate, decay, matrices }) => matrices.map(() => ({ rate, decay }))),
    frozen,
  };
}
