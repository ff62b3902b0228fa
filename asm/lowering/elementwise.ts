// Elementwise ops to calls of asm/kernels/elementwise.ts.

import { elementCount, type Node, type TensorSpec, type ValueId } from '../../runtime/ir/graph.ts';
import { ACTIVATION_NAMES, ACTIVATIONS, type Activation, parametersOf } from '../../runtime/ops/activations.ts';
import { channelsOf, pixelsOf, samplesPerTile } from '../../runtime/ops/check.ts';
import { dropoutScale, dropoutThreshold } from '../../runtime/ops/elementwise.ts';
import { ACTIVATION_KERNELS } from '../abi/elementwise.ts';
import { type Call, callsOf, type Kernels, type Lowering, type LoweringContext } from './lowering.ts';

/** Argument blocks of these kernels. */
export const elementwiseKernels = {
  ...ACTIVATION_KERNELS,
  rescale: { x: 'ptr', y: 'ptr', elements: 'i32', scale: 'f32', offset: 'f32' },
  add: { a: 'ptr', b: 'ptr', y: 'ptr', elements: 'i32' },
  subtract: { a: 'ptr', b: 'ptr', y: 'ptr', elements: 'i32' },
  multiply: { a: 'ptr', b: 'ptr', y: 'ptr', elements: 'i32' },
  multiplyChannels: { x: 'ptr', factors: 'ptr', y: 'ptr', pixels: 'i32', channels: 'i32' },
  /** Of tensors without rows. */
  addParameters: { a: 'ptr', b: 'ptr', y: 'ptr', elements: 'i32' },
  dropout: { x: 'ptr', samples: 'ptr', y: 'ptr', elements: 'i32', purpose: 'i32', threshold: 'i32', scale: 'f32' },
  bias: { x: 'ptr', b: 'ptr', y: 'ptr', pixels: 'i32', channels: 'i32' },
  sumTiles: { dy: 'ptr', sums: 'ptr', pixels: 'i32', channels: 'i32', samples: 'i32' },
  /** `stride`: floats from tile to tile. */
  mergeSums: { sums: 'ptr', out: 'ptr', channels: 'i32', stride: 'i32', samples: 'i32' },
} as const satisfies Kernels;
const call = callsOf(elementwiseKernels);

export const channels = (spec: TensorSpec): number => channelsOf(spec.shape);
export const pixels = (spec: TensorSpec): number => pixelsOf(spec.shape);

/** An activation and its gradient. */
function activationLowerings(name: Activation): Record<string, Lowering> {
  return {
    [name]({ inputs: [x], outputs: [y], attrs }, { address, spec }) {
      return [call(name, { x: address(x), y: address(y), elements: elementCount(spec(y)), ...given(name, attrs) })];
    },
    [`${name}Grad`](node, context) {
      if (node.attrs.from === 'derivative') return binary('multiply')(node, context);
      const { address, spec } = context;
      const [[dy, at], [dx]] = [node.inputs, node.outputs];
      const operands = { dy: address(dy), at: address(at), dx: address(dx), elements: elementCount(spec(dx)) };
      return [call(`${name}Grad`, { ...operands, ...given(name, node.attrs) })];
    },
  };
}

/** Values of the parameters by name. */
const given = (name: Activation, attrs: Node['attrs']): Record<string, number> =>
  Object.fromEntries(Object.keys(ACTIVATIONS[name].parameters).map((field, i) => [field, parametersOf(name, attrs)[i]]));

const activations = Object.assign({}, ...ACTIVATION_NAMES.map(activationLowerings)) as {
  readonly [K in Activation | `${Activation}Grad`]: Lowering;
};

/** A kernel from two tensors to a third, element by element. */
const binary =
  (kernel: 'add' | 'subtract' | 'multiply'): Lowering =>
  ({ inputs: [a, b], outputs: [y] }, { address, spec }) => [
    call(kernel, { a: address(a), b: address(b), y: address(y), elements: elementCount(spec(y)) }),
  ];

/** Statistics tiles of a tensor at full capacity. */
export function tilesOf(spec: TensorSpec, capacity: number): { samples: number; count: number } {
  const samples = samplesPerTile(pixels(spec));
  return { samples, count: Math.ceil(capacity / samples) };
}

/** Adds `columns` sums of each tile, which lie `stride` floats apart, into `out`. */
export const mergeSums = (sums: number, out: number, columns: number, stride: number, samples: number): Call =>
  call('mergeSums', { sums, out, channels: columns, stride, samples });

export function sumOverPixels(dy: ValueId, out: ValueId, { capacity, spec, address, scratch }: LoweringContext): Call[] {
  const of = spec(dy);
  const width = channels(of);
  const { samples, count } = tilesOf(of, capacity);
  const sums = scratch(count * width * 4);
  return [
    call('sumTiles', { dy: address(dy), sums, pixels: pixels(of), channels: width, samples }),
    mergeSums(sums, address(out), width, width, samples),
  ];
}

export const elementwise = {
  rescale(node, { address, spec }) {
    const [x] = node.inputs;
    const [y] = node.outputs;
    return [
      call('rescale', {
        x: address(x),
        y: address(y),
        elements: elementCount(spec(x)),
        scale: node.attrs.scale as number,
        offset: (node.attrs.offset as number | undefined) ?? 0,
      }),
    ];
  },
  add: binary('add'),
  subtract: binary('subtract'),
  addParameters({ inputs: [a, b], outputs: [y] }, { address, spec }) {
    return [call('addParameters', { a: address(a), b: address(b), y: address(y), elements: elementCount(spec(y)) })];
  },
  mul(node, context) {
    const { address, spec } = context;
    const [x, factors] = node.inputs;
    if (spec(factors).perSample) return binary('multiply')(node, context);
    const size = { pixels: pixels(spec(x)), channels: channels(spec(x)) };
    return [call('multiplyChannels', { x: address(x), factors: address(factors), y: address(node.outputs[0]), ...size })];
  },
  ...activations,
  dropout(node, { address, spec }) {
    const [x, samples] = node.inputs;
    const rate = node.attrs.rate as number;
    return [
      call('dropout', {
        x: address(x),
        samples: address(samples),
        y: address(node.outputs[0]),
        elements: elementCount(spec(x)),
        purpose: node.attrs.purpose as number,
        threshold: dropoutThreshold(rate),
        scale: dropoutScale(rate),
      }),
    ];
  },
  bias(node, { address, spec }) {
    const [x, b] = node.inputs;
    const size = { pixels: pixels(spec(x)), channels: channels(spec(x)) };
    return [call('bias', { x: address(x), b: address(b), y: address(node.outputs[0]), ...size })];
  },
  biasGrad: (node, context) => sumOverPixels(node.inputs[0], node.outputs[0], context),
} satisfies Record<string, Lowering>;
