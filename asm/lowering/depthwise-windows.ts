// Depthwise convolutions over any windows: how their work is cut into tasks. The kernels are in asm/kernels/depthwise-windows.ts.

import { HybridError } from '../../runtime/base/errors.ts';
import { ceilTo } from '../../runtime/base/units.ts';
import { samplesPerTile } from '../../runtime/ops/check.ts';
import { depthwiseWindow } from '../../runtime/ops/depthwise-windows.ts';
import type { Window } from '../../runtime/ops/window.ts';
import { DEPTHWISE_GROUP } from '../abi/constants.ts';
import type { StructValues } from '../abi/fields.ts';
import { mergeSums } from './elementwise.ts';
import { lowerEpilogue } from './epilogue.ts';
import { callsOf, fewestTasks, type Kernels, type LoweringContext, type Lowerings } from './lowering.ts';

/** Argument blocks of these kernels. */
export const depthwiseWindowsKernels = {
  depthwiseWindows: { window: 'depthwiseWindow', x: 'ptr', weights: 'ptr', output: 'ptr', epilogue: 'epilogue' },
  depthwiseWindowsGradInput: { window: 'depthwiseWindow', dy: 'ptr', weights: 'ptr', dx: 'ptr' },
  /** `dw`: that of each chunk of samples. */
  depthwiseWindowsGradWeight: { window: 'depthwiseWindow', x: 'ptr', dy: 'ptr', dw: 'ptr' },
} as const satisfies Kernels;
const call = callsOf(depthwiseWindowsKernels);

/** Channels of a group are a multiple of this: a cache line. */
const UNIT = 16;
/** Pixels in a chunk of a weight gradient, about. */
const CHUNK_PIXELS = 512;
/** Most taps of a kernel: their sums for a group of UNIT channels, in floats and doubles, fit into the scratch of a thread. */
const MOST_TAPS = 8192;
/** Floats of the sums of a weight gradient, of all taps and channels of a group. */
const SUMS = MOST_TAPS * UNIT;

/** `mostChannels`: of a group. Groups decide no bits. */
function lowerWindow(
  { kernel, stride, dilation, pads, image, out }: Window,
  channels: number,
  taskSamples: number,
  label: string,
  { capacity, threads }: LoweringContext,
  mostChannels = DEPTHWISE_GROUP,
): StructValues<'depthwiseWindow'> {
  if (kernel[0] * kernel[1] > MOST_TAPS)
    throw new HybridError(
      'E_MEMORY',
      `${label}: a depthwise convolution with a ${kernel[0]}×${kernel[1]} kernel is too large for the wasm device, which takes ${MOST_TAPS} taps`,
      'Use a smaller kernel.',
    );
  const groups = Math.ceil(fewestTasks(threads) / Math.ceil(capacity / taskSamples));
  return {
    ...{ height: image[0], width: image[1], channels, outHeight: out[0], outWidth: out[1] },
    ...{ kernelRows: kernel[0], kernelColumns: kernel[1], strideRows: stride[0], strideColumns: stride[1] },
    ...{ dilationRows: dilation[0], dilationColumns: dilation[1], padTop: pads.top, padLeft: pads.left },
    ...{ taskSamples, group: Math.min(mostChannels, ceilTo(Math.ceil(channels / groups), UNIT)) },
  };
}

export const depthwiseWindows = {
  depthwiseWindows(node, context) {
    const { x, w } = node.args;
    const { epilogue: _, ...attrs } = node.attrs;
    const { shape } = context.spec(x);
    const window = depthwiseWindow(shape, context.spec(w).shape, attrs);
    const pixels = window.out[0] * window.out[1];
    const epilogue = lowerEpilogue(node, context, pixels);
    return [
      call('depthwiseWindows', {
        window: lowerWindow(window, shape[2], epilogue.rowsPerTile ? samplesPerTile(pixels) : 1, node.label, context),
        ...{ x: context.address(x), weights: context.address(w), output: context.address(node.results.y) },
        epilogue: epilogue.fields,
      }),
    ];
  },

  depthwiseWindowsGradInput({ args: { dy, w }, results: { dx }, attrs: { inputShape, ...attrs }, label }, context) {
    const window = depthwiseWindow(inputShape, context.spec(w).shape, attrs);
    return [
      call('depthwiseWindowsGradInput', {
        window: lowerWindow(window, inputShape[2], 1, label, context),
        ...{ dy: context.address(dy), weights: context.address(w), dx: context.address(dx) },
      }),
    ];
  },

  depthwiseWindowsGradWeight({ args: { x, dy }, results: { dw }, attrs: { weightShape, ...attrs }, label }, context) {
    const { shape } = context.spec(x);
    const window = depthwiseWindow(shape, weightShape, attrs);
    const taps = window.kernel[0] * window.kernel[1];
    const chunkSamples = Math.max(1, Math.floor(CHUNK_PIXELS / (window.out[0] * window.out[1])));
    const chunks = Math.ceil(context.capacity / chunkSamples);
    const most = Math.max(UNIT, Math.floor(SUMS / taps / UNIT) * UNIT);
    const elements = taps * shape[2];
    const sums = chunks === 1 ? context.address(dw) : context.scratch(chunks * elements * 4);
    return [
      call('depthwiseWindowsGradWeight', {
        window: lowerWindow(window, shape[2], chunkSamples, label, context, Math.min(DEPTHWISE_GROUP, most)),
        ...{ x: context.address(x), dy: context.address(dy), dw: sums },
      }),
      ...(chunks === 1 ? [] : [mergeSums(sums, context.address(dw), elements, elements, chunkSamples)]),
    ];
  },
} satisfies Partial<Lowerings>;
