// Runs the single ops of test/golden/ops.bin on a device and compares all that Keras computed for them.

import type { Device, ModelGraphs } from '../../runtime/device.ts';
import type { Attrs, GraphBuilder, ValueId } from '../../runtime/ir/graph.ts';
import type { OpName } from '../../runtime/ops/index.ts';
import { type GoldenComparison, type GoldenTensor, readGolden } from './golden.ts';
import { exactLogits, readExactly } from './golden-steps.ts';
import { type OpsUnderTest, oneHotImages, opGraphs } from './op-graphs.ts';

export const GOLDEN_OPS = readGolden('ops');

export interface GoldenOpCase {
  readonly name: string;
  readonly op: OpName;
  // biome-ignore lint/suspicious/noExplicitAny: JSON, one form per op
  readonly attrs: any;
}

/** Rows that the capacity has in excess of those that run: devices must go by the rows of the run. */
const SPARE_ROWS = 2;

export async function runGoldenOp(
  device: Device,
  golden: GoldenComparison,
  one: GoldenOpCase,
  withoutRules: readonly string[],
  tolerance: number,
): Promise<void> {
  const tensor = (name: string): GoldenTensor => {
    const found = GOLDEN_OPS.tensors.get(`${one.name}/${name}`);
    if (!found) throw new Error(`ops.bin has no ${one.name}/${name}`);
    return found;
  };
  const open = async (graphs: ModelGraphs, rows: number, state: Readonly<Record<string, ArrayLike<number>>>) => {
    const executable = await device.compile(graphs, { capacity: rows + SPARE_ROWS, seed: 0n, withoutRules });
    for (const [name, data] of Object.entries(state)) await executable.write(name, data);
    return executable;
  };
  const check = (name: string, data: ArrayLike<number>, factor = 1) => golden.check(`${one.name}/${name}`, data, tolerance * factor);

  switch (one.op) {
    case 'adamw': {
      // A bias of one row: its gradient is dy.
      const start = tensor('w');
      const steps = tensor('gradients');
      const [count, elements] = steps.shape;
      const build = (g: GraphBuilder, x: ValueId, { w }: Readonly<Record<string, ValueId>>) => g.one('bias', [x, w]);
      const graphs = opGraphs({ rows: 1, shape: [elements], state: { w: { shape: [elements], kind: 'parameter' } }, build });
      const executable = await open(graphs, 1, { x: new Float32Array(elements), w: start.data });
      const seen: Record<string, number[]> = { weights: [], moment1: [], moment2: [] };
      for (let step = 0; step < count; step++) {
        await executable.write('dy', steps.data.subarray(step * elements, (step + 1) * elements));
        await executable.gradient({ rows: 1, images: oneHotImages(1), labels: Int32Array.of(0) });
        await executable.update({ learningRate: one.attrs.learningRates[step], weightDecay: one.attrs.weightDecay, bnMomentum: 0 });
        // The parameters are x and w; their moments are vars 2 and 3, 4 and 5.
        for (const [name, variable] of Object.entries({ weights: 'w', moment1: 'optimizer/vars/4', moment2: 'optimizer/vars/5' })) {
          seen[name].push(...(await readExactly(executable, variable)));
        }
      }
      for (const [name, data] of Object.entries(seen)) check(name, data);
      await executable.close();
      return;
    }
    case 'softmaxCrossEntropy': {
      const logits = tensor('logits');
      const [rows, classes] = logits.shape;
      const labels = tensor('labels').data as Int32Array;
      const graphs = opGraphs({ rows, shape: [classes], build: (_g, x) => x }, 'loss');
      const executable = await open(graphs, rows, { x: logits.data });
      const { loss, correct } = await executable.gradient({ rows, images: oneHotImages(rows), labels });
      check('loss', [loss]);
      check('correct', [correct]);
      check('dlogits', await readExactly(executable, 'gradients/x'));
      await executable.close();
      return;
    }
    default: {
      const x = tensor('x');
      const [rows, ...shape] = x.shape;
      const parameters = ['w', 'b', 'gamma', 'beta'].filter((name) => GOLDEN_OPS.tensors.has(`${one.name}/${name}`));
      const normalizes = one.op === 'batchnorm';
      const moving = { [MOVING_MEAN]: 'movingMean', [MOVING_VARIANCE]: 'movingVariance' };
      const state: Record<string, ArrayLike<number>> = { x: x.data, dy: tensor('dy').data };
      for (const name of parameters) state[name] = tensor(name).data;
      if (normalizes) for (const [variable, name] of Object.entries(moving)) state[variable] = tensor(name).data;

      const under: OpsUnderTest = {
        rows,
        shape,
        state: {
          ...Object.fromEntries(parameters.map((name) => [name, { shape: tensor(name).shape, kind: 'parameter' as const }])),
          ...(normalizes &&
            Object.fromEntries(Object.keys(moving).map((name) => [name, { shape: shape.slice(-1), kind: 'statistic' as const }]))),
        },
        build: builder(one),
      };
      const graphs = opGraphs(under);
      const executable = await open(graphs, rows, state);
      const batch = { rows, images: oneHotImages(rows), labels: new Int32Array(rows) };
      // Where the mean is far from zero, x·scale + shift cancels: Keras and the devices both compute it so.
      const cancellation = normalizes ? normalizationCancels(x.data, tensor('variance').data, one.attrs.epsilon) : 1;
      check('y', exactLogits(executable, graphs.evaluate, (await executable.evaluate(batch)).logits), cancellation);
      if (normalizes) check('inference', exactLogits(executable, graphs.predict, await executable.predict(batch)), cancellation);
      await executable.gradient(batch);
      for (const name of ['x', ...parameters]) {
        // The gradient of gamma is made of x − mean: there ε does not help.
        const factor = name === 'gamma' ? normalizationCancels(x.data, tensor('variance').data, 0) : cancellation;
        check(`d${name}`, await readExactly(executable, `gradients/${name}`), factor);
      }
      if (normalizes) {
        await executable.update({ learningRate: 0, weightDecay: 0, bnMomentum: one.attrs.momentum });
        for (const [variable, name] of Object.entries(moving)) check(`${name}After`, await readExactly(executable, variable));
        // Momentum 0 makes the moving statistics those of the batch.
        await executable.update({ learningRate: 0, weightDecay: 0, bnMomentum: 0 });
        check('mean', await readExactly(executable, MOVING_MEAN));
        check('variance', await readExactly(executable, MOVING_VARIANCE), cancellation);
      }
      await executable.close();
    }
  }
}

// Names by which `addUpdate` finds the statistics of the outputs bn/mean and bn/variance.
const MOVING_MEAN = 'bn/vars/2';
const MOVING_VARIANCE = 'bn/vars/3';

function builder({ op, attrs }: GoldenOpCase): OpsUnderTest['build'] {
  switch (op) {
    case 'conv':
    case 'depthwise':
      return (g, x, { w, b }) => g.one('bias', [g.one(op, [x, w], attrs as Attrs), b]);
    case 'batchnorm': {
      const { epsilon } = attrs;
      return (g, x, { gamma, beta, [MOVING_MEAN]: movingMean, [MOVING_VARIANCE]: movingVariance }, mode) => {
        if (mode === 'inference') {
          const [scale, shift] = g.add('bnFold', [movingMean, movingVariance, gamma, beta], { epsilon });
          return g.one('normalize', [x, scale, shift]);
        }
        const [y, mean, variance] = g.add('batchnorm', [x, gamma, beta], { epsilon });
        g.output('bn/mean', mean);
        g.output('bn/variance', variance);
        return y;
      };
    }
    default:
      return (g, x) => g.one(op, [x], attrs as Attrs);
  }
}

/** By how much x is larger than what normalising makes of it, and its rounding with it: max |x| / √(σ² + ε), at least 1. */
function normalizationCancels(x: ArrayLike<number>, variance: ArrayLike<number>, epsilon: number): number {
  let worst = 1;
  for (let i = 0; i < x.length; i++) worst = Math.max(worst, Math.abs(x[i]) / Math.sqrt(variance[i % variance.length] + epsilon));
  return worst;
}
