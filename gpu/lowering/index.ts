// The table of lowerings: every op that has a kernel.

import type { KernelOpName } from '../../runtime/ops/index.ts';
import { batchnorm } from './batchnorm.ts';
import { conv } from './conv.ts';
import { depthwise } from './depthwise.ts';
import { elementwise } from './elementwise.ts';
import { loss } from './loss.ts';
import type { Lowering } from './lowering.ts';
import { optimizer } from './optimizer.ts';
import { pool } from './pool.ts';

export const lowerings = {
  ...elementwise,
  ...conv,
  ...depthwise,
  ...batchnorm,
  ...pool,
  ...loss,
  ...optimizer,
} satisfies Record<KernelOpName, Lowering>;
