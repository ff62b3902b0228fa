// What `hybrid train` is told beside the settings of the run, and what it makes of all of it.

import type { CompleteTrainOptions } from '../../runtime/entries/internal.ts';
import type { Model } from '../../runtime/index.ts';
import type { RankFlags } from '../ranks.ts';

/** What the command line trains is made of layers, and has every setting. */
export type Options = CompleteTrainOptions & { readonly model: Model };

export interface Flags extends RankFlags {
  readonly config?: string;
  /** How many runs, one a seed. */
  readonly seeds?: string;
  /** True: the newest. */
  readonly resume?: string | true;
  readonly allowChanged?: string;
  readonly dryRun?: boolean;
  readonly trace?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly figures: boolean;
  readonly tensorboard?: boolean;
}
