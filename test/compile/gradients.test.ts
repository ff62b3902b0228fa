// Gradients where graphs are not chains of layers: parameters that are used twice or not at all, frozen statistics, ops without a rule. A
// gradient is right, or the graph is refused; none is dropped in silence.

import { describe, expect, it } from 'vitest';
import { HybridError } from '../../runtime/base/errors.ts';
import { differentiate } from '../../runtime/compile/autodiff.ts';
import { compileGraph, trainingGraph } from '../../runtime/compile/compile.ts';
import { fuse } from '../../runtime/compile/fuse.ts';
import { type Graph, GraphBuilder, type ValueId } from '../../runtime/ir/graph.ts';
import { verify } from '../../runtime/ir/verify.ts';
import { ops } from '../../runtime/ops/index.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { uniform } from '../support/tensors.ts';

const ROWS = 2;
const IMAGE = [4, 4, 3];

/** A classifier of 3 classes whose middle is `build`. */
function classifier(build: (g: GraphBuilder, x: ValueId) => ValueId): Graph {
  const g = new GraphBuilder('test', ops);
  const images = g.input('images', { dtype: 'u8', shape: IMAGE, perSample: true });
  const labels = g.input('labels', { dtype: 'i32', shape: [], perSample: true });
  const x = g.one('rescale', { x: images }, { scale: 1 / 255 });
  const first = g.one('conv', { x, w: g.state('first', [1, 1, 3, 3], 'parameter') }, { stride: 1, padding: 'valid' });
  const logits = g.one('globalAvgPool', { x: build(g, first) });
  const { loss, correct } = g.add('softmaxCrossEntropy', { logits, labels });
  for (const [name, id] of Object.entries({ logits, loss, correct })) g.output(name, id);
  return g.finish();
}

/** Each gradient beside central differences of the loss. */
async function check(forward: Graph): Promise<void> {
  const train = trainingGraph(forward);
  const graphs = { train, evaluate: train, predict: train };
  await using executable = await openReferenceDevice().compile(graphs, { capacity: ROWS, seed: 1n, programs: ['train'] });
  const batch = {
    rows: ROWS,
    images: Uint8Array.from({ length: ROWS * 48 }, (_, i) => (i * 37) % 256),
    labels: Int32Array.from([0, 2]),
  };
  const parameters = executable.state.filter(({ kind }) => kind === 'parameter').map(({ name }) => name);
  for (const [k, { name, kind }] of executable.state.entries())
    if (kind === 'parameter' || kind === 'statistic') {
      const values = executable.exact(name) as Float64Array;
      values.forEach((_, i) => {
        values[i] = uniform(k, 0.2, 1.2)(i);
      });
    }
  await executable.gradient(batch);
  const gradients = new Map(parameters.map((name) => [name, Float64Array.from(executable.exact(`gradients/${name}`))]));
  for (const name of parameters) {
    const values = executable.exact(name);
    const w = values[0];
    const h = 1e-5;
    values[0] = w + h;
    const above = (await executable.gradient(batch)).loss;
    values[0] = w - h;
    const below = (await executable.gradient(batch)).loss;
    values[0] = w;
    expect(gradients.get(name)?.[0], name).toBeCloseTo((above - below) / (2 * h), 6);
  }
}

it('an output of a name that is taken is refused', () => {
  const g = new GraphBuilder('test', ops);
  const [a, b] = ['a', 'b'].map((name) => g.state(name, [2], 'parameter'));
  g.output('logits', a);
  const again = { code: 'E_USAGE', message: 'graph test has an output logits already, a; b cannot be called so, too' };
  expect(() => g.output('logits', b)).toThrow(expect.objectContaining(again));
  expect(g.outputs).toEqual({ logits: a });
});

describe('gradients equal central differences', () => {
  it('of a parameter that is used twice', async () => {
    await check(
      classifier((g, x) => {
        const w = g.state('shared', [3, 3, 3, 3], 'parameter');
        const attrs = { stride: 1, padding: 'same' };
        return g.one('conv', { x: g.one('gelu', { x: g.one('conv', { x, w }, attrs) }), w }, attrs);
      }),
    );
  });

  it('through frozen statistics beside a residual', async () => {
    await check(
      classifier((g, x) => {
        const statistic = (name: string) => g.state(name, [3], 'statistic');
        const parameter = (name: string) => g.state(name, [3], 'parameter');
        const operands = { mean: statistic('mean'), variance: statistic('variance'), gamma: parameter('gamma'), beta: parameter('beta') };
        const { scale, shift } = g.add('bnFold', operands, { epsilon: 1e-3 });
        return g.one('add', { a: g.one('normalize', { x, scale, shift }), b: x });
      }),
    );
  });

  it('of two depthwise convolutions with kernels of different sizes over one input, added', async () => {
    const forward = classifier((g, x) => {
      const branch = (k: number) => g.one('depthwise', { x, w: g.state(`kernel ${k}`, [k, k, 3, 1], 'parameter') });
      return g.one('add', { a: branch(3), b: branch(5) });
    });
    const names = compileGraph(trainingGraph(forward)).nodes.map(({ op }) => op);
    expect(names.filter((op) => op === 'depthwiseGrad')).toHaveLength(2);
    await check(forward);
  });

  it('of one depthwise convolution of an image that needs no gradient beside one of another size that does', async () => {
    await check(
      classifier((g, x) => {
        const images = g.one('rescale', { x: 0 }, { scale: 1 / 255 });
        const a = g.one('depthwise', { x: images, w: g.state('of images', [3, 3, 3, 1], 'parameter') });
        return g.one('add', { a, b: g.one('depthwise', { x, w: g.state('of x', [5, 5, 3, 1], 'parameter') }) });
      }),
    );
  });
});

/** That the user is told, by E_USAGE. */
function expectUsage(run: () => unknown, message: RegExp): void {
  let error: unknown;
  try {
    run();
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(HybridError);
  expect(error).toMatchObject({ code: 'E_USAGE', message: expect.stringMatching(message) });
}

describe('what has no gradient is refused, by name', () => {
  it('an op without a rule, beside a residual that has one', () => {
    const forward = classifier((g, x) => {
      const { mean } = g.add('bnStats', { x }, { from: 'input', pixels: 16 });
      return g.one('add', { a: x, b: g.one('bias', { x, b: mean }) });
    });
    expectUsage(() => differentiate(forward), /bnStats has no gradient for its operand x/);
  });

  it('an operand without one, and a result that none passes', () => {
    const forward = classifier((g, x) => {
      const vector = g.state('v', [3], 'parameter');
      const { scale, shift } = g.add('bnFold', { mean: vector, variance: vector, gamma: vector, beta: vector }, { epsilon: 1e-3 });
      return g.one('normalize', { x, scale, shift });
    });
    expectUsage(() => differentiate(forward), /bnFold has no gradient for its operand mean/);
    const through = classifier((g, x) => {
      const { mean } = g.add(
        'batchnorm',
        { x, gamma: g.state('g', [3], 'parameter'), beta: g.state('b', [3], 'parameter') },
        { epsilon: 1e-3 },
      );
      return g.one('bias', { x, b: mean });
    });
    expectUsage(() => differentiate(through), /batchnorm has no gradient for its operand \w+ through its result mean/);
  });

  it('a parameter that nothing reads', () => {
    const forward = classifier((g, x) => {
      g.state('forgotten', [3], 'parameter');
      return x;
    });
    expectUsage(() => trainingGraph(forward), /does not depend on the parameter forgotten/);
  });
});

describe('the builder refuses', () => {
  const builder = () => {
    const g = new GraphBuilder('test', ops);
    return { g, x: g.input('x', { dtype: 'f32', shape: IMAGE, perSample: true }) };
  };
  const bytes = (g: GraphBuilder) => g.input('images', { dtype: 'u8', shape: IMAGE, perSample: true });
  it.each<[string, (g: GraphBuilder, x: ValueId) => unknown, RegExp]>([
    ['attributes that an op does not know', (g, x) => g.one('maxPool', { x }, { sise: 3 }), /maxPool has no attribute sise/],
    ['a value that it does not have', (g) => g.one('relu', { x: 17 }), /relu reads value 17/],
    ['no value at all', (g) => g.one('relu', [undefined as never]), /relu lacks its operand x|reads value undefined/],
    ['an operand that an op does not know', (g, x) => g.one('bias', { x, bias: x }), /bias has no operand bias/],
    ['negative sizes', (g, x) => g.one('reshape', { x }, { shape: [-1, 48] }), /attribute shape of reshape is a shape/],
    ['a state without elements', (g) => g.state('w', [0], 'parameter'), /w of graph test has shape \[0\]/],
    ['an output of another graph', (g) => g.output('y', 99), /output y reads value 99/],
    ...[Number.POSITIVE_INFINITY, Number.NaN, -1e-3, 0, 1e39, 1e-50].map(
      (epsilon): [string, (g: GraphBuilder, x: ValueId) => unknown, RegExp] => [
        `an epsilon of ${epsilon}`,
        (g, x) => g.one('batchnorm', { x, gamma: g.state('g', [3], 'parameter'), beta: g.state('b', [3], 'parameter') }, { epsilon }),
        /attribute epsilon of batchnorm is a number above 0/,
      ],
    ),
    ['a scale that is infinite as a float32', (g) => g.one('rescale', { x: bytes(g) }, { scale: 1e39 }), /attribute scale of rescale/],
    ['another shape for an input', (g) => g.one('reshape', { x: bytes(g) }, { shape: [48] }), /reshape got x u8 \[n, 4, 4, 3\] and takes/],
  ])('%s', (_, make, message) => {
    const { g, x } = builder();
    expectUsage(() => make(g, x), message);
  });
});

describe('outputs that are called as those of a batch normalisation', () => {
  it('are outputs like any other where there are no moving statistics', async () => {
    await check(
      classifier((g, x) => {
        g.output('own/mean', x);
        return x;
      }),
    );
  });

  it('are refused where only a half is there', () => {
    const forward = (variance: boolean, statistics: number) =>
      classifier((g, x) => {
        const operands = { x, gamma: g.state('bn/vars/0', [3], 'parameter'), beta: g.state('bn/vars/1', [3], 'parameter') };
        for (let k = 0; k < statistics; k++) g.state(`bn/vars/${2 + k}`, [3], 'statistic');
        const made = g.add('batchnorm', operands, { epsilon: 1e-3 });
        g.output('bn/mean', made.mean);
        if (variance) g.output('bn/variance', made.variance);
        return made.y;
      });
    expectUsage(() => trainingGraph(forward(false, 2)), /but there is no output bn\/variance/);
    expectUsage(() => trainingGraph(forward(true, 1)), /but there are 1 of them, not two/);
    expect(trainingGraph(forward(true, 2)).nodes.some(({ op }) => op === 'movingAverage')).toBe(true);
  });
});

it('fuses in proportion to the graph: 4,000 blocks take seconds', () => {
  const chain = (blocks: number): Graph => {
    const g = new GraphBuilder('chain', ops);
    let x = g.input('x', { dtype: 'f32', shape: [4, 4, 4], perSample: true });
    const parameter = (k: number, ...shape: number[]) => g.state(`${k} ${shape}`, shape, 'parameter');
    for (let k = 0; k < blocks; k++) {
      const u = g.one('conv', { x, w: parameter(k, 1, 1, 4, 4) }, { stride: 1, padding: 'valid' });
      x = g.one('gelu', { x: g.one('bias', { x: u, b: parameter(k, 4) }) });
    }
    g.output('y', x);
    return g.finish();
  };
  const time = (graph: Graph): number => {
    const begin = performance.now();
    const { applied } = fuse(graph);
    expect(applied.get('activation-into-epilogue')).toBe(graph.nodes.length / 3);
    return performance.now() - begin;
  };
  // A minute for 1,000 blocks, and sixteen for these, were it quadratic as before; a busy machine takes some seconds.
  const many = chain(4000);
  expect(time(many)).toBeLessThan(60_000);
  verify(fuse(many).graph, ops, 'fuse');
});
