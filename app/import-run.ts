// A checkpoint from a model that was trained elsewhere: a run that stands before its first step here, with the weights and, where there is
// one, the optimizer's state from there. Counting epochs begins anew, as it does in Keras after `load_model`.

import { type OptionNames, refuseUnknownOptions } from '../runtime/base/kinds.ts';
import { cardOf, optimizerVariables, type TrainedModel } from '../runtime/interop/trained-model.ts';
import { graphDigest, serializeGraph } from '../runtime/ir/serialize.ts';
import { sizeOf } from '../runtime/layers/layer.ts';
import type { OptimizerName, OptimizerOptions } from '../runtime/optim/index.ts';
import type { Checkpoint } from '../runtime/train/checkpoint.ts';
import { inferenceGraphs } from '../runtime/train/graphs.ts';
import { BestKeeper } from '../runtime/train/monitors.ts';
import type { RunProgress } from '../runtime/train/progress.ts';

/** Options for `importRun`: settings with which the run resumes. */
export interface ImportRunOptions {
  /** Seed of the resumed run. */
  readonly seed: bigint;
  readonly batch: number;
  readonly learningRate: number;
  /** AdamW by default. */
  readonly optimizer?: OptimizerName | OptimizerOptions;
}

const OPTIONS: OptionNames<ImportRunOptions> = { seed: true, batch: true, learningRate: true, optimizer: true };

/** A checkpoint from which a run resumes with the weights of another program, and with its optimizer state if present. */
export function importRun(trained: TrainedModel, given: ImportRunOptions): Checkpoint {
  refuseUnknownOptions(given, OPTIONS, 'importRun');
  const { seed, batch, learningRate, optimizer: options } = given;
  const { model, weights, optimizer } = trained;
  const { predict } = inferenceGraphs(model);
  const progress: RunProgress = {
    epoch: 1,
    step: 0,
    epochs: null,
    stepsPerEpoch: 1, // of the data that is not known yet; resuming counts its own
    seed: `${seed}`,
    batch,
    learningRate,
    rateFactor: 1,
    callbacks: { best: new BestKeeper('val_loss').state(), earlyStopping: null, plateau: null },
    history: [],
    running: { loss: 0, correct: 0, rows: 0 },
    settings: null,
  };
  const variables = optimizerVariables(model, options);
  // The state of another optimizer means nothing to this one.
  const isIts = optimizer?.size === variables.length && variables.every(({ name, shape }) => optimizer.get(name)?.length === sizeOf(shape));
  const state = variables.map(({ name, shape }, i) => {
    const data = i === 1 ? Float32Array.of(learningRate) : (isIts && optimizer.get(name)) || new Float32Array(sizeOf(shape));
    return [name, { shape, data }] as const;
  });
  return {
    weights: new Map(model.variables.map(({ name, shape }) => [name, { shape, data: weights.get(name) as Float32Array }])),
    optimizer: new Map(state),
    progress: { ...progress },
    graph: { text: serializeGraph(predict), digest: graphDigest(predict) },
    card: cardOf(trained),
  };
}
