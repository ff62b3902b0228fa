// Adds the update phase to a differentiated graph: the optimizer, moving statistics, step count. All of it is conditional on loss
// and gradients being finite, so that a bad step changes nothing.

import { HybridError } from '../base/errors.ts';
import { type Graph, GraphBuilder, type ValueId } from '../ir/graph.ts';
import { ops } from '../ops/index.ts';
import { type Factors, type GroupRun, oneGroup } from '../optim/groups.ts';
import { constantsOf, type Optimizer, optimizerOf, slotsFor, slotVariables } from '../optim/index.ts';

/** Suffixes of graph outputs `<path>/mean` and `<path>/variance`, and the two statistics `<path>/vars/…` that they move: the last of a layer. */
const BATCH_MEAN = '/mean';
/** What the path of a layer has behind it in the outputs of its second call and later ones: each moves the statistics once, in order. */
const LATER_CALL = /~\d+$/;

/**
 * `runs`: the groups of the parameters, in the order of the gradients. `clipNorm`: the length that all gradients together have at most; 0: any.
 * `matrices`: factors of the last parameters, which the optimizer updates one by one. Learning rate and weight decay are arguments of each run.
 */
export function addUpdate(
  graph: Graph,
  optimizer: Optimizer = optimizerOf(),
  runs: readonly GroupRun[] = oneGroup(graph.gradients.length),
  clipNorm = 0,
  matrices: readonly Factors[] = [],
): Graph {
  const { rule, constants, slots } = optimizer;
  const g = GraphBuilder.from(graph, ops);
  g.phase = 'update';
  g.label = 'optimizer';
  const parameters = graph.gradients.map(({ parameter }) => parameter);
  const gradients = graph.gradients.map(({ gradient }) => gradient);
  // Named by the place of the parameter in the model: groups change where a tensor lies, not what it is called.
  const places = [...parameters].sort((a, b) => a - b);
  const counter = g.state('optimizer/vars/0', [1], 'counter', 'i32');
  const others = parameters.length - matrices.length;
  const slotsOf = (id: ValueId) => slotsFor(optimizer, parameters.indexOf(id) >= others);
  const names = slotVariables(places.map(slotsOf));
  // Slot by slot, each in the order of the gradients: matrices come last, so that a slot which they lack has the places of all others still.
  const kept = slots.map((slot) =>
    parameters.flatMap((id) => {
      const s = slotsOf(id).indexOf(slot);
      return s < 0 ? [] : [g.state(names[places.indexOf(id)][s], g.spec(id).shape, `slot:${slot}`)];
    }),
  );
  const ok = g.one('finiteCheck', [graph.outputs.loss, ...gradients]);
  const isOne = runs.length === 1 && runs[0].rate === 1 && runs[0].decay === 1;
  const scale = clipNorm > 0 ? g.one('gradientScale', { gradients }, { norm: clipNorm }) : undefined;
  const scaled = scale !== undefined && { scale };
  if (others > 0) {
    const flat = rule.matrices?.others ?? rule;
    const attrs = { ...constantsOf(flat.constants, constants), ...(!isOne && { groups: runs }) };
    const updates = [parameters, ...kept].flatMap((each) => each.slice(0, others));
    g.add(flat.name, { ok, counter, gradients: gradients.slice(0, others), ...scaled }, attrs, { updates });
  }
  for (const [m, { rate, decay }] of matrices.entries()) {
    const { slots: own = [], constants: table = {} } = rule.matrices ?? {};
    const k = others + m;
    const updates = [parameters[k], ...own.map((slot) => kept[slots.indexOf(slot)][k])];
    g.add(rule.name, { ok, gradient: gradients[k], ...scaled }, { ...constantsOf(table, constants), rate, decay }, { updates });
  }
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
