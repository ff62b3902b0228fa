import { describe, expect, it } from 'vitest';
import { expand } from '../../runtime/compile/expand.ts';
import { FUSION_RULES, fuse } from '../../runtime/compile/fuse.ts';
import type { ModelGraphs } from '../../runtime/device.ts';
import { type Graph, GraphBuilder, type ValueId } from '../../runtime/ir/graph.ts';
import { printGraph } from '../../runtime/ir/print.ts';
import { initialize } from '../../runtime/model/init.ts';
import type { Model } from '../../runtime/model/model.ts';
import { ops } from '../../runtime/ops/index.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { randomBatch, smallModels } from '../support/models.ts';

/** Two training steps and an evaluation; every number that comes out. */
async function outcome(model: Model, withoutRules: readonly string[]): Promise<Map<string, Float64Array>> {
  const executable = await openReferenceDevice().compile(trainingGraphs(model), { capacity: 4, seed: 5n, withoutRules });
  for (const [name, data] of initialize(model, 3n)) await executable.write(name, data);
  const found = new Map<string, Float64Array>();
  for (const step of [1, 2]) {
    const { loss, correct } = await executable.gradient(randomBatch(model, 4, step));
    found.set(`step ${step}`, Float64Array.of(loss, correct));
    for (const { name, kind } of executable.state) {
      if (kind === 'parameter') found.set(`step ${step} gradients/${name}`, Float64Array.from(executable.exact(`gradients/${name}`)));
    }
    await executable.update({ learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 });
  }
  for (const { name } of executable.state) found.set(name, Float64Array.from(executable.exact(name)));
  const { loss, logits } = await executable.evaluate(randomBatch(model, 3, 9));
  return found.set('evaluate', Float64Array.of(loss, ...logits));
}

function expectSame(actual: Map<string, Float64Array>, expected: Map<string, Float64Array>): void {
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, values] of expected) {
    const scale = values.reduce((largest, v) => Math.max(largest, Math.abs(v)), 0);
    const found = actual.get(name) as Float64Array;
    // evaluate goes through the float32 logits; AdamW turns rounding noise in tiny gradients into tiny steps.
    for (const [i, v] of values.entries()) expect(Math.abs(found[i] - v), `${name}[${i}]`).toBeLessThanOrEqual(1e-6 * scale + 1e-9);
  }
}

const stageCounts = (graphs: ModelGraphs, withoutRules: readonly string[]) => {
  const total = new Map<string, number>();
  for (const graph of Object.values(graphs) as Graph[]) {
    for (const [rule, count] of fuse(expand(graph), withoutRules).applied) total.set(rule, (total.get(rule) ?? 0) + count);
  }
  return total;
};

describe('fusion', () => {
  it('has an effect with every rule on some model', () => {
    const fired = smallModels().map((model) => stageCounts(trainingGraphs(model), []));
    for (const { name } of FUSION_RULES)
      expect(
        fired.some((counts) => (counts.get(name) ?? 0) > 0),
        name,
      ).toBe(true);
  });

  it.each(
    smallModels().map((model) => [model.arch, model] as const),
  )('%s computes the same with every rule on, off, and all off', async (_, model) => {
    const plain = await outcome(model, ['all']);
    expectSame(await outcome(model, []), plain);
    for (const { name } of FUSION_RULES) expectSame(await outcome(model, [name]), plain);
  });

  it('leaves what is switched off: the rule finds it afterwards, and nothing once it was applied', () => {
    const graphs = smallModels().flatMap((model) => Object.values(trainingGraphs(model)) as Graph[]);
    for (const { name } of FUSION_RULES) {
      const others = FUSION_RULES.map((rule) => rule.name).filter((other) => other !== name);
      const left = (withoutRules: readonly string[]) =>
        graphs.reduce((sum, graph) => sum + (fuse(fuse(expand(graph), withoutRules).graph, others).applied.get(name) ?? 0), 0);
      expect(left([name]), name).toBeGreaterThan(0);
      expect(left([]), name).toBe(0);
    }
    const [graph] = graphs;
    expect(fuse(expand(graph), ['all']).graph).toEqual(expand(graph));
  });

  it('moves bias, GELU, derivative and statistics of a ConvMixer block into its convolutions', () => {
    const model = smallModels()[0];
    const { graph } = fuse(expand(trainingGraphs(model).train));
    const ops = graph.nodes.map(({ op }) => op);
    const gone = ['rescale', 'bias', 'gelu', 'geluGrad', 'batchnorm', 'batchnormGrad', 'add', 'depthwiseGradInput', 'depthwiseGradWeight'];
    for (const op of gone) expect(ops).not.toContain(op);
    // What is left of batch normalisation's gradient stands behind the pointwise convolutions and the first one.
    expect(ops.filter((op) => op === 'bnGradApply').length).toBe(9);
    expect(printGraph(graph)).toContain('epilogue: {activation: gelu, derivative, stats}');
  });

  it('stores a normalized image only where something other than a depthwise convolution or a residual reads it', () => {
    const stored = smallModels().map((model) => {
      const { graph } = fuse(expand(trainingGraphs(model).train));
      const plain = graph.nodes.filter(({ op, inputs }) => op === 'normalize' && inputs.length === 3);
      return [model.arch, plain.map(({ outputs }) => graph.nodes.filter(({ inputs }) => inputs.includes(outputs[0])).map(({ op }) => op))];
    });
    expect(Object.fromEntries(stored)).toMatchObject({
      'convmixer-256-8': [['globalAvgPool']],
      // The second stage's convolution of patches needs the result of the first.
      'convmixer-2stage': [['conv', 'convGradWeight'], ['globalAvgPool']],
      'convmixer-2stage-flatten': [['conv', 'convGradWeight'], ['reshape']],
      'convmixer-256-8-block-residual': [['globalAvgPool']],
    });
  });

  it('keeps a normalized image for all of its readers where one of them needs it', () => {
    for (const other of ['relu', 'depthwise and output'] as const) {
      const g = new GraphBuilder('shared', ops);
      const spec = { dtype: 'f32', shape: [4, 4, 2], perSample: true } as const;
      const [x, scale, shift] = [g.input('x', spec), g.state('scale', [2], 'parameter'), g.state('shift', [2], 'parameter')];
      const y = g.one('normalize', [x, scale, shift]);
      g.output('z', g.one('depthwise', [y, g.state('w', [3, 3, 2, 1], 'parameter')]));
      g.output('y', other === 'relu' ? g.one('relu', [y]) : y);
      const graph = g.finish();
      expect(fuse(graph).graph).toEqual(graph);
    }
  });

  it('leaves no pass of its own to GELU where a residual spans the whole block', () => {
    const model = smallModels().find(({ arch }) => arch === 'convmixer-256-8-block-residual') as Model;
    const { graph } = fuse(expand(trainingGraphs(model).train));
    const ops = graph.nodes.map(({ op }) => op);
    for (const gone of ['gelu', 'geluGrad', 'add']) expect(ops).not.toContain(gone);
    expect(graph.nodes.filter(({ op, attrs }) => op === 'bnStats' && attrs.from === 'input')).toEqual([]);
    expect(printGraph(graph)).toContain('epilogue: {activation: gelu, derivative, stats}');
  });

  it.each<[string, (g: GraphBuilder, conv: (epilogue: object) => readonly ValueId[]) => ValueId]>([
    ['an activation before a bias', (g, conv) => g.one('bias', { x: conv({ activation: 'gelu' })[0], b: g.state('b', [2], 'parameter') })],
    [
      'statistics before an activation',
      (g, conv) => {
        const [y, partials] = conv({ stats: true });
        const { mean } = g.add('bnStats', { x: partials }, { from: 'partials', pixels: 16 });
        return g.one('bias', { x: g.one('gelu', { x: y }), b: mean });
      },
    ],
  ])('keeps the order of %s where the author of the graph gave the convolution an epilogue', async (_, build) => {
    const g = new GraphBuilder('own', ops);
    const x = g.one('rescale', { x: g.input('images', { dtype: 'u8', shape: [4, 4, 3], perSample: true }) }, { scale: 1 / 255 });
    const w = g.state('w', [1, 1, 3, 2], 'parameter');
    g.output(
      'logits',
      build(g, (epilogue) => g.add('conv', [x, w], { stride: 1, padding: 'valid', epilogue })),
    );
    const logits = async (withoutRules: readonly string[]) => {
      const executable = await openReferenceDevice().compile({ predict: g.finish() }, { capacity: 2, seed: 1n, withoutRules });
      await executable.write('w', [1, -1, 0.5, 2, -0.7, 0.3]);
      if (executable.state.some(({ name }) => name === 'b')) await executable.write('b', [0.5, -0.8]);
      return executable.predict({ rows: 2, images: Uint8Array.from({ length: 96 }, (_, i) => (i * 37) % 256) });
    };
    expect(await logits([])).toEqual(await logits(['all']));
  });

  it('stores no derivative where nothing is differentiated', () => {
    for (const model of smallModels()) {
      const { graph } = fuse(expand(trainingGraphs(model).evaluate));
      expect(printGraph(graph)).not.toContain('derivative');
    }
  });
});
