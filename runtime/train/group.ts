// Training as one rank of a group: the ranks agree on what they are about to do, share a device each, and rank 0 keeps the
// checkpoints.

import { HybridError } from '../base/errors.ts';
import type { Communicator } from '../distributed/communicator.ts';
import { distribute } from '../distributed/distribute.ts';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.ts';
import { graphDigest } from '../ir/serialize.ts';
import type { Checkpoint, CheckpointKind, CheckpointStore } from './checkpoint.ts';
import type { TrainOptions, TrainRun } from './events.ts';
import { inferenceGraphs } from './graphs.ts';
import { completeOptions } from './options.ts';
import { resumeSettings } from './progress.ts';
import { train } from './run.ts';
import { describeSettings, GROUP_SETTINGS } from './settings.ts';

/** Options for `trainInGroup`. */
export interface GroupTrainOptions extends TrainOptions {
  readonly communicator: Communicator;
  /** Batch normalisation over the rows of all ranks. */
  readonly syncBatchNorm?: boolean;
}

/**
 * `train`, as one rank of a group. `batch` and all else are those of the whole; every rank gives the same options, and only rank 0
 * a store. `signal` stops all ranks, whichever is asked. Throws E_RANK where the ranks were started differently, and the run
 * fails with it where a rank is lost; then only `communicator.abort` ends the others.
 */
export async function trainInGroup({ communicator, syncBatchNorm = false, ...options }: GroupTrainOptions): Promise<TrainRun> {
  if (options.onNan === 'rollback' && options.checkpointEvery) {
    throw new HybridError(
      'E_USAGE',
      'ranks cannot roll back to checkpoints within an epoch: they need not have made them at the same step',
      'Leave `checkpointEvery` out, or use `onNan: stop` or `onNan: skip`.',
      { field: 'onNan' },
    );
  }
  GROUP_SETTINGS.syncBatchNorm.kind.check(syncBatchNorm, 'syncBatchNorm');
  const { agree } = await import('../distributed/agree.ts');
  await agree(communicator, {
    ...(await resumeSettings(completeOptions(options), 'ranks')),
    ...describeSettings(GROUP_SETTINGS, { syncBatchNorm }, 'ranks'),
    model: graphDigest(inferenceGraphs(options.model).predict),
    resumed: `${options.resume !== undefined}`,
  });
  // Stopping is a common decision, whichever way it is asked for.
  const asked = new AbortController();
  const ask = () => asked.abort(options.signal?.reason);
  if (options.signal?.aborted) ask();
  else options.signal?.addEventListener('abort', ask);
  const { device, signal } = distribute({ device: options.device, communicator, signal: asked.signal, syncBatchNorm });
  const stores = await communicator.gather(Uint8Array.of(options.store ? 1 : 0));
  const store = stores[0][0] === 1 ? new GroupStore(communicator, options.store) : undefined;
  // Every rank would compute the features of all images.
  const run = train({ ...options, device, signal, store, keepFeatures: false });
  const forget = () => options.signal?.removeEventListener('abort', ask);
  run.result.then(forget, forget);
  const stop = () => {
    asked.abort();
    return run.result;
  };
  return { ...run, stop, [Symbol.asyncDispose]: async () => void (await stop().catch(() => {})) };
}

/** The store of rank 0, as all ranks see it: they load the same, and only rank 0 saves. */
class GroupStore implements CheckpointStore {
  readonly location: string;
  readonly #communicator: Communicator;
  readonly #store: CheckpointStore | undefined;

  constructor(communicator: Communicator, store: CheckpointStore | undefined) {
    this.#communicator = communicator;
    this.#store = communicator.rank === 0 ? store : undefined;
    this.location = this.#store?.location ?? 'the store of rank 0';
  }

  async save(kind: CheckpointKind, checkpoint: Checkpoint): Promise<string> {
    return this.#store ? this.#store.save(kind, checkpoint) : this.location;
  }

  async load(kind: CheckpointKind): Promise<Checkpoint | null> {
    let failure: { readonly error: unknown } | undefined;
    const own = await this.#store?.load(kind).catch((error: unknown) => void (failure = { error }));
    const shared = await shareCheckpoint(this.#communicator, own ?? null); // all ranks come, whatever rank 0 has found
    if (failure) throw failure.error;
    return shared;
  }
}

/** The checkpoint of rank 0, on all ranks. */
export async function shareCheckpoint(communicator: Communicator, checkpoint: Checkpoint | null): Promise<Checkpoint | null> {
  const own = communicator.rank === 0 ? checkpoint : null;
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const text = await communicator.broadcast(own && encode({ progress: own.progress, graph: own.graph }));
  if (text.length === 0) return null;
  const weights = await communicator.broadcast(own && writeSafetensors(own.weights));
  const optimizer = await communicator.broadcast(own && writeSafetensors(own.optimizer));
  if (own) return own;
  const { progress, graph } = JSON.parse(new TextDecoder().decode(text)) as Pick<Checkpoint, 'progress' | 'graph'>;
  return { progress, graph, weights: tensors(weights), optimizer: tensors(optimizer) };
}

const tensors = (bytes: Uint8Array): Checkpoint['weights'] =>
  new Map(
    [...readSafetensors(bytes, 'the checkpoint of rank 0').tensors].map(([name, { shape, data }]) => [
      name,
      { shape, data: data as Float32Array },
    ]),
  );
