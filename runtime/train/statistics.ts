// The moving statistics of batch normalisation: measured anew before validation where that is asked for, and a word where a run is too
// short for their momentum.

import type { Executable } from '../device.ts';
import type { CompleteTrainOptions } from './events.ts';
import type { LoopOptions } from './options.ts';
import type { TrainingBatches } from './session.ts';
import type { Watchdog } from './watchdog.ts';

/** Fewer steps than this many time constants of the moving statistics leave them close to where they started. */
const TIME_CONSTANTS_NEEDED = 5;

/**
 * Measures the moving statistics anew, as the plain mean over those of training batches with the present weights: after few steps a moving
 * average with momentum 0.99 is still close to its start.
 */
export async function recalibrate(
  { executable, batches }: { readonly executable: Executable; readonly batches: TrainingBatches },
  { recalibrateBn, batch, signal }: LoopOptions,
  epoch: number,
  watchdog: Watchdog,
): Promise<void> {
  if (recalibrateBn === 0) return;
  let k = 0;
  for await (const next of batches.of(epoch, 0)) {
    // A short last batch would weigh as much as a full one.
    if (k === recalibrateBn || (k > 0 && next.rows < batch)) break;
    watchdog.begin('the device', `statistics after epoch ${epoch}, batch ${k + 1}`);
    await executable.calibrate(next, k / (k + 1), { signal });
    k++;
  }
}

/** What is to be said of a run that is too short for its momentum; null: it is not. Statistics that were there already mean something from the start. */
export function shortRunWarning(
  { bnMomentum, recalibrateBn, epochs, model, init }: CompleteTrainOptions,
  stepsPerEpoch: number,
): string | null {
  const normalizes = init === undefined && model.variables.some(({ kind }) => kind === 'statistic');
  const steps = epochs * stepsPerEpoch;
  const needed = Math.ceil(TIME_CONSTANTS_NEEDED / (1 - bnMomentum));
  if (!normalizes || recalibrateBn > 0 || steps >= needed) return null;
  const lower = bnMomentum > 0.9 ? '`bnMomentum: 0.9`, or ' : '';
  return (
    `${steps === 1 ? '1 step is' : `${steps} steps are`} too few for a batch-norm momentum of ${bnMomentum}: the moving statistics need about ${needed}, and until then ` +
    `validation looks worse than the model is. Use ${lower}\`recalibrateBn: 20\` to recompute them before each validation.`
  );
}
