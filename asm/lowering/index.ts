// The table of lowerings: every op that has a kernel.

import { arranging } from './arrange.ts';
import { batchnorm } from './batchnorm.ts';
import { constants } from './constants.ts';
import { conv } from './conv.ts';
import { depthwise } from './depthwise.ts';
import { depthwiseWindows } from './depthwise-windows.ts';
import { elementwise } from './elementwise.ts';
import { extremes } from './extremes.ts';
import { framing } from './frame.ts';
import { layernorm } from './layernorm.ts';
import { loss } from './loss.ts';
import type { Lowering, Lowerings } from './lowering.ts';
import { optimizer } from './optimizer.ts';
import { pool } from './pool.ts';
import { repeat } from './repeat.ts';

export const lowerings = {
  ...elementwise,
  ...conv,
  ...depthwise,
  ...depthwiseWindows,
  ...batchnorm,
  ...pool,
  ...framing,
  ...repeat,
  ...layernorm,
  ...arranging,
  ...constants,
  ...extremes,
  ...loss,
  ...optimizer,
} satisfies Lowerings;

/** By name, for the host, which knows none. */
export const loweringOf = (op: string): Lowering | undefined =>
  (lowerings as Readonly<Record<string, unknown>>)[op] as Lowering | undefined;
