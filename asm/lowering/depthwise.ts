// Depthwise convolutions: how their work is cut into tasks and bands. The kernels are in asm/kernels/depthwise.ts.

import { HybridError } from '../../runtime/base/errors.ts';
import { ceilTo } from '../../runtime/base/units.ts';
import type { Node, ValueId } from '../../runtime/ir/graph.ts';
import { samplesPerTile } from '../../runtime/ops/check.ts';
import { type DepthwiseGeometry, depthwiseGeometry } from '../../runtime/ops/depthwise.ts';
import { DEPTHWISE_GROUP } from '../abi/constants.ts';
import type { StructValues } from '../abi/fields.ts';
import { mergeSums } from './elementwise.ts';
import { lowerEpilogue } from './epilogue.ts';
import { type Call, callsOf, fewestTasks, type Kernels, type LoweringContext, type Lowerings } from './lowering.ts';

/** Argument blocks of these kernels. */
export const depthwiseKernels = {
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
} as const satisfies Kernels;
const call = callsOf(depthwiseKernels);

/** Channels of a group are a multiple of this (a cache line) and at most DEPTHWISE_GROUP. */
const UNIT = 16;
/** Largest kernel. */
const KERNEL = 31;
/**
 * Bytes of a gathered image that leave room for a second one and for the tensors themselves in a second-level cache; and the
 * most that the scratch of a thread, 4 MiB, has room for twice. (Weights, sums and results of a group are each smaller
 * than an image.)
 */
const CACHED_BYTES = 512 << 10;
const IMAGE_BYTES = 1 << 20;
/** Pixels in a chunk of a weight gradient, about, and in a block of an image that is larger: what is summed up in one chain. */
const CHUNK_PIXELS = 512;

/**
 * Channels of a group, and output rows whose input is gathered at a time; neither decides bits, for bands are whole blocks of `blockRows` rows.
 * A group has all channels, or fewer where the other tasks are not enough or where bands would become so low that most of their rows are
 * gathered twice.
 */
function cut(
  { h, w, c, k }: DepthwiseGeometry,
  otherTasks: number,
  threads: number,
  blockRows: number,
  label: string,
): { group: number; bandRows: number; blockRows: number } {
  const fitting = (bytes: number, group: number): number => Math.floor(bytes / ((ceilTo(w, 8) + k - 1) * group * 4)) - (k - 1);
  if (k > KERNEL || fitting(IMAGE_BYTES, UNIT) < 1) {
    throw new HybridError(
      'E_MEMORY',
      `${label}: a depthwise convolution of ${w} columns with a ${k}×${k} kernel is too large for the wasm device, which takes kernels up to ${KERNEL}×${KERNEL} and gathers ${k} rows in 1 MiB`,
      'Use smaller images or a smaller kernel.',
    );
  }
  const fewest = Math.min(h, Math.max(2 * k, blockRows));
  let group = Math.min(DEPTHWISE_GROUP, ceilTo(Math.min(c, Math.ceil(c / Math.ceil(fewestTasks(threads) / otherTasks))), UNIT));
  while (group > UNIT && fitting(CACHED_BYTES, group) < fewest) group -= UNIT;
  const bandRows = Math.min(h, Math.max(fitting(CACHED_BYTES, group), Math.min(fewest, fitting(IMAGE_BYTES, group))));
  return { group, bandRows: bandRows < h ? bandRows - (bandRows % blockRows) : h, blockRows };
}

function lowerGeometry(
  g: DepthwiseGeometry,
  node: Node,
  { capacity, threads }: LoweringContext,
  taskSamples: number,
  blockRows = 1,
): StructValues<'depthwiseGeometry'> {
  const cuts = cut(g, Math.ceil(capacity / taskSamples), threads, blockRows, node.label);
  return { height: g.h, width: g.w, channels: g.c, size: g.k, pad: g.pad, taskSamples, ...cuts };
}

/** A tensor, and what is done to it while it is gathered. */
function lowerSource(
  values: ValueId,
  parts: Readonly<Partial<Record<'scale' | 'shift' | 'kappa' | 'activation' | 'derivative', ValueId>>>,
  { address }: LoweringContext,
): StructValues<'source'> {
  const at = (id: ValueId | undefined) => (id === undefined ? undefined : address(id));
  const { scale, shift, kappa, activation, derivative } = parts;
  return {
    values: address(values),
    ...{ scale: at(scale), shift: at(shift) },
    ...{ kappa: at(kappa), activation: at(activation), derivative: at(derivative) },
  };
}

interface Convolution {
  readonly x: ValueId;
  readonly w: ValueId;
  readonly scale?: ValueId;
  readonly shift?: ValueId;
  /** The kernel is turned around: the gradient of x. */
  readonly reversed: boolean;
}

function lowerConvolution(node: Node, { x, w, scale, shift, reversed }: Convolution, context: LoweringContext): Call[] {
  const forward = depthwiseGeometry(context.spec(x).shape, context.spec(w).shape);
  const g = reversed ? { ...forward, pad: forward.k - 1 - forward.pad } : forward;
  const epilogue = lowerEpilogue(node, context, g.h * g.w);
  const taskSamples = epilogue.rowsPerTile ? samplesPerTile(g.h * g.w) : 1;
  return [
    call('depthwise', {
      geometry: lowerGeometry(g, node, context, taskSamples),
      x: lowerSource(x, { scale, shift }, context),
      weights: context.address(w),
      output: context.address(node.outputs[0]),
      reversed,
      epilogue: epilogue.fields,
    }),
  ];
}

/** What a call of the kernel `depthwiseGrad` computes; of all tensors but dy, x and dw some may be absent. */
interface Gradients {
  readonly dy: StructValues<'source'>;
  readonly x: StructValues<'source'>;
  readonly dx?: { readonly output: ValueId; readonly weights: ValueId; readonly residual?: ValueId };
  readonly dw: ValueId;
  readonly dbias?: ValueId;
}

function lowerGradients(g: DepthwiseGeometry, gradients: Gradients, node: Node, context: LoweringContext): Call[] {
  const { dx, dw, dbias } = gradients;
  const chunkSamples = Math.max(1, Math.floor(CHUNK_PIXELS / (g.h * g.w)));
  const blockRows = g.h * g.w > CHUNK_PIXELS ? Math.max(1, Math.floor(CHUNK_PIXELS / g.w)) : g.h;
  const chunks = Math.ceil(context.capacity / chunkSamples);
  const merges: Call[] = [];
  /** Where the chunks' sums go: to the result itself if there is but one. */
  const chunked = (id: ValueId, elements: number): number => {
    if (chunks === 1) return context.address(id);
    const sums = context.scratch(chunks * elements * 4);
    merges.push(mergeSums(sums, context.address(id), elements, elements, chunkSamples));
    return sums;
  };
  const optional = (id: ValueId | undefined) => (id === undefined ? undefined : context.address(id));
  const gradient = call('depthwiseGrad', {
    geometry: lowerGeometry(g, node, context, chunkSamples, blockRows),
    x: gradients.x,
    dy: gradients.dy,
    dw: chunked(dw, g.k * g.k * g.c),
    dbias: dbias === undefined ? undefined : chunked(dbias, g.c),
    dx: optional(dx?.output),
    weights: optional(dx?.weights),
    residual: optional(dx?.residual),
  });
  return [gradient, ...merges];
}

export const depthwise = {
  depthwise(node, context) {
    const { x, w, scale, shift } = node.args;
    return lowerConvolution(node, { x, w, scale, shift, reversed: false }, context);
  },

  depthwiseGradInput(node, context) {
    const { dy, w } = node.args;
    return lowerConvolution(node, { x: dy, w, reversed: true }, context);
  },

  depthwiseGradWeight(node, context) {
    const { x, dy, scale, shift } = node.args;
    const g = depthwiseGeometry(context.spec(x).shape, node.attrs.weightShape);
    const sources = { x: lowerSource(x, { scale, shift }, context), dy: lowerSource(dy, {}, context) };
    return lowerGradients(g, { ...sources, dw: node.results.dw }, node, context);
  },

  depthwiseGrad(node, context) {
    const { dy, x, w, activation, slope, alpha, kappa, derivative, residual, scale, shift } = node.args;
    const { dx, dw, dbias } = node.results;
    const g = depthwiseGeometry(context.spec(x).shape, context.spec(w).shape);
    const sources = {
      x: lowerSource(x, { scale, shift }, context),
      dy: lowerSource(dy, { scale: slope, shift: alpha, kappa, activation, derivative }, context),
    };
    return lowerGradients(g, { ...sources, dx: { output: dx, weights: w, residual }, dw, dbias }, node, context);
  },
} satisfies Partial<Lowerings>;
