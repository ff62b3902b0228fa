/**
 * Graphs, their operations and passes: `@hybrid-train/hybrid/graph`.
 *
 * @module Graphs
 */

export { differentiate } from '../compile/autodiff.ts';
export { calibrationGraph, compileGraph, trainingGraph } from '../compile/compile.ts';
export { FUSION_RULES, type FusionRule } from '../compile/fuse.ts';
export type { CompileOptions, Exchange, ModelGraphs, ResidentImages } from '../contract/compile-options.ts';
export type { Batch, BatchMetrics, Hyperparameters, KernelTime, RunOptions, Runs, Update } from '../contract/runs.ts';
export { GRADIENTS, STATISTICS, type StateEntry, type Store } from '../contract/store.ts';
export type { Bounds, Executable } from '../device.ts';
export { type Estimate, nodeCost } from '../inspect.ts';
export type { Op, ReferenceRun, Traits } from '../ir/define-op.ts';
export {
  type AddOptions,
  type Attrs,
  type Graph,
  GraphBuilder,
  type Node as GraphNode,
  type Phase,
  type Results,
  type StateKind,
  type Value as GraphValue,
  type ValueId,
  type Values,
} from '../ir/graph.ts';
export type { Cost, ReferenceTensor } from '../ir/op.ts';
export { printGraph } from '../ir/print.ts';
export { graphDigest } from '../ir/serialize.ts';
export type { Attribute, Operand, Operands, Schema, Signature } from '../ir/signature.ts';
export type { Scalars, StepScalars } from '../ir/step.ts';
export type { DType, TensorSpec } from '../ir/tensor.ts';
export { verify as verifyGraph } from '../ir/verify.ts';
export type { FrozenLayers, Mode } from '../layers/layer-builder.ts';
export { LOSSES, type LossName, type LossOptions } from '../losses/index.ts';
export { type GraphModelOptions, graphModel, ModelBuilder } from '../model/graph-model.ts';
export type { GraphModel } from '../model/model.ts';
export { type OpName, ops } from '../ops/index.ts';
export type { ParameterGroup } from '../optim/groups.ts';
export { describeOptimizer, OPTIMIZERS, type OptimizerName, type OptimizerOptions, parseOptimizer } from '../optim/index.ts';
export { trainingGraphs } from '../train/graphs.ts';
