// What travels between programs: a model with its weights, and what their user must know about them.

import { HybridError } from '../base/errors.ts';
import { type Shape, sizeOf } from '../model/layers.ts';
import type { Model } from '../model/model.ts';

/** Settings of the optimizer that belong to its state. */
export interface OptimizerSettings {
  readonly learningRate: number;
  readonly weightDecay: number;
}

export interface TrainedModel {
  readonly model: Model;
  /** Parameters and moving statistics by name, in Keras' layouts. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** `optimizer/vars/…` by name, the step count first; absent: training cannot go on where it was. */
  readonly optimizer?: ReadonlyMap<string, Float32Array>;
  readonly optimizerSettings?: OptimizerSettings;
  /** Of batch normalisation in training. */
  readonly bnMomentum?: number;
  /** Names of the classes, in the order of the logits. */
  readonly classes: readonly string[];
  /** Of the weights, such as an SPDX identifier. */
  readonly license?: string;
}

/** The card that goes into the metadata of every format: plain JSON. */
export function cardOf({ model, classes, license }: TrainedModel) {
  const [height, width, channels] = model.input;
  return {
    producer: 'hybrid',
    architecture: model.config,
    labels: classes,
    input: { height, width, channels, order: 'height, width, channels', range: [0, 255] },
    normalization: 'the model divides by 255 itself: give it pixel values from 0 to 255',
    output: 'logits, one a class; softmax makes them probabilities',
    license: license ?? 'unspecified',
  };
}

/** What a card says, as far as it is well-formed: it may come from anywhere. */
export function readCard(text: string | undefined): { readonly classes?: readonly string[]; readonly license?: string } {
  try {
    const card: unknown = JSON.parse(text ?? '');
    if (typeof card !== 'object' || card === null) return {};
    const { labels, license } = card as { labels?: unknown; license?: unknown };
    return {
      ...(Array.isArray(labels) && labels.every((label) => typeof label === 'string') ? { classes: labels } : {}),
      ...(typeof license === 'string' && license !== 'unspecified' ? { license } : {}),
    };
  } catch {
    return {};
  }
}

/** Names and shapes of AdamW's state in Keras' order: count, learning rate, then both moments of each parameter. */
export function optimizerVariables(model: Model): { readonly name: string; readonly shape: Shape }[] {
  const moments = model.variables.filter(({ kind }) => kind === 'parameter').flatMap(({ shape }) => [shape, shape]);
  return [[], [], ...moments].map((shape, i) => ({ name: `optimizer/vars/${i}`, shape }));
}

/**
 * Picks the variables of a list out of what a file holds.
 * @throws HybridError E_CHECKPOINT where one is missing or has another shape.
 */
export function pick(
  tensors: ReadonlyMap<string, { readonly shape: Shape; readonly data: ArrayLike<number | bigint> }>,
  variables: readonly { readonly name: string; readonly shape: Shape }[],
  source: string,
): Map<string, Float32Array> {
  return new Map(
    variables.map(({ name, shape }) => {
      const found = tensors.get(name);
      if (!found || `${found.shape}` !== `${shape}` || found.data.length !== sizeOf(shape)) {
        throw new HybridError(
          'E_CHECKPOINT',
          `${source} ${found ? `has ${name} with shape [${found.shape.join(', ')}]` : `lacks ${name}`}; the model needs shape [${shape.join(', ')}]`,
          'Name the architecture that the weights were trained in.',
        );
      }
      const { data } = found;
      return [name, data instanceof Float32Array ? data : Float32Array.from(data as ArrayLike<number>, Number)];
    }),
  );
}
