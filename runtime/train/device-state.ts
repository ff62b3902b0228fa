// The state that a device has of a run, parameters, statistics and the optimizer's, and the same in a checkpoint.

import { HybridError } from '../base/errors.ts';
import { isSlot } from '../compile/plan.ts';
import type { Executable, StateEntry } from '../device.ts';
import type { Checkpoint } from './checkpoint.ts';

type Tensors = Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

export interface DeviceState {
  readonly weights: Tensors;
  readonly optimizer: Tensors;
}

/** Where Keras keeps the rate. Devices are told it with each update. */
const LEARNING_RATE = 'optimizer/vars/1';

/** As it is after the calls made so far: all of it is asked for before this returns. */
export async function readState(executable: Executable): Promise<DeviceState> {
  const [weights, optimizer] = await Promise.all([readWeights(executable), readEntries(executable, isOptimizers)]);
  return { weights, optimizer };
}

/** Parameters and statistics alone. */
export const readWeights = (executable: Executable): Promise<Tensors> => readEntries(executable, (entry) => !isOptimizers(entry));

const isOptimizers = ({ kind }: StateEntry): boolean => kind !== 'parameter' && kind !== 'statistic';

async function readEntries(executable: Executable, isWanted: (entry: StateEntry) => boolean): Promise<Tensors> {
  const entries = executable.state.filter(isWanted);
  return new Map(await Promise.all(entries.map(async ({ name, shape }) => [name, { shape, data: await executable.read(name) }] as const)));
}

/**
 * Takes over what a checkpoint has, whole; with `newOptimizer` what that one keeps of each parameter begins anew, with `newParameters` its count
 * of steps and the scale of the loss besides. Throws E_CHECKPOINT where something is missing, not finite, or of another size.
 */
export async function writeState(
  executable: Executable,
  checkpoint: Checkpoint,
  { newOptimizer = false, newParameters = false } = {},
): Promise<void> {
  await Promise.all(
    executable.state.map((entry) => {
      const isOfSteps = entry.kind === 'counter' || entry.kind === 'scale';
      const isNew = isSlot(entry.kind) ? newOptimizer || newParameters : isOfSteps && newParameters;
      return executable.write(entry.name, isNew ? new Float32Array(sizeOf(entry)) : savedTensor(checkpoint, entry));
    }),
  );
}

const sizeOf = ({ shape }: StateEntry): number => shape.reduce((product, n) => product * n, 1);

function savedTensor({ weights, optimizer }: Checkpoint, entry: StateEntry): Float32Array {
  const { name, shape, kind } = entry;
  const data = (weights.get(name) ?? optimizer.get(name))?.data;
  const size = sizeOf(entry);
  if (data?.length === size && allFinite(data)) return data;
  if (!data && kind === 'scale') return new Float32Array(size); // of a run in a tier that needs none
  const found = !data ? 'does not have it' : data.length === size ? 'has values that are not finite' : `has ${data.length} elements there`;
  throw new HybridError(
    'E_CHECKPOINT',
    `the run needs ${name} with shape [${shape.join(', ')}]; the checkpoint ${found}`,
    'It is damaged or of another model: resume from another one.',
  );
}

/** The first tensor of a state that has an infinity or NaN. */
export const notFiniteIn = ({ weights, optimizer }: DeviceState): string | undefined =>
  [...weights, ...optimizer].find(([, { data }]) => !allFinite(data))?.[0];

/** Of every element: x − x is 0 but for infinities and NaN. */
function allFinite(data: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i] - data[i];
  return sum === 0;
}

export const weightsOf = ({ weights }: Pick<Checkpoint, 'weights'>): Map<string, Float32Array> =>
  new Map([...weights].map(([name, { data }]) => [name, data]));

/** With the learning rate among the optimizer's state, as in Keras' files. */
export function withRate(checkpoint: Checkpoint, rate: number): Checkpoint {
  return { ...checkpoint, optimizer: new Map(checkpoint.optimizer).set(LEARNING_RATE, { shape: [], data: Float32Array.of(rate) }) };
}
