// The table of all ops. Tables of kernels, lowerings and costs elsewhere are keyed by `OpName` or `KernelOpName`, so that a
// missing entry is a build error.

import type { OpDefinition } from '../ir/op.ts';
import { batchnorm, batchnormGrad, bnFold, bnGradApply, bnGradFold, bnGradStats, bnStats, normalize } from './batchnorm.ts';
import { conv, convGradInput, convGradWeight } from './conv.ts';
import { depthwise, depthwiseGrad, depthwiseGradInput, depthwiseGradWeight } from './depthwise.ts';
import { add, bias, biasGrad, dropout, geluGrad, geluOp, relu, reluGrad, rescale, reshape } from './elementwise.ts';
import { softmaxCrossEntropy, softmaxCrossEntropyGrad } from './loss.ts';
import { countStep, finiteCheck, movingAverage, updateOps } from './optimizer.ts';
import { globalAvgPool, globalAvgPoolGrad, maxPool, maxPoolGrad } from './pool.ts';

/** All ops by name, for `GraphBuilder`. ARCHITECTURE.md says what each takes, gives and means. */
export const ops = {
  rescale,
  conv,
  convGradInput,
  convGradWeight,
  depthwise,
  depthwiseGradInput,
  depthwiseGradWeight,
  depthwiseGrad,
  bias,
  biasGrad,
  gelu: geluOp,
  geluGrad,
  relu,
  reluGrad,
  add,
  reshape,
  dropout,
  globalAvgPool,
  globalAvgPoolGrad,
  maxPool,
  maxPoolGrad,
  batchnorm,
  batchnormGrad,
  bnStats,
  bnFold,
  normalize,
  bnGradStats,
  bnGradFold,
  bnGradApply,
  softmaxCrossEntropy,
  softmaxCrossEntropyGrad,
  finiteCheck,
  ...updateOps,
  movingAverage,
  countStep,
} as const satisfies Record<string, OpDefinition>;

/** Name of an op. */
export type OpName = keyof typeof ops;

/** The ops that a device runs: those that `expand` replaces and the view have no kernel. */
export type KernelOpName = Exclude<OpName, 'batchnorm' | 'batchnormGrad' | 'reshape'>;
