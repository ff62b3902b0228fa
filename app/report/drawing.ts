// Draws the figures of a run. Loaded with the first one (figures.ts): nobody else needs what draws them.

import { HybridError, nearest } from '../../runtime/base/errors.ts';
import { grouped } from '../../runtime/base/units.ts';
import { type AugmentOptions, augmentationCaption, drawsOf } from '../../runtime/data/augment/augmentations.ts';
import { mixOf } from '../../runtime/data/augment/mix.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import type { LoadedBatch } from '../../runtime/data/epoch.ts';
import { type FeedOptions, mixingOf } from '../../runtime/data/feed.ts';
import { DataPipeline } from '../../runtime/data/pipeline.ts';
import { samplesOf } from '../../runtime/data/split.ts';
import type { Layer, LayerConfig } from '../../runtime/layers/index.ts';
import type { Model } from '../../runtime/model/model.ts';
import { activations } from '../../runtime/train/activations.ts';
import { MOST_CONFUSION_CLASSES } from '../../runtime/train/evaluate.ts';
import { heatMap, imageBitmap, imageOf } from './bitmap.ts';
import { confusionFigure } from './confusion.ts';
import { curvesFigure } from './curves.ts';
import { examine } from './examine.ts';
import type { FigureName, FigureOptions, FigureSources, Skipped } from './figure-sources.ts';
import { misclassifiedFigure } from './misclassified.ts';
import { type Figure, fitted } from './svg.ts';
import { tilesFigure } from './tiles.ts';
import { weightsFigure } from './weights.ts';

export class Drawing {
  readonly #sources: FigureSources;
  readonly #options: FigureOptions;
  /** Two figures come from one look at the test images, or those in their place. */
  #examined: ReturnType<typeof examine> | undefined;

  constructor(sources: FigureSources, options: FigureOptions) {
    this.#sources = sources;
    this.#options = options;
    // Before the first figure, whether or not one of them looks at it.
    if (options.layer !== undefined) layerOf(sources.model, options.layer);
  }

  async *draw(name: FigureName): AsyncGenerator<Figure | Skipped> {
    const { record, train, model } = this.#sources;
    const held = this.#sources.test ?? this.#sources.validation;
    const skip = (reason: string): Skipped => ({ name, reason });
    switch (name) {
      case 'curves':
        if (record && (record.epochs.length > 0 || record.trace.length > 0)) yield curvesFigure(record);
        else yield skip('there are no records of a training run');
        return;
      case 'samples':
        yield await this.#samples(train);
        return;
      case 'augmented':
        yield await this.#augmented(train);
        return;
      case 'confusion': {
        if (!held) return void (yield skip('the data has no test or validation images'));
        if (model.classes > MOST_CONFUSION_CLASSES) {
          const classes = grouped(model.classes);
          return void (yield skip(`a matrix of ${classes} classes is too large to draw: \`hybrid eval\` lists the most confused`));
        }
        const { confusion, classes, subject } = await this.#examine(held);
        if (confusion) yield confusionFigure(confusion, classes, subject);
        return;
      }
      case 'misclassified': {
        if (!held) return void (yield skip('the data has no test or validation images'));
        const { mistakes, wrong, classes, subject } = await this.#examine(held);
        const shown = mistakes.length < wrong ? `the ${mistakes.length} most certain of ` : '';
        const caption = `${subject}: ${shown}${grouped(wrong)} wrong answers. Bars are probabilities, green that of the right class.`;
        yield await misclassifiedFigure({ mistakes, shape: held.shape, classes, caption });
        return;
      }
      case 'patch-embedding':
        yield await this.#weights('patch-embedding', layerOf(model, this.#options.layer));
        return;
      case 'depthwise': {
        const layers = model.layers.filter(({ type }) => type === 'DepthwiseConv2D');
        if (layers.length === 0) return void (yield skip(`${model.arch} has no depthwise layer`));
        for (const block of blocksOf(layers.length, this.#options.block)) {
          yield await this.#weights(`depthwise-block-${block}`, layers[block - 1], ` of block ${block}`);
        }
        return;
      }
      case 'feature-maps':
        yield await this.#featureMaps(layerOf(model, this.#options.layer), held ?? train);
    }
  }

  #examine(held: Dataset): ReturnType<typeof examine> {
    const { device, model, weights, batch } = this.#sources;
    const { images: keep = 24, testLimit: limit, signal, onProgress } = this.#options;
    this.#examined ??= examine({
      device,
      model,
      weights,
      dataset: held,
      part: held === this.#sources.test ? 'test' : 'validation',
      batch,
      keep,
      limit,
      signal,
      onProgress,
    });
    return this.#examined;
  }

  async #samples(train: Dataset): Promise<Figure> {
    const { images = 64 } = this.#options;
    const count = Math.min(images, train.size);
    return tilesFigure({
      name: 'samples',
      title: 'Training samples',
      caption: `The first ${count} of ${grouped(train.size)} training images, as they are stored.`,
      tiles: await Promise.all(
        Array.from({ length: count }, async (_, index) => ({
          picture: imageBitmap(await imageOf(train, index), train.shape),
          label: classOf(train, train.labels[index]),
        })),
      ),
      size: 96,
    });
  }

  async #augmented(train: Dataset): Promise<Figure> {
    const { batch: rows, seed, shuffle, augment } = this.#sources;
    const { images: limit = 36 } = this.#options;
    const mixed = mixing(train, seed, augment);
    const batch = await firstBatch({ dataset: train, batch: Math.min(rows, limit), seed, shuffle, augment });
    const bytes = train.shape.reduce((product, n) => product * n, 1);
    const changes = augmentationCaption(augment);
    return tilesFigure({
      name: 'augmented',
      title: 'An augmented batch',
      caption: `The first ${batch.rows} images of the first epoch as the model gets them: ${changes || 'unchanged, augmentation is off'}.`,
      tiles: Array.from({ length: batch.rows }, (_, i) => ({
        picture: imageBitmap(batch.images.subarray(i * bytes, (i + 1) * bytes), train.shape),
        label: mixed?.(batch.samples[i]) ?? classOf(train, batch.labels[i]),
      })),
      size: 96,
    });
  }

  #weights(name: string, layer: Layer, place = ''): Promise<Figure> {
    const variable = layer.variables.find(({ role }) => role === 'kernel');
    if (!variable) {
      throw new HybridError('E_USAGE', `${layer.name} has no kernel to show`, 'Name a convolution or a dense layer.');
    }
    const isEmbedding = layer.type === 'Conv2D' && isPatches(layer.config);
    const title = `${isEmbedding ? 'Patch-embedding weights' : layer.type === 'DepthwiseConv2D' ? 'Depthwise kernels' : 'Weights'}${place} (${layer.name})`;
    const data = this.#sources.weights.get(variable.name) as Float32Array;
    return weightsFigure({ name, title, kernel: { shape: variable.shape, data }, depthwise: layer.type === 'DepthwiseConv2D' });
  }

  async #featureMaps(layer: Layer, dataset: Dataset): Promise<Figure> {
    const [height, width, channels] = layer.outputShape;
    if (layer.outputShape.length !== 3) {
      throw new HybridError('E_USAGE', `${layer.name} computes ${height} numbers, not maps`, 'Name a layer before the pooling.');
    }
    const { device, model, weights } = this.#sources;
    const { image = 0, signal } = this.#options;
    if (image >= dataset.size) {
      throw new HybridError(
        'E_USAGE',
        `there is no image ${image}: the data has ${dataset.size}`,
        `Give a number from 0 to ${dataset.size - 1}.`,
      );
    }
    const bytes = await imageOf(dataset, image);
    const maps = await activations({ device, model, weights, layer, images: bytes, signal });
    const shown = Math.min(channels, MOST_MAPS);
    const tiles = Array.from({ length: shown }, (_, channel) => {
      const value = (y: number, x: number) => maps[(y * width + x) * channels + channel];
      let [low, high] = [Infinity, -Infinity];
      for (let i = channel; i < height * width * channels; i += channels) {
        low = Math.min(low, maps[i]);
        high = Math.max(high, maps[i]);
      }
      return { picture: heatMap(height, width, value, low, high) };
    });
    const first = shown < channels ? `the first ${shown} of ${channels}` : `${channels}`;
    return tilesFigure({
      name: 'feature-maps',
      title: `Feature maps (${layer.name})`,
      caption: `Image ${image} (${classOf(dataset, dataset.labels[image])}), top left, and ${first} maps of ${height}×${width} after ${layer.name}, each from its lowest to its highest value.`,
      tiles: [{ picture: imageBitmap(bytes, dataset.shape) }, ...tiles],
      size: 64,
    });
  }
}

const MOST_MAPS = 1024;

/** As training gets it, in arrays of its own. */
async function firstBatch(feed: FeedOptions): Promise<Pick<LoadedBatch, 'rows' | 'images' | 'labels' | 'samples'>> {
  const data = await DataPipeline.open({ train: feed }, { workers: 0 });
  try {
    for await (const { rows, images, labels, samples } of data.loader('train').epoch(1))
      return { rows, images: images.slice(), labels, samples };
    throw new HybridError('E_DATA', `${feed.dataset.name} has no images`, 'Name data with at least one image.');
  } finally {
    await data.close();
  }
}

/** Width of a class name beside its share, in pixels. */
const NAME = 66;

/** Names what a sample of the first epoch is made of: both classes with their shares. Undefined where nothing is mixed. */
function mixing(dataset: Dataset, seed: bigint, augment: AugmentOptions): ((sample: number) => string | undefined) | undefined {
  const options = mixingOf(augment);
  if (!options) return undefined;
  const places = new Map(Array.from(samplesOf(dataset), (sample, place) => [sample, place]));
  // The name is cut rather than the share behind it.
  const named = (place: number, share: number) =>
    `${fitted(classOf(dataset, dataset.labels[place]), NAME, 10)} ${Math.round(100 * share)} %`;
  return (sample) => {
    const place = places.get(sample);
    const drawn = place === undefined ? null : mixOf(drawsOf(seed, 1, sample), options, dataset.size, dataset.shape);
    if (place === undefined || !drawn) return undefined;
    return `${named(place, drawn.share)}\n${named(drawn.partner, 1 - drawn.share)}`;
  };
}

/** Windows side by side: the kernel is as large as its strides. */
const isPatches = ({ kernelSize, strides }: LayerConfig<'Conv2D'>): boolean => `${strides}` === `${kernelSize}` && kernelSize[0] > 1;

const classOf = (dataset: Dataset, label: number): string => dataset.classes[label] ?? `class ${label}`;

function layerOf(model: Model, name: string | undefined): Layer {
  const found = model.layers.find((layer) => (name === undefined ? layer.type === 'Conv2D' : layer.name === name));
  if (found) return found;
  const near = nearest(
    name ?? '',
    model.layers.map((layer) => layer.name),
  );
  throw new HybridError(
    'E_USAGE',
    `${model.arch} has no layer ${JSON.stringify(name)}${near ? `; did you mean ${near}?` : ''}`,
    `Run \`hybrid summary ${model.arch}\` to see the layers.`,
  );
}

/** Numbers of the blocks to show, from 1. */
function blocksOf(count: number, block: number | 'all' = Math.ceil(count / 2)): number[] {
  if (block === 'all') return Array.from({ length: count }, (_, i) => i + 1);
  if (block >= 1 && block <= count) return [block];
  const remedy = count === 1 ? 'Give 1, or leave `block` out.' : `Give a number from 1 to ${count}, or all.`;
  throw new HybridError('E_USAGE', `there is no block ${block}: the model has ${count}`, remedy);
}
