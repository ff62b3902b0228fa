// Test-time augmentation: a model looks at an image in several views, and the mean of its logits is the answer. Sources: mirror, and
// mirror with shifts by one pixel, as in airbench (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498, section 3.5).

import { choice } from '../base/kinds.ts';
import type { Batch, BatchMetrics, Executable, RunOptions } from '../device.ts';
import { ForwardingExecutable } from '../forwarding.ts';
import { argmax, logSoftmax } from './logits.ts';

/** An image as it is seen: moved by so many pixels, what comes in from outside reflected about the border pixel, then mirrored left to right. */
interface View {
  readonly down: number;
  readonly right: number;
  readonly mirrored: boolean;
  /** Its share of the answer. */
  readonly weight: number;
}

const bothSides = (down: number, right: number, weight: number): View[] =>
  [false, true].map((mirrored) => ({ down, right, mirrored, weight: weight / 2 }));

/** What each kind of test-time augmentation looks at; the weights of the views are 1 together. */
const VIEWS = {
  none: [{ down: 0, right: 0, mirrored: false, weight: 1 }],
  mirror: bothSides(0, 0, 1),
  shift: [...bothSides(0, 0, 0.5), ...bothSides(-1, -1, 0.25), ...bothSides(1, 1, 0.25)],
} as const satisfies Readonly<Record<string, readonly View[]>>;

/**
 * Test-time augmentation: `none`; `mirror`, the mean of the logits of the image and its mirror image, twice the work; `shift`, half of that and a
 * quarter each of the same for the image moved by a pixel up and left, and down and right, six times the work.
 */
export type TestTimeAugmentation = keyof typeof VIEWS;

/** What `tta` may be. */
export const ttaKind = choice(...(Object.keys(VIEWS) as TestTimeAugmentation[]));

/** The executable, seen through views: `predict` and `evaluate` answer by the mean of the logits. It has the state of the other one. */
export const withViews = (executable: Executable, input: readonly [number, number, number], tta: TestTimeAugmentation): Executable =>
  tta === 'none' ? executable : new ViewsExecutable(executable, input, VIEWS[tta]);

class ViewsExecutable extends ForwardingExecutable {
  protected readonly target: Executable;
  readonly #input: readonly [number, number, number];
  readonly #views: readonly View[];

  constructor(target: Executable, input: readonly [number, number, number], views: readonly View[]) {
    super();
    this.target = target;
    this.#input = input;
    this.#views = views;
  }

  override predict(batch: Batch, options?: RunOptions): Promise<Float32Array> {
    return this.#mean(batch, options, (view, own) => this.target.predict(view, own));
  }

  override async evaluate(batch: Batch, options?: RunOptions): Promise<BatchMetrics & { readonly logits: Float32Array }> {
    const { rows, labels = new Int32Array() } = batch;
    const logits = await this.#mean(batch, options, async (view, own) => (await this.target.evaluate(view, own)).logits);
    const classes = logits.length / rows;
    let loss = 0;
    let correct = 0;
    for (let row = 0; row < rows; row++) {
      loss -= logSoftmax(logits, row * classes, classes)(labels[row]) / rows;
      if (argmax(logits, row * classes, classes) === labels[row]) correct++;
    }
    return { loss, correct, logits };
  }

  /** Sums in doubles, in the order of the views. All views are queued at once: a device takes them one after the other. */
  async #mean(
    batch: Batch,
    { signal }: RunOptions = {},
    logitsOf: (batch: Batch, options: RunOptions) => Promise<Float32Array>,
  ): Promise<Float32Array> {
    // Node warns of a signal that more than ten listen to: the caller's has one listener a batch.
    const own = new AbortController();
    const abort = () => own.abort(signal?.reason);
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort);
    const runs = this.#views.map((view) =>
      logitsOf({ ...batch, images: seen(batch.images, batch.rows, this.#input, view) }, { signal: own.signal }),
    );
    const all = await Promise.all(runs).finally(() => signal?.removeEventListener('abort', abort));
    const sum = new Float64Array(all[0].length);
    for (const [v, { weight }] of this.#views.entries()) {
      const logits = all[v];
      for (let i = 0; i < sum.length; i++) sum[i] += weight * logits[i];
    }
    return Float32Array.from(sum);
  }
}

/** Position on an axis of `size` pixels that a position outside is reflected to, the border pixel not repeated; on an axis of one pixel that one. */
const reflected = (at: number, size: number): number => (size === 1 ? 0 : at < 0 ? -at : at >= size ? 2 * (size - 1) - at : at);

/** The images of a batch in a view. */
function seen(images: Uint8Array, rows: number, [height, width, channels]: readonly [number, number, number], view: View): Uint8Array {
  const { down, right, mirrored } = view;
  const result = new Uint8Array(rows * height * width * channels);
  // Of each column, where it comes from.
  const columns = Int32Array.from({ length: width }, (_, x) => reflected((mirrored ? width - 1 - x : x) - right, width) * channels);
  let to = 0;
  for (let row = 0; row < rows; row++) {
    for (let y = 0; y < height; y++) {
      const line = (row * height + reflected(y - down, height)) * width * channels;
      for (let x = 0; x < width; x++) for (let c = 0; c < channels; c++) result[to++] = images[line + columns[x] + c];
    }
  }
  return result;
}
