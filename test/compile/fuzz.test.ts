// Random graphs of all ops that have a gradient: fused and unfused they compute the same on the reference device, and the wasm device computes
// it, too; loss and gradients. A failure names the seed of its graph.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { trainingGraph } from '../../runtime/compile/compile.ts';
import type { Device } from '../../runtime/device.ts';
import { type Graph, GraphBuilder, type ValueId } from '../../runtime/ir/graph.ts';
import { ops, opTable } from '../../runtime/ops/index.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { makers } from '../support/cases.ts';
import { channelCount, type Draft } from '../support/op-case.ts';
import { integers, uniform } from '../support/tensors.ts';

const GRAPHS = 50;
const ROWS = 3;
const CLASSES = 4;

/** Two of the same parameter in a row, as a layer that is called twice has it. */
function shared({ g, parameter }: Draft, x: ValueId): ValueId {
  const w = parameter(1, 1, channelCount(g, x), channelCount(g, x));
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
  const all = [...Object.values(makers), shared];
  let x = g.one(
    'conv',
    { x: g.one('rescale', { x: images }, { scale: 1 / 255 }), w: draft.parameter(1, 1, 3, 2 + draw(8)) },
    { stride: 1, padding: 'valid' },
  );
  const before: ValueId[] = [x];
  for (let i = 4 + draw(9); i > 0; i--) {
    const shape = `${g.spec(x).shape}`;
    const alike = before.filter((id) => `${g.spec(id).shape}` === shape);
    x = all[draw(all.length)](draft, x, alike[draw(alike.length)]);
    before.push(x);
  }
  // What grows by multiplication comes down again.
  const c = channelCount(g, x);
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
  expect(Object.keys(makers).sort()).toEqual(rules.filter((name) => name !== 'softmaxCrossEntropy').sort());
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
