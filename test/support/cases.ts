// Operands for every op that a device has kernels for, at sizes that hurt: 1, prime, odd, not a multiple of a vector's
// width, one row, tiles of statistics that do not come out even. Tests of a device run all of them against the reference.

import type { Constants } from '../../runtime/base/constants.ts';
import type { Attrs } from '../../runtime/ir/graph.ts';
import type { Named } from '../../runtime/ir/signature.ts';
import type { StepScalars } from '../../runtime/ir/step.ts';
import type { Epilogue as EpilogueAttrs } from '../../runtime/ops/epilogue.ts';
import type { KernelOpName, OpName } from '../../runtime/ops/index.ts';
import type { GroupRun } from '../../runtime/optim/groups.ts';
import { type OptimizerName, ofEach, optimizerOf, slotsOf } from '../../runtime/optim/index.ts';
import type { OptimizerRule } from '../../runtime/optim/rule.ts';
import { runReference } from './reference.ts';
import { fixed, integers, samples, type TestTensor, uniform } from './tensors.ts';
import type { TestInputs } from './test-node.ts';

export interface OpCase {
  /** What is special about it, for the name of the test. */
  readonly name: string;
  readonly rows: number;
  /** By name where optional ones are left out between others. */
  readonly inputs: TestInputs;
  readonly attrs: Attrs;
  /** State that the op changes: copy it before a run. */
  readonly updates?: readonly TestTensor[];
  readonly step?: Partial<StepScalars>;
}

/** Rows and shapes of activations. */
const ACTIVATIONS: readonly (readonly [rows: number, shape: readonly number[]])[] = [
  [1, [1]],
  [3, [10]],
  [5, [256]],
  [1, [1, 1, 3]],
  [5, [3, 5, 7]],
  [2, [5, 4, 16]],
  [7, [2, 2, 33]],
  [3, [8, 9, 64]],
  [127, [1, 1, 4]],
];

const forActivations = (make: (rows: number, shape: readonly number[]) => Omit<OpCase, 'name' | 'rows'>): OpCase[] =>
  ACTIVATIONS.map(([rows, shape]) => ({ name: `${rows} × [${shape}]`, rows, ...make(rows, shape) }));

const x = (rows: number, shape: readonly number[], seed = 1): TestTensor => samples(rows, shape, uniform(seed, -2, 2));
const vector = (shape: readonly number[], seed: number, low = -1, high = 1): TestTensor => fixed(shape.slice(-1), uniform(seed, low, high));
const pixelsOf = (shape: readonly number[]): number => shape.slice(0, -1).reduce((product, n) => product * n, 1);

/** With `bias` the node has that operand. */
export type Epilogue = EpilogueAttrs & { readonly bias?: boolean };

export const attrsOf = ({ bias: _, ...epilogue }: Epilogue): EpilogueAttrs => epilogue;

const EVERYTHING: Epilogue = { bias: true, activation: 'gelu', derivative: true, stats: true };

/** All combinations that fusion can set. */
export const EPILOGUES: readonly Epilogue[] = [
  {},
  { bias: true },
  { stats: true },
  { bias: true, activation: 'relu' },
  { bias: true, activation: 'relu', stats: true },
  { bias: true, activation: 'gelu' },
  { bias: true, activation: 'gelu', derivative: true },
  { bias: true, activation: 'gelu', stats: true },
  EVERYTHING,
  { activation: 'relu' },
  { activation: 'gelu', derivative: true, stats: true },
];

export const NORMALIZE_EPILOGUES = EPILOGUES.filter(({ bias }) => !bias);

interface ConvSize {
  readonly rows: number;
  readonly xShape: readonly number[];
  readonly wShape: readonly number[];
  readonly stride?: number;
  readonly padding?: 'valid' | 'same';
  readonly inputScale?: number;
}

export const CONVOLUTIONS: readonly ConvSize[] = [
  { rows: 1, xShape: [1, 1, 1], wShape: [1, 1, 1, 1] },
  { rows: 3, xShape: [10], wShape: [10, 7] },
  { rows: 17, xShape: [33], wShape: [33, 10] },
  { rows: 2, xShape: [6, 6, 3], wShape: [2, 2, 3, 16], stride: 2 },
  { rows: 2, xShape: [5, 7, 3], wShape: [2, 2, 3, 5], stride: 2 },
  { rows: 3, xShape: [6, 6, 3], wShape: [2, 2, 3, 16], stride: 2, inputScale: 1 / 255 },
  { rows: 2, xShape: [5, 3, 13], wShape: [1, 1, 13, 11] },
  { rows: 3, xShape: [4, 4, 64], wShape: [1, 1, 64, 64] },
  { rows: 2, xShape: [5, 6, 7], wShape: [3, 3, 7, 9], padding: 'same' },
  { rows: 1, xShape: [8, 8, 32], wShape: [3, 3, 32, 24], padding: 'same' },
  { rows: 2, xShape: [7, 5, 3], wShape: [4, 4, 3, 5], padding: 'same' },
  { rows: 2, xShape: [6, 7, 5], wShape: [3, 3, 5, 6], stride: 2, padding: 'same' },
  { rows: 1, xShape: [2, 3, 4], wShape: [5, 5, 4, 3], padding: 'same' },
  { rows: 5, xShape: [3, 3, 2], wShape: [3, 3, 2, 65] },
];

/** x of a convolution, as bytes where it has an input scale. */
const convX = ({ rows, xShape, inputScale }: ConvSize): TestTensor =>
  inputScale === undefined ? x(rows, xShape) : samples(rows, xShape, integers(2, 256), 'u8');

const convAttrs = ({ stride = 1, padding = 'valid' }: ConvSize): { stride: number; padding: string } => ({ stride, padding });

const scaleAttr = ({ inputScale }: ConvSize): Attrs => (inputScale === undefined ? {} : { inputScale });

const convName = ({ rows, xShape, wShape, stride = 1, padding = 'valid', inputScale }: ConvSize): string =>
  `${rows} × [${xShape}] by [${wShape}] stride ${stride} ${padding}${inputScale === undefined ? '' : ' of bytes'}`;

/** Gradient-shaped tensor for what a convolution of this size gives. */
function convDy(size: ConvSize): TestTensor {
  const w = fixed(size.wShape, uniform(3));
  const [y] = runReference('conv', [convX(size), w], { ...convAttrs(size), ...scaleAttr(size) });
  return samples(size.rows, y.spec.shape, uniform(5));
}

const withEpilogues = (name: string, inputs: TestTensor[], channels: number, attrs: Attrs): OpCase[] =>
  EPILOGUES.map((epilogue) => ({
    name: `${name} ${JSON.stringify(epilogue)}`,
    rows: inputs[0].shape[0],
    inputs: epilogue.bias ? [...inputs, fixed([channels], uniform(4))] : inputs,
    attrs: { ...attrs, epilogue: attrsOf(epilogue) },
  }));

export interface DepthwiseSize {
  readonly rows: number;
  readonly shape: readonly number[];
  readonly k: number;
}

export const DEPTHWISES: readonly DepthwiseSize[] = [
  { rows: 1, shape: [1, 1, 1], k: 5 },
  { rows: 2, shape: [5, 4, 16], k: 5 },
  { rows: 3, shape: [8, 8, 33], k: 5 },
  { rows: 2, shape: [3, 7, 5], k: 3 },
  { rows: 1, shape: [6, 5, 20], k: 7 },
  { rows: 2, shape: [5, 5, 8], k: 9 },
  { rows: 2, shape: [5, 6, 6], k: 4 },
  { rows: 7, shape: [2, 3, 4], k: 1 },
];

const depthwiseW = ({ shape, k }: DepthwiseSize): TestTensor => fixed([k, k, shape[2], 1], uniform(3));
/** Scale and shift of a normalised input. */
const affine = (shape: readonly number[]) => ({ scale: vector(shape, 6, 0.5, 1.5), shift: vector(shape, 7) });
const depthwiseName = ({ rows, shape, k }: DepthwiseSize): string => `${rows} × [${shape}] by ${k}×${k}`;

/** All that fusion can make of `depthwiseGrad`, and what no rule makes alone. */
export const DEPTHWISE_GRADIENTS: readonly DepthwiseGradParts[] = [
  {},
  { biasGrad: true },
  { residual: true },
  { normalize: true },
  { bnGrad: true },
  { normalize: true, bnGrad: true, residual: true, biasGrad: true },
];

interface DepthwiseGradParts {
  readonly biasGrad?: boolean;
  readonly residual?: boolean;
  readonly normalize?: boolean;
  readonly bnGrad?: boolean;
}

/** Operands and attributes of a `depthwiseGrad` with these parts. */
export function depthwiseGradCase(
  size: DepthwiseSize,
  { biasGrad, residual, normalize, bnGrad }: DepthwiseGradParts,
): { readonly inputs: Named<TestTensor>; readonly attrs: Attrs } {
  const { rows, shape } = size;
  const [dy, activation, slope, alpha, kappa] = bnGradApplyInputs(rows, shape);
  const inputs = {
    ...{ dy, x: x(rows, shape, 11), w: depthwiseW(size) },
    ...(bnGrad ? { activation, slope, alpha, kappa, derivative: x(rows, shape, 10) } : {}),
    ...(residual ? { residual: x(rows, shape, 12) } : {}),
    ...(normalize ? affine(shape) : {}),
  };
  return { inputs, attrs: biasGrad ? { biasGrad } : {} };
}

/** Depthwise convolutions over windows of other kinds: x, w, and how the windows lie. */
export const DEPTHWISE_WINDOWS: readonly (readonly [rows: number, xShape: readonly number[], wShape: readonly number[], attrs: Attrs])[] = [
  [1, [1, 1, 1], [1, 1, 1, 1], {}],
  [2, [5, 7, 3], [3, 3, 3, 1], { stride: 2, padding: 'same' }],
  [3, [8, 8, 33], [3, 3, 33, 1], { stride: 2, padding: 'same' }],
  [2, [6, 5, 16], [5, 5, 16, 1], { stride: 2, padding: 'same' }],
  [2, [7, 6, 20], [3, 3, 20, 1], {}],
  [2, [5, 9, 6], [3, 5, 3, 2], { padding: 'same' }],
  [1, [9, 8, 4], [2, 3, 4, 1], { stride: [1, 3], padding: { top: 1, bottom: 0, left: 2, right: 3 } }],
  [2, [9, 9, 5], [3, 3, 5, 1], { dilation: 2, padding: 'same' }],
  [2, [7, 11, 40], [3, 2, 40, 1], { stride: 2, dilation: [1, 3] }],
  [5, [1, 1, 8], [3, 3, 8, 1], { stride: 2, padding: 'same' }],
  [70, [4, 3, 7], [3, 3, 7, 1], { stride: 2, padding: 'same' }],
  [1, [40, 19, 4], [3, 3, 4, 1], { padding: 'same' }],
  [2, [4, 5, 6], [1, 1, 6, 1], { stride: 3 }],
];

const depthwiseWindowsName = ([rows, xShape, wShape, attrs]: (typeof DEPTHWISE_WINDOWS)[number]): string =>
  `${rows} × [${xShape}] by [${wShape}] ${JSON.stringify(attrs)}`;

/** Gradient-shaped tensor for what a depthwise convolution of this kind gives. */
function depthwiseWindowsDy([rows, xShape, wShape, attrs]: (typeof DEPTHWISE_WINDOWS)[number]): TestTensor {
  const [y] = runReference('depthwiseWindows', [x(rows, xShape), fixed(wShape, uniform(3))], attrs);
  return samples(rows, y.spec.shape, uniform(5));
}

/** A step of an optimizer: gradients, parameters and what it keeps of them, for parameters of these shapes. */
export function updateCase(
  rule: OptimizerRule,
  name: string,
  shapes: readonly (readonly number[])[],
  { ok = 1, steps = 6, constants = {}, groups }: { ok?: number; steps?: number; constants?: Constants; groups?: readonly GroupRun[] } = {},
): OpCase {
  const each = (seed: number, low: number, high: number): TestTensor[] =>
    shapes.map((shape, k) => fixed(shape, uniform(seed + k, low, high)));
  const all = { ...optimizerOf(rule.name as OptimizerName).constants, ...constants };
  return {
    name,
    rows: 1,
    inputs: [fixed([1], [ok], 'i32'), fixed([1], [steps], 'i32'), ...each(100, -1, 1)],
    attrs: groups ? { ...all, groups } : all,
    // Not below 0: some optimizers take the root of what they keep.
    updates: [...each(200, -1, 1), ...slotsOf(rule, all).flatMap((_, s) => each(300 + 100 * s, 0, 0.1))],
  };
}

/** Cases of every optimizer: sizes, groups, and each constant otherwise than usual. */
const updateCases = (rule: OptimizerRule) => (): OpCase[] => [
  updateCase(rule, 'one scalar', [[1]]),
  updateCase(rule, 'several parameters', [[3, 3, 2, 5], [5], [33]]),
  updateCase(rule, 'not ok', [[7], [2, 3]], { ok: 0 }),
  updateCase(rule, 'groups', [[3, 3, 2, 5], [5], [33], [70]], {
    groups: [
      { count: 1, rate: 0.5, decay: 1 },
      { count: 2, rate: 1, decay: 0 },
      { count: 1, rate: 3, decay: 10 },
    ],
  }),
  ...otherConstants(rule).map((constants) => updateCase(rule, JSON.stringify(constants), [[33], [7]], { constants })),
];

/** Every switch turned, and every number 0 that may be. */
export const otherConstants = ({ constants }: OptimizerRule): Constants[] =>
  Object.entries(constants).flatMap(([name, { kind, usual }]) => {
    const value = typeof usual === 'boolean' ? !usual : kind.parse('0');
    return value === undefined ? [] : [{ [name]: value }];
  });

/** Around an image, a part of it, beside others by channels, and all at once. */
const FRAMES: readonly (readonly [rows: number, shape: readonly number[], offset: readonly number[], to: readonly number[]])[] = [
  [1, [1, 1, 1], [0, 0, 0], [1, 1, 1]],
  [3, [3, 5, 7], [1, 2, 0], [5, 9, 7]],
  [2, [4, 4, 16], [1, 1, 0], [6, 6, 16]],
  [5, [5, 6, 4], [-1, -2, 0], [3, 3, 4]],
  [2, [3, 3, 5], [0, 0, 3], [3, 3, 11]],
  [3, [2, 3, 8], [0, 0, 4], [2, 3, 16]],
  [2, [3, 2, 11], [0, 0, -3], [3, 2, 5]],
  [3, [3, 2, 12], [0, 0, -4], [3, 2, 4]],
  [2, [4, 3, 6], [-2, 1, 2], [3, 2, 7]],
];

/** Along each axis, and as what is broadcast. */
export const REPETITIONS: readonly (readonly [rows: number, shape: readonly number[], times: readonly number[]])[] = [
  [1, [1, 1, 1], [1, 1, 1]],
  [3, [3, 5, 7], [2, 2, 1]],
  [2, [4, 3, 16], [1, 3, 1]],
  [2, [2, 3, 5], [1, 1, 3]],
  [3, [2, 1, 4], [3, 2, 2]],
  [5, [1, 1, 33], [7, 5, 1]],
  [2, [1, 1, 8], [13, 19, 1]],
  [2, [5, 4, 1], [1, 1, 9]],
];

/** Sizes of images for pooling, both odd and even. */
const IMAGES: readonly (readonly [rows: number, shape: readonly number[]])[] = [
  [1, [2, 2, 1]],
  [3, [4, 4, 16]],
  [2, [5, 7, 3]],
  [5, [3, 2, 33]],
  [2, [8, 8, 20]],
];

const forImages = (make: (rows: number, shape: readonly number[]) => Omit<OpCase, 'name' | 'rows'>): OpCase[] =>
  IMAGES.map(([rows, shape]) => ({ name: `${rows} × [${shape}]`, rows, ...make(rows, shape) }));

/** Windows of pooling: that overlap, that leave pixels out, that are padded. */
const WINDOWS: readonly (readonly [rows: number, shape: readonly number[], attrs: Attrs])[] = [
  [2, [5, 7, 3], { size: 3 }],
  [3, [6, 5, 16], { size: 3, stride: 2, padding: 'same' }],
  [1, [8, 9, 33], { size: [3, 2], stride: [1, 3] }],
  [2, [4, 4, 4], { size: 3, stride: 1, padding: { top: 1, bottom: 2, left: 0, right: 1 } }],
  [2, [7, 7, 5], { size: 2, stride: 3 }],
  [5, [1, 1, 2], { size: 3, padding: 'same' }],
];

const forWindows = (make: (rows: number, shape: readonly number[], attrs: Attrs) => Omit<OpCase, 'name' | 'rows'>): OpCase[] =>
  WINDOWS.map(([rows, shape, attrs]) => ({ name: `${rows} × [${shape}] ${JSON.stringify(attrs)}`, rows, ...make(rows, shape, attrs) }));

/** Operands of bnGradApply with real statistics. */
const bnGradApplyInputs = (rows: number, shape: readonly number[]): TestTensor[] => [
  x(rows, shape, 6),
  x(rows, shape),
  vector(shape, 7),
  vector(shape, 8, -0.1, 0.1),
  vector(shape, 9, -0.1, 0.1),
];

const logits = (rows: number, classes: number): TestTensor[] => [
  samples(rows, [classes], uniform(10, -5, 5)),
  samples(rows, [], integers(11, classes), 'i32'),
];

/** Sizes of statistics, with several samples a tile, one sample a tile, and last tiles that are not full. */
export const STATISTICS: readonly (readonly [rows: number, shape: readonly number[]])[] = [
  [1, [1]],
  [130, [5]],
  [70, [1, 1, 33]],
  [7, [4, 5, 16]],
  [9, [3, 5, 7]],
  [2, [8, 8, 20]],
  [3, [9, 9, 6]],
];

export const opCases: Record<KernelOpName, () => OpCase[]> = {
  rescale: () => forActivations((rows, shape) => ({ inputs: [samples(rows, shape, integers(1, 256), 'u8')], attrs: { scale: 1 / 255 } })),
  conv: () => [
    ...CONVOLUTIONS.map((size) => ({
      name: convName(size),
      rows: size.rows,
      inputs: [convX(size), fixed(size.wShape, uniform(3))],
      attrs: { ...convAttrs(size), ...scaleAttr(size) },
    })),
    ...[CONVOLUTIONS[1], CONVOLUTIONS[5], CONVOLUTIONS[6], CONVOLUTIONS[7], CONVOLUTIONS[8]].flatMap((size) =>
      withEpilogues(convName(size), [convX(size), fixed(size.wShape, uniform(3))], size.wShape[size.wShape.length - 1], {
        ...convAttrs(size),
        ...scaleAttr(size),
      }),
    ),
  ],
  convGradInput: () =>
    CONVOLUTIONS.filter(({ inputScale }) => inputScale === undefined).map((size) => ({
      name: convName(size),
      rows: size.rows,
      inputs: [convDy(size), fixed(size.wShape, uniform(3))],
      attrs: { ...convAttrs(size), inputShape: size.xShape },
    })),
  convGradWeight: () =>
    CONVOLUTIONS.map((size) => ({
      name: convName(size),
      rows: size.rows,
      inputs: [convX(size), convDy(size)],
      attrs: { ...convAttrs(size), ...scaleAttr(size), weightShape: size.wShape },
    })),
  depthwise: () => [
    ...DEPTHWISES.map((size) => ({
      name: depthwiseName(size),
      rows: size.rows,
      inputs: [x(size.rows, size.shape), depthwiseW(size)],
      attrs: {},
    })),
    ...DEPTHWISES.slice(1, 4).flatMap((size) =>
      withEpilogues(depthwiseName(size), [x(size.rows, size.shape), depthwiseW(size)], size.shape[2], {}),
    ),
    ...DEPTHWISES.flatMap((size) =>
      [{}, EVERYTHING].map((epilogue) => ({
        name: `${depthwiseName(size)} normalized ${JSON.stringify(epilogue)}`,
        rows: size.rows,
        inputs: {
          ...{ x: x(size.rows, size.shape), w: depthwiseW(size) },
          ...(epilogue.bias ? { bias: fixed(size.shape.slice(-1), uniform(4)) } : {}),
          ...affine(size.shape),
        },
        attrs: { epilogue: attrsOf(epilogue) },
      })),
    ),
  ],
  depthwiseGradInput: () =>
    DEPTHWISES.map((size) => ({
      name: depthwiseName(size),
      rows: size.rows,
      inputs: [x(size.rows, size.shape, 5), depthwiseW(size)],
      attrs: {},
    })),
  depthwiseGradWeight: () =>
    DEPTHWISES.flatMap((size) =>
      [false, true].map((normalize) => ({
        name: `${depthwiseName(size)}${normalize ? ' normalized' : ''}`,
        rows: size.rows,
        inputs: { x: x(size.rows, size.shape), dy: x(size.rows, size.shape, 5), ...(normalize ? affine(size.shape) : {}) },
        attrs: { weightShape: depthwiseW(size).shape },
      })),
    ),
  depthwiseGrad: () =>
    DEPTHWISES.flatMap((size) =>
      DEPTHWISE_GRADIENTS.map((parts) => ({
        name: `${depthwiseName(size)} ${JSON.stringify(parts)}`,
        rows: size.rows,
        ...depthwiseGradCase(size, parts),
      })),
    ),
  depthwiseWindows: () => [
    ...DEPTHWISE_WINDOWS.map((one) => ({
      name: depthwiseWindowsName(one),
      rows: one[0],
      inputs: [x(one[0], one[1]), fixed(one[2], uniform(3))],
      attrs: one[3],
    })),
    ...[DEPTHWISE_WINDOWS[2], DEPTHWISE_WINDOWS[5], DEPTHWISE_WINDOWS[10], DEPTHWISE_WINDOWS[11]].flatMap((one) =>
      withEpilogues(depthwiseWindowsName(one), [x(one[0], one[1]), fixed(one[2], uniform(3))], one[1][2], one[3]),
    ),
  ],
  depthwiseWindowsGradInput: () =>
    DEPTHWISE_WINDOWS.map((one) => ({
      name: depthwiseWindowsName(one),
      rows: one[0],
      inputs: [depthwiseWindowsDy(one), fixed(one[2], uniform(3))],
      attrs: { ...one[3], inputShape: one[1] },
    })),
  depthwiseWindowsGradWeight: () =>
    DEPTHWISE_WINDOWS.map((one) => ({
      name: depthwiseWindowsName(one),
      rows: one[0],
      inputs: [x(one[0], one[1]), depthwiseWindowsDy(one)],
      attrs: { ...one[3], weightShape: one[2] },
    })),
  bias: () => forActivations((rows, shape) => ({ inputs: [x(rows, shape), vector(shape, 2)], attrs: {} })),
  biasGrad: () => forActivations((rows, shape) => ({ inputs: [x(rows, shape)], attrs: {} })),
  gelu: () => forActivations((rows, shape) => ({ inputs: [samples(rows, shape, uniform(1, -8, 8))], attrs: {} })),
  geluGrad: () =>
    (['input', 'derivative'] as const).flatMap((from) =>
      forActivations((rows, shape) => ({ inputs: [x(rows, shape, 5), samples(rows, shape, uniform(1, -8, 8))], attrs: { from } })).map(
        (one) => ({ ...one, name: `${one.name} from ${from}` }),
      ),
    ),
  relu: () => forActivations((rows, shape) => ({ inputs: [x(rows, shape)], attrs: {} })),
  reluGrad: () =>
    forActivations((rows, shape) => ({
      inputs: [x(rows, shape, 5), samples(rows, shape, (i) => Math.max(0, uniform(1)(i)))],
      attrs: {},
    })),
  add: () => forActivations((rows, shape) => ({ inputs: [x(rows, shape), x(rows, shape, 2)], attrs: {} })),
  addParameters: () =>
    [[1], [33, 5], [3, 3, 7, 130]].map((shape) => ({
      name: `[${shape}]`,
      rows: 3,
      inputs: [fixed(shape, uniform(1)), fixed(shape, uniform(2))],
      attrs: {},
    })),
  mul: () => [
    ...forActivations((rows, shape) => ({ inputs: [x(rows, shape), x(rows, shape, 2)], attrs: {} })),
    ...forActivations((rows, shape) => ({ inputs: [x(rows, shape), vector(shape, 2)], attrs: {} })).map((one) => ({
      ...one,
      name: `${one.name} by channels`,
    })),
  ],
  dropout: () =>
    [0, 0.3, 0.5].flatMap((rate) =>
      forActivations((rows, shape) => ({
        inputs: [x(rows, shape), samples(rows, [], (n) => 49_999 - 7 * n, 'i32')],
        attrs: { rate, purpose: 16 },
        step: { epoch: 3, seed: 0x1234567890abcdefn },
      })).map((one) => ({ ...one, name: `${one.name} rate ${rate}` })),
    ),
  globalAvgPool: () => forImages((rows, shape) => ({ inputs: [x(rows, shape)], attrs: {} })),
  globalAvgPoolGrad: () => forImages((rows, shape) => ({ inputs: [x(rows, shape.slice(-1))], attrs: { inputShape: shape } })),
  frame: () =>
    FRAMES.map(([rows, shape, offset, to]) => ({
      name: `${rows} × [${shape}] at [${offset}] of [${to}]`,
      rows,
      inputs: [x(rows, shape)],
      attrs: { offset, shape: to },
    })),
  repeat: () =>
    REPETITIONS.map(([rows, shape, times]) => ({
      name: `${rows} × [${shape}] by [${times}]`,
      rows,
      inputs: [x(rows, shape)],
      attrs: { times },
    })),
  repeatGrad: () =>
    REPETITIONS.map(([rows, shape, times]) => ({
      name: `${rows} × [${shape}] by [${times}]`,
      rows,
      inputs: [
        x(
          rows,
          shape.map((n, axis) => n * times[axis]),
        ),
      ],
      attrs: { times },
    })),
  maxPool: () => [
    ...forImages((rows, shape) => ({ inputs: [x(rows, shape)], attrs: {} })),
    ...forWindows((rows, shape, attrs) => ({ inputs: [x(rows, shape)], attrs })),
  ],
  maxPoolGrad: () => {
    // Few different values: ties in most windows.
    const make = (rows: number, shape: readonly number[], attrs: Attrs = {}) => {
      const input = samples(rows, shape, integers(12, 3));
      const [y] = runReference('maxPool', [input], attrs);
      return { inputs: [samples(rows, y.spec.shape, uniform(5)), input], attrs };
    };
    return [...forImages((rows, shape) => make(rows, shape)), ...forWindows(make)];
  },
  avgPool: () => forWindows((rows, shape, attrs) => ({ inputs: [x(rows, shape)], attrs })),
  avgPoolGrad: () =>
    forWindows((rows, shape, attrs) => {
      const [y] = runReference('avgPool', [x(rows, shape)], attrs);
      return { inputs: [samples(rows, y.spec.shape, uniform(5))], attrs: { ...attrs, inputShape: shape } };
    }),
  bnStats: () => [
    ...STATISTICS.map(([rows, shape]) => ({
      name: `${rows} × [${shape}] from input`,
      rows,
      inputs: [x(rows, shape)],
      attrs: { from: 'input', pixels: pixelsOf(shape) },
    })),
    ...STATISTICS.map(([rows, shape]) => ({
      name: `${rows} × [${shape}] from partials`,
      rows,
      inputs: [partialsOf(x(rows, shape))],
      attrs: { from: 'partials', pixels: pixelsOf(shape) },
    })),
  ],
  bnFold: () =>
    [1, 16, 33].map((channels) => ({
      name: `[${channels}]`,
      rows: 1,
      inputs: [vector([channels], 1), vector([channels], 2, 0, 2), vector([channels], 3), vector([channels], 4)],
      attrs: { epsilon: 1e-3 },
    })),
  bnFoldGrad: () =>
    [1, 16, 33].map((channels) => ({
      name: `[${channels}]`,
      rows: 2,
      inputs: [vector([channels], 1), vector([channels], 2), vector([channels], 3), vector([channels], 4, 0, 2)],
      attrs: { epsilon: 1e-3 },
    })),
  normalize: () =>
    ['', ' with residual', ' with residual and its scale']
      .flatMap((what, operands) =>
        forActivations((rows, shape) => ({
          inputs: [
            ...[x(rows, shape), vector(shape, 2), vector(shape, 3)],
            ...[[], [x(rows, shape, 4)], [x(rows, shape, 4), ...Object.values(affine(shape))]][operands],
          ],
          attrs: {},
        })).map((one) => ({ ...one, name: `${one.name}${what}` })),
      )
      .concat(
        NORMALIZE_EPILOGUES.flatMap((epilogue) =>
          STATISTICS.map(([rows, shape]) => ({
            name: `${rows} × [${shape}] ${JSON.stringify(epilogue)}`,
            rows,
            inputs: [x(rows, shape), vector(shape, 2), vector(shape, 3), x(rows, shape, 4)],
            attrs: { epilogue },
          })),
        ),
      ),
  bnGradStats: () =>
    STATISTICS.map(([rows, shape]) => ({
      name: `${rows} × [${shape}]`,
      rows,
      inputs: [x(rows, shape, 5), x(rows, shape), vector(shape, 2)],
      attrs: {},
    })),
  bnGradFold: () =>
    [1, 16, 33].map((channels) => ({
      name: `[${channels}]`,
      rows: 3,
      inputs: [vector([channels], 1), vector([channels], 2), vector([channels], 3), vector([channels], 4, 0, 2), vector([channels], 5)],
      attrs: { epsilon: 1e-3, pixels: 35 },
    })),
  bnGradApply: () =>
    [{}, { biasGrad: true }, { derivative: true }, { derivative: true, biasGrad: true }].flatMap(({ derivative, biasGrad }) =>
      STATISTICS.map(([rows, shape]) => ({
        name: `${rows} × [${shape}] ${JSON.stringify({ derivative, biasGrad })}`,
        rows,
        inputs: [...bnGradApplyInputs(rows, shape), ...(derivative ? [x(rows, shape, 10)] : [])],
        attrs: { biasGrad },
      })),
    ),
  softmaxCrossEntropy: () => [
    ...[1, 7, 130].map((rows) => ({ name: `${rows} × 10`, rows, inputs: logits(rows, 10), attrs: {} })),
    { name: '5 × 3', rows: 5, inputs: logits(5, 3), attrs: {} },
    { name: '70 × 7, smoothed', rows: 70, inputs: logits(70, 7), attrs: { smoothing: 0.1 } },
    { name: 'ties', rows: 2, inputs: [samples(2, [4], [1, 2, 2, 0, 3, 3, 3, 3]), samples(2, [], [2, 0], 'i32')], attrs: {} },
    { name: 'large logits', rows: 1, inputs: [samples(1, [3], [300, -300, 299]), samples(1, [], [1], 'i32')], attrs: {} },
  ],
  softmaxCrossEntropyGrad: () => [
    ...[1, 7, 130].map((rows) => ({ name: `${rows} × 10`, rows, inputs: logits(rows, 10), attrs: {} })),
    { name: '5 × 3', rows: 5, inputs: logits(5, 3), attrs: {} },
    { name: '70 × 7, smoothed', rows: 70, inputs: logits(70, 7), attrs: { smoothing: 0.1 } },
    { name: 'large logits', rows: 1, inputs: [samples(1, [3], [300, -300, 299]), samples(1, [], [1], 'i32')], attrs: {} },
  ],
  finiteCheck: () => [
    { name: 'finite', rows: 1, inputs: [fixed([1], [2]), fixed([7, 5], uniform(1)), fixed([3], uniform(2))], attrs: {} },
    { name: 'NaN loss', rows: 1, inputs: [fixed([1], [Number.NaN]), fixed([7], uniform(1))], attrs: {} },
    { name: 'NaN in the last element', rows: 1, inputs: [fixed([1], [2]), fixed([4], [0, 0, 0, Number.NaN])], attrs: {} },
    {
      name: 'infinity in the middle',
      rows: 1,
      inputs: [fixed([1], [2]), fixed([5], [0, 0, Number.NEGATIVE_INFINITY, 0, 0]), fixed([2], [1, 1])],
      attrs: {},
    },
  ],
  ...ofEach(updateCases),
  movingAverage: () =>
    [0, 1].map((ok) => ({
      name: ok ? 'ok' : 'not ok',
      rows: 1,
      inputs: [fixed([1], [ok], 'i32'), vector([33], 1), vector([33], 2, 0, 2)],
      attrs: {},
      updates: [vector([33], 3), vector([33], 4, 0, 2)],
      step: { bnMomentum: 0.9 },
    })),
  countStep: () =>
    [0, 1].map((ok) => ({
      name: ok ? 'ok' : 'not ok',
      rows: 1,
      inputs: [fixed([1], [ok], 'i32')],
      attrs: {},
      updates: [fixed([1], [41], 'i32')],
    })),
};

/** The `partials` of an epilogue whose result is `y` [n, h, w, C] or [n, C]: those of a convolution with the unit matrix. */
export function partialsOf(y: TestTensor): TestTensor {
  const channels = y.shape[y.shape.length - 1];
  const unit = fixed([channels, channels], (i) => (i % (channels + 1) === 0 ? 1 : 0));
  const [, partials] = runReference('conv', [y, unit], { stride: 1, padding: 'valid', epilogue: { stats: true } });
  return partials;
}

/** Every case of every op with kernels, for tests that go over all. */
export const allCases = (): { readonly op: OpName; readonly case: OpCase }[] =>
  (Object.keys(opCases) as KernelOpName[]).flatMap((op) => opCases[op]().map((one) => ({ op, case: one })));
