// Elementwise ops to kernels of gpu/kernels/elementwise.ts.

import { elementCount, type Node, type ValueId } from '../../runtime/ir/graph.ts';
import { ACTIVATION_NAMES, type Activation } from '../../runtime/ops/activations.ts';
import { channelsOf } from '../../runtime/ops/check.ts';
import { dropoutScale, dropoutThreshold } from '../../runtime/ops/elementwise.ts';
import * as kernels from '../kernels/elementwise.ts';
import { tileSums } from '../kernels/tiles.ts';
import { foldedGroups, type KernelText, type Lanes, lanesFor } from '../kernels/wgsl.ts';
import { KernelOperands } from './kernel.ts';
import type { Dispatch, LoweringContext, Lowerings } from './lowering.ts';
import { mergeTiles, sumsScratch, tileGroups, tilesOf } from './tiles.ts';

/** Workgroups for `perSample` invocations a row. */
export const mapGroups =
  (perSample: number): Dispatch['workgroups'] =>
  (rows) =>
    foldedGroups(rows * perSample, kernels.MAP_INVOCATIONS);

/** An op whose inputs all have the shape of its output: `text` of the accesses a sample has. */
const flat =
  (names: readonly string[], text: (node: Pick<Node, 'attrs'>, perSample: number, lanes: Lanes) => KernelText) =>
  (node: Pick<Node, 'op' | 'inputs' | 'outputs' | 'attrs'>, context: LoweringContext): Dispatch[] => {
    const elements = elementCount(context.spec(node.outputs[0]));
    const lanes = lanesFor(elements);
    const operands = new KernelOperands(node.op, context);
    for (const [i, name] of names.entries()) operands.read(name, node.inputs[i], lanes);
    operands.write('y', node.outputs[0], lanes);
    return operands.dispatch(text(node, elements / lanes, lanes), mapGroups(elements / lanes));
  };

const activations = Object.fromEntries(
  ACTIVATION_NAMES.flatMap((name) => [
    [name, flat(['x'], ({ attrs }, perSample, lanes) => kernels.activation(name, attrs, perSample, lanes))],
    [
      `${name}Grad`,
      flat(['a', 'b'], ({ attrs }, perSample, lanes) =>
        attrs.from === 'derivative' ? kernels.multiplication(perSample) : kernels.activationGradient(name, attrs, perSample, lanes),
      ),
    ],
  ]),
) as { readonly [K in Activation | `${Activation}Grad`]: ReturnType<typeof flat> };

/** Sum of dy over rows and pixels. */
export function sumOverPixels(kernel: string, dy: ValueId, out: ValueId, context: LoweringContext): Dispatch[] {
  const { shape, lanes, tiles } = tilesOf(context.spec(dy), context.capacity);
  const sums = sumsScratch(context, tiles, 1, shape, lanes);
  const operands = new KernelOperands(kernel, context).read('dy', dy, lanes).raw('sums', sums, 'read_write', lanes);
  return [
    ...operands.dispatch(tileSums({ shape, lanes, loads: { slope: 'dy(at)' }, terms: ['slope'] }), tileGroups(shape)),
    ...mergeTiles(sums, [out], shape.samples, lanes, context),
  ];
}

export const elementwise = {
  rescale(node, context) {
    const { x } = node.args;
    const elements = elementCount(context.spec(x));
    const lanes = lanesFor(elements);
    const operands = new KernelOperands('rescale', context).read('x', x).write('y', node.outputs[0], lanes);
    const text = kernels.rescale(elements, node.attrs.scale, node.attrs.offset ?? 0, lanes);
    return operands.dispatch(text, (rows) => foldedGroups(Math.ceil((rows * elements) / 4), kernels.MAP_INVOCATIONS));
  },
  add: flat(['a', 'b'], (_, perSample) => kernels.addition(perSample)),
  subtract: flat(['a', 'b'], (_, perSample) => kernels.difference(perSample)),
  addParameters({ args: { a, b }, results: { y } }, context) {
    const elements = elementCount(context.spec(y));
    const groups = foldedGroups(elements, kernels.MAP_INVOCATIONS);
    const operands = new KernelOperands('addParameters', context).read('a', a).read('b', b).write('y', y);
    return operands.dispatch(kernels.parameterSum(elements), () => groups);
  },
  mul(node, context) {
    const { a, b } = node.args;
    if (context.spec(b).perSample) return flat(['a', 'b'], (_, perSample) => kernels.multiplication(perSample))(node, context);
    const channels = channelsOf(context.spec(a).shape);
    const lanes = lanesFor(channels);
    const perSample = elementCount(context.spec(a)) / lanes;
    const operands = new KernelOperands('mul', context).read('a', a, lanes).vectors({ b }, lanes).write('y', node.results.y, lanes);
    return operands.dispatch(kernels.channelProduct(perSample, channels / lanes), mapGroups(perSample));
  },
  ...activations,
  dropout(node, context) {
    const { x, samples } = node.args;
    const elements = elementCount(context.spec(x));
    const lanes = lanesFor(elements);
    const { rate, purpose } = node.attrs;
    const options = { elements, purpose, threshold: dropoutThreshold(rate), scale: dropoutScale(rate) };
    const operands = new KernelOperands('dropout', context).read('x', x, lanes).read('samples', samples).write('y', node.outputs[0], lanes);
    return operands.dispatch(kernels.dropout(options, lanes), mapGroups(Math.ceil(elements / 4)));
  },
  bias(node, context) {
    const { x, b } = node.args;
    const channels = channelsOf(context.spec(x).shape);
    const lanes = lanesFor(channels);
    const perSample = elementCount(context.spec(x)) / lanes;
    const operands = new KernelOperands('bias', context).read('x', x, lanes).vectors({ b }, lanes).write('y', node.outputs[0], lanes);
    return operands.dispatch(kernels.bias(perSample, channels / lanes), mapGroups(perSample));
  },
  biasGrad: (node, context) => sumOverPixels('biasGrad', node.args.dy, node.results.db, context),
} satisfies Partial<Lowerings>;
