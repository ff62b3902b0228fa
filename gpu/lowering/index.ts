// The table of lowerings: every op that has a kernel.

import { arranging } from './arrange.ts';
import { attention } from './attention.ts';
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
import type { Lowerings } from './lowering.ts';
import { matrixUpdates } from './muon.ts';
import { optimizer } from './optimizer.ts';
import { pool } from './pool.ts';
import { repeat } from './repeat.ts';
import { resize } from './resize.ts';

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
