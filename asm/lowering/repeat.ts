// Repetition to calls of asm/kernels/repeat.ts.

import { HybridError } from '../../runtime/base/errors.ts';
import type { TensorSpec } from '../../runtime/ir/graph.ts';
import { SCRATCH_BYTES } from '../abi/constants.ts';
import { callsOf, type Kernels, type Lowerings } from './lowering.ts';

/** Argument blocks of these kernels. The sizes are those of the smaller image. */
export const repeatKernels = {
  repeat: {
    ...{ x: 'ptr', y: 'ptr', height: 'i32', width: 'i32', channels: 'i32' },
    ...{ timesRows: 'i32', timesColumns: 'i32', timesChannels: 'i32' },
  },
  repeatGrad: {
    ...{ dy: 'ptr', dx: 'ptr', height: 'i32', width: 'i32', channels: 'i32' },
    ...{ timesRows: 'i32', timesColumns: 'i32', timesChannels: 'i32' },
  },
} as const satisfies Kernels;
const call = callsOf(repeatKernels);

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
