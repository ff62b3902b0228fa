// The architectures: the five models of the script (keras-semantics.md, section 6) and the family they belong to, written as a user of
// Keras writes them.

import { HybridError, nearest } from '../base/errors.ts';
import { type OptionNames, refuseUnknownOptions } from '../base/kinds.ts';
import { input as imageInput, type LayerTensor, layers } from '../layers/functional.ts';
import { airbench } from './airbench.ts';
import { efficientNetLite0 } from './efficientnet.ts';
import { assemble } from './layered-model.ts';
import type { Model, ModelConfig } from './model.ts';
import { resNet20 } from './resnet.ts';

/**
 * Sizes of a model.
 *
 * @category Models
 */
export interface ModelOptions {
  /** [height, width, channels] of the images. */
  readonly input: readonly [number, number, number];
  readonly classes: number;
  /** Rate of the dropout before the head, in [0, 1); 0.5 by default, 0.2 of efficientnet-lite0, none of resnet-20 and airbench. With 0 the layer stays in the list and does nothing. */
  readonly dropout?: number;
  /**
   * Factor on every number of channels of a named architecture, rounded, at least 1: 1/16 makes 256 channels 16. Image
   * channels and classes keep their number. For tests and experiments; 1 by default.
   */
  readonly width?: number;
  /** Channels of `convmixer`; 256 by default. */
  readonly dim?: number;
  /** Blocks of `convmixer`; 8 by default. */
  readonly depth?: number;
  /** Size of the depthwise kernels of `convmixer`; 5 by default. */
  readonly kernel?: number;
  /** Size and stride of the patches of `convmixer`; 2 by default. */
  readonly patch?: number;
  /** Activation of `convmixer`; `gelu` by default. */
  readonly activation?: MixerActivation;
  /** Added to variances by the batch normalisation of `convmixer`; 0.001 by default, as in Keras. */
  readonly epsilon?: number;
}

/** Activations that `convmixer` may have. */
const MIXER_ACTIVATIONS = ['gelu', 'relu'] as const;
/** One of them. */
export type MixerActivation = (typeof MIXER_ACTIVATIONS)[number];

interface Plan {
  readonly classes: number;
  readonly dropout: number;
  /** Channels after the factor `width`. */
  channels(n: number): number;
}

interface Architecture {
  /** By how much it divides height and width: the smallest image it takes. */
  readonly reduction: number;
  /** From the rescaled images to the logits. */
  build(x: LayerTensor, plan: Plan): LayerTensor;
}

const {
  activation,
  add,
  batchNormalization,
  conv2d,
  dense,
  depthwiseConv2d,
  dropout,
  flatten,
  globalAveragePooling2d,
  maxPooling2d,
  rescaling,
} = layers;

const NAMED = {
  'convmixer-256-8': {
    reduction: 2,
    build: (x, plan) => pooledHead(mixerStage(x, mixerBlock, { dim: plan.channels(256), depth: 8, kernel: 5, patch: 2 }), plan),
  },
  'conv-pooling': {
    reduction: 8,
    build(x, plan) {
      for (const filters of [64, 128, 256].map(plan.channels)) {
        x = batchNormalization(x);
        for (let i = 0; i < 2; i++) x = conv2d(x, { filters, kernelSize: 3, padding: 'same', activation: 'gelu' });
        x = maxPooling2d(x);
      }
      return flattenHead(x, plan);
    },
  },
  'convmixer-2stage-flatten': {
    reduction: 4,
    build: (x, plan) => flattenHead(twoStages(x, plan), plan),
  },
  'convmixer-2stage': {
    reduction: 4,
    build: (x, plan) => pooledHead(twoStages(x, plan), plan),
  },
  'convmixer-256-8-block-residual': {
    reduction: 2,
    build: (x, plan) => pooledHead(mixerStage(x, blockResidualBlock, { dim: plan.channels(256), depth: 8, kernel: 5, patch: 2 }), plan),
  },
} satisfies Record<string, Architecture>;

/** Networks of others, which have no measures to choose but image size, classes and dropout. */
const NETWORKS = { 'resnet-20': resNet20, 'efficientnet-lite0': efficientNetLite0, airbench } as const;

/**
 * Five models of the script, `convmixer`, whose measures are free, and a network of others.
 *
 * @category Models
 */
export type ArchitectureName = keyof typeof NAMED | 'convmixer' | keyof typeof NETWORKS;

/** Every name that `buildModel` takes. */
export const ARCHITECTURE_NAMES: readonly ArchitectureName[] = [
  ...(Object.keys(NAMED) as (keyof typeof NAMED)[]),
  'convmixer',
  ...(Object.keys(NETWORKS) as (keyof typeof NETWORKS)[]),
];

/**
 * The names of the models of the script and of their family, of those that `buildModel` takes.
 *
 * @category Models
 */
export const ARCHITECTURES: readonly ArchitectureName[] = [...(Object.keys(NAMED) as (keyof typeof NAMED)[]), 'convmixer'];

/** The architecture of that name, or E_USAGE with the nearest one. */
export function architectureName(name: string): ArchitectureName {
  const known = ARCHITECTURE_NAMES.find((candidate) => candidate === name);
  if (known) return known;
  const near = nearest(name, ARCHITECTURE_NAMES);
  throw new HybridError(
    'E_USAGE',
    `there is no architecture "${name}"${near ? `; did you mean ${near}?` : ''}`,
    `Choose one of ${ARCHITECTURE_NAMES.join(', ')}.`,
  );
}

const OPTIONS: OptionNames<ModelOptions & ModelConfig> = {
  arch: true,
  input: true,
  classes: true,
  dropout: true,
  network: true,
  width: true,
  dim: true,
  depth: true,
  kernel: true,
  patch: true,
  activation: true,
  epsilon: true,
};

/**
 * Builds a model for any image size that leaves at least one pixel and any number of classes from 2 on. Rows and columns
 * that fill no whole patch at the bottom and at the right are not looked at, as in Keras. Throws E_USAGE.
 *
 * @category Models
 */
export function buildModel(arch: string, options: ModelOptions): Model {
  const name = architectureName(arch);
  // The configuration of a model is taken as well as options.
  refuseUnknownOptions<ModelOptions & ModelConfig>(options, OPTIONS, 'buildModel');
  const { input, classes } = options;
  for (const [i, what] of ['height', 'width', 'channels'].entries()) wholeNumber(`image ${what}`, input[i], 1);
  wholeNumber('number of classes', classes, 2);
  const { dropout: rate = isNetwork(name) ? DROPOUTS[name] : 0.5 } = options;
  if (!(rate >= 0 && rate < 1)) {
    throw new HybridError('E_USAGE', `the dropout rate is ${rate}`, 'Give a rate from 0 (off) to less than 1, such as 0.5.');
  }

  if (isNetwork(name)) return network(name, { ...options, dropout: rate });
  const shared = { arch: name, input: [...input] as [number, number, number], classes, dropout: rate };
  const [architecture, config] = name === 'convmixer' ? parametric(shared, options) : named(name, shared, options);
  const { reduction } = architecture;
  if (input[0] < reduction || input[1] < reduction) {
    throw new HybridError(
      'E_USAGE',
      `${name} reduces height and width to 1/${reduction}, so it needs images of at least ${reduction}×${reduction} pixels; these are ${input[0]}×${input[1]}`,
      name === 'convmixer' ? 'Use a smaller patch.' : 'Use the architecture convmixer with a smaller patch, or larger images.',
    );
  }

  const images = imageInput(config.input);
  const width = config.width ?? 1;
  const plan: Plan = { classes, dropout: rate, channels: (n) => Math.max(1, Math.round(n * width)) };
  const logits = architecture.build(rescaling(images, { scale: 1 / 255 }), plan);
  return assemble({ name, input: images, output: logits, config }).model;
}

/** Rates of the networks' own. */
const DROPOUTS: Readonly<Record<keyof typeof NETWORKS, number>> = { 'resnet-20': 0, 'efficientnet-lite0': 0.2, airbench: 0 };

const isNetwork = (name: ArchitectureName): name is keyof typeof NETWORKS => name in NETWORKS;

function network(name: keyof typeof NETWORKS, options: ModelOptions): Model {
  for (const key of [...MIXER_KEYS, 'width'] as const) {
    if (options[key] === undefined) continue;
    throw new HybridError('E_USAGE', `${name} has a fixed ${key}, but ${options[key]} was given`, `Omit ${key}.`);
  }
  const { input, classes, dropout } = options;
  return NETWORKS[name]({ input: [...input], classes, dropout });
}

const PARAMETRIC_DEFAULTS = { dim: 256, depth: 8, kernel: 5, patch: 2 };
type Sizes = typeof PARAMETRIC_DEFAULTS;
const SIZE_KEYS = Object.keys(PARAMETRIC_DEFAULTS) as (keyof Sizes)[];
/** What of `convmixer` is free besides; it is in a configuration where it is not the usual one alone. */
const DETAILS = { activation: 'gelu', epsilon: 1e-3 } as const;
type Details = { readonly activation: MixerActivation; readonly epsilon: number };
const MIXER_KEYS = [...SIZE_KEYS, ...(Object.keys(DETAILS) as (keyof Details)[])];
type Mixer = Sizes & Partial<Details>;

function parametric(shared: ModelConfig, options: ModelOptions): [Architecture, ModelConfig] {
  if (options.width !== undefined) {
    throw new HybridError('E_USAGE', 'convmixer has no width factor', 'Give its number of channels with dim.');
  }
  const sizes = { ...PARAMETRIC_DEFAULTS };
  for (const key of SIZE_KEYS) sizes[key] = wholeNumber(key, options[key] ?? sizes[key], 1);
  const { activation = DETAILS.activation, epsilon = DETAILS.epsilon } = options;
  if (!MIXER_ACTIVATIONS.includes(activation))
    throw new HybridError('E_USAGE', `the activation is ${JSON.stringify(activation)}`, `Give one of ${MIXER_ACTIVATIONS.join(', ')}.`);
  if (!(epsilon > 0 && epsilon < 1)) throw new HybridError('E_USAGE', `epsilon is ${epsilon}`, 'Give a number above 0 and below 1.');
  const changed = {
    ...(activation !== DETAILS.activation && { activation }),
    ...(epsilon !== DETAILS.epsilon && { epsilon }),
  };
  const mixer = { ...sizes, ...changed };
  const build = (x: LayerTensor, plan: Plan) => pooledHead(mixerStage(x, mixerBlock, mixer), plan);
  return [
    { reduction: mixer.patch, build },
    { ...shared, ...mixer },
  ];
}

function named(name: keyof typeof NAMED, shared: ModelConfig, options: ModelOptions): [Architecture, ModelConfig] {
  for (const key of MIXER_KEYS) {
    if (options[key] === undefined) continue;
    throw new HybridError(
      'E_USAGE',
      `${name} has a fixed ${key}, but ${options[key]} was given`,
      `Use the architecture convmixer to choose ${key}.`,
    );
  }
  const { width = 1 } = options;
  if (!(width > 0 && width <= 16)) {
    throw new HybridError('E_USAGE', `the width factor is ${width}`, 'Give a factor above 0 and up to 16; 1 is the architecture itself.');
  }
  return [NAMED[name], width === 1 ? shared : { ...shared, width }];
}

function wholeNumber(what: string, value: number, least: number): number {
  if (!Number.isInteger(value) || value < least) {
    throw new HybridError('E_USAGE', `${what} is ${value}`, `Give a whole number from ${least} on.`);
  }
  return value;
}

// Parts of the architectures.

const activationBlock = (x: LayerTensor, { activation: name = DETAILS.activation, epsilon }: Partial<Details> = {}): LayerTensor =>
  batchNormalization(activation(x, { activation: name }), epsilon === undefined ? {} : { epsilon });

type Block = (x: LayerTensor, mixer: Mixer) => LayerTensor;

/** Depthwise, GELU, BN, + input; then 1×1, GELU, BN: the block of the ConvMixer paper. */
const mixerBlock: Block = (x, { dim, kernel, ...details }) => {
  const mixed = add([activationBlock(depthwiseConv2d(x, { kernelSize: kernel, padding: 'same' }), details), x]);
  return activationBlock(conv2d(mixed, { filters: dim, kernelSize: 1 }), details);
};

/** Depthwise, 1×1, GELU, BN, + input; then GELU, BN: the residual spans the whole block. */
const blockResidualBlock: Block = (x, { dim, kernel }) => {
  const mixed = conv2d(depthwiseConv2d(x, { kernelSize: kernel, padding: 'same' }), { filters: dim, kernelSize: 1 });
  return activationBlock(add([activationBlock(mixed), x]));
};

/** Patch embedding (a convolution whose stride is its kernel), then `depth` blocks of one width. */
function mixerStage(x: LayerTensor, block: Block, mixer: Mixer): LayerTensor {
  const { dim, depth, patch } = mixer;
  x = activationBlock(conv2d(x, { filters: dim, kernelSize: patch, strides: patch }), mixer);
  for (let i = 0; i < depth; i++) x = block(x, mixer);
  return x;
}

const twoStages = (x: LayerTensor, { channels }: Plan): LayerTensor =>
  [256, 512].reduce((x, dim) => mixerStage(x, mixerBlock, { dim: channels(dim), depth: 4, kernel: 5, patch: 2 }), x);

const pooledHead = (x: LayerTensor, { dropout: rate, classes }: Plan): LayerTensor =>
  dense(dropout(globalAveragePooling2d(x), { rate }), { units: classes });

const flattenHead = (x: LayerTensor, { dropout: rate, classes, channels }: Plan): LayerTensor =>
  dense(dense(dropout(flatten(x), { rate }), { units: channels(256), activation: 'relu' }), { units: classes });
