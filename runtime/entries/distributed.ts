/**
 * Training in several processes: `@hybrid-train/hybrid/distributed`.
 *
 * @module Distributed training
 */

export { type Communicator, solo as singleRank } from '../distributed/communicator.ts';
export { type Distributed, type DistributeOptions, distribute } from '../distributed/distribute.ts';
export { type MpiOptions, openMpi } from '../distributed/mpi.ts';
export { type GroupTrainOptions, trainInGroup } from '../train/group.ts';
