// The nouns of one run, put together: what the loop and its epochs act on.

import { HybridError } from '../base/errors.ts';
import { batchesPerEpoch } from '../data/loader.ts';
import { cardOf, readCard } from '../interop/trained-model.ts';
import { graphDigest, serializeGraph } from '../ir/serialize.ts';
import { averageOf, type WeightAverage } from './average.ts';
import { Divergence } from './divergence.ts';
import type { TrainEvent } from './events.ts';
import { LearningRate } from './learning-rate.ts';
import { BestKeeper, EarlyStopping } from './monitors.ts';
import { checkDataset, type LoopOptions } from './options.ts';
import { checkResume, Position, resumeSettings } from './progress.ts';
import { Reporter } from './reporter.ts';
import { openSession, type Session } from './session.ts';
import { Snapshots } from './snapshots.ts';
import { Stages } from './stages.ts';
import { Watchdog } from './watchdog.ts';

export interface Training {
  readonly options: LoopOptions;
  readonly stepsPerEpoch: number;
  readonly session: Session;
  readonly stages: Stages;
  readonly position: Position;
  readonly rate: LearningRate;
  readonly best: BestKeeper;
  readonly stopping: EarlyStopping | null;
  readonly divergence: Divergence;
  /** Of the weights, where the run has one. */
  readonly average: WeightAverage | null;
  readonly snapshots: Snapshots;
  readonly reporter: Reporter;
  readonly watchdog: Watchdog;
  /** Of a run that is resumed: what is other than before, and was allowed to be. */
  readonly changes: readonly string[];
  close(): Promise<void>;
}

/** Opens what the run needs. Throws E_USAGE, E_DATA, E_CHECKPOINT, and what `openSession` throws; then nothing stays open. */
export async function openTraining(options: LoopOptions, emit: (event: TrainEvent) => void): Promise<Training> {
  const { model, train, validation, test, epochs, resume, stallSeconds, origin } = options;
  for (const set of [train, validation, test]) if (set) checkDataset(model, set);
  checkRecalibration(options);
  checkBalance(options);
  const stepsPerEpoch = batchesPerEpoch(train.size, options.batch);
  const stages = new Stages(options);
  const { graphs } = stages.current;
  const graph = { text: serializeGraph(graphs.predict), digest: graphDigest(graphs.predict) };
  const settings = await resumeSettings(options);
  const average = averageOf(options, epochs * stepsPerEpoch);
  const changes = resume ? checkResume(resume, { graph, settings, options }) : [];

  const reporter = new Reporter(options, stepsPerEpoch, emit);
  const watchdog = new Watchdog({ limitMs: stallSeconds * 1000, onStall: (text) => reporter.warn(text) });
  try {
    const position = new Position();
    const rate = new LearningRate(options, epochs * stepsPerEpoch, stages.frozenEpochs * stepsPerEpoch);
    const best = new BestKeeper(validation ? 'val_loss' : 'loss');
    const stopping = options.earlyStopping && new EarlyStopping(options.earlyStopping);
    const session = await openSession(options, stages.current);
    const { license, preprocessing } = origin ?? readCard(JSON.stringify(resume?.card ?? null));
    const snapshots = new Snapshots({
      ...{ options, stepsPerEpoch, position, rate, settings, reporter, session, stages, average },
      resumables: [...rate.resumables, best, ...(stopping ? [stopping] : [])],
      identity: { graph, card: cardOf({ model, classes: train.classes, license, preprocessing }) },
    });
    const divergence = new Divergence(options.onNan, reporter);
    const close = async (): Promise<void> => {
      // After a failure too: a checkpoint that is being written is better than the one before it.
      await snapshots.settle().catch(() => {});
      watchdog.stop();
      await session.close();
    };
    return {
      options,
      stepsPerEpoch,
      session,
      stages,
      position,
      rate,
      best,
      stopping,
      divergence,
      average,
      snapshots,
      reporter,
      watchdog,
      changes,
      close,
    };
  } catch (error) {
    watchdog.stop();
    throw error;
  }
}

/** Each makes every class weigh as much as the others: both together make small ones weigh more. */
function checkBalance({ sampling, classWeights }: LoopOptions): void {
  if (sampling !== 'balanced' || classWeights !== 'balanced') return;
  throw new HybridError(
    'E_USAGE',
    '`sampling: balanced` and `classWeights: balanced` would make small classes weigh more than large ones',
    'Leave one out.',
    { field: 'sampling' },
  );
}

/** The plain mean over batches, of which a layer that is called twice has two each, is none of moving averages. */
function checkRecalibration({ model, recalibrateBn }: LoopOptions): void {
  if (recalibrateBn === 0 || !('layers' in model)) return;
  const twice = model.layers.find(({ type, repeats }) => type === 'BatchNormalization' && repeats !== undefined);
  if (!twice) return;
  throw new HybridError('E_USAGE', `${twice.name} is called twice, so its statistics cannot be recomputed`, 'Leave `recalibrateBn` out.', {
    field: 'recalibrateBn',
  });
}
