// The settings with which the script trains each of its models (keras-semantics.md, sections 4 and 5).

import type { ArchitectureName } from '../model/architectures.ts';
import type { TrainOptions } from './events.ts';

export type Preset = Pick<
  TrainOptions,
  | 'epochs'
  | 'batch'
  | 'learningRate'
  | 'weightDecay'
  | 'earlyStopping'
  | 'plateau'
  | 'schedule'
  | 'bnMomentum'
  | 'recalibrateBn'
  | 'shuffle'
>;

/** The script's run_experiment and run_experiment_2. */
const patient: Preset = {
  epochs: 30,
  batch: 128,
  learningRate: 2e-3,
  weightDecay: 1e-4,
  earlyStopping: { patience: 4 },
  plateau: { patience: 2, factor: 0.5, minLearningRate: 1e-5 },
  schedule: { name: 'constant' },
  bnMomentum: 0.99,
  recalibrateBn: 0,
  shuffle: true,
};

/** The script's run_experiment_3: less patience, a lower floor. Its results are therefore not like for like with the others. */
const brisk: Preset = {
  ...patient,
  earlyStopping: { patience: 3 },
  plateau: { patience: 1, factor: 0.5, minLearningRate: 5e-6 },
};

/** The family `convmixer`, which the script does not have, is trained as its first model is. */
export const PRESETS = {
  'convmixer-256-8': patient,
  'conv-pooling': patient,
  'convmixer-2stage-flatten': patient,
  'convmixer-2stage': brisk,
  'convmixer-256-8-block-residual': brisk,
  convmixer: patient,
} as const satisfies Record<ArchitectureName, Preset>;

export const presetFor = (arch: ArchitectureName): Preset => PRESETS[arch];
