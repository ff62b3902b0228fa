// The kernels and the fields of their argument blocks. asm/build.mjs makes the classes of asm/lib/abi.gen.ts from this table, by
// which kernels read them (`MaxPoolArgs` of `maxPool`), and refuses to build unless these are the kernels that there are;
// lowerings lay blocks down by `call` (asm/lowering/lowering.ts), which tsc holds to the table.
//
// A tensor of an argument block is its address. `elements`, `pixels` and `channels` are those of a sample; `samples` are those of a tile
// of statistics.

import { type ConstantsOf, type OptimizerName, ofEach, type SlotOf } from '../../runtime/optim/index.ts';
import { ACTIVATION_KERNELS } from './elementwise.ts';

/**
 * What a field is: an address (`ptr?`: or 0, the tensor is absent), a number, a flag (an i32 that is 0 or 1), the fields of a structure, or, as the
 * last one, a list: its length, and as many structures.
 */
export type FieldKind = ScalarKind | 'f64' | StructName | readonly [StructName];
type ScalarKind = 'ptr' | 'ptr?' | 'i32' | 'f32' | 'flag';
export type Fields = Readonly<Record<string, FieldKind>>;

/** What several kernels have among their fields. */
export const STRUCTS = {
  /** A piece of memory. */
  range: { address: 'ptr', elements: 'i32' },

  /** A group of parameters: how many elements of the flat ranges it has, and its factors of learning rate and weight decay. */
  parameterGroup: { elements: 'i32', rate: 'f32', decay: 'f32' },

  /** An activation by its code (asm/abi/elementwise.ts), and its parameters. */
  activation: { code: 'i32', first: 'f32', second: 'f32', third: 'f32' },

  /** The factor of a class on the losses of its rows. */
  classWeight: { factor: 'f32' },

  /** asm/lib/epilogue.ts */
  epilogue: {
    bias: 'ptr?',
    activation: 'activation',
    /** Like the result: the slope of the activation at u. */
    derivative: 'ptr?',
    /** Per statistics tile: the mean of each channel, then Σ(y − mean)². */
    partials: 'ptr?',
    /** Samples of a tile times pixels. */
    rowsPerTile: 'i32',
  },

  /** An image as the matrix of a convolution sees it: asm/lib/im2col.ts. */
  im2col: {
    input: 'ptr',
    height: 'i32',
    width: 'i32',
    /** Those that the matrix sees, which of a group are fewer than a pixel has. */
    channels: 'i32',
    pixelChannels: 'i32',
    outHeight: 'i32',
    outWidth: 'i32',
    kernelHeight: 'i32',
    kernelWidth: 'i32',
    strideRows: 'i32',
    strideColumns: 'i32',
    /** From tap to tap. */
    dilationRows: 'i32',
    dilationColumns: 'i32',
    /** The input is seen with `upsampling − 1` zero rows and columns between its own: what a strided convolution's gradient needs. */
    upsamplingRows: 'i32',
    upsamplingColumns: 'i32',
    padTop: 'i32',
    padLeft: 'i32',
    /** The input is bytes, which count as byte·scale. */
    bytes: 'flag',
    scale: 'f32',
  },

  /** A matrix product, im2col(x)·B. */
  product: {
    /** B. */
    packed: 'ptr',
    output: 'ptr',
    /** Columns of B, and of the output, which may have more. */
    columns: 'i32',
    outputColumns: 'i32',
    /** What a task computes: output pixels (rows of the product) by columns. A block of rows is what is packed at a time. */
    taskRows: 'i32',
    taskColumns: 'i32',
    blockRows: 'i32',
  },

  /** Sizes of a depthwise convolution, and how its work is cut: asm/kernels/depthwise.ts. */
  depthwiseGeometry: {
    height: 'i32',
    width: 'i32',
    channels: 'i32',
    /** Rows and columns of the kernel, and the rows and columns of zeros before the image. */
    size: 'i32',
    pad: 'i32',
    /** What a task computes: samples (those of a statistics tile or of a chunk) and channels of a group, a multiple of 16. */
    taskSamples: 'i32',
    group: 'i32',
    /** Output rows whose input is gathered at a time: whole blocks, unless it is all of them. */
    bandRows: 'i32',
    /** Rows that a weight gradient sums up in one chain. */
    blockRows: 'i32',
  },

  /** x·scale + offset. */
  coefficients: { scale: 'f32', offset: 'f32' },

  /** Windows of a depthwise convolution over an image [height, width, channels], and how the work is cut: asm/kernels/depthwise-windows.ts. */
  depthwiseWindow: {
    height: 'i32',
    width: 'i32',
    channels: 'i32',
    outHeight: 'i32',
    outWidth: 'i32',
    kernelRows: 'i32',
    kernelColumns: 'i32',
    strideRows: 'i32',
    strideColumns: 'i32',
    dilationRows: 'i32',
    dilationColumns: 'i32',
    padTop: 'i32',
    padLeft: 'i32',
    /** What a task computes: samples (those of a statistics tile or of a chunk) and channels of a group. */
    taskSamples: 'i32',
    group: 'i32',
  },

  /**
   * A tensor and what is done to it while it is gathered:
   *
   *   v = values·scale + shift                                      normalises x
   *   v = (values·scale + shift + kappa·activation)·derivative      takes dy through batch normalisation and GELU
   */
  source: { values: 'ptr', scale: 'ptr?', shift: 'ptr?', kappa: 'ptr?', activation: 'ptr?', derivative: 'ptr?' },

  /** Windows of pooling over an image [height, width, channels]; what pads it belongs to none. */
  poolWindow: {
    height: 'i32',
    width: 'i32',
    channels: 'i32',
    outHeight: 'i32',
    outWidth: 'i32',
    sizeRows: 'i32',
    sizeColumns: 'i32',
    strideRows: 'i32',
    strideColumns: 'i32',
    padTop: 'i32',
    padLeft: 'i32',
  },

  /** A grid of Winograd's tiles over images [height, width, channels]. */
  tiledImage: { data: 'ptr', height: 'i32', width: 'i32', channels: 'i32' },
} as const satisfies Record<string, Readonly<Record<string, ScalarKind | 'activation'>>>;
export type StructName = keyof typeof STRUCTS;

const TABLE = {
  // asm/kernels/pool.ts
  globalAvgPool: { x: 'ptr', y: 'ptr', pixels: 'i32', channels: 'i32' },
  globalAvgPoolGrad: { dy: 'ptr', dx: 'ptr', pixels: 'i32', channels: 'i32' },
  maxPool: { x: 'ptr', y: 'ptr', height: 'i32', width: 'i32', channels: 'i32' },
  maxPoolGrad: { dy: 'ptr', x: 'ptr', dx: 'ptr', height: 'i32', width: 'i32', channels: 'i32' },
  maxPoolWindows: { x: 'ptr', y: 'ptr', window: 'poolWindow' },
  maxPoolWindowsGrad: { dy: 'ptr', x: 'ptr', dx: 'ptr', window: 'poolWindow' },
  avgPool: { x: 'ptr', y: 'ptr', window: 'poolWindow' },
  avgPoolGrad: { dy: 'ptr', dx: 'ptr', window: 'poolWindow' },

  // asm/kernels/frame.ts
  frame: {
    ...{ x: 'ptr', y: 'ptr', height: 'i32', width: 'i32', channels: 'i32' },
    ...{ outHeight: 'i32', outWidth: 'i32', outChannels: 'i32', top: 'i32', left: 'i32', first: 'i32' },
  },

  // asm/kernels/layernorm.ts
  layernorm: { x: 'ptr', gamma: 'ptr', beta: 'ptr', y: 'ptr', pixels: 'i32', channels: 'i32', epsilon: 'f32' },
  /** `sums`: of each tile of samples, those for gamma and for beta. */
  layernormGrad: {
    ...{ dy: 'ptr', x: 'ptr', gamma: 'ptr', dx: 'ptr', sums: 'ptr' },
    ...{ pixels: 'i32', channels: 'i32', samples: 'i32', epsilon: 'f32' },
  },

  // asm/kernels/constants.ts
  affine: { x: 'ptr', y: 'ptr', elements: 'i32', coefficients: ['coefficients'] },
  fill: { y: 'ptr', elements: 'i32', value: 'f32', perSample: 'flag' },

  // asm/kernels/arrange.ts
  /** `elements` of a part: its channels. */
  concat: { y: 'ptr', pixels: 'i32', channels: 'i32', parts: ['range'] },
  permute: {
    ...{ x: 'ptr', y: 'ptr', size0: 'i32', size1: 'i32', size2: 'i32', size3: 'i32' },
    ...{ stride0: 'i32', stride1: 'i32', stride2: 'i32', stride3: 'i32' },
  },

  // asm/kernels/extremes.ts
  extreme: { a: 'ptr', b: 'ptr', y: 'ptr', elements: 'i32', minimum: 'flag' },
  /** `ofB`: the gradient for b. */
  extremeGrad: { dy: 'ptr', a: 'ptr', b: 'ptr', dx: 'ptr', elements: 'i32', minimum: 'flag', ofB: 'flag' },

  // asm/kernels/repeat.ts: the sizes are those of the smaller image.
  repeat: {
    ...{ x: 'ptr', y: 'ptr', height: 'i32', width: 'i32', channels: 'i32' },
    ...{ timesRows: 'i32', timesColumns: 'i32', timesChannels: 'i32' },
  },
  repeatGrad: {
    ...{ dy: 'ptr', dx: 'ptr', height: 'i32', width: 'i32', channels: 'i32' },
    ...{ timesRows: 'i32', timesColumns: 'i32', timesChannels: 'i32' },
  },

  // asm/kernels/elementwise.ts
  rescale: { x: 'ptr', y: 'ptr', elements: 'i32', scale: 'f32', offset: 'f32' },
  add: { a: 'ptr', b: 'ptr', y: 'ptr', elements: 'i32' },
  multiply: { a: 'ptr', b: 'ptr', y: 'ptr', elements: 'i32' },
  multiplyChannels: { x: 'ptr', factors: 'ptr', y: 'ptr', pixels: 'i32', channels: 'i32' },
  /** Of tensors without rows. */
  addParameters: { a: 'ptr', b: 'ptr', y: 'ptr', elements: 'i32' },
  dropout: { x: 'ptr', samples: 'ptr', y: 'ptr', elements: 'i32', purpose: 'i32', threshold: 'i32', scale: 'f32' },
  bias: { x: 'ptr', b: 'ptr', y: 'ptr', pixels: 'i32', channels: 'i32' },
  sumTiles: { dy: 'ptr', sums: 'ptr', pixels: 'i32', channels: 'i32', samples: 'i32' },
  /** `stride`: floats from tile to tile. */
  mergeSums: { sums: 'ptr', out: 'ptr', channels: 'i32', stride: 'i32', samples: 'i32' },

  // asm/kernels/batchnorm.ts
  bnStatsTiles: { x: 'ptr', tiles: 'ptr', pixels: 'i32', channels: 'i32', samples: 'i32' },
  bnStatsMerge: { tiles: 'ptr', mean: 'ptr', variance: 'ptr', pixels: 'i32', channels: 'i32', samples: 'i32' },
  bnFold: { mean: 'ptr', variance: 'ptr', gamma: 'ptr', beta: 'ptr', scale: 'ptr', shift: 'ptr', channels: 'i32', epsilon: 'f32' },
  bnFoldGrad: { dscale: 'ptr', dshift: 'ptr', mean: 'ptr', variance: 'ptr', dgamma: 'ptr', channels: 'i32', epsilon: 'f32' },
  normalize: {
    x: 'ptr',
    scale: 'ptr',
    shift: 'ptr',
    residual: 'ptr?',
    residualScale: 'ptr?',
    residualShift: 'ptr?',
    y: 'ptr',
    pixels: 'i32',
    channels: 'i32',
    epilogue: 'epilogue',
  },
  bnGradStatsTiles: { dy: 'ptr', x: 'ptr', mean: 'ptr', sums: 'ptr', pixels: 'i32', channels: 'i32', samples: 'i32' },
  bnGradFold: {
    dySum: 'ptr',
    dyxSum: 'ptr',
    mean: 'ptr',
    variance: 'ptr',
    gamma: 'ptr',
    scale: 'ptr',
    alpha: 'ptr',
    kappa: 'ptr',
    dgamma: 'ptr',
    dbeta: 'ptr',
    channels: 'i32',
    pixels: 'i32',
    epsilon: 'f32',
  },
  bnGradApply: {
    dy: 'ptr',
    x: 'ptr',
    scale: 'ptr',
    alpha: 'ptr',
    kappa: 'ptr',
    derivative: 'ptr?',
    dx: 'ptr',
    sums: 'ptr?',
    pixels: 'i32',
    channels: 'i32',
    samples: 'i32',
  },
  /** A momentum below 0 stands for that of the run. */
  movingAverage: { ok: 'ptr', mean: 'ptr', variance: 'ptr', movingMean: 'ptr', movingVariance: 'ptr', channels: 'i32', momentum: 'f32' },

  // asm/kernels/conv.ts. Weights are [taps, inputs, outputs]: kernel positions, channels of the convolution whose weights these are. Of a group they
  // are the first of `stride` outputs.
  convPackWeights: { weights: 'ptr', packed: 'ptr', taps: 'i32', inputs: 'i32', outputs: 'i32', stride: 'i32' },
  convPackReversed: { weights: 'ptr', packed: 'ptr', taps: 'i32', inputs: 'i32', outputs: 'i32', stride: 'i32' },
  /** Where partials are asked for, taskRows is a multiple of rowsPerTile: a tile's sums are made by one task, block after block. */
  conv: { product: 'product', x: 'im2col', epilogue: 'epilogue' },
  convGradInputPatches: { product: 'product', dy: 'im2col', size: 'i32', height: 'i32', width: 'i32', channels: 'i32' },
  convZero: { target: 'ptr', elements: 'i32' },
  convGradWeight: {
    /** dy [rows·pixels, columns], of rows of `stride` floats, as those of dw. */
    gradient: 'ptr',
    columns: 'i32',
    stride: 'i32',
    /** What a task computes: rows by columns of dw [depth, columns]. */
    taskRows: 'i32',
    taskColumns: 'i32',
    /** Output pixels that are summed up in one chain. */
    chunkRows: 'i32',
    /** dw of each chunk, to be added by `convGradWeightReduce`. */
    partials: 'ptr?',
    /** Or room for dw in doubles, where a task adds the chunks itself. Neither: there is but one. */
    totals: 'ptr?',
    weights: 'ptr',
    x: 'im2col',
  },
  /** `elements`: those of dw; `pixels` and `chunkRows` may count tiles. */
  convGradWeightReduce: { partials: 'ptr', weights: 'ptr', elements: 'i32', pixels: 'i32', chunkRows: 'i32' },

  // asm/kernels/depthwise.ts
  depthwise: {
    geometry: 'depthwiseGeometry',
    x: 'source',
    weights: 'ptr',
    output: 'ptr',
    /** The kernel is applied in reverse, which gives the gradient for the input. */
    reversed: 'flag',
    epilogue: 'epilogue',
  },
  depthwiseGrad: {
    geometry: 'depthwiseGeometry',
    x: 'source',
    dy: 'source',
    /** dw [size, size, channels] and Σdy [channels] of each chunk of samples. */
    dw: 'ptr',
    dbias: 'ptr?',
    /** The gradient for x, what it needs, and what is added to it. */
    dx: 'ptr?',
    weights: 'ptr?',
    residual: 'ptr?',
  },

  // asm/kernels/depthwise-windows.ts
  depthwiseWindows: { window: 'depthwiseWindow', x: 'ptr', weights: 'ptr', output: 'ptr', epilogue: 'epilogue' },
  depthwiseWindowsGradInput: { window: 'depthwiseWindow', dy: 'ptr', weights: 'ptr', dx: 'ptr' },
  /** `dw`: that of each chunk of samples. */
  depthwiseWindowsGradWeight: { window: 'depthwiseWindow', x: 'ptr', dy: 'ptr', dw: 'ptr' },

  // asm/kernels/winograd.ts
  /** `weights`: w [3, 3, inputs, outputs]; `transformed`: 36 packed matrices [inputs, outputs]. */
  winogradWeights: { weights: 'ptr', transformed: 'ptr', inputs: 'i32', outputs: 'i32' },
  /** The same of the reversed kernel, [outputs, inputs]. */
  winogradReversedWeights: { weights: 'ptr', transformed: 'ptr', inputs: 'i32', outputs: 'i32' },
  winogradConv: {
    x: 'tiledImage',
    transformed: 'ptr',
    output: 'ptr',
    outputs: 'i32',
    /** What a task computes: samples (whole statistics tiles) by columns (of WINOGRAD_BLOCK_COLUMNS, up to TASK_COLUMNS). */
    taskSamples: 'i32',
    taskColumns: 'i32',
    /** Tiles that are transformed at a time: whole panels. */
    blockTiles: 'i32',
    epilogue: 'epilogue',
  },
  winogradGradWeight: {
    x: 'tiledImage',
    /** As high and wide as x. */
    dy: 'tiledImage',
    /** What a task computes: input channels (of whole vectors and panels) by output channels (of whole vectors). */
    taskInputs: 'i32',
    taskOutputs: 'i32',
    /** Tiles that are transformed at a time. */
    blockTiles: 'i32',
    /** Tiles that are summed up in one chain. */
    chunkTiles: 'i32',
    /** As those of convGradWeight. */
    partials: 'ptr?',
    totals: 'ptr?',
    weights: 'ptr',
  },

  // asm/kernels/loss.ts
  lossRows: { logits: 'ptr', labels: 'ptr', losses: 'ptr', hits: 'ptr', classes: 'i32', smoothing: 'f64', weights: ['classWeight'] },
  lossMerge: { losses: 'ptr', hits: 'ptr', loss: 'ptr', correct: 'ptr' },
  softmaxCrossEntropyGrad: { logits: 'ptr', labels: 'ptr', dlogits: 'ptr', classes: 'i32', smoothing: 'f64', weights: ['classWeight'] },

  // asm/kernels/optimizer.ts
  finiteChunks: { flags: 'ptr', ranges: ['range'] },
  finiteMerge: { flags: 'ptr', count: 'i32', ok: 'ptr' },
  countStep: { ok: 'ptr', counter: 'ptr' },

  // asm/kernels/bounds.ts
  boundsMultiplyAdd: { tasks: 'i32', rounds: 'i32', operands: 'ptr', result: 'ptr' },
  boundsMultiplyAddPairs: { tasks: 'i32', rounds: 'i32', operands: 'ptr', chains: 'ptr' },
  boundsCopy: { blocks: 'i32', bytes: 'i32', from: 'ptr', to: 'ptr' },
} as const satisfies Record<string, Fields>;

/** The kernel of an optimizer: flat ranges of the trained parameters, what the rule keeps, its constants, and the groups of parameters. */
type UpdateFields<N extends OptimizerName> = {
  readonly [K in 'ok' | 'counter' | 'gradients' | 'parameters']: 'ptr';
} & { readonly [S in SlotOf<N>]: 'ptr?' } & {
  readonly [C in keyof ConstantsOf<N>]: ConstantsOf<N>[C] extends boolean ? 'flag' : 'f64';
} & { readonly groups: readonly ['parameterGroup'] };

const UPDATES = ofEach(({ slots, constants }) => ({
  ...{ ok: 'ptr', counter: 'ptr', gradients: 'ptr', parameters: 'ptr' },
  ...Object.fromEntries(slots.map((slot) => [slot, 'ptr?'])),
  ...Object.fromEntries(Object.entries(constants).map(([name, { usual }]) => [name, typeof usual === 'boolean' ? 'flag' : 'f64'])),
  groups: ['parameterGroup'],
})) as unknown as { readonly [N in OptimizerName]: UpdateFields<N> };

export const KERNELS = { ...TABLE, ...ACTIVATION_KERNELS, ...UPDATES };
export type KernelName = keyof typeof KERNELS;

/** Values for fields, as a lowering gives them. */
export type ValuesOf<F> = { readonly [K in keyof F]: ValueOf<F[K]> };
type ValueOf<K> = K extends 'ptr?'
  ? number | undefined
  : K extends 'flag'
    ? boolean
    : K extends StructName
      ? StructValues<K>
      : K extends readonly [infer S extends StructName]
        ? readonly StructValues<S>[]
        : number;
export type StructValues<S extends StructName> = ValuesOf<(typeof STRUCTS)[S]>;
export type KernelArgs<K extends KernelName> = ValuesOf<(typeof KERNELS)[K]>;
