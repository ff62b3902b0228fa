// Cases of all activations, of each from its entry in the table.

import type { Attrs, ValueId } from '../../runtime/ir/graph.ts';
import { ACTIVATION_NAMES, ACTIVATIONS, type Activation, activationFunctions } from '../../runtime/ops/activations.ts';
import { type Draft, EXACT, forActivations, large, type OpCase, type OpFamily, type OpTests, x } from '../support/op-case.ts';
import { samples, type TestTensor, uniform } from '../support/tensors.ts';

/** Where activations bend and where they end. */
const values = (rows: number, shape: readonly number[]): TestTensor => samples(rows, shape, uniform(1, -8, 8));

/** Shapes do not matter: a few, of which one ends in the midst of a vector. */
const forShapes = (make: (rows: number, shape: readonly number[]) => Omit<OpCase, 'name' | 'rows'>): OpCase[] =>
  forActivations(make).filter((_, i) => i % 3 === 1);

/** The usual parameters, and others. */
function parametersOf(name: Activation): Attrs[] {
  const parameters = Object.keys(ACTIVATIONS[name].parameters);
  return [{}, ...(parameters.length ? [Object.fromEntries(parameters.map((parameter, i) => [parameter, 0.3 + 1.1 * i]))] : [])];
}

function gradientCases(name: Activation, of: (attrs: Attrs) => Omit<OpCase, 'attrs'>[]): OpCase[] {
  const from = ACTIVATIONS[name].slopeOf === 'x' ? [{ from: 'input' }, { from: 'derivative' }] : [{}];
  return parametersOf(name).flatMap((parameters) =>
    from.flatMap((attrs) =>
      of(parameters).map((one) => ({
        ...one,
        name: `${one.name} ${JSON.stringify({ ...attrs, ...parameters })}`,
        attrs: { ...attrs, ...parameters },
      })),
    ),
  );
}

/** What the gradient is told: x, or y of it. */
function told(name: Activation, attrs: Attrs, of: TestTensor): TestTensor {
  const { y, slopeOf } = activationFunctions(name, attrs);
  return slopeOf === 'x' ? of : { ...of, data: Float64Array.from(of.data, (value) => Math.fround(y(value))) };
}

const exact: Partial<OpTests> = { tolerance: EXACT };

const testsOf = (name: Activation): OpFamily => ({
  [name]: {
    ...(name === 'relu' && exact),
    cases: () =>
      parametersOf(name).flatMap((attrs) =>
        forShapes((rows, shape) => ({ inputs: [values(rows, shape)], attrs })).map((one) => ({
          ...one,
          name: `${one.name} ${JSON.stringify(attrs)}`,
        })),
      ),
    large: () => [{ name: 'chunks', rows: 3, inputs: [values(3, [16411])], attrs: {} }],
    maker: ({ g, draw }: Draft, x: ValueId) => g.one(name, { x }, parametersOf(name)[draw(parametersOf(name).length)]),
  },
  [`${name}Grad`]: {
    ...(name === 'relu' && exact),
    cases: () =>
      gradientCases(name, (attrs) =>
        forShapes((rows, shape) => ({ inputs: [x(rows, shape, 5), told(name, attrs, values(rows, shape))], attrs })),
      ),
    large: () =>
      gradientCases(name, (attrs) => [{ name: 'chunks', rows: 3, inputs: [large(3, [16411]), told(name, attrs, values(3, [16411]))] }]),
  },
});

export const family: OpFamily = Object.assign({}, ...ACTIVATION_NAMES.map(testsOf));
