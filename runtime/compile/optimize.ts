// Adds the update phase to a differentiated graph: AdamW, moving statistics, step count. All of it is conditional on loss
// and gradients being finite, so that a bad step changes nothing.

import { invariant } from '../base/errors.ts';
import { type Graph, GraphBuilder, type ValueId } from '../ir/graph.ts';
import { ops } from '../ops/index.ts';

/** AdamW as Keras has it (keras-semantics, section 4); learning rate and weight decay are arguments of each run. */
export const ADAMW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } as const;

/** Suffixes of graph outputs `<path>/mean` and `<path>/variance`, and the statistics `<path>/vars/2` and `/3` they move. */
const BATCH_MEAN = '/mean';

export function addUpdate(graph: Graph): Graph {
  const g = GraphBuilder.from(graph, ops);
  g.phase = 'update';
  g.label = 'optimizer';
  const parameters = graph.gradients.map(({ parameter }) => parameter);
  const gradients = graph.gradients.map(({ gradient }) => gradient);
  const moments = (kind: 'moment1' | 'moment2', offset: number): ValueId[] =>
    parameters.map((id, k) => g.state(`optimizer/vars/${offset + 2 * k}`, g.spec(id).shape, kind));
  const counter = g.state('optimizer/vars/0', [1], 'counter', 'i32');
  const first = moments('moment1', 2);
  const second = moments('moment2', 3);
  const ok = g.one('finiteCheck', [graph.outputs.loss, ...gradients]);
  g.add('adamw', [ok, counter, ...gradients], ADAMW, { updates: [...parameters, ...first, ...second] });
  addMovingAverages(g, ok);
  g.add('countStep', [ok], {}, { updates: [counter] });
  g.output('applied', ok);
  return g.finish();
}

/** The forward graph in training mode with an update phase that only moves the moving statistics. */
export function addCalibration(graph: Graph): Graph {
  const g = GraphBuilder.from(graph, ops);
  g.phase = 'update';
  g.label = 'optimizer';
  const ok = g.one('finiteCheck', [graph.outputs.loss]);
  addMovingAverages(g, ok);
  g.output('applied', ok);
  return g.finish();
}

function addMovingAverages(g: GraphBuilder, ok: ValueId): void {
  const statistics = new Map(g.values.flatMap(({ name, id, state }) => (state === 'statistic' ? [[name, id] as const] : [])));
  for (const [name, mean] of Object.entries(g.outputs)) {
    if (!name.endsWith(BATCH_MEAN)) continue;
    const path = name.slice(0, -BATCH_MEAN.length);
    const updates = [statistics.get(`${path}/vars/2`), statistics.get(`${path}/vars/3`)];
    invariant(updates[0] !== undefined && updates[1] !== undefined, `${path} has no moving statistics`);
    g.label = path;
    g.add('movingAverage', [ok, mean, g.outputs[`${path}/variance`]], {}, { updates: updates as ValueId[] });
  }
}
