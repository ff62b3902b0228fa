// Graphs around a few ops under test, so that any device runs them through the public contract alone.
//
// A batch is bytes and labels, but the ops want floats. So row r of the batch is a one-hot vector, and a dense layer whose
// weights are a table with the wanted numbers looks row r up: 1·x + 0·(the others) is x to the last bit. The table is a
// parameter, hence the gradient of x can be read like any other. The gradient that flows into the result, dy, is looked up too.

import { inputGradients } from '../../runtime/compile/autodiff.ts';
import { trainingGraph } from '../../runtime/compile/compile.ts';
import { addUpdate } from '../../runtime/compile/optimize.ts';
import type { ModelGraphs } from '../../runtime/device.ts';
import { type Graph, GraphBuilder, type StateKind, type ValueId } from '../../runtime/ir/graph.ts';
import { ops } from '../../runtime/ops/index.ts';

export interface OpsUnderTest {
  readonly rows: number;
  /** Shape of the input without rows. */
  readonly shape: readonly number[];
  /** Shapes of parameters and statistics by name. */
  readonly state?: Readonly<
    Record<string, { readonly shape: readonly number[]; readonly kind: Extract<StateKind, 'parameter' | 'statistic'> }>
  >;
  /** Adds the ops and returns their result, a value per sample. Called once for training mode and once for inference mode. */
  build(g: GraphBuilder, x: ValueId, state: Readonly<Record<string, ValueId>>, mode: 'train' | 'inference'): ValueId;
}

const size = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** Images of the batch: one-hot rows. */
export const oneHotImages = (rows: number): Uint8Array =>
  Uint8Array.from({ length: rows * rows }, (_, i) => (i % (rows + 1) === 0 ? 1 : 0));

/**
 * Graphs whose logits are the result, flattened: `evaluate` in training mode, `predict` in inference mode. `train`
 * backpropagates from `dy` (state of shape [rows, elements of the result]), or with `from: 'loss'` from the
 * cross-entropy of the logits. The input is the parameter `x` of shape [rows, elements of the input].
 */
export function opGraphs(under: OpsUnderTest, from: 'dy' | 'loss' = 'dy') {
  const forward = forwardGraph(under, 'train');
  return {
    train: from === 'loss' ? trainingGraph(forward.g.finish()) : addUpdate(backwardFromDy(under, forward)),
    evaluate: forwardGraph(under, 'train').g.finish(),
    predict: forwardGraph(under, 'inference').g.finish(),
  } satisfies ModelGraphs;
}

interface Forward {
  readonly g: GraphBuilder;
  readonly oneHot: ValueId;
  readonly x: ValueId;
  readonly y: ValueId;
  /** Range of the nodes under test. */
  readonly first: number;
  readonly end: number;
}

function forwardGraph({ rows, shape, state = {}, build }: OpsUnderTest, mode: 'train' | 'inference'): Forward {
  const g = new GraphBuilder(`ops under test, ${mode}`, ops);
  const images = g.input('images', { dtype: 'u8', shape: [rows], perSample: true });
  const labels = g.input('labels', { dtype: 'i32', shape: [], perSample: true });
  const oneHot = g.one('rescale', [images], { scale: 1 });
  const table = g.state('x', [rows, size(shape)], 'parameter');
  const states = Object.fromEntries(Object.entries(state).map(([name, { shape, kind }]) => [name, g.state(name, shape, kind)]));
  const x = lookUp(g, oneHot, table, shape);
  const first = g.nodes.length;
  const y = build(g, x, states, mode);
  const end = g.nodes.length;
  const logits = g.one('reshape', [y], { shape: [size(g.spec(y).shape)] });
  g.output('logits', logits);
  const [loss, correct] = g.add('softmaxCrossEntropy', [logits, labels]);
  g.output('loss', loss);
  g.output('correct', correct);
  return { g, oneHot, x, y, first, end };
}

const lookUp = (g: GraphBuilder, oneHot: ValueId, table: ValueId, shape: readonly number[]): ValueId =>
  g.one('reshape', [g.one('conv', [oneHot, table], { stride: 1, padding: 'valid' })], { shape });

/** What `differentiate` does, but with dy given in place of the gradient of a loss. */
function backwardFromDy({ rows, shape }: OpsUnderTest, { g, oneHot, x, y, first, end }: Forward): Graph {
  const dy = g.state('dy', [rows, size(g.spec(y).shape)], 'statistic');
  g.phase = 'backward';
  const gradients = new Map([[y, lookUp(g, oneHot, dy, g.spec(y).shape)]]);
  for (const node of g.nodes.slice(first, end).reverse()) {
    if (!node.outputs.some((id) => gradients.has(id))) continue;
    const dInputs = inputGradients(
      g,
      node,
      (id) => gradients.get(id),
      (id) => g.spec(id).dtype === 'f32',
    );
    for (const [i, id] of node.inputs.entries()) {
      const gradient = dInputs[i];
      if (gradient !== null) gradients.set(id, gradient);
    }
  }
  const dx = g.one('reshape', [gradients.get(x) as ValueId], { shape: [size(shape)] });
  const parameters = g.values.filter((value) => value.state === 'parameter');
  gradients.set(
    parameters[0].id,
    g.one('convGradWeight', [oneHot, dx], { stride: 1, padding: 'valid', weightShape: parameters[0].spec.shape }),
  );
  const names = new Map<ValueId, string>();
  for (const { id, name } of parameters) {
    const gradient = gradients.get(id) as ValueId;
    g.gradients.push({ parameter: id, gradient });
    names.set(gradient, `gradients/${name}`);
  }
  const graph = g.finish();
  return { ...graph, values: graph.values.map((value) => ({ ...value, name: names.get(value.id) ?? value.name })) };
}
