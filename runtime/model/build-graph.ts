// From a model to its forward graph: one plain op after the other. Fusion, gradients and updates are passes over the
// result (runtime/compile).

import { invariant } from '../base/errors.ts';
import { PURPOSE } from '../base/philox.ts';
import { type Graph, GraphBuilder, type ValueId } from '../ir/graph.ts';
import { ops } from '../ops/index.ts';
import { addBatchNormalization, addOutputs } from './graph-parts.ts';
import type { ActivationName, Layer } from './layers.ts';
import type { Model } from './model.ts';

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
 * statistics are folded into scale and shift, and dropout is left out.
 *
 * With `until`, the index of a layer from 1 on, the graph ends there, and `logits` is what that layer computes, in its shape.
 */
export function buildForward(
  model: Model,
  mode: 'train' | 'inference',
  { loss, until = model.layers.length - 1 }: { readonly loss: boolean; readonly until?: number },
): Graph {
  const g = new GraphBuilder(`${model.arch} ${mode}`, ops);
  const images = g.input('images', { dtype: 'u8', shape: model.input, perSample: true });
  const labels = loss ? g.input('labels', { dtype: 'i32', shape: [], perSample: true }) : null;
  const dropsOut = mode === 'train' && model.layers.some((layer) => layer.type === 'Dropout' && layer.rate > 0);
  const samples = dropsOut ? g.input('samples', { dtype: 'i32', shape: [], perSample: true }) : null;
  const state = new Map(model.variables.map(({ name, shape, kind }) => [name, g.state(name, shape, kind)]));

  /** Value that each layer computes, by its index. */
  const results: ValueId[] = [];
  let dropouts = 0;

  const activate = (x: ValueId, activation?: ActivationName) => (activation ? g.one(activation, [x]) : x);

  const compute = (layer: Layer): ValueId => {
    const inputs = layer.inputs.map((index) => results[index]);
    const [x] = inputs;
    const vars = layer.variables.map(({ name }) => state.get(name) as ValueId);
    switch (layer.type) {
      case 'InputLayer':
        return images;
      case 'Rescaling':
        return g.one('rescale', [x], { scale: layer.scale });
      case 'Conv2D': {
        const { stride, padding, activation } = layer;
        return activate(g.one('bias', [g.one('conv', [x, vars[0]], { stride, padding }), vars[1]]), activation);
      }
      case 'DepthwiseConv2D':
        return g.one('bias', [g.one('depthwise', [x, vars[0]]), vars[1]]);
      case 'Dense':
        return activate(g.one('bias', [g.one('conv', [x, vars[0]], { stride: 1, padding: 'valid' }), vars[1]]), layer.activation);
      case 'Activation':
        return activate(x, layer.activation);
      case 'BatchNormalization': {
        const [gamma, beta, movingMean, movingVariance] = vars;
        const { path, epsilon } = layer;
        return addBatchNormalization(g, x, { gamma, beta, movingMean, movingVariance }, { mode, path, epsilon });
      }
      case 'Add':
        return g.one('add', inputs);
      case 'MaxPooling2D':
        return g.one('maxPool', [x]);
      case 'GlobalAveragePooling2D':
        return g.one('globalAvgPool', [x]);
      case 'Flatten':
        return g.one('reshape', [x], { shape: layer.outputShape });
      case 'Dropout': {
        const purpose = PURPOSE.dropout + dropouts++;
        if (samples === null || layer.rate === 0) return x;
        return g.one('dropout', [x, samples], { rate: layer.rate, purpose });
      }
    }
  };

  for (const layer of model.layers.slice(0, until + 1)) {
    g.label = layer.path;
    results.push(compute(layer));
  }

  const logits = results[results.length - 1];
  const { shape } = g.spec(logits);
  invariant(`${shape}` === `${model.layers[until].outputShape}`, `${model.arch} has shape [${shape}] after layer ${until}`);
  addOutputs(g, logits, labels);
  return g.finish();
}
