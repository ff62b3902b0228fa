// A model to keep: pictures in, classes out, for servers. What waits is computed together, the queue is bounded, and nothing blocks the event loop:
// decoding and computing go on in threads.

import { arrayKind, isBytes } from '../runtime/base/array-kind.ts';
import { abortError, HybridError } from '../runtime/base/errors.ts';
import { integer, number, record, refuseUnknownOptions } from '../runtime/base/kinds.ts';
import type { Device, Executable } from '../runtime/device.ts';
import { openDevice } from '../runtime/devices.ts';
import { host } from '../runtime/hosts/index.ts';
import type { TrainedModel } from '../runtime/interop/trained-model.ts';
import { forInference } from '../runtime/model/stem.ts';
import { writeWeights } from '../runtime/train/evaluate.ts';
import { inferenceGraphs } from '../runtime/train/graphs.ts';
import { argmax, probabilitiesOf } from '../runtime/train/logits.ts';
import { checkImage } from '../runtime/train/predict.ts';
import { type TestTimeAugmentation, ttaKind, withViews } from '../runtime/train/views.ts';
import { weightsInFile } from './weights-in-file.ts';

/** Options for `openClassifier`. */
export interface ClassifierOptions {
  /** Device to compute on, which stays open and may be shared; a new `wasm` device by default. */
  readonly device?: Device;
  /** Maximum number of pictures computed together; 32 by default. */
  readonly batch?: number;
  /** Maximum number of waiting pictures, including those being decoded; 1,024 by default. Further ones are refused at once. */
  readonly queue?: number;
  /** A probability below which an answer is unsure, from 0 to 1; 0 by default. */
  readonly unsure?: number;
  /** Test-time augmentation: whether the mean over several views of a picture is the answer; `none` by default. */
  readonly tta?: TestTimeAugmentation;
}

/** The classification of a picture. */
export interface Classification {
  readonly label: string;
  /** Number of the class. */
  readonly index: number;
  readonly probability: number;
  /** Whether the probability is below the threshold. */
  readonly unsure: boolean;
  /** Probabilities of all classes, in their order. */
  readonly probabilities: Float64Array;
}

/** Where a model is: a name, the bytes of a file of weights, or the model itself. */
export type ClassifierSource = string | Uint8Array | TrainedModel;

/** A picture: the bytes of an image file, or pixels as the model takes them, height · width · channels bytes. */
export type ClassifierInput = Uint8Array | { readonly pixels: Uint8Array };

/**
 * A model that waits for pictures.
 *
 * @category Using a model
 */
export interface Classifier extends AsyncDisposable {
  /** Names of the classes, in their order. */
  readonly classes: readonly string[];
  /** [height, width, channels] of the images that the model takes. */
  readonly input: readonly [number, number, number];
  /** Number of pictures that wait, or are being decoded or computed. */
  readonly waiting: number;
  /**
   * Classifies a picture. Rejects with E_DATA for what is not an image, E_USAGE where too many wait or it was closed, E_DIVERGED where its logits are
   * not finite, and with an AbortError where the signal is aborted before the picture is computed. The picture is copied.
   */
  classify(image: ClassifierInput, options?: { readonly signal?: AbortSignal }): Promise<Classification>;
  /**
   * Switches to another model with the same input, such as newer weights of a run: every picture is answered by one model or the other, and none is
   * lost. Throws what `openClassifier` throws, E_USAGE where the input is another one; the model is as it was then.
   */
  reload(source: ClassifierSource): Promise<void>;
  /** Refuses further pictures, answers the waiting ones, and closes what it has opened. */
  close(): Promise<void>;
}

/** A picture that was decoded. */
interface Ready {
  readonly pixels: Uint8Array;
  readonly signal?: AbortSignal;
  readonly resolve: (classification: Classification) => void;
  readonly reject: (error: unknown) => void;
}

type Limits = Required<Omit<ClassifierOptions, 'device'>>;

const OPTIONS = record<Omit<ClassifierOptions, 'device'>>(
  { batch: integer(1), queue: integer(1), unsure: number('a number from 0 to 1', (x) => x >= 0 && x <= 1), tta: ttaKind },
  ['batch', 'queue', 'unsure', 'tta'],
);

/**
 * Opens a model for classification: of a run folder or a file of weights (in a page, the address of one), the bytes of such a file, or a `TrainedModel`. Throws E_CHECKPOINT where there is none, E_USAGE for
 * impossible options, E_ENVIRONMENT, E_MEMORY.
 *
 * @category Using a model
 */
export async function openClassifier(source: ClassifierSource, { device, ...options }: ClassifierOptions = {}): Promise<Classifier> {
  OPTIONS.check(options, 'openClassifier');
  const trained = await modelFrom(source);
  const own = device ? undefined : await openDevice('wasm');
  let executable: Executable | undefined;
  try {
    const { batch = 32, queue = 1024, unsure = 0, tta = 'none' } = options;
    const used = device ?? (own as Device);
    executable = await compiled(trained, used, { batch, tta });
    return new OpenClassifier({ trained, executable }, used, own, { batch, queue, unsure, tta });
  } catch (error) {
    await executable?.close();
    await own?.close();
    throw error;
  }
}

async function modelFrom(source: ClassifierSource): Promise<TrainedModel> {
  const { model, weights, classes } = Object(source) as Partial<TrainedModel>;
  if (typeof source !== 'string' && !isBytes(source) && !(model && weights && classes))
    throw new HybridError(
      'E_USAGE',
      `openClassifier was given a value of kind ${arrayKind(source)}`,
      'Give the name of a run or file, the bytes of a file (a Uint8Array), or { model, weights, classes }.',
    );
  const name = typeof source === 'string' ? source : 'the file';
  const trained =
    typeof source === 'string'
      ? await (await import('./named-model.ts')).namedModel(source)
      : isBytes(source)
        ? (await weightsInFile(source as Uint8Array, name, {})).trained
        : (source as TrainedModel);
  if (trained) return trained;
  throw new HybridError('E_CHECKPOINT', `${name} does not say which model it is`, 'Name a run, or a file that has a card.');
}

async function compiled(trained: TrainedModel, device: Device, { batch, tta }: Pick<Limits, 'batch' | 'tta'>): Promise<Executable> {
  const { model, weights } = forInference(trained);
  const executable = await device.compile(inferenceGraphs(model), { capacity: batch, seed: 0n, programs: ['predict'] });
  try {
    await writeWeights(executable, model, weights);
    return withViews(executable, model.input, tta);
  } catch (error) {
    await executable.close();
    throw error;
  }
}

/** A model that computes. */
interface Loaded {
  readonly trained: TrainedModel;
  readonly executable: Executable;
}

class OpenClassifier implements Classifier {
  readonly input: readonly [number, number, number];
  #loaded: Loaded;
  readonly #used: Device;
  /** To be closed with it. */
  readonly #device: Device | undefined;
  readonly #limits: Limits;
  readonly #images: Uint8Array;
  readonly #ready: Ready[] = [];
  #waiting = 0;
  #computing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #idle: (() => void) | undefined;
  /** The batch that is computed. */
  #batch: Promise<unknown> = Promise.resolve();
  #reloading: Promise<void> = Promise.resolve();

  constructor(loaded: Loaded, used: Device, device: Device | undefined, limits: Limits) {
    this.input = loaded.trained.model.input;
    this.#loaded = loaded;
    this.#used = used;
    this.#device = device;
    this.#limits = limits;
    this.#images = new Uint8Array(limits.batch * this.#imageBytes);
  }

  get classes(): readonly string[] {
    return this.#loaded.trained.classes;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get #imageBytes(): number {
    return this.input[0] * this.input[1] * this.input[2];
  }

  async classify(image: ClassifierInput, options: { readonly signal?: AbortSignal } = {}): Promise<Classification> {
    refuseUnknownOptions(options, { signal: true }, 'classify');
    const { signal } = options;
    if (this.#closing) throw new HybridError('E_USAGE', 'the classifier is closed', 'Open a new one.');
    if (signal?.aborted) throw abortError(signal);
    const { queue } = this.#limits;
    if (this.#waiting >= queue)
      throw new HybridError('E_USAGE', `${queue} pictures are already waiting`, 'Try again later, or give a larger `queue`.', {
        field: 'queue',
      });
    this.#waiting++;
    try {
      const pixels = await this.#pixels(image);
      if (signal?.aborted) throw abortError(signal);
      return await new Promise<Classification>((resolve, reject) => {
        this.#ready.push({ pixels, signal, resolve, reject });
        this.#computing ??= this.#compute();
      });
    } finally {
      this.#waiting--;
      if (this.#waiting === 0) this.#idle?.();
    }
  }

  async #pixels(image: ClassifierInput): Promise<Uint8Array> {
    // A copy of either: the caller may use the memory for the next picture before this one is computed.
    if (isBytes(image)) {
      const bytes = Uint8Array.from(image as Uint8Array);
      const { decodePicture } = await import('./sources/picture.ts');
      return decodePicture(bytes, { ...this.#loaded.trained.preprocessing, shape: this.input });
    }
    const { pixels } = Object(image) as { readonly pixels?: Uint8Array };
    if (pixels === undefined)
      throw new HybridError('E_USAGE', `a picture is a ${arrayKind(image)}`, 'Give the bytes of an image file, or { pixels }.');
    checkImage(pixels, this.#loaded.trained.model);
    return Uint8Array.from(pixels);
  }

  /** Computes all that waits, batch by batch. */
  async #compute(): Promise<void> {
    // What comes in the same turn of the event loop is of the first batch.
    await host.turn();
    const { batch, unsure } = this.#limits;
    while (this.#ready.length > 0) {
      const taken: Ready[] = [];
      for (const one of this.#ready.splice(0, batch)) {
        if (one.signal?.aborted) one.reject(abortError(one.signal));
        else taken.push(one);
      }
      if (taken.length === 0) continue;
      for (const [row, { pixels }] of taken.entries()) this.#images.set(pixels, row * this.#imageBytes);
      // Read once a batch: all of it is answered by one model.
      const { executable, trained } = this.#loaded;
      const { classes } = trained.model;
      try {
        const predicting = executable.predict({ rows: taken.length, images: this.#images });
        this.#batch = predicting.catch(() => {});
        const logits = await predicting;
        for (const [row, { resolve }] of taken.entries()) {
          const probabilities = probabilitiesOf(logits, row, classes, 'a picture');
          const index = argmax(logits, row * classes, classes);
          const probability = probabilities[index];
          resolve({ label: trained.classes[index], index, probability, unsure: probability < unsure, probabilities });
        }
      } catch (error) {
        for (const { reject } of taken) reject(error);
      }
    }
    this.#computing = undefined;
  }

  reload(source: ClassifierSource): Promise<void> {
    const next = this.#reloading.then(() => this.#reload(source));
    this.#reloading = next.catch(() => {});
    return next;
  }

  async #reload(source: ClassifierSource): Promise<void> {
    const trained = await modelFrom(source);
    if (this.#closing) throw new HybridError('E_USAGE', 'the classifier is closed', 'Open a new one.');
    if (`${trained.model.input}` !== `${this.input}`) {
      throw new HybridError(
        'E_USAGE',
        `the model takes ${trained.model.input.join(' × ')}, and that of the classifier ${this.input.join(' × ')}`,
        'Open another classifier: pictures that wait are brought to this size.',
      );
    }
    const executable = await compiled(trained, this.#used, this.#limits);
    const before = this.#loaded;
    this.#loaded = { trained, executable };
    // Pictures that are being computed are answered by the model of before.
    await this.#batch;
    await before.executable.close();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#waiting > 0)
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    await this.#computing;
    await this.#reloading;
    try {
      await this.#loaded.executable.close();
    } finally {
      await this.#device?.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
