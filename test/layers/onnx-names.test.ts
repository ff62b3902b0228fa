// Names in an ONNX graph: those of layers are their authors', and no two nodes may have one.

import { expect, test } from 'vitest';
import { activateOp } from '../../runtime/interop/onnx/activations.ts';
import { convolution } from '../../runtime/interop/onnx/convolution.ts';
import { core } from '../../runtime/interop/onnx/core.ts';
import { Emitter, type OnnxRules } from '../../runtime/interop/onnx/emitter.ts';
import { pooling } from '../../runtime/interop/onnx/pooling.ts';
import { numberedClasses } from '../../runtime/interop/trained-model.ts';
import { input, layers } from '../../runtime/layers/functional.ts';
import { initialize } from '../../runtime/model/init.ts';
import { functionalModel } from '../../runtime/model/layered-model.ts';
import { activationFunctions } from '../../runtime/ops/activations.ts';

test('a layer that is called as the output: MobileNetV3 of Keras has one', () => {
  const images = input([4, 4, 3]);
  const logits = layers.conv2d(images, { filters: 5, kernelSize: 4, name: 'logits' });
  const model = functionalModel({ name: 'net', input: images, output: layers.flatten(logits) });
  const weights = new Map([...initialize(model, 1n)].map(([name, values]) => [name, Float32Array.from(values)]));
  const emitter = new Emitter(
    { model, weights, classes: numberedClasses(model) },
    { ...core, ...convolution, ...pooling } as unknown as OnnxRules,
    false,
  );
  emitter.run();
  const names = emitter.nodes.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(emitter.nodes.filter(({ output }) => output === 'logits')).toHaveLength(1);
});

test('the softmax of a convolution in the midst is over its channels', () => {
  const images = input([4, 4, 3]);
  const shares = layers.conv2d(images, { filters: 5, kernelSize: 2, activation: 'softmax' });
  const model = functionalModel({ name: 'net', input: images, output: layers.dense(layers.flatten(shares), { units: 2 }) });
  const weights = new Map([...initialize(model, 1n)].map(([name, values]) => [name, Float32Array.from(values)]));
  const emitter = new Emitter(
    { model, weights, classes: numberedClasses(model) },
    { ...core, ...convolution } as unknown as OnnxRules,
    false,
  );
  emitter.run();
  expect(emitter.nodes.filter(({ op }) => op === 'Softmax').map(({ attributes }) => attributes)).toEqual([{ axis: 1 }]);
});

const COMPUTE: Readonly<Record<string, (...args: number[]) => number>> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b) => a / b,
  Min: Math.min,
  Max: Math.max,
  Abs: Math.abs,
  Exp: Math.exp,
  Greater: (a, b) => Number(a > b),
  Where: (condition, yes, no) => (condition ? yes : no),
};

test.each([
  ['geluTanh', {}],
  ['rectifier', { slope: 0.25, threshold: 0.5, limit: 2 }],
] as const)('%s as nodes, one in another: each has a name, and together they compute it', (op, parameters) => {
  const images = input([4, 4, 3]);
  const model = functionalModel({ name: 'net', input: images, output: layers.dense(layers.flatten(images), { units: 2 }) });
  const emitter = new Emitter({ model, weights: new Map(), classes: [] }, {} as OnnxRules, false);
  const result = activateOp(emitter, op, parameters, 'x', 'layer');
  for (const what of ['name', 'output'] as const) {
    const all = emitter.nodes.map((node) => node[what]);
    expect(new Set(all).size, what).toBe(all.length);
  }
  const { y } = activationFunctions(op, parameters);
  for (const x of [-20, -3, -0.7, 0, 0.3, 0.6, 1.9, 4, 20]) {
    const values = new Map([['x', x], ...[...emitter.constants].map(([name, { data }]) => [name, Number(data[0])] as const)]);
    for (const { op, inputs, output } of emitter.nodes) {
      const args = inputs.map((name) => values.get(name) ?? expect.fail(`${name} is read before it is there`));
      values.set(output, COMPUTE[op](...(args as number[])));
    }
    expect(values.get(result)).toBeCloseTo(y(x), 5);
  }
});
