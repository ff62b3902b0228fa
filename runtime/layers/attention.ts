// Attention of a sequence, or of the pixels of an image, to itself; and the dense layer of a sequence that may have a bias of its own at each
// place, which is how positions are learnt.

import type { ValueId } from '../ir/graph.ts';
import { ACTIVATIONS, activation } from './activations.ts';
import { defineLayer, type VariableSpec } from './define-layer.ts';
import { initializer } from './initializers.ts';
import { fixed, flag, type Kind, optional, orNone, rate, training, whole } from './kinds.ts';
import { sizeOf } from './layer.ts';
import type { LayerBuilder } from './layer-builder.ts';

/** All axes between samples and features, as Keras counts them. */
const attentionAxes: Kind<readonly number[], readonly number[], false> = {
  expected: 'null, or all axes between those of samples and features, in order from 1',
  read: (given) => {
    const axes = [given].flat() as unknown[];
    return axes.length > 0 && axes.every((axis, k) => axis === k + 1) ? (axes as number[]) : undefined;
  },
};

/** Size of the last axis of what attention gives. */
const lastSize: Kind<number, number | readonly number[], false> = {
  expected: 'a whole number from 1 on',
  read: (given) => {
    const [size, ...more] = [given].flat() as unknown[];
    return more.length === 0 && Number.isSafeInteger(size) && (size as number) > 0 ? (size as number) : undefined;
  },
  write: (size) => [size],
};

/** A product of the last axis with a kernel, and a bias. */
function projected(g: LayerBuilder, x: ValueId, kernel: ValueId, bias: ValueId | undefined): ValueId {
  const [places, features] = g.spec(x).shape;
  const image = g.one('reshape', { x }, { shape: [places, 1, features] });
  const y = g.one('conv', [image, kernel], { stride: 1, padding: 'valid' });
  const units = g.spec(y).shape[2];
  return g.one('reshape', { x: bias === undefined ? y : g.one('bias', [y, bias]) }, { shape: [places, units] });
}

/** Self-attention: with heads of its own for keys and values. Called with one tensor; Keras is given it twice. */
export const MultiHeadAttention = defineLayer({
  type: 'MultiHeadAttention',
  takesTwice: true,
  config: {
    numHeads: whole(),
    keyDim: whole(),
    valueDim: optional(
      { ...whole(), read: (given: unknown) => (given === null ? undefined : whole().read(given)) },
      ({ keyDim }: { keyDim: number }) => keyDim,
    ),
    dropout: training(optional(rate, 0)),
    useBias: optional(flag, true),
    useGate: fixed(false),
    outputShape: orNone(lastSize),
    attentionAxes: orNone(attentionAxes),
    kernelInitializer: optional(initializer, 'glorot_uniform'),
    biasInitializer: optional(initializer, 'zeros'),
  },
  draws: ({ dropout }) => dropout > 0,
  // Keras 2 writes what was read.
  ignoredKeys: ['query_shape', 'key_shape', 'value_shape'],
  variables({ numHeads, keyDim, valueDim, useBias, outputShape, kernelInitializer, biasInitializer }, [shape]) {
    const features = shape[shape.length - 1];
    const units = outputShape ?? features;
    const into = (name: 'query' | 'key' | 'value', each: number): Record<string, VariableSpec> => ({
      [`${name}_kernel`]: {
        shape: [features, numHeads, each],
        flat: [features, numHeads * each],
        initializer: kernelInitializer,
        within: `${name}_dense`,
      },
      ...(useBias && {
        [`${name}_bias`]: { shape: [numHeads, each], flat: true as const, initializer: biasInitializer, within: `${name}_dense` },
      }),
    });
    return {
      ...into('query', keyDim),
      ...into('key', keyDim),
      ...into('value', valueDim),
      output_kernel: {
        shape: [numHeads, valueDim, units],
        flat: [numHeads * valueDim, units],
        initializer: kernelInitializer,
        within: 'output_dense',
      },
      ...(useBias && { output_bias: { shape: [units], initializer: biasInitializer, within: 'output_dense' } }),
    };
  },
  build({ g, config, x, vars, shape, refuse }) {
    const { numHeads, keyDim, valueDim, dropout, attentionAxes } = config;
    if (shape.length < 2 || (attentionAxes !== null && attentionAxes.length !== shape.length - 1))
      refuse(
        `attends along ${attentionAxes === null ? 'all axes' : `axes [${attentionAxes}]`} of [${shape.join(', ')}]`,
        'Give it a sequence [places, features] or an image, and all of its axes or none.',
      );
    const features = shape[shape.length - 1];
    const places = sizeOf(shape) / features;
    const sequence = shape.length === 2 ? x : g.one('reshape', { x }, { shape: [places, features] });
    const heads = (tensor: ValueId, each: number) =>
      g.one('permute', { x: g.one('reshape', { x: tensor }, { shape: [places, numHeads, each] }) }, { axes: [1, 0, 2] });
    const query = g.one('affine', { x: projected(g, sequence, vars.query_kernel, vars.query_bias) }, { scale: 1 / Math.sqrt(keyDim) });
    const key = projected(g, sequence, vars.key_kernel, vars.key_bias);
    const value = projected(g, sequence, vars.value_kernel, vars.value_bias);
    const scores = g.one('matmul', { a: heads(query, keyDim), b: heads(key, keyDim) }, { transposed: 'b' });
    const shares = g.dropout(g.one('softmax', { x: scores }), dropout);
    const taken = g.one('permute', { x: g.one('matmul', { a: shares, b: heads(value, valueDim) }) }, { axes: [1, 0, 2] });
    const joined = g.one('reshape', { x: taken }, { shape: [places, numHeads * valueDim] });
    const y = projected(g, joined, vars.output_kernel, vars.output_bias);
    return shape.length === 2 ? y : g.one('reshape', { x: y }, { shape: [...shape.slice(0, -1), g.spec(y).shape[1]] });
  },
});

/** What an equation says: letters of what is read, of the result, and whether the kernel is [features, units]. */
function readEquation(equation: string): { readonly input: string; readonly output: string } | undefined {
  const [, input, kernel, output] =
    /^([a-z]{2,}|\.\.\.[a-z]),([a-z]{2})->([a-z]{2,}|\.\.\.[a-z])$/.exec(equation.replaceAll(' ', '')) ?? [];
  if (input === undefined) return undefined;
  const [features, units] = kernel;
  const isLast = input === `${input.slice(0, -1)}${features}` && output === `${input.slice(0, -1)}${units}`;
  return isLast && features !== units && !input.includes(units) ? { input, output } : undefined;
}

const equationKind: Kind<string, string, false> = {
  expected: 'an equation over the last axis, such as "abc,cd->abd"',
  read: (given) => (typeof given === 'string' && readEquation(given) ? given.replaceAll(' ', '') : undefined),
};

const outputSizes: Kind<readonly (number | null)[], number | readonly (number | null)[], false> = {
  expected: 'the sizes of the result, of which all but the last may be null',
  read: (given) => {
    const sizes = [given].flat() as unknown[];
    const fits = sizes.every((n, k) => (n === null && k < sizes.length - 1) || (Number.isSafeInteger(n) && (n as number) > 0));
    return sizes.length > 0 && fits ? (sizes as (number | null)[]) : undefined;
  },
};

const letters: Kind<string, string, false> = {
  expected: 'letters of the result',
  read: (given) => (typeof given === 'string' && /^[a-z]+$/.test(given) ? given : undefined),
};

/** Over the last axis, as `Dense`; the bias has the axes that `biasAxes` names: with all but the samples it is one of each place, a position. */
export const EinsumDense = defineLayer({
  type: 'EinsumDense',
  config: {
    equation: equationKind,
    outputShape: outputSizes,
    activation: optional(activation, 'linear'),
    biasAxes: orNone(letters),
    kernelInitializer: optional(initializer, 'glorot_uniform'),
    biasInitializer: optional(initializer, 'zeros'),
  },
  variables({ outputShape, biasAxes, equation, kernelInitializer, biasInitializer }, [shape]) {
    const units = outputShape[outputShape.length - 1] as number;
    const isEverywhere = biasAxes !== null && biasAxes === placesOf(equation);
    return {
      kernel: { shape: [shape[shape.length - 1], units], initializer: kernelInitializer },
      ...(biasAxes !== null && {
        bias: isEverywhere
          ? { shape: [...shape.slice(0, -1), units], flat: true as const, initializer: biasInitializer }
          : { shape: [units], initializer: biasInitializer },
      }),
    };
  },
  build({ g, config, x, vars, shape, refuse }) {
    const { equation, outputShape, biasAxes } = config;
    const { output } = readEquation(equation) as { output: string };
    const units = outputShape[outputShape.length - 1] as number;
    const own = [...shape.slice(0, -1), units];
    if (!output.startsWith('...') && output.length !== shape.length + 1)
      refuse(
        `has the equation ${equation} for samples of [${shape.join(', ')}]`,
        'Give a letter for each axis, that of the samples first.',
      );
    const sizes = outputShape.length === 1 ? own : outputShape;
    if (sizes.length !== own.length || sizes.some((n, axis) => n !== null && n !== own[axis]))
      refuse(`has outputShape [${outputShape}] where it makes [${own.join(', ')}]`, 'Give the sizes of a sample of the result.');
    const isEverywhere = biasAxes !== null && biasAxes === placesOf(equation);
    if (biasAxes !== null && !isEverywhere && biasAxes !== output.slice(-1))
      refuse(`has a bias along ${biasAxes} of ${output}`, `Give it along ${output.slice(-1)}, or along all axes of a sample.`);
    const product = projected(
      g,
      g.one('reshape', { x }, { shape: [sizeOf(shape.slice(0, -1)), shape[shape.length - 1]] }),
      vars.kernel,
      isEverywhere ? undefined : vars.bias,
    );
    const list = isEverywhere ? g.one('bias', [g.one('reshape', { x: product }, { shape: [sizeOf(own)] }), vars.bias]) : product;
    return ACTIVATIONS[config.activation](g, g.one('reshape', { x: list }, { shape: own }));
  },
});

/** The letters of all axes of a sample of the result; undefined where an equation has none for them. */
const placesOf = (equation: string): string | undefined => {
  const { output } = readEquation(equation) as { output: string };
  return output.startsWith('...') ? undefined : output.slice(1);
};
