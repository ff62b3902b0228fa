// A policy in the manner of RandAugment (Cubuk et al., 2019): for each image a few operations out of thirteen, all of one magnitude.
// Kernel: asm/data/policy.ts.

import { PURPOSE } from '../../base/philox.ts';
import { below, defineAugmentation, type ImageShape, percent } from './augmentation.ts';
import { factorOf, jitter } from './colour.ts';
import { type Affine, cosine, MOST_PIXELS, resample, sine } from './warp.ts';

/** A random policy. */
export interface PolicyOptions {
  /** Some operations at random for each image, all of one magnitude (0 to 1); off by default. */
  readonly policy?: { readonly operations: number; readonly magnitude: number };
}

/** By the number that is drawn. */
const OPERATIONS = [
  'nothing',
  'shear-x',
  'shear-y',
  'move-x',
  'move-y',
  'rotate',
  'brightness',
  'saturation',
  'contrast',
  'posterize',
  'solarize',
  'stretch',
  'equalize',
] as const;
type Operation = (typeof OPERATIONS)[number];

const IDENTITY: Affine = { m00: 1, m01: 0, m10: 0, m11: 1, tx: 0, ty: 0 };
/** 30 degrees. */
const MOST_ANGLE = 0.5235987755982988;

/** The geometric operations: `by` from −1 to 1. */
function mapOf(operation: Operation, by: number, [height, width]: ImageShape): Affine | null {
  switch (operation) {
    case 'shear-x':
      return { ...IDENTITY, m01: 0.3 * by };
    case 'shear-y':
      return { ...IDENTITY, m10: 0.3 * by };
    case 'move-x':
      return { ...IDENTITY, tx: 0.3 * by * width };
    case 'move-y':
      return { ...IDENTITY, ty: 0.3 * by * height };
    case 'rotate': {
      const [cos, sin] = [cosine(MOST_ANGLE * by), sine(MOST_ANGLE * by)];
      return { ...IDENTITY, m00: cos, m01: -sin, m10: sin, m11: cos };
    }
    default:
      return null;
  }
}

/** First `a`, then `b`, of the image. */
const join = (a: Affine, b: Affine): Affine => ({
  m00: a.m00 * b.m00 + a.m01 * b.m10,
  m01: a.m00 * b.m01 + a.m01 * b.m11,
  m10: a.m10 * b.m00 + a.m11 * b.m10,
  m11: a.m10 * b.m01 + a.m11 * b.m11,
  tx: a.tx + a.m00 * b.tx + a.m01 * b.ty,
  ty: a.ty + a.m10 * b.tx + a.m11 * b.ty,
});

/** The others. */
function changed(image: Uint8Array, operation: Operation, by: number, magnitude: number, shape: ImageShape): Uint8Array {
  const channels = shape[2];
  switch (operation) {
    case 'brightness':
    case 'saturation':
    case 'contrast':
      return jitter(image, shape, { [operation]: factorOf(0.9 * by) });
    case 'posterize': {
      const bits = Math.floor(4 * magnitude + 0.5);
      return image.map((value) => (value >> bits) << bits);
    }
    case 'solarize': {
      const threshold = 256 - Math.floor(256 * magnitude + 0.5);
      return image.map((value) => (value < threshold ? value : 255 - value));
    }
    case 'stretch':
      return byChannel(image, channels, (values) => {
        const least = values.reduce((a, b) => Math.min(a, b));
        const range = values.reduce((a, b) => Math.max(a, b)) - least;
        return (value) => (range === 0 ? value : Math.floor(((value - least) * 510 + range) / (2 * range)));
      });
    case 'equalize':
      return byChannel(image, channels, (values) => {
        const counts = new Array<number>(256).fill(0);
        for (const value of values) counts[value]++;
        const share = Math.floor((values.length - counts[values.reduce((a, b) => Math.max(a, b))]) / 255);
        const half = share >> 1;
        const below = counts.map((_, value) => half + counts.slice(0, value).reduce((a, b) => a + b, 0));
        return (value) => (share === 0 ? value : Math.min(255, Math.floor(below[value] / share)));
      });
    default:
      return image;
  }
}

function byChannel(image: Uint8Array, channels: number, make: (values: Uint8Array) => (value: number) => number): Uint8Array {
  const changes = Array.from({ length: channels }, (_, c) => make(image.filter((_, i) => i % channels === c)));
  return image.map((value, i) => changes[i % channels](value));
}

/**
 * Words of the Philox block at counter (sample, epoch, purpose 8, k) for the k-th operation: its number is ⌊w0 · 13 / 2³²⌋, its sign the top bit of
 * w1. The geometric ones are joined to one map and done first, the others follow as they were drawn. At magnitude 1: shears by 0.3,
 * moves by 0.3 of the side, rotation by 30°, factors of brightness, contrast and saturation 1 ± 0.9, four bits left, all values inverted.
 */
export const policy = defineAugmentation<PolicyOptions>({
  kernel: 'policy',
  names: {
    randaugment: {
      value: 0.5,
      help: 'two of thirteen operations, magnitude 0.5',
      options: (magnitude) => ({ policy: { operations: 2, magnitude } }),
    },
  },
  purpose: PURPOSE.policy,
  inPlace: false,
  active: ({ policy: options }) => options !== undefined && options.operations > 0,
  caption: ({ policy: options }) =>
    `${options?.operations === 1 ? '1 operation' : `${options?.operations} operations`} of the policy at ${percent(options?.magnitude ?? 0)} of their strength`,
  problem({ policy: options }, [height, width]) {
    if (!options) return undefined;
    const { operations, magnitude } = options;
    if (!(Number.isInteger(operations) && operations >= 0 && operations <= 8))
      return `${operations} operations; it must be a whole number from 0 to 8`;
    if (!(magnitude >= 0 && magnitude <= 1)) return `operations of magnitude ${magnitude}; it must be from 0 to 1`;
    if (Math.max(height, width) > MOST_PIXELS) return `resampling of images beyond ${MOST_PIXELS} pixels`;
    return undefined;
  },
  words: ['operations', 'magnitude'],
  args({ policy: options }) {
    const { operations, magnitude } = options as NonNullable<typeof options>;
    return { operations, magnitude };
  },
  reference(image, draw, { policy: options }, { shape }) {
    const { operations, magnitude } = options as NonNullable<typeof options>;
    const drawn = Array.from({ length: operations }, (_, k) => {
      const words = draw(PURPOSE.policy, k);
      return { operation: OPERATIONS[below(words[0], OPERATIONS.length)], by: words[1] >>> 31 === 1 ? -magnitude : magnitude };
    });
    const maps = drawn.flatMap(({ operation, by }) => mapOf(operation, by, shape) ?? []);
    const moved = maps.length > 0 ? resample(image, shape, maps.reduce(join, IDENTITY)) : image.slice();
    return drawn.reduce((now, { operation, by }) => changed(now, operation, by, magnitude, shape), moved);
  },
});
