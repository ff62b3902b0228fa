// One epoch's steps, or the rest of them. A step is two runs on the device, `gradient` and `update`, and the next steps are queued before
// it has ended (flight.ts): on the wasm device the gradient of step k+1 behind the update of step k, on a GPU two or three whole steps. A
// run that is stopped ends with exactly the state after its last completed step, because a device drops updates together with their
// gradients; a step that is not finite changes nothing, so that the steps behind it are what they would be if it had been waited for.
// Where the state is to be saved after step k it is read behind the update of k in the device's order of calls, before that of k+1.

import { abortError } from '../base/errors.ts';
import type { Batch, BatchMetrics, Update } from '../device.ts';
import { type DeviceState, readState } from './device-state.ts';
import { Flight, type FlyingStep, type Waits } from './flight.ts';
import type { Rate } from './learning-rate.ts';
import type { Training } from './training.ts';

/** A step in flight. */
interface EpochStep extends FlyingStep<BatchMetrics> {
  readonly batch: Batch;
  /** Of the epoch, from 1. */
  readonly step: number;
  readonly rate: Rate;
}

/** What comes of it. */
interface Updated extends Update {
  /** Behind the step, where it is to be saved. */
  readonly state?: Promise<DeviceState>;
}

/** Runs the steps that are left of the epoch at hand. Throws E_DIVERGED, and an AbortError where the run is stopped. */
export async function runSteps(run: Training): Promise<Waits> {
  const { options, session, position, rate, divergence, snapshots, average, reporter, watchdog, stepsPerEpoch } = run;
  const { signal, trace, weightDecay, bnMomentum } = options;
  const { executable } = session;
  const { epoch } = position;
  const start = performance.now();
  const rowsBefore = position.running.rows;

  /** Steps of the run before this epoch. */
  const before = (epoch - 1) * stepsPerEpoch;
  const begin = (batch: Batch): EpochStep => {
    const step = ++queued;
    average?.stepBegins(before + step);
    return { batch, step, rate: rate.at(before + step - 1), gradient: executable.gradient(batch, { signal }) };
  };
  const finish = async ({ step, rate: { rate: learningRate } }: EpochStep): Promise<Updated> => {
    const update = executable.update({ learningRate, weightDecay, bnMomentum });
    const isDue = snapshots.isDue(epoch, step);
    const averaged = average?.stepEnds(executable, before + step, update, isDue);
    const state = averaged ? averaged.state : isDue ? readState(executable) : undefined;
    state?.catch(() => {}); // the loop may leave before it comes to need it
    await averaged?.done;
    return { ...(await update), state };
  };

  let queued = position.step;
  const batches = session.batches.of(epoch, queued);
  const flight = new Flight<BatchMetrics, EpochStep, Updated>({
    batches: average?.gated(batches) ?? batches,
    ahead: executable.stepsAhead ?? 0,
    signal,
    begin,
    finish,
    onWait(oldest, isComputed) {
      if (oldest) watchdog.begin('the device', `${isComputed ? 'update' : 'gradient'} of epoch ${epoch}, step ${oldest.step}`);
      else watchdog.begin('the next images', `epoch ${epoch}, step ${queued + 1}`);
    },
    onIdle: (begin, end) => trace?.span('data wait', 'wait for data', begin, end),
  });
  for await (const [{ batch, step, rate: used }, metrics, updated] of flight) {
    if (divergence.judge({ epoch, step, batch, rate: used.rate }, metrics, updated)) position.running.add(metrics, batch.rows);
    position.step = step;
    rate.used(used);
    reporter.step(position, used.rate, {
      rows: position.running.rows - rowsBefore,
      waits: flight.waits,
      elapsedMs: performance.now() - start,
    });
    snapshots.stepEnded(epoch, updated.state);
  }
  if (signal.aborted) throw abortError(signal);
  return flight.waits;
}
