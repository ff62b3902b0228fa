// Repetition to calls of asm/kernels/repeat.ts.

import { HybridError } from '../../runtime/base/errors.ts';
import type { TensorSpec } from '../../runtime/ir/graph.ts';
import { SCRATCH_BYTES } from '../abi/constants.ts';
import { call, type Lowerings } from './lowering.ts';

const sizesOf = ({ shape: [height, width, channels] }: TensorSpec, times: readonly number[]) => ({
  ...{ height, width, channels },
  ...{ timesRows: times[0], timesColumns: times[1], timesChannels: times[2] },
});

export const repeat = {
  repeat({ args: { x }, results: { y }, attrs: { times } }, { spec, address }) {
    return [call('repeat', { x: address(x), y: address(y), ...sizesOf(spec(x), times) })];
  },
  repeatGrad({ args: { dy }, results: { dx }, attrs: { times }, label }, { spec, address }) {
    const channels = spec(dy).shape[2];
    if (8 * channels > SCRATCH_BYTES)
      throw new HybridError(
        'E_MEMORY',
        `${label}: an image of ${channels} channels is too deep to be repeated on the wasm device, which takes ${SCRATCH_BYTES / 8}`,
        'Use fewer channels.',
      );
    return [call('repeatGrad', { dy: address(dy), dx: address(dx), ...sizesOf(spec(dx), times) })];
  },
} satisfies Partial<Lowerings>;
