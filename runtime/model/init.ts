// Initial values of a model's variables: Keras' initialisers on counter-based random numbers.

import { PURPOSE, philox4x32, philoxKey } from '../base/philox.ts';
import { type Shape, sizeOf } from '../layers/layer.ts';
import type { TrainableModel } from './model.ts';

/**
 * Limit of Glorot's uniform initialiser, √(6 / (fan_in + fan_out)). The fans are Keras': the last two axes times the
 * product of all others. Depthwise kernels [k, k, C, 1] get no special treatment, so their fans are k²·C and k².
 */
export function glorotLimit(shape: Shape): number {
  const receptiveField = sizeOf(shape.slice(0, -2));
  const fanIn = receptiveField * shape[shape.length - 2];
  const fanOut = receptiveField * shape[shape.length - 1];
  return Math.sqrt(6 / (fanIn + fanOut));
}

/**
 * Initial values of all variables by name: kernels uniform in [−limit, limit), biases 0, batch normalisation gamma 1,
 * beta 0, moving mean 0, moving variance 1.
 *
 * Element e of the k-th kernel (in the order of the model's variables, elements in C order) is (2u − 1)·limit with u =
 * word / 2³², word e mod 4 of the Philox block with counter (0, 0, 256 + k, ⌊e/4⌋) and the seed as key: a kernel does
 * not depend on the size of the kernels before it.
 */
export function initialize(model: Pick<TrainableModel, 'variables'>, seed: bigint): Map<string, Float32Array> {
  const key = philoxKey(seed);
  let kernels = 0;
  return new Map(
    model.variables.map(({ name, shape, role }) => {
      const values = new Float32Array(sizeOf(shape));
      if (role === 'kernel') fillUniform(values, glorotLimit(shape), key, PURPOSE.initializer + kernels++);
      else if (role === 'gamma' || role === 'moving_variance') values.fill(1);
      return [name, values];
    }),
  );
}

function fillUniform(values: Float32Array, limit: number, key: readonly number[], purpose: number): void {
  const words = new Uint32Array(4);
  const counter = [0, 0, purpose, 0];
  for (let e = 0; e < values.length; e++) {
    if (e % 4 === 0) {
      counter[3] = e / 4;
      philox4x32(key, counter, words);
    }
    values[e] = ((2 * words[e % 4]) / 2 ** 32 - 1) * limit;
  }
}
