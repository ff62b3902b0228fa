// A device that is one rank's part of a group: every rank runs the same training loop over the same batches, and computes its own
// rows of each. Nothing above it knows: a batch goes in whole, and its loss, gradients and logits are those of the whole.
//
//   gradient    own rows on the own device → gradients, loss and hits, weighted by rows, added up over the ranks (gradient-sum.ts)
//   update      the same on every rank, from the same gradients; then moving statistics become the mean over the ranks
//   evaluate, predict    own rows; the logits of all are gathered
//
// Stopping is a common decision. A rank that is asked to stop says so in its next exchange, and all stop after it: the signal of
// the loop is the one that `distribute` returns, which all ranks abort at the same place.

import { type OptionNames, refuseUnknownOptions } from '../base/kinds.ts';
import type { Device, ModelGraphs } from '../device.ts';
import { elementCount } from '../ir/graph.ts';
import type { Communicator } from './communicator.ts';
import { Rank } from './rank.ts';

/** A device and the group that it becomes part of. */
export interface DistributeOptions {
  readonly device: Device;
  readonly communicator: Communicator;
  /** Batch normalisation over the rows of all ranks, on devices that can. Default: over those of each. */
  readonly syncBatchNorm?: boolean;
  /** Asks all ranks to stop. */
  readonly signal?: AbortSignal;
}

/** What takes the place of device and signal in each rank. */
export interface Distributed {
  readonly device: Device;
  /** For the training loop, in place of the signal above: aborted on all ranks at the same step. */
  readonly signal: AbortSignal;
}

const OPTIONS: OptionNames<DistributeOptions> = { device: true, communicator: true, syncBatchNorm: true, signal: true };

/** The device as this rank's part of the group. Closing it leaves the communicator open. */
export function distribute(options: DistributeOptions): Distributed {
  refuseUnknownOptions(options, OPTIONS, 'distribute');
  const { device, communicator, signal, syncBatchNorm = false } = options;
  const agreed = new AbortController();
  const rank = new Rank(communicator, agreed, signal, syncBatchNorm);
  return {
    signal: agreed.signal,
    device: {
      name: device.name,
      arithmetic: device.arithmetic,
      description: `${device.description}, ${communicator.size} ranks`,
      threads: device.threads,
      memoryLimit: device.memoryLimit,
      holds: device.holds && (() => ({ worthwhile: false, possible: false, reason: 'ranks get the rows of a batch that are theirs' })),
      compile: async (graphs, options) => {
        const [{ DistributedExecutable }, { GradientSum }] = await Promise.all([import('./executable.ts'), import('./gradient-sum.ts')]);
        const gradients = new GradientSum(rank, options.trace);
        const local = await device.compile(graphs, { ...rank.local(options), onGradients: gradients.add });
        return new DistributedExecutable({ local, capacity: options.capacity, perRow: perRow(graphs), gradients, rank });
      },
      memoryFor: (graphs, options) => device.memoryFor(graphs, rank.local(options)),
      inspect: (graphs, options) => device.inspect(graphs, rank.local(options)),
      close: () => device.close(),
      [Symbol.asyncDispose]: () => device.close(),
    },
  };
}

/** Of a row of a batch: every graph reads the same ones. */
function perRow({ train, calibrate, evaluate, predict }: ModelGraphs): { readonly images: number; readonly features: number } {
  const graph = train ?? calibrate ?? evaluate ?? predict;
  const elements = (name: string): number => (graph && name in graph.inputs ? elementCount(graph.values[graph.inputs[name]].spec) : 0);
  return { images: elements('images'), features: elements('features') };
}
