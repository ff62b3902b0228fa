// Elementwise ops to calls of asm/kernels/elementwise.ts.

import { elementCount, type TensorSpec, type ValueId } from '../../runtime/ir/graph.ts';
import { channelsOf, pixelsOf, samplesPerTile } from '../../runtime/ops/check.ts';
import { dropoutScale, dropoutThreshold } from '../../runtime/ops/elementwise.ts';
import { type Call, f32, type Lowering, type LoweringContext } from './lowering.ts';

export const channels = (spec: TensorSpec): number => channelsOf(spec.shape);
export const pixels = (spec: TensorSpec): number => pixelsOf(spec.shape);

/** A kernel whose arguments are the addresses of inputs and output, and the elements of a sample. */
const flat =
  (kernel: string): Lowering =>
  (node, { address, spec }) => [
    { kernel, args: [...node.inputs.map(address), address(node.outputs[0]), elementCount(spec(node.outputs[0]))] },
  ];

/** Statistics tiles of a tensor at full capacity. */
export function tilesOf(spec: TensorSpec, capacity: number): { samples: number; count: number } {
  const samples = samplesPerTile(pixels(spec));
  return { samples, count: Math.ceil(capacity / samples) };
}

/** Adds `columns` sums of each tile, which lie `stride` floats apart, into `out`. */
export const mergeSums = (sums: number, out: number, columns: number, stride: number, samples: number): Call => ({
  kernel: 'mergeSums',
  args: [sums, out, columns, stride, samples],
});

export function sumOverPixels(dy: ValueId, out: ValueId, { capacity, spec, address, scratch }: LoweringContext): Call[] {
  const of = spec(dy);
  const width = channels(of);
  const { samples, count } = tilesOf(of, capacity);
  const sums = scratch(count * width * 4);
  return [
    { kernel: 'sumTiles', args: [address(dy), sums, pixels(of), width, samples] },
    mergeSums(sums, address(out), width, width, samples),
  ];
}

export const elementwise = {
  rescale(node, { address, spec }) {
    const [x] = node.inputs;
    const [y] = node.outputs;
    return [{ kernel: 'rescale', args: [address(x), address(y), elementCount(spec(x)), f32(node.attrs.scale as number)] }];
  },
  add: flat('add'),
  gelu: flat('gelu'),
  geluGrad: (node, context) => flat(node.attrs.from === 'derivative' ? 'multiply' : 'geluGrad')(node, context),
  relu: flat('relu'),
  reluGrad: flat('reluGrad'),
  dropout(node, { address, spec }) {
    const [x, samples] = node.inputs;
    const rate = node.attrs.rate as number;
    const addresses = [address(x), address(samples), address(node.outputs[0])];
    const args = [...addresses, elementCount(spec(x)), node.attrs.purpose as number, dropoutThreshold(rate), f32(dropoutScale(rate))];
    return [{ kernel: 'dropout', args }];
  },
  bias(node, { address, spec }) {
    const [x, b] = node.inputs;
    return [{ kernel: 'bias', args: [address(x), address(b), address(node.outputs[0]), pixels(spec(x)), channels(spec(x))] }];
  },
  biasGrad: (node, context) => sumOverPixels(node.inputs[0], node.outputs[0], context),
} satisfies Record<string, Lowering>;
