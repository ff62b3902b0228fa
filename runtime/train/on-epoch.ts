// What a caller's `onEpoch` is given: the epoch, and the weights behind it, read from the device only where they are asked for.

import { HybridError } from '../base/errors.ts';
import { readWeights, weightsOf } from './device-state.ts';
import type { EpochState } from './events.ts';
import type { EpochRecord } from './progress.ts';
import type { Training } from './training.ts';

/** Calls `onEpoch` of the options, if there is one, and waits for it. What it throws ends the run. */
export async function tellEpoch({ options, session, watchdog }: Training, record: EpochRecord): Promise<void> {
  const { onEpoch } = options;
  if (!onEpoch) return;
  watchdog.begin('onEpoch to return', `epoch ${record.epoch}`);
  let isOver = false;
  const state: EpochState = {
    async weights() {
      if (isOver)
        throw new HybridError(
          'E_USAGE',
          `the weights of epoch ${record.epoch} were asked for after its onEpoch had returned`,
          'Return a promise from onEpoch that waits for them.',
        );
      return weightsOf({ weights: await readWeights(session.executable) });
    },
  };
  try {
    await onEpoch(record, state);
  } finally {
    isOver = true;
  }
}
