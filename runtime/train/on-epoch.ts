// What a caller's `onEpoch` is given: the epoch, and the weights behind it, read from the device only where they are asked for.

import { abortError, HybridError } from '../base/errors.ts';
import { readWeights, weightsOf } from './device-state.ts';
import type { EpochState } from './events.ts';
import type { EpochRecord } from './progress.ts';
import type { Training } from './training.ts';

/** Calls `onEpoch` of the options, if there is one, and waits for it as long as the run is not stopped. Throws what it throws, or an AbortError. */
export async function tellEpoch({ options, session, snapshots, average, watchdog }: Training, record: EpochRecord): Promise<void> {
  const { onEpoch, signal } = options;
  if (!onEpoch) return;
  watchdog.begin('onEpoch to return', `epoch ${record.epoch}`);
  let isOver = false;
  const whileItLasts =
    <T>(what: string, read: () => Promise<T>) =>
    async (): Promise<T> => {
      if (!isOver) return read();
      throw new HybridError(
        'E_USAGE',
        `the ${what} of epoch ${record.epoch} were asked for after its onEpoch had returned`,
        'Return a promise from onEpoch that waits for them.',
      );
    };
  const state: EpochState = {
    weights: whileItLasts('weights', async () =>
      average
        ? new Map([...average.weights].map(([name, data]) => [name, data.slice()]))
        : weightsOf({ weights: await readWeights(session.executable) }),
    ),
    checkpoint: whileItLasts('contents of a checkpoint', () => snapshots.take()),
  };
  let leave = (): void => {};
  // It may itself wait for the run to stop, or never come back: a run that is stopped ends all the same.
  const stopped = new Promise<void>((_, reject) => {
    leave = () => reject(abortError(signal));
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave);
  });
  try {
    // A promise that loses, and rejects later, is one that `race` has taken care of.
    await Promise.race([(async () => onEpoch(record, state))(), stopped]);
  } finally {
    isOver = true;
    signal.removeEventListener('abort', leave);
  }
}
