// Models that have been trained for a few steps, so that weights, moving statistics and moments are none of the initial values.

import type { Device, Executable } from '../../runtime/device.ts';
import { optimizerVariables, type TrainedModel } from '../../runtime/interop/trained-model.ts';
import { ARCHITECTURES, buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import type { Model } from '../../runtime/model/model.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { randomBatch } from './models.ts';

export const ROWS = 8;
const RATE = 1e-3;
const DECAY = 1e-4;
const HYPER = { learningRate: RATE, weightDecay: DECAY, bnMomentum: 0.99 };

/** Every architecture without dropout, whose masks no other program repeats: small, or with HYBRID_INTEROP_FULL=1 as they are. */
export function interopModels(): Model[] {
  const full = process.env.HYBRID_INTEROP_FULL === '1';
  return ARCHITECTURES.map((arch) => {
    const shared = full
      ? { input: [32, 32, 3] as const, classes: 10, dropout: 0 }
      : { input: [16, 16, 3] as const, classes: 5, dropout: 0 };
    if (arch === 'convmixer') return buildModel(arch, { ...shared, dim: full ? 64 : 12, depth: 2, kernel: 4, patch: 3 });
    return buildModel(arch, full ? shared : { ...shared, width: 1 / 16 });
  });
}

export const batchOf = (model: Model, k: number) => randomBatch(model, ROWS, 100 + k);

/** A model on a device, and steps of it. */
export class Trainer {
  readonly model: Model;
  readonly #executable: Executable;

  private constructor(model: Model, executable: Executable) {
    this.model = model;
    this.#executable = executable;
  }

  /** From the initialisers, or from a state. */
  static async start(device: Device, model: Model, from?: Pick<TrainedModel, 'weights' | 'optimizer'>): Promise<Trainer> {
    const executable = await device.compile(trainingGraphs(model), { capacity: ROWS, seed: 1n });
    const state = [...(from?.weights ?? initialize(model, 5n)), ...(from?.optimizer ?? [])];
    for (const [name, data] of state) if (name !== 'optimizer/vars/1') await executable.write(name, data);
    return new Trainer(model, executable);
  }

  async steps(...batches: number[]): Promise<number[]> {
    const losses: number[] = [];
    for (const k of batches) {
      losses.push((await this.#executable.gradient(batchOf(this.model, k))).loss);
      await this.#executable.update(HYPER);
    }
    return losses;
  }

  logits(k: number): Promise<Float32Array> {
    return this.#executable.predict(batchOf(this.model, k));
  }

  async evaluate(k: number): Promise<{ loss: number; accuracy: number }> {
    const { loss, correct } = await this.#executable.evaluate(batchOf(this.model, k));
    return { loss, accuracy: correct / ROWS };
  }

  async trained(): Promise<TrainedModel> {
    const { model } = this;
    const read = async (name: string) =>
      [name, name === 'optimizer/vars/1' ? Float32Array.of(RATE) : await this.#executable.read(name)] as const;
    return {
      model,
      weights: new Map(await Promise.all(model.variables.map(({ name }) => read(name)))),
      optimizer: new Map(await Promise.all(optimizerVariables(model).map(({ name }) => read(name)))),
      optimizerSettings: { learningRate: RATE, weightDecay: DECAY },
      bnMomentum: HYPER.bnMomentum,
      classes: Array.from({ length: model.classes }, (_, i) => `sort "${i}" äö`),
      license: 'CC-BY-4.0',
    };
  }

  close(): Promise<void> {
    return this.#executable.close();
  }
}

/** The largest difference of two lists of numbers, relative to the largest number of the second but at least 1. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let [most, largest] = [0, 1];
  for (let i = 0; i < a.length; i++) {
    if (!Number.isFinite(a[i])) return Number.POSITIVE_INFINITY;
    most = Math.max(most, Math.abs(a[i] - b[i]));
    largest = Math.max(largest, Math.abs(b[i]));
  }
  return most / largest;
}
