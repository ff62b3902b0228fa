// Repeats on a device what make_golden.py did with a model in Keras, three training steps, and compares every tensor.

import type { Batch, Device, Executable, ModelGraphs } from '../../runtime/device.ts';
import type { Graph, ValueId } from '../../runtime/ir/graph.ts';
import { GraphBuilder } from '../../runtime/ir/graph.ts';
import { buildForward } from '../../runtime/model/build-graph.ts';
import type { Model } from '../../runtime/model/model.ts';
import { ops } from '../../runtime/ops/index.ts';
import { ReferenceExecutable } from '../../runtime/reference.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import type { GoldenComparison } from './golden.ts';

/** Largest differences allowed, in units of the largest element of the tensor. */
export interface GoldenTolerances {
  /** What a forward pass gives: outputs of layers, logits and loss before training, batch statistics. */
  readonly forward: number;
  readonly gradients: number;
  /** Losses of the three steps: the later ones follow updates that Adam makes of gradients near zero. */
  readonly losses: readonly [number, number, number];
  /** Weights, moments and moving statistics after the steps. */
  readonly weights: number;
  readonly moments: number;
  readonly statistics: number;
  /** Logits and loss after the steps. */
  readonly after: number;
}

export interface GoldenStepsOptions {
  readonly model: Model;
  readonly state: readonly (readonly [name: string, data: ArrayLike<number>])[];
  readonly images: Uint8Array;
  readonly labels: Int32Array;
  readonly withoutRules: readonly string[];
  readonly tolerances: GoldenTolerances;
  /**
   * Where the outputs of the layers are computed; absent: they are not compared. One thread is enough: devices start threads for each
   * executable, and this takes one a layer.
   */
  readonly layersOn?: Device;
  /** Prefix of the tensors in the golden file; of `full`, large tensors are digests. */
  readonly section: 'reduced' | 'full';
}

export interface GoldenStepsResult {
  readonly before: { readonly loss: number; readonly logits: ArrayLike<number> };
  readonly losses: readonly number[];
  readonly after: { readonly loss: number; readonly logits: ArrayLike<number> };
  /** State after the steps, by name. */
  readonly state: ReadonlyMap<string, ArrayLike<number>>;
}

const BATCHES = [4, 4, 2];
const HYPERPARAMETERS = { learningRate: 2e-3, weightDecay: 1e-4, bnMomentum: 0.99 };

/** Three AdamW steps and the inference before and after them; compares everything that the file holds of them, if one is given. */
export async function goldenSteps(
  device: Device,
  golden: GoldenComparison | null,
  options: GoldenStepsOptions,
): Promise<GoldenStepsResult> {
  const { model, images, labels, section, withoutRules, tolerances } = options;
  const graphs = trainingGraphs(model);
  const executable = await device.compile(graphs, { capacity: labels.length, seed: 0n, withoutRules });
  try {
    for (const [name, data] of options.state) await executable.write(name, data);
    const check = (name: string, data: ArrayLike<number>, tolerance: number) => golden?.check(`${section}/${name}`, data, tolerance);
    const checkLarge = (name: string, data: ArrayLike<number>, tolerance: number) =>
      section === 'full' ? golden?.checkDigest(`${section}/${name}`, data, tolerance) : check(name, data, tolerance);
    const evaluate = async (when: 'before' | 'after', tolerance: number) => {
      const run = await executable.evaluate({ rows: labels.length, images, labels });
      const { loss } = run;
      const logits = exactLogits(executable, graphs.evaluate, run.logits);
      check(`${when}/logits`, logits, tolerance);
      check(`${when}/loss`, [loss], tolerance);
      return { loss, logits };
    };

    const before = await evaluate('before', tolerances.forward);
    const losses: number[] = [];
    let start = 0;
    for (const [step, rows] of BATCHES.entries()) {
      const batch = batchAt(model, images, labels, start, rows);
      const gradients = new Map<string, ArrayLike<number>>();
      losses.push((await executable.gradient(batch)).loss);
      if (step === 0) {
        check('step/loss', [losses[0]], tolerances.losses[0]);
        for (const { name, kind } of model.variables) {
          if (kind === 'parameter') gradients.set(name, (await readExactly(executable, `gradients/${name}`)).slice());
        }
        if (options.layersOn) {
          for await (const { path, data } of layerOutputs(options.layersOn, executable, options, batch)) {
            checkLarge(`step/outputs/${path}`, data, tolerances.forward);
            if (path === model.layers.at(-1)?.path) check('step/logits', data, tolerances.forward);
          }
        }
      }
      // Where the loss is scaled and gradients overflow, the step has changed nothing but the scale, and is done again.
      while ((await executable.update(HYPERPARAMETERS)).overflow !== undefined) {
        await executable.gradient(batch);
        for (const name of gradients.keys()) gradients.set(name, (await executable.read(`gradients/${name}`)).slice());
      }
      for (const [name, data] of gradients) checkLarge(`step/gradients/${name}`, data, tolerances.gradients);
      if (step === 0) {
        for (const { name, kind } of model.variables) {
          if (kind === 'statistic') checkLarge(`step/statistics/${name}`, await readExactly(executable, name), tolerances.forward);
        }
      }
      start += rows;
    }
    for (const [step, loss] of losses.entries()) golden?.checkElement(`${section}/losses`, step, loss, tolerances.losses[step]);
    const state = new Map<string, ArrayLike<number>>();
    for (const { name, kind } of executable.state) {
      const data = (await readExactly(executable, name)).slice();
      state.set(name, data);
      if (kind === 'counter' || kind === 'scale') continue;
      const tolerance = kind === 'parameter' ? tolerances.weights : kind === 'statistic' ? tolerances.statistics : tolerances.moments;
      checkLarge(`after/${name}`, data, tolerance);
    }
    return { before, losses, after: await evaluate('after', tolerances.after), state };
  } finally {
    await executable.close();
  }
}

const batchAt = ({ input }: Model, images: Uint8Array, labels: Int32Array, start: number, rows: number): Batch => {
  const bytes = input[0] * input[1] * input[2];
  return { rows, images: images.subarray(start * bytes, (start + rows) * bytes), labels: labels.subarray(start, start + rows) };
};

/** A state tensor or gradient in the precision in which the device keeps it: doubles on the reference. */
export async function readExactly(executable: Executable, name: string): Promise<Float32Array | Float64Array | Int32Array | Uint8Array> {
  return executable instanceof ReferenceExecutable ? executable.exact(name) : executable.read(name);
}

/** The logits that the last run gave, in the precision of the device. */
export function exactLogits(executable: Executable, graph: Graph, logits: Float32Array): ArrayLike<number> {
  if (!(executable instanceof ReferenceExecutable)) return logits;
  return executable.values().get(graph.values[graph.outputs.logits].name)?.data ?? logits;
}

/**
 * Output of every layer but the input in training mode, by Keras' path.
 *
 * The reference tells all values of its last run. Other devices give nothing away between image and logits: for each layer a
 * graph is compiled that ends there and calls the result logits.
 */
async function* layerOutputs(
  device: Device,
  executable: Executable,
  { model, state, withoutRules }: GoldenStepsOptions,
  batch: Batch,
): AsyncGenerator<{ path: string; data: ArrayLike<number> }> {
  const forward = buildForward(model, 'train', { loss: false });
  const results = layerResults(model, forward);
  const fused = !withoutRules.includes('all');
  const values = executable instanceof ReferenceExecutable && !fused ? executable.values() : undefined;
  for (const { index, path, type } of model.layers) {
    if (type === 'InputLayer') continue;
    const known = values?.get(forward.values[results[index]].name);
    yield { path, data: known ? known.data : await runTo(results[index]) };
  }

  async function runTo(result: ValueId): Promise<ArrayLike<number>> {
    const predict = endingAt(forward, result);
    const graphs: ModelGraphs = { train: predict, evaluate: predict, predict };
    const partial = await device.compile(graphs, { capacity: batch.rows, seed: 0n, withoutRules, programs: ['predict'] });
    try {
      const states = new Set(partial.state.map(({ name }) => name));
      for (const [name, data] of state) if (states.has(name)) await partial.write(name, data);
      return exactLogits(partial, predict, await partial.predict(batch));
    } finally {
      await partial.close();
    }
  }
}

/** The value that each layer computes: that of its last node, or its input where it has none (dropout at rate 0). */
function layerResults(model: Model, graph: Graph): ValueId[] {
  const last = new Map(graph.nodes.map((node) => [node.label, node.outputs[0]]));
  const results: ValueId[] = [];
  for (const { path, inputs } of model.layers) results.push(last.get(path) ?? results[inputs[0]]);
  return results;
}

/** The nodes that `result` needs, followed by a view of it as logits. */
function endingAt(forward: Graph, result: ValueId): Graph {
  const needed = new Set([result]);
  const nodes = [...forward.nodes]
    .reverse()
    .filter((node) => node.outputs.some((id) => needed.has(id)) && node.inputs.every((id) => needed.add(id)))
    .reverse();
  const g = GraphBuilder.from({ ...forward, nodes, outputs: {} }, ops);
  const { shape } = g.spec(result);
  g.output('logits', g.one('reshape', [result], { shape: [shape.reduce((product, n) => product * n, 1)] }));
  return g.finish();
}
