// What comes before the first epoch: the weights on the device, and what there is to say of the run.

import { HybridError } from '../base/errors.ts';
import { missingClasses } from '../data/split.ts';
import { initialize } from '../model/init.ts';
import { writeWeights } from './evaluate.ts';
import { measured } from './measure.ts';
import type { LoopOptions } from './options.ts';
import { shortRunWarning } from './statistics.ts';
import type { Training } from './training.ts';

/** Brings the device to where the run begins, or goes on. */
export async function start(run: Training): Promise<void> {
  const { options, session, snapshots, average, reporter, stepsPerEpoch } = run;
  if (options.resume) await snapshots.restore(options.resume);
  else {
    const weights = await initialWeights(options);
    await writeWeights(session.executable, options.model, weights);
    average?.begin(weights);
  }
  reporter.start();
  reporter.say(session.notice);
  for (const lack of missingClasses(options)) reporter.warn(lack);
  if (options.resume) await goOn(run);
  else reporter.warn(shortRunWarning(options, stepsPerEpoch));
  if (options.onNan === 'rollback') snapshots.keepGood();
}

async function initialWeights(options: LoopOptions): Promise<ReadonlyMap<string, Float32Array>> {
  const { init, model, seed } = options;
  if (!init) return measured(options, initialize(model, seed));
  const bad = [...init].find(([, data]) => !data.every(Number.isFinite));
  if (!bad) return init;
  throw new HybridError('E_CHECKPOINT', `the initial weights ${bad[0]} are not all finite`, 'Start from other weights.', { field: 'init' });
}

async function goOn({ options, position, best, stopping, snapshots, reporter, changes }: Training): Promise<void> {
  if (best.epoch > 0) await snapshots.recoverBest(best);
  for (const change of changes) reporter.warn(`${change}: from here on the results differ from an uninterrupted run.`);
  reporter.resume('resumed', position);
  const done = position.history.length;
  if (done < options.epochs) {
    if (stopping?.stopsAfter(done)) reporter.say(stopping.reason(done));
    return;
  }
  reporter.say(
    `${done === 1 ? 'The only epoch is' : `All ${done} epochs are`} complete; only the test remains. Raise \`epochs\` to train longer.`,
  );
}
