// What `buildModel` can be told beside images and classes.

import { below1, choice, integer, optional } from '../base/kinds.ts';
import { type SettingTable, setting } from '../base/setting.ts';

/** Settings of a model, by their names in code. What an architecture decides itself is refused by `buildModel`. */
export const MODEL_SETTINGS = {
  /** Channels of `convmixer`; 256 by default. */
  dim: setting({
    kind: optional(integer(1, 65_536)),
    usual: undefined,
    keeps: 'bits',
    flag: { name: 'dim', group: 'Model', kind: integer(1, 65_536), example: '64', otherwise: '256', help: 'channels of convmixer' },
  }),
  /** Blocks of `convmixer`; 8 by default. */
  depth: setting({
    kind: optional(integer(1, 1000)),
    usual: undefined,
    keeps: 'bits',
    flag: { name: 'depth', group: 'Model', kind: integer(1, 1000), example: '4', otherwise: '8', help: 'blocks of convmixer' },
  }),
  /** Size of the depthwise kernels of `convmixer`; 5 by default. */
  kernel: setting({
    kind: optional(integer(1, 1000)),
    usual: undefined,
    keeps: 'bits',
    flag: {
      name: 'kernel',
      group: 'Model',
      kind: integer(1, 1000),
      example: '5',
      otherwise: '5',
      help: 'size of the depthwise kernels of convmixer',
    },
  }),
  /** Size and stride of the patches of `convmixer`; 2 by default. */
  patch: setting({
    kind: optional(integer(1, 1000)),
    usual: undefined,
    keeps: 'bits',
    flag: {
      name: 'patch',
      group: 'Model',
      kind: integer(1, 1000),
      example: '2',
      otherwise: '2',
      help: 'size and stride of the patches of convmixer',
    },
  }),
  /** Activation of `convmixer`; GELU by default. */
  activation: setting({
    kind: optional(choice('gelu', 'relu')),
    usual: undefined,
    keeps: 'bits',
    flag: {
      name: 'activation',
      group: 'Model',
      kind: choice('gelu', 'relu'),
      example: 'relu',
      otherwise: 'gelu',
      help: 'activation of convmixer',
    },
  }),
  /** Added to variances by the batch normalisation of `convmixer`; 0.001 by default. */
  epsilon: setting({
    kind: optional(below1),
    usual: undefined,
    keeps: 'bits',
    flag: {
      name: 'epsilon',
      group: 'Model',
      kind: below1,
      example: '1e-5',
      otherwise: '0.001',
      help: 'epsilon of batch normalisation in convmixer, added to the variance; PyTorch uses 1e-5',
    },
  }),
  /** Rate of the dropout before the head; that of the architecture by default. With 0 the layer stays in the list and does nothing. */
  dropout: setting({
    kind: optional(below1),
    usual: undefined,
    keeps: 'bits',
    flag: {
      name: 'dropout',
      group: 'Model',
      kind: below1,
      example: '0.5',
      otherwise: '0.5, 0.2 of efficientnet-lite0, none of resnet-20 and airbench',
      help: 'rate of the dropout before the last layer',
    },
  }),
} as const satisfies SettingTable;
