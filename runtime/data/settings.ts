// What `partsOf` can be told: which images are for training, validation and the test.

import { below1, integer, optional } from '../base/kinds.ts';
import { type SettingTable, setting } from '../base/setting.ts';

/** Settings of the parts of a set, by their names in code. */
export const PART_SETTINGS = {
  /** Share of the training images kept for validation; 0: none, and the training loss is monitored. */
  valFraction: setting({
    kind: below1,
    usual: 0.1,
    keeps: 'bits',
    flag: {
      name: 'val-fraction',
      group: 'Data',
      kind: below1,
      example: '0.1',
      help: 'share of the training images, the first ones, kept for validation; 0: training loss is monitored',
    },
  }),
  /** Only the first training images; validation and test then are at most a fifth of them, and not below 100. */
  limit: setting({
    kind: optional(integer(1)),
    usual: undefined,
    keeps: 'bits',
    flag: {
      name: 'limit',
      group: 'Data',
      kind: integer(1),
      example: '2000',
      otherwise: 'all',
      help: 'only the first N training images; validation and test then are at most max(100, N/5)',
    },
  }),
} as const satisfies SettingTable;
