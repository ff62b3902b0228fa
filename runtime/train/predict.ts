// Classes of images, in inference mode.

import { arrayKind, isBytes } from '../base/array-kind.ts';
import { HybridError } from '../base/errors.ts';
import { refuseUnknown } from '../base/kinds.ts';
import type { Device } from '../device.ts';
import type { TrainableModel } from '../model/model.ts';
import { forInference } from '../model/stem.ts';
import { writeWeights } from './evaluate.ts';
import { inferenceGraphs } from './graphs.ts';
import { probabilitiesOf } from './logits.ts';
import { TRAIN_SETTINGS } from './settings.ts';
import { type TestTimeAugmentation, ttaKind, withViews } from './views.ts';

/**
 * Options for `predict`.
 *
 * @category Using a model
 */
export interface PredictOptions {
  readonly device: Device;
  /** A `TrainedModel`, or any model with its weights by name. */
  readonly trained: { readonly model: TrainableModel; readonly weights: ReadonlyMap<string, Float32Array> };
  /** Images of height · width · channels bytes each, as the model takes them. */
  readonly images: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
  /** Images that are computed together at most; 32 by default. The last ones are computed as soon as there are no more. */
  readonly batch?: number;
  /** Test-time augmentation: whether the mean over several views of an image is the answer; `none` by default. */
  readonly tta?: TestTimeAugmentation;
  readonly signal?: AbortSignal;
}

const OPTIONS = Object.keys({ device: true, trained: true, images: true, batch: true, tta: true, signal: true } satisfies Record<
  keyof PredictOptions,
  true
>);

/**
 * Yields the probabilities of the classes, one list an image, in the order of the images. Throws E_DATA for an image that is not of the model's
 * size, or no bytes, E_DIVERGED where logits are not finite, E_CHECKPOINT for weights of another model, E_MEMORY.
 *
 * @category Using a model
 */
export async function* predict(options: PredictOptions): AsyncGenerator<Float64Array> {
  refuseUnknown(Object.keys(options), OPTIONS, 'predict');
  const { device, trained, images, batch = 32, tta = 'none', signal } = options;
  TRAIN_SETTINGS.batch.kind.check(batch, 'batch');
  ttaKind.check(tta, 'tta');
  const { model, weights } = forInference(trained);
  const imageBytes = model.input[0] * model.input[1] * model.input[2];
  const executable = await device.compile(inferenceGraphs(model), { capacity: batch, seed: 0n, programs: ['predict'] });
  try {
    await writeWeights(executable, model, weights);
    const viewed = withViews(executable, model.input, tta);
    const filled = new Uint8Array(batch * imageBytes);
    let rows = 0;
    let seen = 0;
    const run = async (): Promise<Float64Array[]> => {
      const logits = await viewed.predict({ rows, images: filled }, { signal });
      const count = rows;
      const done = seen - count;
      rows = 0;
      return Array.from({ length: count }, (_, row) => probabilitiesOf(logits, row, model.classes, `image ${done + row + 1}`));
    };
    for await (const image of images) {
      checkImage(image, model);
      filled.set(image, rows++ * imageBytes);
      seen++;
      if (rows === batch) yield* await run();
    }
    if (rows > 0) yield* await run();
  } finally {
    await executable.close();
  }
}

/** Throws E_DATA for an image that is not of the model's size, or no bytes. */
export function checkImage(image: Uint8Array, { input, arch }: Pick<TrainableModel, 'input' | 'arch'>): void {
  if (image.length !== input[0] * input[1] * input[2]) {
    throw new HybridError('E_DATA', `an image has ${image.length} bytes; ${arch} takes ${input.join(' × ')}`, 'Resize it to this size.');
  }
  // Numbers from 0 to 1 would all become 0 or 1 as bytes.
  if (!isBytes(image))
    throw new HybridError(
      'E_DATA',
      `an image is a ${arrayKind(image)}, and images are bytes`,
      'Give a Uint8Array with values from 0 to 255.',
    );
}
