// From a model to its forward graph: one plain op after the other. Fusion, gradients and updates are passes over the
// result (runtime/compile).

import { invariant } from '../base/errors.ts';
import type { Graph, ValueId } from '../ir/graph.ts';
import { type AnyLayer, buildLayer } from '../layers/define-layer.ts';
import { LAYERS, type LayerType } from '../layers/index.ts';
import { graphShape, type VariableRole } from '../layers/layer.ts';
import { type FrozenLayers, LayerBuilder } from '../layers/layer-builder.ts';
import { addOutputs, type WithLoss } from './graph-parts.ts';
import type { Model } from './model.ts';

const definitionOf = (type: LayerType): AnyLayer => LAYERS[type];

/**
 * Forward graph of `model`.
 *
 * Inputs: `images` u8 [h, w, c]; with `loss` also `labels` i32 []; in training mode, where a dropout rate is above 0,
 * `samples` i32 []: all per sample. State: every variable of the model, in order, in both modes, so that all graphs of
 * a model agree on it. Outputs: `logits` f32 [classes] per sample; with `loss` also `loss` and `correct`, f32 [1]; in
 * training mode `<path>/mean` and `<path>/variance` of each batch normalisation, such as
 * `layers/batch_normalization_1/mean`: the statistics of the batch.
 *
 * In training mode batch normalisation uses the statistics of the batch and dropout is on; in inference mode the moving
 * statistics are folded into scale and shift, and dropout is left out. Batch normalisation of layers in `frozen` is in
 * inference mode always, and has no such outputs.
 *
 * With `until`, the index of a layer from 1 on, the graph ends there, and `logits` is what that layer computes, in its shape.
 */
export function buildForward(
  model: Model,
  mode: 'train' | 'inference',
  { loss, until = model.layers.length - 1, frozen }: { readonly loss: WithLoss; readonly until?: number; readonly frozen?: FrozenLayers },
): Graph {
  const g = new LayerBuilder(`${model.arch} ${mode}`, mode, frozen);
  g.images(model.input);
  const labels = loss ? g.input('labels', { dtype: 'i32', shape: [], perSample: true }) : null;
  if (mode === 'train' && model.layers.some(({ type, config }) => definitionOf(type).draws?.(config))) g.samples();
  const state = new Map(model.variables.map((one) => [one.name, g.state(one.name, graphShape(one), one.kind)]));

  /** Value that each layer computes, by its index. */
  const results: ValueId[] = [];
  const last = model.layers.length - 1;
  const isOneUnit = model.layers[last].outputShape[0] === 1;
  for (const { index, type, config, name, path, inputs, variables, inference } of model.layers.slice(0, until + 1)) {
    g.label = path;
    g.inference = inference === true;
    if (index === last) g.end = isOneUnit ? 'sigmoid' : 'softmax';
    const vars = Object.fromEntries(variables.map(({ role, name }) => [role, state.get(name)])) as Record<VariableRole, ValueId>;
    results.push(buildLayer(g, definitionOf(type), { config, name, path, inputs: inputs.map((index) => results[index]), vars }));
  }

  const logits = results[results.length - 1];
  const { shape } = g.spec(logits);
  invariant(`${shape}` === `${model.layers[until].outputShape}`, `${model.arch} has shape [${shape}] after layer ${until}`);
  addOutputs(g, isOneUnit && until === last ? twoLogits(g, logits) : logits, labels, loss);
  return g.finish();
}

/** [0, z]: their softmax is the sigmoid of z, and its cross-entropy the binary one. */
function twoLogits(g: LayerBuilder, z: ValueId): ValueId {
  const image = g.one('reshape', { x: z }, { shape: [1, 1, 1] });
  const both = g.one('frame', { x: image }, { offset: [0, 0, 1], shape: [1, 1, 2] });
  return g.one('reshape', { x: both }, { shape: [2] });
}
