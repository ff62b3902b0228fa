// The stages of a run that freezes layers for some epochs: which graphs an epoch is trained with, and the way from one stage to the next.
// The optimizer begins anew with a stage, as in Keras after `compile`: it has other parameters.

import type { LossOptions } from '../losses/index.ts';
import { lossAttributes } from '../losses/settings.ts';
import { kernelsOf, normBiases } from '../model/model.ts';
import { decayOf, rateOf } from '../optim/groups.ts';
import { factorsOf } from './class-weights.ts';
import { planFeatures } from './features.ts';
import { stagesOf } from './freeze.ts';
import { type TrainingGraphOptions, trainingGraphs } from './graphs.ts';
import type { LoopOptions } from './options.ts';
import type { Session, StageGraphs } from './session.ts';

export class Stages {
  readonly #options: LoopOptions;
  readonly #stages: ReturnType<typeof stagesOf>;
  #at = 0;
  #current: StageGraphs;

  constructor(options: LoopOptions) {
    this.#options = options;
    this.#stages = stagesOf(options.model, options.freeze);
    this.#current = this.#graphsOf(0);
  }

  /** The stage at hand; of a new run, and of one to be resumed, the first. */
  get current(): StageGraphs {
    return this.#current;
  }

  /** Epochs that train less than the last ones do. */
  get frozenEpochs(): number {
    return this.#stages.length === 1 ? 0 : Math.min(this.#stages[0].end - 1, this.#options.epochs);
  }

  /** Whether the epochs, from 1 on, are trained alike. */
  areOne(first: number, second: number): boolean {
    return this.#indexOf(first) === this.#indexOf(second);
  }

  /** Has the session ready for an epoch, with its weights as they are and the optimizer's state as it is, or new where another stage begins. */
  async enter(session: Session, epoch: number): Promise<void> {
    const stage = this.#indexOf(epoch);
    if (stage === this.#at) return;
    const graphs = this.#graphsOf(stage);
    await session.enter(graphs);
    this.#at = stage;
    this.#current = graphs;
  }

  #indexOf(epoch: number): number {
    return this.#stages.findIndex(({ end }) => Math.min(epoch, this.#options.epochs) < end);
  }

  #graphsOf(stage: number): StageGraphs {
    const { model, train, optimizer, classWeights, epochs, decayOn, clipNorm, normBiasRate } = this.#options;
    const { groups: given, end } = this.#stages[stage];
    const rated = normBiasRate === 1 ? given : rateOf(normBiases(model), normBiasRate, given);
    const groups = decayOn === 'all' ? rated : decayOf(kernelsOf(model), rated);
    const loss: LossOptions = { name: 'crossEntropy', ...lossAttributes(this.#options), classWeights: factorsOf(classWeights, train) };
    const graphs: TrainingGraphOptions = { optimizer, groups, loss, clipNorm };
    const isFrozen = groups.some(({ frozen }) => frozen);
    const stageEpochs = Math.min(end - 1, epochs) - (stage === 0 ? 0 : this.#stages[stage - 1].end - 1);
    const features = isFrozen ? planFeatures(this.#options, { ...graphs, epochs: stageEpochs }) : 'nothing is frozen';
    return { graphs: trainingGraphs(model, graphs), features };
  }
}
