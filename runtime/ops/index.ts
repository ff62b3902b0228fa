// The table of all ops. Tables of kernels and lowerings elsewhere are keyed by `KernelOpName`, so that a missing entry is a build error.
// A file of this folder is a family; its ops are one object.

import type { NodeOf, Op } from '../ir/define-op.ts';
import { arranging } from './arrange.ts';
import { attention } from './attention.ts';
import { batchNormalization, composites } from './batchnorm.ts';
import { constants } from './constants.ts';
import { convolution } from './conv.ts';
import { depthwiseConvolution } from './depthwise.ts';
import { depthwiseOverWindows } from './depthwise-windows.ts';
import { elementwise, views } from './elementwise.ts';
import { extremes } from './extremes.ts';
import { framing } from './frame.ts';
import { layerNormalization } from './layernorm.ts';
import { losses } from './loss.ts';
import { matrixUpdates } from './muon.ts';
import { updates } from './optimizer.ts';
import { pooling } from './pool.ts';
import { repetition } from './repeat.ts';
import { resizing } from './resize.ts';

/** The ops that a device runs. */
const kernelOps = {
  ...elementwise,
  ...convolution,
  ...depthwiseConvolution,
  ...depthwiseOverWindows,
  ...pooling,
  ...framing,
  ...repetition,
  ...resizing,
  ...layerNormalization,
  ...arranging,
  ...constants,
  ...extremes,
  ...attention,
  ...batchNormalization,
  ...losses,
  ...updates,
  ...matrixUpdates,
} as const satisfies Record<string, Op>;

/** All ops by name, for `GraphBuilder`. docs/ops.md says what each takes, gives and means. */
export const ops = { ...kernelOps, ...views, ...composites } as const satisfies Record<string, Op>;

/** Name of an op. */
export type OpName = keyof typeof ops;

/** The ops that a device runs: those that `expand` replaces and the views have no kernel. */
export type KernelOpName = keyof typeof kernelOps;

/** A node of the op of that name. */
export type OpNode<K extends OpName> = NodeOf<(typeof ops)[K]>;

/** By name, for passes, which know none. */
export const opTable: Readonly<Record<string, Op>> = ops;
