// Names in an ONNX graph: those of layers are their authors', and no two nodes may have one.

import { expect, test } from 'vitest';
import { convolution } from '../../runtime/interop/onnx/convolution.ts';
import { core } from '../../runtime/interop/onnx/core.ts';
import { Emitter, type OnnxRules } from '../../runtime/interop/onnx/emitter.ts';
import { pooling } from '../../runtime/interop/onnx/pooling.ts';
import { numberedClasses } from '../../runtime/interop/trained-model.ts';
import { input, layers } from '../../runtime/layers/functional.ts';
import { initialize } from '../../runtime/model/init.ts';
import { functionalModel } from '../../runtime/model/layered-model.ts';

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
