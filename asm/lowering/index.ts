// The tables of lowerings, every op that has a kernel, and of kernels.

import { arrangeKernels, arranging } from './arrange.ts';
import { attention, attentionKernels } from './attention.ts';
import { batchnorm, batchnormKernels } from './batchnorm.ts';
import { boundsKernels } from './bounds.ts';
import { constants, constantsKernels } from './constants.ts';
import { conv, convKernels } from './conv.ts';
import { depthwise, depthwiseKernels } from './depthwise.ts';
import { depthwiseWindows, depthwiseWindowsKernels } from './depthwise-windows.ts';
import { elementwise, elementwiseKernels } from './elementwise.ts';
import { extremes, extremesKernels } from './extremes.ts';
import { frameKernels, framing } from './frame.ts';
import { layernorm, layernormKernels } from './layernorm.ts';
import { loss, lossKernels } from './loss.ts';
import type { Kernels, Lowering, Lowerings } from './lowering.ts';
import { matrixUpdates, muonKernels } from './muon.ts';
import { optimizer, optimizerKernels } from './optimizer.ts';
import { pool, poolKernels } from './pool.ts';
import { repeat, repeatKernels } from './repeat.ts';
import { resize, resizeKernels } from './resize.ts';
import { winogradKernels } from './winograd.ts';

export const lowerings = {
  ...elementwise,
  ...conv,
  ...depthwise,
  ...depthwiseWindows,
  ...batchnorm,
  ...pool,
  ...framing,
  ...repeat,
  ...resize,
  ...layernorm,
  ...arranging,
  ...constants,
  ...extremes,
  ...attention,
  ...loss,
  ...optimizer,
  ...matrixUpdates,
} satisfies Lowerings;

/** By name, for the host, which knows none. */
export const loweringOf = (op: string): Lowering | undefined =>
  (lowerings as Readonly<Record<string, unknown>>)[op] as Lowering | undefined;

const TABLES: readonly Kernels[] = [
  arrangeKernels,
  attentionKernels,
  batchnormKernels,
  boundsKernels,
  constantsKernels,
  convKernels,
  depthwiseKernels,
  depthwiseWindowsKernels,
  elementwiseKernels,
  extremesKernels,
  frameKernels,
  layernormKernels,
  lossKernels,
  muonKernels,
  optimizerKernels,
  poolKernels,
  repeatKernels,
  resizeKernels,
  winogradKernels,
];

/** Every kernel with the fields of its argument block. */
export const KERNELS: Kernels = Object.assign({}, ...TABLES);
