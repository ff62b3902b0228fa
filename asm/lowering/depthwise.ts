// Depthwise convolutions: how their work is cut into tasks and bands. The kernels and their argument words are in
// asm/kernels/depthwise.ts.

import { HybridError } from '../../runtime/base/errors.ts';
import type { Node, ValueId } from '../../runtime/ir/graph.ts';
import { samplesPerTile } from '../../runtime/ops/batchnorm.ts';
import {
  type DepthwiseGeometry,
  type DepthwiseGradWeightAttrs,
  depthwiseGeometry,
  type Prologue,
  splitPrologue,
} from '../../runtime/ops/depthwise.ts';
import { lowerEpilogue } from './epilogue.ts';
import type { Call, LoweringContext, Word } from './lowering.ts';

/** Channels that are gathered together: GROUP of the kernels. */
const GROUP = 16;
/** Most channels of a task, and the largest kernel: what the fixed part of the scratch has room for. */
const TASK_CHANNELS = 2048;
const KERNEL = 31;
/** Scratch of a thread for gathered images, and for the sums of a weight gradient: 4 MiB less the fixed part. */
const IMAGE_BYTES = 2 << 20;
const SUM_BYTES = 1 << 20;
/** Gathered input that leaves room for results and weights in a first-level cache, where rows are short enough. */
const CACHED_BYTES = 64 << 10;
/** Tasks that keep many threads evenly busy. */
const TASKS = 48;
/** Pixels in a chunk of a weight gradient, about. */
const CHUNK_PIXELS = 512;

const ceilTo = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/** Output rows whose input is gathered at a time: few enough for the first-level cache if that makes sense. */
function bandRows({ h, w, k }: DepthwiseGeometry, label: string): number {
  const rowBytes = (ceilTo(w, 8) + k - 1) * GROUP * 4;
  const fitting = (bytes: number): number => Math.floor(bytes / rowBytes) - (k - 1);
  if (k > KERNEL || fitting(IMAGE_BYTES / 2) < 1) {
    throw new HybridError(
      'E_MEMORY',
      `${label}: a depthwise convolution of ${w} columns with a ${k}×${k} kernel is too large for the wasm device, which takes kernels up to ${KERNEL}×${KERNEL} and gathers ${k} rows in 1 MiB`,
      'Use smaller images or a smaller kernel.',
    );
  }
  return Math.min(h, Math.max(fitting(CACHED_BYTES), Math.min(4 * k, fitting(IMAGE_BYTES / 2))));
}

/** Channels of a task: all, or fewer where samples alone do not make enough tasks. */
function taskChannels(channels: number, otherTasks: number, most: number): number {
  const wanted = Math.ceil(channels / Math.ceil(TASKS / otherTasks));
  return ceilTo(Math.min(wanted, channels, Math.max(GROUP, most)), GROUP);
}

/** Addresses of scale and shift, 0 where nothing is normalised. */
function lowerPrologue(node: Node, context: LoweringContext): Word[] {
  const [scale, shift] = splitPrologue(node.inputs, node.attrs.prologue as Prologue | undefined)[1];
  return scale === undefined ? [0, 0] : [context.address(scale), context.address(shift)];
}

function lowerConvolution(node: Node, context: LoweringContext, reversed: boolean): Call[] {
  const [x, w] = node.inputs;
  const g = depthwiseGeometry(context.spec(x).shape, context.spec(w).shape);
  const epilogue = lowerEpilogue(node, context, g.h * g.w);
  const taskSamples = epilogue.rowsPerTile ? samplesPerTile(g.h * g.w) : 1;
  const channels = taskChannels(g.c, Math.ceil(context.capacity / taskSamples), TASK_CHANNELS);
  return [
    {
      kernel: 'depthwise',
      args: [
        ...[x, w, node.outputs[0]].map((id: ValueId): Word => context.address(id)),
        ...lowerPrologue(node, context),
        ...[g.h, g.w, g.c, g.k, reversed ? g.k - 1 - g.pad : g.pad, reversed ? 1 : 0],
        ...[taskSamples, channels, bandRows(g, node.label)],
        ...epilogue.words,
      ],
    },
  ];
}

function lowerGradWeight(node: Node, context: LoweringContext): Call[] {
  const { weightShape } = node.attrs as unknown as DepthwiseGradWeightAttrs;
  const [x, dy] = node.inputs;
  const g = depthwiseGeometry(context.spec(x).shape, weightShape);
  const elements = g.k * g.k * g.c;
  const chunkSamples = Math.max(1, Math.floor(CHUNK_PIXELS / (g.h * g.w)));
  const chunks = Math.ceil(context.capacity / chunkSamples);
  const dw = context.address(node.outputs[0]);
  const partials = chunks > 1 ? context.scratch(chunks * elements * 4) : dw;
  const channels = taskChannels(g.c, chunks, Math.floor(SUM_BYTES / (4 * g.k * g.k) / GROUP) * GROUP);
  return [
    {
      kernel: 'depthwiseGradWeight',
      args: [
        ...[context.address(x), context.address(dy), partials, ...lowerPrologue(node, context)],
        ...[g.h, g.w, g.c, g.k, g.pad, chunkSamples, channels, bandRows(g, node.label)],
      ],
    },
    ...(chunks > 1 ? [{ kernel: 'depthwiseGradWeightReduce', args: [partials, dw, elements, chunkSamples] }] : []),
  ];
}

export const depthwise = {
  depthwise: (node: Node, context: LoweringContext): Call[] => lowerConvolution(node, context, false),
  depthwiseGradInput: (node: Node, context: LoweringContext): Call[] => lowerConvolution(node, context, true),
  depthwiseGradWeight: lowerGradWeight,
};
