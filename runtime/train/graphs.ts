// The graphs that training, evaluation and prediction of a model run.

import { refuseUnknownOptions } from '../base/kinds.ts';
import { calibrationGraph, trainingGraph, type UpdateOptions } from '../compile/compile.ts';
import { areAlike, cutGraph, lastFixed } from '../compile/cut.ts';
import type { ModelGraphs } from '../device.ts';
import type { Graph } from '../ir/graph.ts';
import { serializeGraph } from '../ir/serialize.ts';
import type { FrozenLayers } from '../layers/layer-builder.ts';
import type { LossOptions } from '../losses/index.ts';
import { buildForward } from '../model/build-graph.ts';
import type { WithLoss } from '../model/graph-parts.ts';
import { type TrainableModel, untrainable, untrainablePaths } from '../model/model.ts';
import { groupParameters, type ParameterGroup } from '../optim/groups.ts';
import { pathOf } from './freeze.ts';

/** How a model is trained. */
export interface TrainingGraphOptions extends UpdateOptions {
  /** What is made small; cross-entropy by default. Evaluation always measures cross-entropy as such, so that runs can be compared. */
  readonly loss?: LossOptions;
}

/** The graphs of a model that need no training: for models, too, that cannot be trained, because they have no parameters or leave one out. */
export function inferenceGraphs(model: TrainableModel): Required<Pick<ModelGraphs, 'evaluate' | 'predict'>> {
  return { evaluate: forwardOf(model, 'inference', true), predict: forwardOf(model, 'inference', false) };
}

/**
 * All graphs of a model, for `Device.compile`. Batch normalisation whose parameters are all frozen uses its moving statistics in training too, and
 * does not move them, as Keras' layers do that are not trainable. Throws as `trainingGraph`, and E_USAGE for a loss that there is not.
 */
export function trainingGraphs(model: TrainableModel, asked: TrainingGraphOptions = {}): Required<ModelGraphs> {
  refuseUnknownOptions<TrainingGraphOptions>(asked, { loss: true, optimizer: true, groups: true, clipNorm: true }, 'trainingGraphs');
  const { loss = { name: 'crossEntropy' }, groups: given, ...others } = asked;
  const options = { ...others, groups: withOwn(model, given) };
  const forward = forwardOf(model, 'train', loss, frozenLayers(model, options.groups));
  return { train: trainingGraph(forward, options), calibrate: calibrationGraph(forward), ...inferenceGraphs(model) };
}

/** Groups with what the model itself leaves as it is in front. */
function withOwn(model: TrainableModel, groups: readonly ParameterGroup[] | undefined): readonly ParameterGroup[] | undefined {
  const isFrozen = untrainable(model);
  if (!model.variables.some(({ name }) => isFrozen(name))) return groups;
  return [{ match: ({ name }) => isFrozen(name), frozen: true }, ...(groups ?? [])];
}

/** A model in two: what is frozen in front of all that is trained, and the rest. */
export interface SplitGraphs {
  /** From images to the features that the rest reads, its output `logits`. */
  readonly backbone: Graph;
  /** From `features` on; the state is that of the whole model. */
  readonly head: Required<Omit<ModelGraphs, 'predict'>>;
}

/** The graphs of a model whose first layers are frozen, in two; or why it cannot be cut, as the end of a sentence. */
export function splitGraphs(
  model: TrainableModel,
  { loss = { name: 'crossEntropy' }, groups: given, ...others }: TrainingGraphOptions,
): SplitGraphs | string {
  const options = { ...others, groups: withOwn(model, given) };
  const { trained } = groupParameters(
    model.variables.filter(({ kind }) => kind === 'parameter'),
    options.groups,
  );
  const forward = forwardOf(model, 'train', loss, frozenLayers(model, options.groups));
  const fixed = lastFixed(forward, new Set(trained.map(({ name }) => name)));
  if (typeof fixed === 'string') return fixed;
  const [training, evaluation] = [forward, inferenceGraphs(model).evaluate].map((graph) => cutGraph(graph, fixed.name));
  if (!training || !evaluation || !areAlike(training, evaluation)) return `the network cannot be cut behind ${fixed.name}`;
  if (serializeGraph(training.before) !== serializeGraph(evaluation.before)) return 'what is frozen computes otherwise in training';
  const { before: backbone, after } = training;
  if (!backbone.nodes.some(({ inputs }) => inputs.some((id) => backbone.values[id].role === 'state'))) return 'the first layer is trained';
  return { backbone, head: { train: trainingGraph(after, options), calibrate: calibrationGraph(after), evaluate: evaluation.after } };
}

const forwardOf = (model: TrainableModel, mode: 'train' | 'inference', loss: WithLoss, frozen?: FrozenLayers): Graph =>
  'layers' in model ? buildForward(model, mode, { loss, frozen }) : model.forward(mode, { loss, frozen });

/** Layers none of whose parameters is trained. */
function frozenLayers(model: TrainableModel, groups: readonly ParameterGroup[] = []): FrozenLayers | undefined {
  if (!groups.some(({ frozen }) => frozen)) return undefined;
  const { trained, frozen } = groupParameters(
    model.variables.filter(({ kind }) => kind === 'parameter'),
    groups,
  );
  const paths = new Set(frozen.map(({ name }) => pathOf(name)));
  for (const { name } of trained) paths.delete(pathOf(name));
  return new Set([...paths, ...untrainablePaths(model)]);
}
