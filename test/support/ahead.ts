// A device that submits ahead, as GPUs do: runs happen in the order of their calls, and their results are told late.

import { abortError } from '../../runtime/base/errors.ts';
import type { Device, Executable } from '../../runtime/device.ts';

export interface AheadOptions {
  readonly steps: number;
  /** Milliseconds after a run in which its result is on its way. The next run does not wait for it. */
  readonly lateMs?: number;
  /** The gradients of these runs (counted from 1) have a loss of NaN, and are not applied. */
  readonly failing?: (run: number) => boolean;
}

/** Counted while it runs. */
export interface Seen {
  /** Steps whose update has not been told, the most at a time. */
  mostInFlight: number;
}

/** `device` with `stepsAhead`. An abort is heeded at the next run. */
export function aheadOf(device: Device, { steps, lateMs = 0, failing = () => false }: AheadOptions): { device: Device; seen: Seen } {
  const seen: Seen = { mostInFlight: 0 };
  const late = () => new Promise((resolve) => setTimeout(resolve, lateMs));
  const compile: Device['compile'] = async (graphs, options) => {
    const executable = await device.compile(graphs, options);
    let turn: Promise<unknown> = Promise.resolve();
    const inTurn = async <T>(run: () => Promise<T>): Promise<T> => {
      const mine = turn.then(run);
      turn = mine.catch(() => {});
      try {
        return await mine;
      } finally {
        await late();
      }
    };
    let count = 0;
    let inFlight = 0;
    /** Of the last gradient that had its turn. */
    let outcome: 'good' | 'bad' | 'aborted' = 'aborted';
    const ahead: Executable = {
      capacity: executable.capacity,
      state: executable.state,
      memoryBytes: executable.memoryBytes,
      stepsAhead: steps,
      gradient: (batch, run) => {
        seen.mostInFlight = Math.max(seen.mostInFlight, ++inFlight);
        const copy = { ...batch, images: batch.images.slice() };
        return inTurn(async () => {
          outcome = 'aborted';
          if (run?.signal?.aborted) throw abortError(run.signal);
          const metrics = await executable.gradient(copy);
          outcome = failing(++count) ? 'bad' : 'good';
          return outcome === 'bad' ? { ...metrics, loss: Number.NaN } : metrics;
        });
      },
      update: (hyper) =>
        inTurn(async () => {
          if (outcome === 'aborted') throw abortError();
          return outcome === 'bad' ? { applied: false } : executable.update(hyper);
        }).finally(() => void inFlight--),
      calibrate: (batch, momentum, run) => inTurn(() => executable.calibrate(batch, momentum, run)),
      evaluate: (batch, run) => {
        const copy = { ...batch, images: batch.images.slice() };
        return inTurn(() => executable.evaluate(copy, run));
      },
      predict: (batch, run) => inTurn(() => executable.predict(batch, run)),
      read: (name) => inTurn(() => executable.read(name)),
      write: (name, data) => inTurn(() => executable.write(name, data)),
      close: () => executable.close(),
      [Symbol.asyncDispose]: () => executable.close(),
    };
    return ahead;
  };
  return { device: { ...device, compile }, seen };
}
