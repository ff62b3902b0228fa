// What a run can be told of its weights from step to step, beside their optimizer: a part of the table in settings.ts.

import { above0, below1, integer } from '../base/kinds.ts';
import { type SettingTable, setting } from '../base/setting.ts';

export const STEP_SETTINGS = {
  /** Factor on the learning rate of the biases of batch normalisation, and not on their decay: that is as strong as of all else. 1 by default. */
  normBiasRate: setting({
    kind: above0,
    usual: 1,
    keeps: 'bits',
    added: true,
    flag: {
      name: 'norm-bias-rate',
      group: 'Training',
      kind: above0,
      example: '64',
      help: 'factor on the learning rate of the biases of batch normalisation; their weight decay stays as it is',
    },
  }),
  /**
   * Parts in which the gradients of a batch are computed, one after the other, with one update for all: the memory is that of a part. Batch
   * normalisation is that of each part, and its moving statistics follow the last one. 1 by default.
   */
  accumulate: setting({
    kind: integer(1),
    usual: 1,
    keeps: 'bits',
    added: true,
    flag: {
      name: 'accumulate',
      group: 'Training',
      kind: integer(1),
      example: '2',
      help: 'compute each batch in N parts, which need less memory, with one update for all; batch normalisation is that of each part',
    },
  }),
  /**
   * Decay of a moving average of weights and moving statistics, from 0 to below 1: after each step average = average · ema + weights · (1 − ema).
   * Training goes on with the weights; validation, test and checkpoints have the average, and so has all that reads them. 0, the default: none.
   */
  ema: setting({
    kind: below1,
    usual: 0,
    keeps: 'bits',
    added: true,
    flag: {
      name: 'ema',
      group: 'Training',
      kind: below1,
      example: '0.998',
      help: 'decay of a moving average of the weights, which is validated, tested, saved and exported in their place; 0: none',
    },
  }),
  /**
   * After every so many steps k the weights, moving statistics among them, are set to average = average · d + weights · (1 − d), where d is
   * 0.95^k · (share of all steps that is over)³; validation, test and checkpoints have the average. 0, the default: never.
   */
  lookahead: setting({
    kind: integer(0),
    usual: 0,
    keeps: 'bits',
    added: true,
    flag: {
      name: 'lookahead',
      group: 'Training',
      kind: integer(0),
      example: '5',
      help: 'go back to an average of the weights every N steps, the more the longer the run has been; 0: never',
    },
  }),
} as const satisfies SettingTable;
