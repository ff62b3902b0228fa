// The graphs that training, evaluation and prediction of a model run.

import { calibrationGraph, trainingGraph } from '../compile/compile.ts';
import type { ModelGraphs } from '../device.ts';
import type { Graph } from '../ir/graph.ts';
import { buildForward } from '../model/build-graph.ts';
import type { TrainableModel } from '../model/model.ts';

/** All graphs of a model, for `Device.compile`. */
export function trainingGraphs(model: TrainableModel): Required<ModelGraphs> {
  const build = (mode: 'train' | 'inference', loss: boolean): Graph =>
    'layers' in model ? buildForward(model, mode, { loss }) : model.forward(mode, { loss });
  const forward = build('train', true);
  return {
    train: trainingGraph(forward),
    calibrate: calibrationGraph(forward),
    evaluate: build('inference', true),
    predict: build('inference', false),
  };
}
