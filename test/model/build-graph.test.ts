// The forward graph of a model: its inputs, state and outputs, the ops of each mode, and what identifies it.

import { describe, expect, test } from 'vitest';
import type { Graph } from '../../runtime/ir/graph.ts';
import { graphDigest, serializeGraph } from '../../runtime/ir/serialize.ts';
import { verify } from '../../runtime/ir/verify.ts';
import { ARCHITECTURES, buildModel } from '../../runtime/model/architectures.ts';
import { buildForward } from '../../runtime/model/build-graph.ts';
import { ops } from '../../runtime/ops/index.ts';

const build = (arch: string, options = {}) => buildModel(arch, { input: [16, 16, 3], classes: 5, ...options });
const opsOf = (graph: Graph) => graph.nodes.map(({ op }) => op);
const count = (graph: Graph, op: string) => opsOf(graph).filter((name) => name === op).length;
const specOf = (graph: Graph, output: string) => graph.values[graph.outputs[output]].spec;

describe.each(ARCHITECTURES)('%s', (arch) => {
  const model = build(arch);
  const train = buildForward(model, 'train', { loss: true });
  const evaluate = buildForward(model, 'inference', { loss: true });
  const predict = buildForward(model, 'inference', { loss: false });
  const graphs = [train, evaluate, predict];

  test('is valid', () => {
    for (const graph of graphs) verify(graph, ops, graph.name);
  });

  test('declares every variable, in order and in all modes', () => {
    for (const graph of graphs) {
      const state = graph.values.filter(({ role }) => role === 'state');
      expect(state.map(({ name, spec, state: kind }) => ({ name, shape: spec.shape, kind }))).toEqual(
        model.variables.map(({ name, shape, kind }) => ({ name, shape, kind })),
      );
    }
  });

  test('takes what the mode needs, per sample', () => {
    expect(Object.keys(train.inputs)).toEqual(['images', 'labels', 'samples']);
    expect(Object.keys(evaluate.inputs)).toEqual(['images', 'labels']);
    expect(Object.keys(predict.inputs)).toEqual(['images']);
    expect(train.values[train.inputs.images].spec).toEqual({ dtype: 'u8', shape: [16, 16, 3], perSample: true });
    for (const name of ['labels', 'samples']) {
      expect(train.values[train.inputs[name]].spec).toEqual({ dtype: 'i32', shape: [], perSample: true });
    }
  });

  test('gives logits, loss and the statistics of each batch normalisation', () => {
    for (const graph of graphs) expect(specOf(graph, 'logits')).toEqual({ dtype: 'f32', shape: [5], perSample: true });
    expect(Object.keys(predict.outputs)).toEqual(['logits']);
    expect(Object.keys(evaluate.outputs).sort()).toEqual(['correct', 'logits', 'loss']);
    const normalizations = model.layers.filter(({ type }) => type === 'BatchNormalization');
    const statistics = normalizations.flatMap(({ path }) => [`${path}/mean`, `${path}/variance`]);
    expect(Object.keys(train.outputs).sort()).toEqual(['correct', 'logits', 'loss', ...statistics].sort());
    for (const { path, outputShape } of normalizations) {
      const node = train.nodes.find(({ label }) => label === path);
      expect(node?.op).toBe('batchnorm');
      expect(node?.outputs.slice(1)).toEqual([train.outputs[`${path}/mean`], train.outputs[`${path}/variance`]]);
      expect(specOf(train, `${path}/variance`)).toEqual({ dtype: 'f32', shape: [outputShape[outputShape.length - 1]], perSample: false });
    }
  });

  test('uses batch statistics and dropout only in training', () => {
    const normalizations = model.layers.filter(({ type }) => type === 'BatchNormalization').length;
    expect([count(train, 'batchnorm'), count(train, 'bnFold'), count(train, 'dropout')]).toEqual([normalizations, 0, 1]);
    expect([count(predict, 'batchnorm'), count(predict, 'bnFold'), count(predict, 'dropout')]).toEqual([0, normalizations, 0]);
  });

  test('labels the nodes with the path of their layer, and computes layer by layer what the layers say', () => {
    const last = new Map(train.nodes.map(({ label, outputs }) => [label, outputs[0]]));
    for (const layer of model.layers) {
      const id = last.get(layer.path);
      if (layer.type === 'InputLayer') expect(id).toBeUndefined();
      else expect(train.values[id ?? -1].spec).toEqual({ dtype: 'f32', shape: layer.outputShape, perSample: true });
    }
  });

  test('computes with every parameter', () => {
    for (const graph of [train, predict]) {
      const read = new Set(graph.nodes.flatMap(({ inputs }) => inputs));
      const unread = graph.values.filter(({ id, role }) => role === 'state' && !read.has(id));
      expect(unread.filter(({ state }) => state === 'parameter')).toEqual([]);
      // Moving statistics are read in inference, all of them, and not in training.
      expect(unread.length).toBe(graph === train ? model.variables.filter(({ kind }) => kind === 'statistic').length : 0);
    }
  });
});

test('a block in plain ops', () => {
  const graph = buildForward(build('convmixer', { dim: 4, depth: 1 }), 'train', { loss: true });
  expect(opsOf(graph)).toEqual([
    ...['rescale', 'conv', 'bias', 'gelu', 'batchnorm'],
    ...['depthwise', 'bias', 'gelu', 'batchnorm', 'add', 'conv', 'bias', 'gelu', 'batchnorm'],
    ...['globalAvgPool', 'dropout', 'conv', 'bias', 'softmaxCrossEntropy'],
  ]);
  const [, stem] = graph.nodes;
  expect(stem.attrs).toEqual({ stride: 2, padding: 'valid' });
  expect(graph.nodes.find(({ op }) => op === 'dropout')?.attrs).toEqual({ rate: 0.5, purpose: 16 });
  expect(graph.nodes.find(({ op }) => op === 'batchnorm')?.attrs).toEqual({ epsilon: 1e-3 });
});

test('activations of layers that have one come after the bias', () => {
  const graph = buildForward(build('conv-pooling'), 'inference', { loss: false });
  const labelled = (label: string) => graph.nodes.filter((node) => node.label === label).map(({ op }) => op);
  expect(labelled('layers/conv2d')).toEqual(['conv', 'bias', 'gelu']);
  expect(labelled('layers/dense')).toEqual(['conv', 'bias', 'relu']);
  expect(labelled('layers/dense_1')).toEqual(['conv', 'bias']);
  expect(labelled('layers/flatten')).toEqual(['reshape']);
});

test('with dropout 0 training needs no samples', () => {
  const graph = buildForward(build('convmixer-2stage', { dropout: 0 }), 'train', { loss: true });
  expect(Object.keys(graph.inputs)).toEqual(['images', 'labels']);
  expect(count(graph, 'dropout')).toBe(0);
});

describe('serialised', () => {
  const forward = (arch: string, options = {}) => buildForward(build(arch, options), 'inference', { loss: false });

  test('is JSON that holds the whole graph, and the same text for the same model', () => {
    const graph = forward('convmixer-2stage');
    const text = serializeGraph(graph);
    const { inputs, outputs, values, gradients } = graph;
    // The names of operands follow from the op.
    const nodes = graph.nodes.map(({ args: _, results: __, ...node }) => node);
    expect(JSON.parse(text)).toEqual({ version: 1, inputs, outputs, values, nodes, gradients });
    expect(serializeGraph(forward('convmixer-2stage'))).toBe(text);
  });

  test('does not depend on the order in which attributes were written', () => {
    const graph = forward('convmixer');
    const reversed = graph.nodes.map((node) => ({ ...node, attrs: Object.fromEntries(Object.entries(node.attrs).reverse()) }));
    expect(serializeGraph({ ...graph, nodes: reversed })).toBe(serializeGraph(graph));
  });

  test('tells apart the two models of equal shapes, and what they compute from what they are called', () => {
    expect(graphDigest(forward('convmixer'))).toMatch(/^[0-9a-f]{64}$/);
    expect(graphDigest(forward('convmixer-256-8-block-residual'))).not.toBe(graphDigest(forward('convmixer-256-8')));
    expect(graphDigest(forward('convmixer'))).toBe(graphDigest(forward('convmixer-256-8')));
    expect(graphDigest(forward('convmixer', { dropout: 0.1 }))).toBe(graphDigest(forward('convmixer')));
    expect(graphDigest(forward('convmixer', { kernel: 3 }))).not.toBe(graphDigest(forward('convmixer')));
  });
});
