// Random graphs of all ops that have a gradient: fused and unfused they compute the same on the reference device, and the wasm device computes
// it, too; loss and gradients. A failure names the seed of its graph.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { trainingGraph } from '../../runtime/compile/compile.ts';
import type { Device } from '../../runtime/device.ts';
import { type Graph, GraphBuilder, type ValueId } from '../../runtime/ir/graph.ts';
import { type OpName, ops, opTable } from '../../runtime/ops/index.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { integers, uniform } from '../support/tensors.ts';

const GRAPHS = 50;
const ROWS = 3;
const CLASSES = 4;

/** A graph under construction. */
interface Draft {
  readonly g: GraphBuilder;
  /** Samples, for dropout. */
  readonly samples: ValueId;
  /** A whole number from 0 to below `n`. */
  draw(n: number): number;
  parameter(...shape: number[]): ValueId;
  statistic(...shape: number[]): ValueId;
}

/** Adds an op that reads the image x (and perhaps other, of its shape) and makes an image. */
type Maker = (draft: Draft, x: ValueId, other: ValueId) => ValueId;

const channelsOf = (g: GraphBuilder, x: ValueId): number => g.spec(x).shape[2];
/** The image as a row of numbers and back: an op for rows in the midst of images. */
const backToImage = ({ g }: Draft, y: ValueId): ValueId => g.one('reshape', { x: y }, { shape: [1, 1, ...g.spec(y).shape] });

const MAKERS: Partial<Record<OpName, Maker>> = {
  conv: ({ g, draw, parameter }, x) => {
    const [k, co] = [1 + 2 * draw(2), 2 + draw(20)];
    const attrs = { stride: 1 + draw(2), padding: draw(3) ? 'same' : 'valid' };
    const [h, w, ci] = g.spec(x).shape;
    return g.one('conv', { x, w: parameter(k, k, ci, co) }, h < k || w < k ? { ...attrs, padding: 'same' } : attrs);
  },
  depthwise: ({ g, draw, parameter }, x) => g.one('depthwise', { x, w: parameter(...Array(2).fill(1 + 2 * draw(3)), channelsOf(g, x), 1) }),
  depthwiseWindows: ({ g, draw, parameter }, x) => {
    const attrs = { stride: [1 + draw(3), 1 + draw(2)], dilation: 1 + draw(2), padding: 'same' };
    return g.one('depthwiseWindows', { x, w: parameter(1 + draw(4), 1 + draw(4), channelsOf(g, x), 1) }, attrs);
  },
  bias: ({ g, parameter }, x) => g.one('bias', { x, b: parameter(channelsOf(g, x)) }),
  gelu: ({ g }, x) => g.one('gelu', { x }),
  relu: ({ g }, x) => g.one('relu', { x }),
  add: ({ g }, a, b) => g.one('add', { a, b }),
  mul: ({ g, draw, parameter }, a, b) => g.one('mul', { a, b: draw(2) ? b : parameter(channelsOf(g, a)) }),
  dropout: ({ g, draw, samples }, x) => g.one('dropout', { x, samples }, { rate: 0.3, purpose: 16 + draw(9) }),
  batchnorm: ({ g, parameter }, x) =>
    g.add('batchnorm', { x, gamma: parameter(channelsOf(g, x)), beta: parameter(channelsOf(g, x)) }, { epsilon: 0.1 }).y,
  bnFold: ({ g, parameter, statistic }, x) => {
    const c = channelsOf(g, x);
    const operands = { mean: statistic(c), variance: statistic(c), gamma: parameter(c), beta: parameter(c) };
    const { scale, shift } = g.add('bnFold', operands, { epsilon: 0.1 });
    return g.one('normalize', { x, scale, shift });
  },
  normalize: ({ g, parameter }, x) => g.one('normalize', { x, scale: parameter(channelsOf(g, x)), shift: parameter(channelsOf(g, x)) }),
  frame: ({ g, draw }, x) => {
    const to = g.spec(x).shape.map((n) => Math.max(1, n + 2 - draw(4)));
    const offset = g.spec(x).shape.map((n, axis) => Math.max(1 - n, Math.min(to[axis] - 1, draw(3) - 1)));
    return g.one('frame', { x }, { offset, shape: to });
  },
  repeat: ({ g, draw }, x) => g.one('repeat', { x }, { times: [1 + draw(2), 1 + draw(2), 1 + draw(2)] }),
  globalAvgPool: (draft, x) => backToImage(draft, draft.g.one('globalAvgPool', { x })),
  maxPool: ({ g, draw }, x) => g.one('maxPool', { x }, { size: 2 + draw(2), stride: 1 + draw(3), padding: 'same' }),
  avgPool: ({ g, draw }, x) => g.one('avgPool', { x }, { size: 2 + draw(2), stride: 1 + draw(3), padding: 'same' }),
  reshape: ({ g }, x) => {
    const [h, w, c] = g.spec(x).shape;
    return g.one('reshape', { x }, { shape: [w, h, c] });
  },
};

/** Two of the same parameter in a row, as a layer that is called twice has it. */
function shared({ g, parameter }: Draft, x: ValueId): ValueId {
  const w = parameter(1, 1, channelsOf(g, x), channelsOf(g, x));
  const attrs = { stride: 1, padding: 'valid' };
  return g.one('conv', { x: g.one('conv', { x, w }, attrs), w }, attrs);
}

function randomGraph(seed: number): Graph {
  const numbers = uniform(1000 + seed, 0, 1);
  let drawn = 0;
  const draw = (n: number): number => Math.floor(numbers(drawn++) * n);
  const g = new GraphBuilder(`random ${seed}`, ops);
  const images = g.input('images', { dtype: 'u8', shape: [2 + draw(6), 2 + draw(6), 3], perSample: true });
  const labels = g.input('labels', { dtype: 'i32', shape: [], perSample: true });
  const samples = g.input('samples', { dtype: 'i32', shape: [], perSample: true });
  let names = 0;
  const state =
    (kind: 'parameter' | 'statistic') =>
    (...shape: number[]) =>
      g.state(`${kind} ${names++}`, shape, kind);
  const draft: Draft = { g, samples, draw, parameter: state('parameter'), statistic: state('statistic') };
  const makers = [...(Object.values(MAKERS) as Maker[]), shared];
  let x = g.one(
    'conv',
    { x: g.one('rescale', { x: images }, { scale: 1 / 255 }), w: draft.parameter(1, 1, 3, 2 + draw(8)) },
    { stride: 1, padding: 'valid' },
  );
  const before: ValueId[] = [x];
  for (let i = 4 + draw(9); i > 0; i--) {
    const shape = `${g.spec(x).shape}`;
    const alike = before.filter((id) => `${g.spec(id).shape}` === shape);
    x = makers[draw(makers.length)](draft, x, alike[draw(alike.length)]);
    before.push(x);
  }
  // What grows by multiplication comes down again.
  const c = channelsOf(g, x);
  x = g.add('batchnorm', { x, gamma: draft.parameter(c), beta: draft.parameter(c) }, { epsilon: 0.1 }).y;
  const logits = g.one('conv', { x: g.one('globalAvgPool', { x }), w: draft.parameter(c, CLASSES) }, { stride: 1, padding: 'valid' });
  const { loss, correct } = g.add('softmaxCrossEntropy', { logits, labels });
  for (const [name, id] of Object.entries({ logits, loss, correct })) g.output(name, id);
  return trainingGraph(g.finish());
}

let wasm: Device;
beforeAll(async () => {
  wasm = await openWasmDevice({ threads: 2 });
});
afterAll(() => wasm.close());

/** The loss, and the gradients of all parameters one after the other. */
async function outcome(device: Device, train: Graph, withoutRules: string[], seed: number) {
  const size = train.values[train.inputs.images].spec.shape.reduce((product, n) => product * n, ROWS);
  const numbers = (from: number, draw: (i: number) => number, length: number) => Array.from({ length }, (_, i) => draw(from + i));
  const batch = {
    rows: ROWS,
    images: Uint8Array.from(numbers(0, integers(seed, 256), size)),
    labels: Int32Array.from(numbers(0, integers(seed + 1, CLASSES), ROWS)),
    samples: Int32Array.from(numbers(0, integers(seed + 2, 99), ROWS)),
  };
  await using executable = await device.compile(
    { train, evaluate: train, predict: train },
    { capacity: ROWS, seed: 3n, programs: ['train'], withoutRules },
  );
  for (const { name, kind, shape } of executable.state) {
    // Devices list state in orders of their own.
    const k = train.values.findIndex((value) => value.name === name);
    if (kind !== 'parameter' && kind !== 'statistic') continue;
    const length = shape.reduce((product, n) => product * n, 1);
    await executable.write(
      name,
      numbers(0, uniform(seed + 3 + k, kind === 'statistic' ? 0.5 : -0.7, kind === 'statistic' ? 1.5 : 0.7), length),
    );
  }
  const { loss } = await executable.gradient(batch);
  const gradients: Record<string, Float32Array> = {};
  for (const { name, kind } of executable.state) if (kind === 'parameter') gradients[name] = await executable.read(`gradients/${name}`);
  return { loss, gradients };
}

type Outcome = Awaited<ReturnType<typeof outcome>>;

/** The largest difference of a gradient, in parts of the largest gradient that there is. */
function distance(a: Outcome, b: Outcome): number {
  const all = ({ gradients }: Outcome) => Object.values(gradients).flatMap((values) => [...values]);
  const [left, right] = [all(a), all(b)];
  const most = left.reduce((sum, value) => Math.max(sum, Math.abs(value)), 1e-6);
  const off = left.reduce((sum, value, i) => Math.max(sum, Math.abs(value - right[i])), 0);
  return Math.max(off / most, Math.abs(a.loss - b.loss) / Math.max(1, Math.abs(a.loss)));
}

it('draws from all ops that have a gradient', () => {
  const rules = Object.keys(opTable).filter((name) => opTable[name].gradient);
  expect(Object.keys(MAKERS).sort()).toEqual(rules.filter((name) => name !== 'softmaxCrossEntropy').sort());
});

it(`${GRAPHS} random graphs: loss and gradients, fused, unfused, and on wasm`, async () => {
  const reference = openReferenceDevice();
  for (let seed = 0; seed < GRAPHS; seed++) {
    const train = randomGraph(seed);
    const plain = await outcome(reference, train, ['all'], seed);
    expect(Number.isFinite(plain.loss), `the loss of graph ${seed}`).toBe(true);
    expect(distance(plain, await outcome(reference, train, [], seed)), `graph ${seed}, fused`).toBeLessThan(1e-5);
    expect(distance(plain, await outcome(wasm, train, [], seed)), `graph ${seed} on wasm`).toBeLessThan(2e-3);
  }
}, 120_000);
