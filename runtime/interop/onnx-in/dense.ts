// Dense layers.

import type { LayerTensor } from '../../layers/functional.ts';
import type { Converter, Rules } from './converter.ts';
import { nameOf } from './convolution.ts';
import type { NodeView } from './node-view.ts';
import { placesOf, Value } from './value.ts';

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
      at: (row, unit) => alpha * kernel.values[isTurned ? unit * inputs + row : row * units + unit],
    });
  },
  MatMul(c, node) {
    const x = node.value();
    const kernel = node.constant(1);
    if (kernel.shape.length !== 2) node.refuse(`multiplies by [${kernel.shape.join(', ')}]`);
    const [inputs, units] = kernel.shape;
    return layer(c, node, x, { inputs, units, bias: undefined, at: (row, unit) => kernel.values[row * units + unit] });
  },
};

interface Product {
  readonly inputs: number;
  readonly units: number;
  readonly bias: Float32Array | undefined;
  at(row: number, unit: number): number;
}

/** Over the last axis of ONNX's. */
function layer(c: Converter, node: NodeView, x: Value, { inputs, units, bias, at }: Product): Value {
  const axis = x.shape.length - 1;
  if (x.shape[axis] !== inputs) node.refuse(`has ${inputs} rows for ${x.shape[axis]} numbers`);
  // A vector that was flattened is read as it lies.
  const from = x.facts.flat ? x : c.withLast(x, axis);
  const shape = [...x.shape.slice(0, -1), units];
  const kernel = () => {
    const places = x.facts.flat && placesOf(x.facts.flat);
    const values = new Float32Array(inputs * units);
    for (let i = 0; i < inputs; i++) for (let o = 0; o < units; o++) values[i * units + o] = at(places ? places[i] : i, o);
    return values;
  };
  const name = nameOf(node);
  const make = (bias?: Float32Array): Value => {
    const build = (): LayerTensor =>
      c.layer('Dense', { units, useBias: bias !== undefined }, from.tensor, () => ({ kernel: kernel(), ...(bias && { bias }) }), name);
    return bias ? new Value(shape, from.order, build()) : new Value(shape, from.order, build, { made: { kind: 'unbiased', with: make } });
  };
  return make(bias);
}
