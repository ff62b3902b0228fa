// Depthwise convolutions over any windows to kernels of gpu/kernels/depthwise-windows.ts.

import { samplesPerTile } from '../../runtime/ops/check.ts';
import { depthwiseWindow } from '../../runtime/ops/depthwise-windows.ts';
import * as kernels from '../kernels/depthwise-windows.ts';
import { lanesFor } from '../kernels/wgsl.ts';
import { channelGroups } from './depthwise.ts';
import { mapGroups } from './elementwise.ts';
import { epilogueOf, epilogueOperands } from './epilogue.ts';
import { KernelOperands } from './kernel.ts';
import type { Lowerings } from './lowering.ts';
import { mergeTiles } from './tiles.ts';

/** Pixels behind one part of a weight gradient, at least. */
const PART_PIXELS = 128;

export const depthwiseWindows = {
  depthwiseWindows(node, context) {
    const { x, w, bias } = node.args;
    const { epilogue: _, ...attrs } = node.attrs;
    const { shape } = context.spec(x);
    const window = depthwiseWindow(shape, context.spec(w).shape, attrs);
    const epilogue = epilogueOf(node);
    const pixels = window.out[0] * window.out[1];
    const lanes = epilogue.stats ? 1 : lanesFor(shape[2]);
    const channels = shape[2] / lanes;
    const operands = new KernelOperands('depthwiseWindows', context).read('x', x, lanes).vectors({ w, bias }, lanes);
    const finished = epilogueOperands(node, operands, lanes);
    if (!epilogue.stats)
      return finished.dispatch(kernels.depthwiseWindows(window, channels, epilogue, lanes), mapGroups(pixels * channels));
    const samples = samplesPerTile(pixels);
    return finished.dispatch(
      kernels.depthwiseWindowsWithStatistics(window, channels, epilogue, samples),
      channelGroups({ c: channels }, samples),
    );
  },

  depthwiseWindowsGradInput({ args: { dy, w }, results: { dx }, attrs: { inputShape, ...attrs } }, context) {
    const window = depthwiseWindow(inputShape, context.spec(w).shape, attrs);
    const lanes = lanesFor(inputShape[2]);
    const channels = inputShape[2] / lanes;
    return new KernelOperands('depthwiseWindowsGradInput', context)
      .read('dy', dy, lanes)
      .vectors({ w }, lanes)
      .write('dx', dx, lanes)
      .dispatch(kernels.depthwiseWindowsGradInput(window, channels, lanes), mapGroups(window.image[0] * window.image[1] * channels));
  },

  depthwiseWindowsGradWeight({ args: { x, dy }, results: { dw }, attrs: { weightShape, ...attrs } }, context) {
    const { shape } = context.spec(x);
    const window = depthwiseWindow(shape, weightShape, attrs);
    const lanes = lanesFor(shape[2]);
    const channels = shape[2] / lanes;
    const samples = Math.max(1, Math.floor(PART_PIXELS / (window.out[0] * window.out[1])));
    const accesses = kernels.gradientAccesses(window, channels);
    const sums = context.scratch(Math.ceil((Math.ceil(context.capacity / samples) * accesses * lanes * 4) / 16) * 16);
    return [
      ...new KernelOperands('depthwiseWindowsGradWeight', context)
        .read('x', x, lanes)
        .read('dy', dy, lanes)
        .raw('sums', sums, 'read_write', lanes)
        .dispatch(kernels.depthwiseWindowsGradWeight(window, channels, samples, lanes), channelGroups({ c: accesses }, samples)),
      ...mergeTiles(sums, [dw], samples, lanes, context),
    ];
  },
} satisfies Partial<Lowerings>;
