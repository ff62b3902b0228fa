// The graphs that training, evaluation and prediction of a model run.

import { calibrationGraph, trainingGraph, type UpdateOptions } from '../compile/compile.ts';
import type { ModelGraphs } from '../device.ts';
import type { Graph } from '../ir/graph.ts';
import type { FrozenLayers } from '../layers/layer-builder.ts';
import type { LossOptions } from '../losses/index.ts';
import { buildForward } from '../model/build-graph.ts';
import type { WithLoss } from '../model/graph-parts.ts';
import { type TrainableModel, untrainablePaths } from '../model/model.ts';
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
export function trainingGraphs(
  model: TrainableModel,
  { loss = { name: 'crossEntropy' }, groups: given, ...others }: TrainingGraphOptions = {},
): Required<ModelGraphs> {
  const untrainable = untrainablePaths(model);
  const own: ParameterGroup[] = untrainable.size > 0 ? [{ match: ({ name }) => untrainable.has(pathOf(name)), frozen: true }] : [];
  const options = { ...others, groups: own.length > 0 ? [...own, ...(given ?? [])] : given };
  const forward = forwardOf(model, 'train', loss, frozenLayers(model, options.groups));
  return { train: trainingGraph(forward, options), calibrate: calibrationGraph(forward), ...inferenceGraphs(model) };
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
