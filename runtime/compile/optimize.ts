// Adds the update phase to a differentiated graph: the optimizer, moving statistics, step count. All of it is conditional on loss
// and gradients being finite, so that a bad step changes nothing.

import { HybridError } from '../base/errors.ts';
import { type Graph, GraphBuilder, type ValueId } from '../ir/graph.ts';
import { ops } from '../ops/index.ts';
import { type GroupRun, oneGroup } from '../optim/groups.ts';
import { type Optimizer, optimizerOf, slotVariable } from '../optim/index.ts';

/** Suffixes of graph outputs `<path>/mean` and `<path>/variance`, and the two statistics `<path>/vars/…` that they move: the last of a layer. */
const BATCH_MEAN = '/mean';
/** What the path of a layer has behind it in the outputs of its second call and later ones: each moves the statistics once, in order. */
const LATER_CALL = /~\d+$/;

/**
 * `runs`: the groups of the parameters, in the order of the gradients. `clipNorm`: the length that all gradients together have at most; 0: any.
 * Learning rate and weight decay are arguments of each run.
 */
export function addUpdate(
  graph: Graph,
  { rule, constants, slots }: Optimizer = optimizerOf(),
  runs: readonly GroupRun[] = oneGroup(graph.gradients.length),
  clipNorm = 0,
): Graph {
  const g = GraphBuilder.from(graph, ops);
  g.phase = 'update';
  g.label = 'optimizer';
  const parameters = graph.gradients.map(({ parameter }) => parameter);
  const gradients = graph.gradients.map(({ gradient }) => gradient);
  // Named by the place of the parameter in the model: groups change where a tensor lies, not what it is called.
  const places = [...parameters].sort((a, b) => a - b);
  const counter = g.state('optimizer/vars/0', [1], 'counter', 'i32');
  const kept = slots.flatMap((slot, s) =>
    parameters.map((id) => g.state(slotVariable(places.indexOf(id), s, slots.length), g.spec(id).shape, `slot:${slot}`)),
  );
  const ok = g.one('finiteCheck', [graph.outputs.loss, ...gradients]);
  const isOne = runs.length === 1 && runs[0].rate === 1 && runs[0].decay === 1;
  const scale = clipNorm > 0 ? g.one('gradientScale', { gradients }, { norm: clipNorm }) : undefined;
  const attrs = isOne ? constants : { ...constants, groups: runs };
  g.add(rule.name, { ok, counter, gradients, ...(scale !== undefined && { scale }) }, attrs, { updates: [...parameters, ...kept] });
  addMovingAverages(g, ok, graph);
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

/** By the momentum that the nodes of `forward` have, each its own; without, by that of the run. */
function addMovingAverages(g: GraphBuilder, ok: ValueId, forward?: Graph): void {
  const statistics = g.values.filter(({ state }) => state === 'statistic');
  for (const [name, mean] of Object.entries(g.outputs)) {
    if (!name.endsWith(BATCH_MEAN)) continue;
    const call = name.slice(0, -BATCH_MEAN.length);
    const of = (layer: string) => statistics.filter((one) => one.name.startsWith(`${layer}/vars/`)).map(({ id }) => id);
    const path = of(call).length > 0 ? call : call.replace(LATER_CALL, '');
    const updates = of(path);
    // An output of its author's own, which has that name as it might have any.
    if (updates.length === 0) continue;
    const variance = Object.hasOwn(g.outputs, `${call}/variance`) ? g.outputs[`${call}/variance`] : undefined;
    if (updates.length !== 2 || variance === undefined)
      throw new HybridError(
        'E_USAGE',
        `the output ${name} of graph ${g.name} moves the statistics ${path}/vars/…, but ${variance === undefined ? `there is no output ${call}/variance` : `there are ${updates.length} of them, not two`}`,
        'Name both results of batchnorm, and declare both moving statistics.',
      );
    g.label = path;
    const { momentum } = forward?.nodes.find(({ outputs }) => outputs.includes(mean))?.attrs ?? {};
    g.add('movingAverage', { ok, mean, variance }, { momentum }, { updates });
  }
}
