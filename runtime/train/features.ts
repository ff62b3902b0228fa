// What a frozen backbone makes of the images of a run, computed once and kept: a dataset that the graph of the rest is trained on. The features
// are in memory, or where they are too many in a file that workers read, and a place that an embedder gives keeps them for the next run.

import { HybridError, isAbortError } from '../base/errors.ts';
import { shared } from '../base/shared.ts';
import { grouped, mebibytes } from '../base/units.ts';
import type { AugmentOptions } from '../data/augment/augmentations.ts';
import { changed, type Dataset, type ImageSource, type Subset } from '../data/dataset.ts';
import type { FeedOptions } from '../data/feed.ts';
import { DataPipeline } from '../data/pipeline.ts';
import { samplesOf } from '../data/split.ts';
import { type Variants, variantsOf } from '../data/variants.ts';
import { graphDigest } from '../ir/serialize.ts';
import { writeWeights } from './evaluate.ts';
import type { FeatureSizes, KeptFeatures } from './feature-store.ts';
import { type SplitGraphs, splitGraphs, type TrainingGraphOptions } from './graphs.ts';
import type { LoopOptions } from './options.ts';

/** Parts whose features a stage needs epoch after epoch. */
const KEPT = ['train', 'validation'] as const;
type KeptPart = (typeof KEPT)[number];

/** In memory where no store says how many: as many as of images. */
const MEMORY_BUDGET = 2 ** 30;

/** What is to be kept of a stage, and what it is trained with. */
export interface FeaturePlan extends SplitGraphs {
  readonly variants: Variants;
  readonly sizes: FeatureSizes;
}

/** What the features of a run may be kept for; or why they are not, as the end of a sentence. `epochs`: that the stage has. */
export function planFeatures(
  {
    model,
    train,
    validation,
    augment,
    augmentVersions,
    seed,
    keepFeatures: isWanted,
    dataOnDevice,
    accumulate,
    features: store,
  }: LoopOptions,
  { epochs, ...graphs }: TrainingGraphOptions & { readonly epochs: number },
): FeaturePlan | string {
  if (!isWanted) return '`keepFeatures` is false';
  if (accumulate > 1) return 'gradients are accumulated';
  // A device that is told to have all images makes batches of them itself.
  if (dataOnDevice === 'on') return '`dataOnDevice` is on';
  const variants = variantsOf(augment, augmentVersions, seed);
  if (typeof variants === 'string') return variants;
  if (epochs <= variants.count) return `${epochs === 1 ? 'one epoch' : `${epochs} epochs`} would use each of them once at most`;
  const split = splitGraphs(model, graphs);
  if (typeof split === 'string') return split;
  const { values, outputs } = split.backbone;
  const bytes = 4 * values[outputs.logits].spec.shape.reduce((product, n) => product * n, 1);
  const sizes = { bytes, train: variants.count * train.size, validation: validation?.size ?? 0 };
  const budget = store?.memoryBudget ?? MEMORY_BUDGET;
  if (!store && bytesOf(sizes) > budget)
    return `they are ${mebibytes(bytesOf(sizes))} MiB, and the memory for them is ${mebibytes(budget)} MiB`;
  return { ...split, variants, sizes };
}

const bytesOf = ({ bytes, train, validation }: FeatureSizes): number => bytes * (train + validation);

/** Features for training: they belong to the weights that made them. */
export interface Features {
  /** Of all that they follow from but the images. */
  readonly digest: string;
  readonly feeds: Readonly<Record<KeptPart, Pick<FeedOptions, 'dataset' | 'variants' | 'features'> | undefined>>;
  /** What became of them, for people. */
  readonly notice: string;
}

export interface KeepOptions {
  readonly plan: FeaturePlan;
  readonly options: LoopOptions;
  /** Of the whole model. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly onProgress: (done: number, total: number) => void;
  readonly onWarning: (text: string) => void;
}

/** What the features of images follow from besides these. */
export async function featureDigest({ plan, options, weights }: Pick<KeepOptions, 'plan' | 'options' | 'weights'>): Promise<string> {
  const { backbone, variants } = plan;
  const { device, withoutRules } = options;
  const read = new Set(backbone.nodes.flatMap(({ inputs }) => inputs));
  const hashes: unknown[] = [VERSION, device.name, device.arithmetic, device.precision ?? null, withoutRules ?? [], graphDigest(backbone)];
  hashes.push(variants.count, describe(variants.augment), variants.augment ? `${options.seed}` : null);
  for (const { id, name, state } of backbone.values) {
    if (state && read.has(id)) hashes.push(name, await sha256(bytesOfFloats(weights.get(name) ?? new Float32Array(0))));
  }
  return sha256(new TextEncoder().encode(JSON.stringify(hashes)));
}

/** Changes when the same network would give other numbers. */
const VERSION = 1;

/**
 * The features of a run: those that its store has, or new ones. A string: why they are not kept, as the end of a sentence. Throws what reading
 * images and computing throws, and an AbortError.
 */
export async function keepFeatures(given: KeepOptions): Promise<Features | string> {
  const { plan, options, onWarning } = given;
  const { features: store, signal } = options;
  const { sizes } = plan;
  const start = performance.now();
  const digest = await featureDigest(given);
  const made = (kept: KeptFeatures, how: string): Features => ({ digest, feeds: feedsOf(kept, plan, options), notice: notice(plan, how) });
  const seconds = (): string => `${((performance.now() - start) / 1000).toFixed(1)} s`;

  const key = store && (await sha256(new TextEncoder().encode(`${digest} ${(await imageDigests(given)).join(' ')}`)));
  const found = key !== undefined && (await store?.load(key, signal));
  if (found) return made(found, `were read from the cache and checked in ${seconds()}`);

  if (bytesOf(sizes) <= (store?.memoryBudget ?? MEMORY_BUDGET)) {
    const held = new Uint8Array(shared(bytesOf(sizes)));
    let at = 0;
    for await (const piece of compute(given)) {
      held.set(piece, at);
      at += piece.length;
    }
    const took = seconds();
    let place = '';
    try {
      if (key !== undefined) await store?.save(key, sizes, () => pieces(held), signal);
    } catch (error) {
      if (!(error instanceof HybridError && error.code === 'E_DISK')) throw error;
      onWarning(`The features cannot be cached for the next run: ${error.message}`);
      place = ', in memory only';
    }
    return made(heldIn(held, sizes), `were computed in ${took} and cached${place}`);
  }
  try {
    await store?.save(key as string, sizes, () => compute(given), signal);
    const kept = await store?.load(key as string, signal);
    if (kept) return made(kept, `were computed in ${seconds()} and cached on disk`);
    return 'their file was changed while it was written';
  } catch (error) {
    if (isAbortError(error) || !(error instanceof HybridError && error.code === 'E_DISK')) throw error;
    return error.message;
  }
}

function notice({ sizes, variants }: FeaturePlan, how: string): string {
  const forms = variants.count === 1 ? '' : ` in ${variants.count} forms each`;
  const validation = sizes.validation > 0 ? ` and ${grouped(sizes.validation)} validation images` : '';
  return `The features of ${grouped(sizes.train / variants.count)} training images${forms}${validation} (${grouped(sizes.bytes / 4)} numbers each, ${mebibytes(bytesOf(sizes))} MiB) ${how}: an epoch only computes the rest of the network.`;
}

const CHUNK = 1 << 20;

async function* pieces(held: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < held.length; at += CHUNK) yield held.slice(at, at + CHUNK);
}

function heldIn(bytes: Uint8Array, { bytes: stride, train, validation }: FeatureSizes): KeptFeatures {
  const source = (offset: number): ImageSource =>
    ({ kind: 'shared', bytes: bytes as Uint8Array & { buffer: SharedArrayBuffer }, offset, stride, layout: 'interleaved' }) as const;
  return { train: source(0), ...(validation > 0 && { validation: source(train * stride) }) };
}

/** How the features get into batches. */
function feedsOf(kept: KeptFeatures, { variants, sizes }: FeaturePlan, { train, validation }: LoopOptions): Features['feeds'] {
  return {
    train: { dataset: featureSet(train, kept.train, sizes.bytes), variants, features: true },
    validation:
      validation && kept.validation ? { dataset: featureSet(validation, kept.validation, sizes.bytes), features: true } : undefined,
  };
}

/** The samples of a set with features in place of images. */
function featureSet(of: Dataset | Subset, images: ImageSource, bytes: number): Subset {
  const read = (): never => {
    throw new HybridError('E_INTERNAL', `the features of ${of.name} are read by workers`);
  };
  return changed(of, { images, shape: [1, 1, bytes], samples: samplesOf(of), read }) as Subset;
}

/** Images that are computed together, whatever the batch: the numbers are the same for any. */
const MOST_ROWS = 64;

/** The features, in the order in which they are kept. */
async function* compute({ plan, options, weights, onProgress }: KeepOptions): AsyncGenerator<Uint8Array, void, undefined> {
  const { device, model, signal, withoutRules, batch } = options;
  const { sizes, variants } = plan;
  const capacity = Math.min(MOST_ROWS, batch, Math.max(options.train.size, options.validation?.size ?? 0));
  const graphs = { predict: plan.backbone };
  const executable = await device.compile(graphs, { capacity, seed: options.seed, withoutRules, programs: ['predict'] });
  try {
    await writeWeights(executable, model, weights);
    const total = sizes.train + sizes.validation;
    let done = 0;
    for (const part of KEPT) {
      for (let form = 0; form < (part === 'train' ? variants.count : 1); form++) {
        // One piece is computed while the one before it is taken.
        let pending: Promise<Float32Array> | undefined;
        const take = async (): Promise<Uint8Array[]> => (pending ? [bytesOfFloats(await pending)] : []);
        const isMirrored = variants.mirrored && form === 1;
        const augment = part === 'train' ? variants.augment : undefined;
        for await (const { rows, images } of read(options, part, capacity, { augment, epoch: form + 1 })) {
          const before = pending;
          const shown = isMirrored ? mirror(images, model.input) : images;
          pending = executable.predict({ rows, images: shown }, { signal });
          pending.catch(() => {}); // awaited below
          if (before) yield bytesOfFloats(await before);
          done += rows;
          onProgress(done, total);
        }
        yield* await take();
      }
    }
  } finally {
    await executable.close();
  }
}

/** The images of a part, in their order. */
async function* read(
  options: LoopOptions,
  part: KeptPart,
  batch: number,
  { augment, epoch }: { readonly augment?: AugmentOptions; readonly epoch: number },
): AsyncGenerator<{ readonly rows: number; readonly images: Uint8Array }, void, undefined> {
  const { seed, workers, trace, signal, [part]: dataset } = options;
  if (!dataset) return;
  const pipeline = await DataPipeline.open({ images: { dataset, batch, seed, shuffle: false, augment } }, { workers, trace });
  try {
    yield* pipeline.loader('images').epoch(epoch, { signal });
  } finally {
    await pipeline.close();
  }
}

/** A digest of all pixels of each part. */
async function imageDigests({ options, onProgress }: KeepOptions): Promise<string[]> {
  const digests: string[] = [];
  onProgress(0, 1);
  for (const part of KEPT) {
    const dataset = options[part];
    const hashes = [`${dataset?.shape} ${dataset ? Array.from(samplesOf(dataset)) : ''}`];
    for await (const { images } of read(options, part, MOST_ROWS, { epoch: 1 })) hashes.push(await sha256(images));
    digests.push(await sha256(new TextEncoder().encode(hashes.join(' '))));
  }
  return digests;
}

/** Images mirrored left to right. */
function mirror(images: Uint8Array, [, width, channels]: Dataset['shape']): Uint8Array {
  const mirrored = new Uint8Array(images.length);
  const row = width * channels;
  for (let at = 0; at < images.length; at += row) {
    for (let x = 0; x < row; x += channels) {
      for (let c = 0; c < channels; c++) mirrored[at + x + c] = images[at + row - channels - x + c];
    }
  }
  return mirrored;
}

const describe = (augment: AugmentOptions | undefined): unknown =>
  augment ? Object.entries(augment).sort(([a], [b]) => (a < b ? -1 : 1)) : null;

const bytesOfFloats = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength);

/** In hexadecimal. Memory that is shared is copied: the digest takes no other. */
async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', Uint8Array.from(bytes)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
