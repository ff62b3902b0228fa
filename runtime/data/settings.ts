// What `partsOf` can be told: which images are for training, validation and the test.

import { below1, choice, integer, optional } from '../base/kinds.ts';
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
      help: 'share of the training images held out for validation; 0: the training loss is monitored',
    },
  }),
  /**
   * Which images they are: `stratified` draws of every class its share, by the seed; `first` takes the first ones. `auto` is `first` for sets
   * whose order has nothing to do with the classes (CIFAR, folders, the synthetic one), and `stratified` for others.
   */
  split: setting({
    kind: choice('auto', 'stratified', 'first'),
    usual: 'auto',
    keeps: 'bits',
    flag: {
      name: 'split',
      group: 'Data',
      kind: choice('auto', 'stratified', 'first'),
      example: 'stratified',
      help: 'selection of validation images and of those that --limit keeps; stratified: in proportion to the classes; first: in stored order; auto: first for CIFAR and folders, else stratified',
    },
  }),
  /** Only so many training images; validation and test then are at most a fifth of them, and not below 100. */
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
      help: 'number of training images to use; validation and test then use at most max(100, N/5) each',
    },
  }),
} as const satisfies SettingTable;
