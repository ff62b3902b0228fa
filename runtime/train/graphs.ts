// The graphs that training, evaluation and prediction of a model run.

import { calibrationGraph, trainingGraph } from '../compile/compile.ts';
import type { ModelGraphs } from '../device.ts';
import { buildForward } from '../model/build-graph.ts';
import type { Model } from '../model/model.ts';

export function trainingGraphs(model: Model): ModelGraphs {
  const forward = buildForward(model, 'train', { loss: true });
  return {
    train: trainingGraph(forward),
    calibrate: calibrationGraph(forward),
    evaluate: buildForward(model, 'inference', { loss: true }),
    predict: buildForward(model, 'inference', { loss: false }),
  };
}
