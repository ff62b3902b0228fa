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

/** All graphs of a model, for `Device.compile`. Throws as `trainingGraph`, and E_USAGE for a loss that there is not. */
export function trainingGraphs(
  model: TrainableModel,
  { loss = { name: 'crossEntropy' }, ...options }: TrainingGraphOptions = {},
): Required<ModelGraphs> {
  const build = (mode: 'train' | 'inference', loss: WithLoss): Graph =>
    'layers' in model ? buildForward(model, mode, { loss }) : model.forward(mode, { loss });
  const forward = build('train', loss);
  return {
    train: trainingGraph(forward, options),
    calibrate: calibrationGraph(forward),
    evaluate: build('inference', true),
    predict: build('inference', false),
  };
}
