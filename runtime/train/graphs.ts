// The graphs that training, evaluation and prediction of a model run.

import { calibrationGraph, trainingGraph, type UpdateOptions } from '../compile/compile.ts';
import type { ModelGraphs } from '../device.ts';
import type { Graph } from '../ir/graph.ts';
import { buildForward } from '../model/build-graph.ts';
import type { TrainableModel } from '../model/model.ts';

/** All graphs of a model, for `Device.compile`. Throws as `trainingGraph`. */
export function trainingGraphs(model: TrainableModel, options: UpdateOptions = {}): Required<ModelGraphs> {
  const build = (mode: 'train' | 'inference', loss: boolean): Graph =>
    'layers' in model ? buildForward(model, mode, { loss }) : model.forward(mode, { loss });
  const forward = build('train', true);
  return {
    train: trainingGraph(forward, options),
    calibrate: calibrationGraph(forward),
    evaluate: build('inference', true),
    predict: build('inference', false),
  };
}
