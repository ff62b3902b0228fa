// Image classifiers from ONNX files, as PyTorch, TensorFlow and this program export them: a graph of the standard's operators becomes a model of
// layers with its weights, by the rules in onnx-in/. What a file says and nothing here computes ends the conversion, with the node in the message.

import { HybridError } from '../base/errors.ts';
import type { OnnxFile, OnnxFileValue } from '../formats/onnx-file.ts';
import { onnxTypeName } from '../formats/onnx-types.ts';
import { quote } from '../formats/zip.ts';
import { input as imageInput } from '../layers/functional.ts';
import type { Model } from '../model/model.ts';
import { arranging } from './onnx-in/arranging.ts';
import { Converter, IMAGE, type Rules } from './onnx-in/converter.ts';
import { convolution } from './onnx-in/convolution.ts';
import { dense } from './onnx-in/dense.ts';
import { elementwise } from './onnx-in/elementwise.ts';
import { REMEDY } from './onnx-in/node-view.ts';
import { normalization } from './onnx-in/normalization.ts';
import { pooling } from './onnx-in/pooling.ts';
import { Value } from './onnx-in/value.ts';
import { numberedClasses, readCard, type TrainedModel } from './trained-model.ts';

/** What an ONNX file does not say. */
export interface OnnxImportOptions {
  /** [height, width] of the images, where the file leaves it open, or for others than it was exported for. */
  readonly imageSize?: readonly [number, number];
  /**
   * What was subtracted from pixels from 0 to 1, and what they were divided by then: one number, or one for each channel. Where nobody says and the
   * file takes floats, ImageNet's of three channels, 0 and 1 of others, and of files of TensorFlow pixels from 0 to 255 as they are.
   */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
}

const RULES: Rules = { ...convolution, ...pooling, ...dense, ...normalization, ...elementwise, ...arranging };

/** Names of the operators that are read, beside those that are computed of constants. */
export const ONNX_OPERATORS: readonly string[] = Object.keys(RULES);

/** Versions of the standard's operators that the rules are written for. */
export const OPSETS = { oldest: 9, newest: 23 } as const;

/** ImageNet's, which torchvision and timm take. */
const IMAGENET = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;
const IMAGE_SIZE = [224, 224] as const;
/** A number from a file must not decide how long this takes. */
const LARGEST_SIDE = 16_384;
const MOST_CHANNELS = 4096;
/** Of elements of the graph's input. */
const TYPE = { float: 1, uint8: 2 } as const;

/**
 * The model of a file.
 *
 * @throws HybridError E_CHECKPOINT with the node, its operator and the attribute for what cannot be taken in, and for a graph that is none; E_USAGE
 * for options that do not go with it.
 */
export function fromOnnx(file: OnnxFile, source: string, options: OnnxImportOptions = {}): TrainedModel {
  if (!(file.opset >= OPSETS.oldest && file.opset <= OPSETS.newest))
    return refuse(
      source,
      `it is of version ${file.opset} of ONNX's operators`,
      `Versions ${OPSETS.oldest} to ${OPSETS.newest} are read: export it as one of them.`,
    );
  const inputs = file.inputs.filter(({ name }) => !file.constants.has(name));
  if (inputs.length !== 1 || file.outputs.length !== 1)
    return refuse(
      source,
      `it has ${inputs.length} inputs and ${file.outputs.length} outputs`,
      'Models with one input, an image, and one output, the logits, are read.',
    );
  const [images] = inputs;
  const [output] = file.outputs;
  const layout = layoutOf(file, images, source, options);
  const { shape, isLast } = layout;
  const converter = new Converter(file, source, layout.samples, RULES);
  const tensor = imageInput(shape);
  const [height, width, channels] = shape;
  const isBytes = images.type === TYPE.uint8;
  const isOurs = file.producer === 'hybrid' || file.metadata.get('producer') === 'hybrid';
  const { scale, offset, told } = isBytes ? { scale: 1, offset: 0, told: undefined } : normalizationOf(file, source, channels, options);
  if (isBytes && (options.mean || options.std))
    throw new HybridError(
      'E_USAGE',
      `${source} takes pixels as bytes: what is subtracted from them is in the file`,
      'Leave `mean` and `std` out.',
      {
        field: options.mean ? 'mean' : 'std',
      },
    );
  const sizes = isLast ? [height, width, channels] : [channels, height, width];
  const pixels = scale === 1 && offset === 0 ? tensor : converter.layer('Rescaling', { scale, offset }, tensor);
  const value = new Value(sizes, isLast ? [0, 1, 2] : IMAGE, pixels, { isImage: isBytes ? 'bytes' : true });
  const result = converter.run([images.name, value], output.name);
  const logits = logitsOf(result, source);
  const { model, weights } = converter.model(modelName(source), tensor, logits.facts.flat ? logits.facts.flat.inOrder() : logits.tensor);
  const card = isOurs ? cardIn(file.metadata) : {};
  const notices = [layout.told, told].filter((notice) => notice !== undefined);
  return {
    model,
    weights,
    bnMomentum: momentumOf(model),
    classes: card.classes?.length === model.classes ? card.classes : numberedClasses(model),
    license: card.license,
    preprocessing: card.preprocessing,
    ...(notices.length > 0 && { notices }),
  };
}

function refuse(source: string, what: string, remedy = REMEDY): never {
  throw new HybridError('E_CHECKPOINT', `${source} cannot be taken in: ${what}`, remedy);
}

/** Of a softmax at the end what it reads: the loss is computed of logits. */
function logitsOf(value: Value, source: string): Value {
  if (value.made?.kind === 'softmax') return value.made.of;
  if (value.made?.kind === 'sigmoid' || value.made?.kind === 'hardSigmoid')
    refuse(
      source,
      'it ends in a sigmoid: an image may be of several classes at once',
      'Models whose images are of one class each are read.',
    );
  if (value.shape.length !== 1)
    refuse(source, `its output is [${['samples', ...value.shape].join(', ')}]`, 'Models that end in [samples, classes] are read.');
  return value;
}

interface Layout {
  /** [height, width, channels]. */
  readonly shape: [number, number, number];
  /** Whether the channels are the last axis. */
  readonly isLast: boolean;
  readonly samples: number;
  /** What was assumed. */
  readonly told?: string;
}

function layoutOf(file: OnnxFile, { name, type, shape }: OnnxFileValue, source: string, { imageSize }: OnnxImportOptions): Layout {
  if (type !== TYPE.float && type !== TYPE.uint8)
    return refuse(
      source,
      `its input ${quote(name)} has elements of ${onnxTypeName(type)}`,
      'Models that take floats of 32 bits or bytes are read.',
    );
  if (shape?.length !== 4)
    return refuse(
      source,
      `its input ${quote(name)} has ${shape ? `${shape.length} axes` : 'no shape'}`,
      'Models of images are read: four axes, with that of the samples.',
    );
  const isLast = channelsAreLast(file, name, shape);
  const [channels, height, width] = isLast ? [shape[3], shape[1], shape[2]] : shape.slice(1);
  if (typeof channels !== 'number')
    return refuse(source, `its input ${quote(name)} does not say how many channels it has`, 'Export it with that number.');
  const isOpen = typeof height !== 'number' || typeof width !== 'number';
  const said = isOpen ? IMAGE_SIZE : ([height, width] as const);
  const [rows, columns] = imageSize ?? said;
  const fits = (n: number, most: number) => Number.isInteger(n) && n >= 1 && n <= most;
  if (!fits(rows, LARGEST_SIDE) || !fits(columns, LARGEST_SIDE) || !fits(channels, MOST_CHANNELS))
    return refuse(source, `its input ${quote(name)} has the shape [${shape.join(', ')}]`, 'Models of images are read.');
  const [samples] = shape;
  const told =
    isOpen && !imageSize
      ? `${source} does not say for which image size it is: ${said.join('×')} is assumed. Give \`imageSize\` otherwise.`
      : undefined;
  return {
    shape: [rows, columns, channels],
    isLast,
    samples: typeof samples === 'number' && samples > 0 ? samples : 1,
    ...(told !== undefined && { told }),
  };
}

/** From the input to a transposition. */
const MOST_STEPS = 8;

/** Where the channels are: a transposition tells, or else the small number among the sizes. */
function channelsAreLast(file: OnnxFile, name: string, [, first, , last]: readonly (number | string)[]): boolean {
  const passing = new Set(['Cast', 'Mul', 'Add', 'Sub', 'Div', 'Identity']);
  let at: string | undefined = name;
  for (let steps = 0; at !== undefined && steps < MOST_STEPS; steps++) {
    const readers = file.nodes.filter(({ inputs }) => inputs.includes(at as string));
    const perm = readers.map(({ op, attributes }) => (op === 'Transpose' ? `${attributes.get('perm')}` : ''));
    if (perm.includes('0,3,1,2')) return true;
    if (perm.includes('0,2,3,1')) return false;
    at = readers.length === 1 && passing.has(readers[0].op) ? readers[0].outputs[0] : undefined;
  }
  const isFew = (size: number | string): boolean => typeof size === 'number' && size <= 4;
  return !isFew(first) && isFew(last);
}

/** Pixels from 0 to 255 as the graph takes them: x·scale + offset; and what was assumed. */
function normalizationOf(file: OnnxFile, source: string, channels: number, { mean, std }: OnnxImportOptions) {
  const isTensorFlow = /tf2onnx|keras|tensorflow/i.test(file.producer);
  const isColour = channels === IMAGENET.mean.length;
  if (!mean && !std && isTensorFlow) {
    const told = `${source} does not say how pixels are prepared: it is given them from 0 to 255, as files of TensorFlow take them. Give \`mean\` and \`std\` otherwise.`;
    return { scale: 1, offset: 0, told };
  }
  const usual = isColour ? IMAGENET : { mean: [0], std: [1] };
  const told =
    mean || std
      ? undefined
      : `${source} does not say how pixels are prepared: ${isColour ? "ImageNet's mean and deviation are taken" : 'they are divided by 255'}. Give \`mean\` and \`std\` otherwise.`;
  const list = (field: 'mean' | 'std', given: readonly number[]): number[] => {
    if (given.length !== 1 && given.length !== channels)
      throw new HybridError(
        'E_USAGE',
        `\`${field}\` has ${given.length} numbers, and the images of ${source} ${channels} channels`,
        'Give one number, or one for each channel.',
        {
          field,
        },
      );
    return Array.from({ length: channels }, (_, c) => given[given.length === 1 ? 0 : c]);
  };
  // One of the two alone leaves the other at nothing.
  const [means, deviations] = [list('mean', mean ?? (std ? [0] : usual.mean)), list('std', std ?? (mean ? [1] : usual.std))];
  const scale = deviations.map((deviation) => 1 / (255 * deviation));
  const offset = means.map((mean, c) => -mean / deviations[c] || 0);
  const short = (numbers: number[]): number | number[] => (numbers.every((n) => n === numbers[0]) ? numbers[0] : numbers);
  return { scale: short(scale), offset: short(offset), told };
}

/** Of files of this program: the metadata has a key for each of the card's; what is not text is JSON. */
function cardIn(metadata: ReadonlyMap<string, string>): ReturnType<typeof readCard> {
  const read = (key: string): unknown => {
    try {
      return JSON.parse(metadata.get(key) ?? 'null');
    } catch {
      return undefined;
    }
  };
  return readCard(JSON.stringify({ labels: read('labels'), preprocessing: read('preprocessing'), license: metadata.get('license') }));
}

const momentumOf = ({ layers }: Model): number | undefined => {
  const norm = layers.find((layer) => layer.type === 'BatchNormalization');
  return norm?.type === 'BatchNormalization' ? (norm.config.momentum ?? undefined) : undefined;
};

const modelName = (source: string): string => {
  const name = source.replace(/^.*[/\\]/, '').replace(/\.onnx$/i, '');
  return /^[\w .-]{1,100}$/.test(name) ? name : 'model';
};
