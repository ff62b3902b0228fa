import { describe, expect, it } from 'vitest';
import type { Graph, Node } from '../../runtime/ir/graph.ts';
import { verify } from '../../runtime/ir/verify.ts';
import { ops } from '../../runtime/ops/index.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { smallModels } from '../support/models.ts';

const graph = trainingGraphs(smallModels()[0]).train;
const editNode = (index: number, change: Partial<Node>): Graph => ({
  ...graph,
  nodes: graph.nodes.map((node, i) => (i === index ? { ...node, ...change } : node)),
});
const conv = graph.nodes.findIndex(({ op }) => op === 'conv');
const check = graph.nodes.findIndex(({ op }) => op === 'finiteCheck');
const adamw = graph.nodes.findIndex(({ op }) => op === 'adamw');

describe('verify', () => {
  it('accepts the graphs of every architecture', () => {
    for (const model of smallModels()) for (const each of Object.values(trainingGraphs(model)) as Graph[]) verify(each, ops, 'a test');
  });

  it.each<[string, Graph, RegExp]>([
    ['a node that reads what comes later', { ...graph, nodes: [...graph.nodes].reverse() }, /before it is made|comes after an update/],
    ['an unknown op', editNode(conv, { op: 'convolve' }), /no op is called convolve/],
    ['a value made twice', { ...graph, nodes: [graph.nodes[0], graph.nodes[0], ...graph.nodes.slice(1)] }, /a second time/],
    ['an update of what is not state', editNode(adamw, { updates: [graph.nodes[conv].outputs[0]] }), /which is not state/],
    [
      'an update outside the update phase',
      editNode(check, { phase: 'backward', updates: [graph.gradients[0].parameter] }),
      /in phase backward/,
    ],
    [
      'a backward node after an update',
      { ...graph, nodes: [...graph.nodes, { ...graph.nodes[conv], outputs: [] }] },
      /comes after an update/,
    ],
    [
      'an output of another shape',
      {
        ...graph,
        values: graph.values.map((v, i) => (i === graph.nodes[conv].outputs[0] ? { ...v, spec: { ...v.spec, shape: [1, 2, 3] } } : v)),
      },
      /where its op makes|expected/,
    ],
    ['two values of one name', { ...graph, values: graph.values.map((v) => ({ ...v, name: 'x' })) }, /two values are called x/],
    ['an output that nothing makes', { ...graph, outputs: { ...graph.outputs, extra: 1e6 } }, /which nothing makes/],
    [
      'a gradient of another shape',
      { ...graph, gradients: graph.gradients.map((g) => ({ ...g, gradient: graph.gradients[1].gradient })) },
      /another shape/,
    ],
  ])('refuses %s and names the pass', (_, bad, message) => {
    expect(() => verify(bad, ops, 'the pass')).toThrow(message);
    try {
      verify(bad, ops, 'the pass');
    } catch (error) {
      expect(error).toMatchObject({ code: 'E_INTERNAL' });
    }
  });
});
