// ONNX's form of the layers of layers/attention.ts.

import { activate } from './activations.ts';
import { channelsFirst, channelsLast, type OnnxRules } from './emitter.ts';

export const attention = {
  MultiHeadAttention: {
    emit(e, layer, [x]) {
      const { name, config, inputShape, outputShape } = layer;
      const { numHeads, keyDim, valueDim } = config;
      const features = inputShape[inputShape.length - 1];
      const places = inputShape.slice(0, -1).reduce((product, n) => product * n, 1);
      const last = channelsLast(e, layer, x);
      const sequence =
        inputShape.length === 2
          ? last
          : e.node('Reshape', `${name}/sequence`, [last, e.integers(`${name}/sequence_shape`, [0, places, features])]);
      const projected = (what: 'query' | 'key' | 'value' | 'output', from: string, shape: readonly number[]): string => {
        const at = `${name}/${what}`;
        const kernel = e.constant(`${at}/kernel`, shape, e.weight(layer, `${what}_kernel`) as Float32Array);
        const product = e.node('MatMul', `${at}/matmul`, [from, kernel]);
        const bias = e.weight(layer, `${what}_bias`);
        return bias ? e.node('Add', `${at}/add`, [product, e.constant(`${at}/bias`, [shape[1]], bias)]) : product;
      };
      const heads = (what: 'query' | 'key' | 'value', each: number, perm: readonly number[]): string => {
        const all = projected(what, sequence, [features, numHeads * each]);
        const apart = e.node('Reshape', `${name}/${what}/heads`, [all, e.integers(`${name}/${what}/shape`, [0, places, numHeads, each])]);
        return e.node('Transpose', `${name}/${what}/turned`, [apart], { perm: [...perm] });
      };
      const query = e.node('Mul', `${name}/scaled`, [
        heads('query', keyDim, [0, 2, 1, 3]),
        e.scalar(`${name}/scale`, 1 / Math.sqrt(keyDim)),
      ]);
      const scores = e.node('MatMul', `${name}/scores`, [query, heads('key', keyDim, [0, 2, 3, 1])]);
      const shares = e.node('Softmax', `${name}/shares`, [scores], { axis: -1 });
      const taken = e.node('MatMul', `${name}/taken`, [shares, heads('value', valueDim, [0, 2, 1, 3])]);
      const turned = e.node('Transpose', `${name}/joined`, [taken], { perm: [0, 2, 1, 3] });
      const joined = e.node('Reshape', `${name}/joined/sequence`, [
        turned,
        e.integers(`${name}/joined/shape`, [0, places, numHeads * valueDim]),
      ]);
      const y = projected('output', joined, [numHeads * valueDim, outputShape[outputShape.length - 1]]);
      if (inputShape.length === 2) return y;
      return channelsFirst(e, layer, e.node('Reshape', name, [y, e.integers(`${name}/shape`, [0, ...outputShape])]));
    },
  },
  EinsumDense: {
    emit(e, layer, [x]) {
      const { name, config } = layer;
      const kernel = e.constant(`${name}/kernel`, e.shapeOf(layer, 'kernel'), e.weight(layer, 'kernel') as Float32Array);
      const product = e.node('MatMul', `${name}/matmul`, [channelsLast(e, layer, x), kernel]);
      const bias = e.weight(layer, 'bias');
      const sum = bias ? e.node('Add', name, [product, e.constant(`${name}/bias`, e.shapeOf(layer, 'bias'), bias)]) : product;
      return channelsFirst(e, layer, activate(e, config.activation, sum, name));
    },
  },
} satisfies Partial<OnnxRules>;
