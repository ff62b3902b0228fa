// The sizes of an architecture from the shapes of its weights: a file of weights alone does not say them otherwise.

import type { Shape } from '../layers/layer.ts';
import { type ArchitectureName, buildModel, type ModelOptions } from '../model/architectures.ts';
import type { Model } from '../model/model.ts';

/** What was found, and what the weights do not tell. */
export interface Measured {
  readonly options: ModelOptions;
  /** False: any image size fits these weights, and the one that was given, or 32 × 32, is taken. */
  readonly knowsSize: boolean;
}

type Shapes = ReadonlyMap<string, Shape>;

/** Sizes by which weights under Keras' names tell how large they are; undefined where the names are others. */
export function measure(arch: ArchitectureName, shapes: Shapes, given: Partial<ModelOptions> = {}): Measured | undefined {
  const stem = shapes.get('layers/conv2d/vars/0');
  // The last one, with which every architecture ends: `dense` is the first, `dense_1` the second.
  const heads = [...shapes].flatMap(([name, shape]) => {
    const [, number] = /^layers\/dense(?:_(\d+))?\/vars\/1$/.exec(name) ?? [undefined, null];
    return number === null ? [] : [{ number: Number(number ?? 0), units: shape[0] }];
  });
  const classes = heads.reduce<(typeof heads)[number] | undefined>(
    (last, head) => (last && last.number > head.number ? last : head),
    undefined,
  )?.units;
  if (stem?.length !== 4 || classes === undefined) return undefined;
  const [patch, , channels, filters] = stem;
  const mixers = [...shapes].filter(([name]) => /^layers\/depthwise_conv2d(_\d+)?\/vars\/0$/.test(name));
  const full = arch === 'conv-pooling' ? 64 : 256;
  const sizes =
    arch === 'convmixer'
      ? { dim: filters, depth: mixers.length, kernel: mixers[0]?.[1][0], patch }
      : filters === full
        ? {}
        : { width: filters / full };
  const [height, width] = given.input ?? [32, 32];
  const options: ModelOptions = { ...sizes, ...withoutUndefined(given), classes, input: [height, width, channels] };
  // A head behind Flatten has a row for each pixel that is left.
  const rows = shapes.get('layers/dense/vars/0')?.[0];
  const sizeOf = (side: number) => ({ ...options, input: [side, side, channels] as const });
  const rowsAt = (side: number) => headRows(arch, sizeOf(side));
  const isFlat = rowsAt(32) !== undefined && rowsAt(32) !== rowsAt(64);
  if (!isFlat || given.input !== undefined) return { options, knowsSize: isFlat || given.input !== undefined };
  for (let side = 1; side <= LARGEST_SIDE; side++) {
    const found = rowsAt(side);
    if (found === rows) return { options: sizeOf(side), knowsSize: true };
    if ((found ?? 0) > (rows ?? 0)) break;
  }
  return { options, knowsSize: false };
}

const LARGEST_SIDE = 1024;

function headRows(arch: ArchitectureName, options: ModelOptions): number | undefined {
  try {
    const { variables }: Model = buildModel(arch, options);
    return variables.find(({ name }) => name === 'layers/dense/vars/0')?.shape[0];
  } catch {
    return undefined; // smaller than the architecture takes
  }
}

const withoutUndefined = <T extends object>(options: T): T =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
