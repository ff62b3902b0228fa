// The graphs that training, evaluation and prediction of a model run.

import { calibrationGraph, trainingGraph, type UpdateOptions } from '../compile/compile.ts';
import type { ModelGraphs } from '../device.ts';
import type { Graph } from '../ir/graph.ts';
import type { LossOptions } from '../losses/index.ts';
import { buildForward } from '../model/build-graph.ts';
import type { WithLoss } from '../model/graph-parts.ts';
import type { TrainableModel } from '../model/model.ts';

/** How a model is trained. */
export interface TrainingGraphOptions extends UpdateOptions {
  /** What is made small; cross-entropy by default. Evaluation always measures cross-entropy as such, so that runs can be compared. */
  readonly loss?: LossOptions;
}

/** The graphs of a model that need no training: for models, too, that cannot be trained, because they have no parameters or leave one out. */
export function inferenceGraphs(model: TrainableModel): Required<Pick<ModelGraphs, 'evaluate' | 'predict'>> {
  return { evaluate: forwardOf(model, 'inference', true), predict: forwardOf(model, 'inference', false) };
}

/** All graphs of a model, for `Device.compile`. Throws as `trainingGraph`, and E_USAGE for a loss that there is not. */
export function trainingGraphs(
  model: TrainableModel,
  { loss = { name: 'crossEntropy' }, ...options }: TrainingGraphOptions = {},
): Required<ModelGraphs> {
  const forward = forwardOf(model, 'train', loss);
  return { train: trainingGraph(forward, options), calibrate: calibrationGraph(forward), ...inferenceGraphs(model) };
}

const forwardOf = (model: TrainableModel, mode: 'train' | 'inference', loss: WithLoss): Graph =>
  'layers' in model ? buildForward(model, mode, { loss }) : model.forward(mode, { loss });
