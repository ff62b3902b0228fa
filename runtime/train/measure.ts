// Kernels that follow from the training images (runtime/layers/initializers.ts: `whitening`): measured when a run begins, on what their layer reads.

import { DataPipeline } from '../data/pipeline.ts';
import { someSamples } from '../data/split.ts';
import type { Graph } from '../ir/graph.ts';
import { NO_SCALARS } from '../ir/step.ts';
import type { Layer } from '../layers/index.ts';
import { isMeasured } from '../layers/initializers.ts';
import type { VariableInfo } from '../layers/layer.ts';
import { buildForward } from '../model/build-graph.ts';
import type { Model } from '../model/model.ts';
import { PatchMoments } from '../model/whitening.ts';
import { type Environment, interpret } from '../ops/interpret.ts';
import { evaluationFeed } from './evaluate.ts';
import type { LoopOptions } from './options.ts';

/** Images that are looked at, of every class its share: they have millions of patches. */
const IMAGES = 5000;
/** At a time. */
const ROWS = 100;

type Weights = ReadonlyMap<string, Float32Array>;

/**
 * The weights, and in their places the kernels that are measured of the training images: the same for any number of workers. Throws E_USAGE
 * where a kernel does not have the filters for it, and what reading images throws.
 */
export async function measured(
  options: Pick<LoopOptions, 'model' | 'train' | 'seed' | 'workers' | 'signal'>,
  weights: Weights,
): Promise<Weights> {
  const { model } = options;
  if (!('layers' in model)) return weights;
  const result = new Map(weights);
  for (const layer of model.layers) {
    const kernel = layer.repeats === undefined && layer.variables.find(({ initializer }) => isMeasured(initializer));
    if (kernel) result.set(kernel.name, await kernelOf({ ...options, model }, layer, kernel, result));
  }
  return result;
}

async function kernelOf(
  { model, train, seed, workers, signal }: Pick<LoopOptions, 'train' | 'seed' | 'workers' | 'signal'> & { readonly model: Model },
  { inputs, inputShape }: Layer,
  { shape }: VariableInfo,
  weights: Weights,
): Promise<Float32Array> {
  const graph = buildForward(model, 'inference', { loss: false, until: inputs[0] });
  const state = stateOf(graph, weights);
  const size = inputShape as [number, number, number];
  const moments = new PatchMoments([shape[0], shape[1]], size[2]);
  const dataset = someSamples(train, IMAGES, { split: 'stratified', seed });
  const pipeline = await DataPipeline.open({ train: evaluationFeed(dataset, Math.min(ROWS, dataset.size)) }, { workers });
  try {
    for await (const { images, rows } of pipeline.loader('train').epoch(0, { signal })) {
      const environment: Environment = new Map(state);
      environment.set(graph.inputs.images, { shape: [rows, ...model.input], data: images });
      interpret(graph, environment, { ...NO_SCALARS, rows, epoch: 0, seed: 0n }, ['forward']);
      moments.add(environment.get(graph.outputs.logits)?.data ?? [], rows, size);
    }
  } finally {
    await pipeline.close();
  }
  return moments.kernel(shape);
}

/** Weights as the reference loops take them. */
const stateOf = (graph: Graph, weights: Weights): Environment =>
  new Map(
    graph.values.flatMap(({ id, name, role, spec: { shape } }) => {
      const data = role === 'state' ? weights.get(name) : undefined;
      return data ? [[id, { shape, data: Float64Array.from(data) }] as const] : [];
    }),
  );
