// Weights of the bytes of a file: of this program, of Keras or of another one, told apart by what they are. Nothing in a file is executed.

import { arrayKind, isBytes } from '../runtime/base/array-kind.ts';
import { HybridError } from '../runtime/base/errors.ts';
import { type OptionNames, refuseUnknownOptions } from '../runtime/base/kinds.ts';
import { readNpz } from '../runtime/formats/npz.ts';
import { readSafetensors } from '../runtime/formats/safetensors.ts';
import { readZip } from '../runtime/formats/zip.ts';
import type { OnnxImportOptions } from '../runtime/interop/onnx-import.ts';
import type { TimmOptions } from '../runtime/interop/timm.ts';
import {
  adopt,
  isAdamW,
  kerasName,
  NPZ_CARD,
  numberedClasses,
  readCard,
  type SavedTensor,
  type TrainedModel,
} from '../runtime/interop/trained-model.ts';
import type { Shape } from '../runtime/layers/layer.ts';
import type { Model } from '../runtime/model/model.ts';
import type { RunConfig } from './run/run-folder.ts';

/** Weights that were read, and what is known of them. */
export interface SavedWeights {
  /** Where they are, for messages. */
  readonly source: string;
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** SHA-256 of the graph they were trained in; absent in a file of another program. */
  readonly graph?: string;
  /** The configuration of the run; absent in a file of another program. */
  readonly config?: RunConfig;
  /** Of the tensors of a file. */
  readonly shapes?: ReadonlyMap<string, Shape>;
  /** The model and all that travels with it; absent where the place does not say which model it is. */
  readonly trained?: TrainedModel;
}

/** What files of other programs' networks do not say. */
export type ToldOptions = Pick<TimmOptions, 'activation'> & OnnxImportOptions;

/** The model of a file that does not say which it is, for the shapes that the file has; and what had to be assumed, in sentences. */
export type ModelFor = (
  shapes: ReadonlyMap<string, Shape>,
  source: string,
) => { readonly model: Model; readonly notices?: readonly string[] } | undefined;

/** What helps with a file that does not say all of itself. */
export interface FileContext {
  readonly modelFor?: ModelFor;
  readonly told?: ToldOptions;
  /** A file that lies beside it; null: there is none. ONNX may have its weights there. */
  readonly beside?: (name: string) => Promise<Uint8Array | null>;
}

const HDF5_MAGIC = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];
const ZIP_MAGIC = [0x50, 0x4b, 0x03, 0x04];
/** Options for `readWeightsFile`. */
export interface WeightsFileOptions extends ToldOptions {
  /** Name of the file, for messages; `.onnx` at its end tells what it is. */
  readonly name?: string;
  /** A file that lies beside it, by its name; null: there is none. ONNX may have its weights there. */
  readonly beside?: (name: string) => Promise<Uint8Array | null>;
}

const WEIGHTS_FILE_OPTIONS: OptionNames<WeightsFileOptions> = {
  ...{ name: true, beside: true },
  ...{ activation: true, imageSize: true, mean: true, std: true },
};

/**
 * Reads the weights of the bytes of a file: safetensors, a `.keras` archive, `.weights.h5`, `.npz`, ONNX, or what PyTorch saves, told apart by
 * their contents. Nothing in a file is executed. `trained` is absent where the file does not say which model it is of. Throws E_CHECKPOINT; E_USAGE for anything but bytes, and options that do not exist.
 */
export async function readWeightsFile(bytes: Uint8Array, options: WeightsFileOptions = {}): Promise<SavedWeights> {
  refuseUnknownOptions<WeightsFileOptions>(options, WEIGHTS_FILE_OPTIONS, 'readWeightsFile');
  if (!isBytes(bytes))
    throw new HybridError(
      'E_USAGE',
      `readWeightsFile was given a value of kind ${arrayKind(bytes)}`,
      'Give the bytes of a file: a Uint8Array.',
    );
  const { name = 'the file', beside, ...told } = options;
  return weightsInFile(bytes, name, { told, beside });
}

/** The weights. `path`: what messages call the file, whose ending may tell its kind. Throws E_CHECKPOINT. */
export async function weightsInFile(bytes: Uint8Array, path: string, { modelFor, told = {}, beside }: FileContext): Promise<SavedWeights> {
  const begins = (magic: readonly number[]) => magic.every((byte, i) => bytes[i] === byte);
  // Readers of other programs' files are loaded where there is one to read.
  if (begins(HDF5_MAGIC)) {
    const { readHdf5File } = await import('../runtime/formats/hdf5.ts');
    const { tensors, texts } = await readHdf5File(bytes, path);
    const older = [...tensors.keys()].find((name) => OLDER_FORM.test(name));
    const { readOlderKeras } = await import('../runtime/interop/keras.ts');
    const trained = older === undefined ? null : readOlderKeras({ tensors, texts }, path);
    if (trained) return { source: path, weights: trained.weights, trained };
    if (older !== undefined)
      throw new HybridError(
        'E_CHECKPOINT',
        `${path} is Keras' older form of a file of weights alone (it has ${older}), which is not read`,
        'Save it from Keras as .keras, or its weights as .weights.h5.',
      );
    const card = texts.find((text) => text.startsWith('{"producer":"hybrid"'));
    const called = optimizerAmong(texts);
    // Files of this program from before it wrote the name know one optimizer only.
    const optimizer = (called === undefined ? card !== undefined : isAdamW(called)) ? 'adamw' : undefined;
    return fromTensors(path, kerasNames(tensors), new Map(card === undefined ? [] : [['hybrid', card]]), modelFor, { optimizer, called });
  }
  if (begins(ZIP_MAGIC)) {
    const members = readZip(bytes, (what) => refuseArchive(path, what));
    if (members.has('config.json')) {
      const { readKeras } = await import('../runtime/interop/keras.ts');
      const trained = await readKeras(bytes, path);
      return { source: path, weights: trained.weights, trained };
    }
    const { torchPickle } = await import('../runtime/formats/torch-file.ts');
    if (torchPickle(members) !== undefined) return fromTorchFile(bytes, path, modelFor, told);
    const card = members.get(NPZ_CARD);
    const metadata = new Map(card ? [['hybrid', new TextDecoder().decode(card)]] : []);
    if (![...members.keys()].some((name) => name.endsWith('.npy'))) refuseArchive(path, 'it has neither config.json nor arrays');
    return fromTensors(path, readNpz(bytes, { source: path, code: 'E_CHECKPOINT' }), metadata, modelFor);
  }
  const { looksLikeOnnx } = await import('../runtime/formats/onnx-file.ts');
  if (/\.onnx$/i.test(path) || looksLikeOnnx(bytes)) return fromOnnxFile(bytes, path, beside, told);
  const { isLegacyTorch } = await import('../runtime/formats/torch-file.ts');
  if (isLegacyTorch(bytes)) return fromTorchFile(bytes, path, modelFor, told);
  if (bytes[0] === PICKLE && bytes[8] !== BRACE)
    throw new HybridError(
      'E_CHECKPOINT',
      `${path} is a pickle, but not one of PyTorch's tables of tensors`,
      "Save the weights alone, torch.save(model.state_dict(), 'weights.pth'), or as safetensors.",
    );
  const { tensors, metadata } = readSafetensors(bytes, path);
  const foreign = await readForeign(tensors, path, told);
  if (foreign) return foreign;
  return fromTensors(path, tensors, metadata, modelFor);
}

/** A model with its graph; constants may be in files beside it. */
async function fromOnnxFile(bytes: Uint8Array, path: string, beside: FileContext['beside'], told: ToldOptions): Promise<SavedWeights> {
  const { externalFiles, readOnnx } = await import('../runtime/formats/onnx-file.ts');
  const external = new Map<string, Uint8Array>();
  for (const name of externalFiles(bytes, path)) {
    const found = (await beside?.(name)) ?? null;
    if (!found)
      throw new HybridError(
        'E_CHECKPOINT',
        `${path} has its weights in ${name}, which is no file beside it`,
        'Put both into one folder, under their own names.',
      );
    external.set(name, found);
  }
  const { fromOnnx } = await import('../runtime/interop/onnx-import.ts');
  const trained = fromOnnx(readOnnx(bytes, { source: path, external }), path, told);
  return { source: path, weights: trained.weights, trained };
}

/** With which every pickle of a protocol since Python 2.3 begins. The length of a header of safetensors may, too: its table follows. */
const PICKLE = 0x80;
const BRACE = 0x7b;

async function fromTorchFile(bytes: Uint8Array, path: string, modelFor: ModelFor | undefined, told: ToldOptions): Promise<SavedWeights> {
  const { readTorch } = await import('../runtime/formats/torch-file.ts');
  const { tensors } = readTorch(bytes, path);
  const foreign = await readForeign(tensors, path, told);
  if (foreign) return foreign;
  if ([...tensors.keys()].some((name) => name.startsWith('layers/'))) return fromTensors(path, tensors, new Map(), modelFor);
  const names = [...tensors.keys()];
  throw new HybridError(
    'E_CHECKPOINT',
    `${path} holds ${names.length} tensors of a network that is not known here: ${names.slice(0, 3).join(', ')}${names.length > 3 ? ', …' : ''}`,
    "Known are timm's ConvMixers and EfficientNet-Lite0.",
  );
}

/** Weights of networks that others have written, told by the names of their tensors. */
async function readForeign(tensors: ReadonlyMap<string, SavedTensor>, path: string, told: ToldOptions): Promise<SavedWeights | undefined> {
  const { isTimmConvmixer, readTimmConvmixer } = await import('../runtime/interop/timm.ts');
  const { isEfficientNetLite, readEfficientNetLite } = await import('../runtime/interop/efficientnet.ts');
  const read = isTimmConvmixer(tensors) ? readTimmConvmixer : isEfficientNetLite(tensors) ? readEfficientNetLite : undefined;
  if (!read) return undefined;
  const trained = read(tensors, path, told);
  return { source: path, weights: trained.weights, trained };
}

function refuseArchive(path: string, what: string): never {
  throw new HybridError(
    'E_CHECKPOINT',
    `${path} is not a .keras, .npz or PyTorch file: ${what}`,
    'If it was copied or downloaded, download it again.',
  );
}

/** @param metadata As in safetensors files. */
function fromTensors(
  source: string,
  tensors: ReadonlyMap<string, SavedTensor>,
  metadata: ReadonlyMap<string, string>,
  modelFor: ModelFor | undefined,
  state: { readonly optimizer?: 'adamw'; readonly called?: string } = {},
): SavedWeights {
  const weights = new Map([...tensors].map(([name, { data }]) => [name, Float32Array.from(data as ArrayLike<number>, Number)]));
  const ours = metadata.get('format') === 'hybrid';
  const card = readCard(metadata.get('hybrid'));
  const shapes = new Map([...tensors].map(([name, { shape }]) => [name, shape]));
  const found = card.model ? { model: card.model } : modelFor?.(shapes, source);
  const adopted = found && adopt(found.model, tensors, source, ours ? 'adamw' : state.optimizer, state.called);
  return {
    source,
    weights,
    graph: ours ? metadata.get('graph') : undefined,
    config: ours ? configOf(metadata.get('config')) : undefined,
    shapes,
    trained: adopted && {
      ...adopted,
      classes: card.classes?.length === adopted.model.classes ? card.classes : numberedClasses(adopted.model),
      license: card.license,
      preprocessing: card.preprocessing,
      notices: [...(found?.notices ?? []), ...(adopted.notices ?? [])],
    },
  };
}

/** What Keras calls the state of its optimizers where nobody has named them; a second one of a program is `adam_w_1`. */
const OPTIMIZERS =
  /^(adam|adam_?w|adamax|adadelta|adafactor|adagrad|nadam|ftrl|sgd|rm_?sprop|lion|lamb|muon|schedule_free_adam_w|loss_scale_optimizer)(_\d+)?$/i;

/** The name among those that a file has of its layers and its optimizer. Of one in another it is that of the outer one. */
function optimizerAmong(texts: readonly string[]): string | undefined {
  const names = texts.filter((text) => OPTIMIZERS.test(text));
  return names.find((name) => !isAdamW(name)) ?? names[0];
}

/** Names in files of `model.save('x.h5')` and of `save_weights` before Keras 3. */
const OLDER_FORM = /^model_weights\/|\/[a-z_]+:0$/;

const kerasNames = <T>(tensors: ReadonlyMap<string, T>): Map<string, T> =>
  new Map([...tensors].map(([name, tensor]) => [kerasName(name), tensor]));

function configOf(text = ''): RunConfig | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as RunConfig) : undefined;
  } catch {
    return undefined;
  }
}
