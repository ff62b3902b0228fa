// Dense layers.

import type { LayerTensor } from '../../layers/functional.ts';
import type { Converter, Rules } from './converter.ts';
import { nameOf } from './names.ts';
import type { NodeView } from './node-view.ts';
import { type Constant, placesOf, Value } from './value.ts';

export const dense: Rules = {
  Gemm(c, node) {
    const x = node.value();
    const kernel = node.constant(1);
    const [alpha, beta] = [node.number('alpha', 1), node.number('beta', 1)];
    if (node.integer('transA', 0) !== 0) node.refuse('has transA 1');
    const isTurned = node.integer('transB', 0) === 1;
    if (kernel.shape.length !== 2 || x.shape.length !== 1)
      node.refuse(`reads [${['samples', ...x.shape].join(', ')}] and [${kernel.shape.join(', ')}]`);
    const [inputs, units] = isTurned ? [kernel.shape[1], kernel.shape[0]] : kernel.shape;
    const scaled = (values: Float32Array, by: number) => (by === 1 ? values : values.map((value) => value * by));
    const given = node.optional(2);
    const bias = given && scaled(given.size === 1 ? new Float32Array(units).fill(given.values[0]) : node.vector(2, units), beta);
    return layer(c, node, x, {
      inputs,
      units,
      bias,
      kernel,
      isTurned,
      alpha,
    });
  },
  MatMul(c, node) {
    const x = node.value();
    const kernel = node.constant(1);
    if (kernel.shape.length !== 2) node.refuse(`multiplies by [${kernel.shape.join(', ')}]`);
    const [inputs, units] = kernel.shape;
    return layer(c, node, x, { inputs, units, bias: undefined, kernel, isTurned: false, alpha: 1 });
  },
};

interface Product {
  readonly inputs: number;
  readonly units: number;
  readonly bias: Float32Array | undefined;
  /** [inputs, units], or the other way round where it is turned, times alpha. */
  readonly kernel: Constant;
  readonly isTurned: boolean;
  readonly alpha: number;
}

/** Over the last axis of ONNX's. */
function layer(c: Converter, node: NodeView, x: Value, { inputs, units, bias, ...product }: Product): Value {
  const axis = x.shape.length - 1;
  if (x.shape[axis] !== inputs) node.refuse(`has ${inputs} rows for ${x.shape[axis]} numbers`);
  // A vector that was flattened is read as it lies.
  const from = x.facts.flat ? x : c.withLast(x, axis);
  const shape = [...x.shape.slice(0, -1), units];
  const kernel = () => kernelOf(product, inputs, units, x.facts.flat && placesOf(x.facts.flat));
  const name = nameOf(node);
  const make = (bias?: Float32Array): Value => {
    const build = (): LayerTensor =>
      c.layer('Dense', { units, useBias: bias !== undefined }, from.tensor, () => ({ kernel: kernel(), ...(bias && { bias }) }), name);
    return bias ? new Value(shape, from.order, build()) : new Value(shape, from.order, build, { made: { kind: 'unbiased', with: make } });
  };
  return make(bias);
}

/** Numbers on a side of the squares in which a matrix is turned: both ways of reading it stay in the cache. */
const TILE = 32;

/** The kernel [inputs, units]; `places`: for each row here that of ONNX's. */
function kernelOf(
  { kernel, isTurned, alpha }: Pick<Product, 'kernel' | 'isTurned' | 'alpha'>,
  inputs: number,
  units: number,
  places?: Int32Array,
): Float32Array {
  const from = kernel.values;
  const values = new Float32Array(inputs * units);
  const [down, along] = isTurned ? [1, inputs] : [units, 1];
  for (let top = 0; top < inputs; top += TILE) {
    const bottom = Math.min(top + TILE, inputs);
    for (let left = 0; left < units; left += TILE) {
      const right = Math.min(left + TILE, units);
      for (let i = top; i < bottom; i++) {
        const row = (places ? places[i] : i) * down;
        for (let o = left; o < right; o++) values[i * units + o] = alpha * from[row + o * along];
      }
    }
  }
  return values;
}
