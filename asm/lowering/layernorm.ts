// Layer normalisation to calls of asm/kernels/layernorm.ts.

import { HybridError } from '../../runtime/base/errors.ts';
import { SCRATCH_BYTES } from '../abi/constants.ts';
import { channels, mergeSums, pixels, tilesOf } from './elementwise.ts';
import { callsOf, type Kernels, type Lowerings } from './lowering.ts';

/** Argument blocks of these kernels. */
export const layernormKernels = {
  layernorm: { x: 'ptr', gamma: 'ptr', beta: 'ptr', y: 'ptr', pixels: 'i32', channels: 'i32', epsilon: 'f32' },
  /** `sums`: of each tile of samples, those for gamma and for beta. */
  layernormGrad: {
    ...{ dy: 'ptr', x: 'ptr', gamma: 'ptr', dx: 'ptr', sums: 'ptr' },
    ...{ pixels: 'i32', channels: 'i32', samples: 'i32', epsilon: 'f32' },
  },
} as const satisfies Kernels;
const call = callsOf(layernormKernels);

/** Bytes of scratch that the gradient needs for each channel. */
const CHANNEL_BYTES = 24;

export const layernorm = {
  layernorm({ args: { x, gamma, beta }, results: { y }, attrs: { epsilon } }, { spec, address }) {
    const operands = { x: address(x), gamma: address(gamma), beta: address(beta), y: address(y) };
    return [call('layernorm', { ...operands, pixels: pixels(spec(x)), channels: channels(spec(x)), epsilon })];
  },
  layernormGrad({ args: { dy, x, gamma }, results: { dx, dgamma, dbeta }, attrs: { epsilon }, label }, context) {
    const { spec, address, capacity, scratch } = context;
    const width = channels(spec(x));
    if (CHANNEL_BYTES * (width + 4) > SCRATCH_BYTES)
      throw new HybridError(
        'E_MEMORY',
        `${label}: the wasm device normalises up to ${Math.floor(SCRATCH_BYTES / CHANNEL_BYTES) - 4} channels of a pixel, not ${width}`,
        'Use fewer channels.',
      );
    const { samples, count } = tilesOf(spec(x), capacity);
    const sums = scratch(count * 2 * width * 4);
    const operands = { dy: address(dy), x: address(x), gamma: address(gamma), dx: address(dx) };
    return [
      call('layernormGrad', { ...operands, sums, pixels: pixels(spec(x)), channels: width, samples, epsilon }),
      mergeSums(sums, address(dgamma), width, 2 * width, samples),
      mergeSums(sums + width * 4, address(dbeta), width, 2 * width, samples),
    ];
  },
} satisfies Partial<Lowerings>;
