// What argument blocks of kernels are made of. A kernel's own block is in the file that lays it down (asm/lowering/x.ts), whose `call` tsc holds to it;
// asm/build.mjs makes the classes of asm/lib/abi.gen.ts of them all, by which kernels read them (`MaxPoolArgs` of `maxPool`), and refuses to build
// unless these are the kernels that there are.
//
// A tensor of an argument block is its address. `elements`, `pixels` and `channels` are those of a sample; `samples` are those of a tile
// of statistics.

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
