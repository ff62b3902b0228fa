// The epilogue of `conv`, `depthwise` and `normalize`: what they do to their result before storing it, so that bias, activation, the
// derivative that the backward pass will need and the sums of batch normalisation cost no pass over memory of their own.
// The fusion rules set it; unfused nodes have none.

import type { ReferenceTensor } from '../ir/op.ts';
import { type AttrsOf, attr, need, optional } from '../ir/signature.ts';
import type { TensorSpec } from '../ir/tensor.ts';
import { ACTIVATION_NAMES, ACTIVATIONS, activationFunctions } from './activations.ts';
import { activation, channelsOf, isVector, kinds, moments, pixelsOf, refuse, samplesPerTile } from './check.ts';

/** u = result + bias, if the node has that operand; y = activation(u). */
const record = attr.record({
  /** y = activation(u); without one, y = u. */
  activation: attr.optional(attr.choice(...ACTIVATION_NAMES)),
  /** Those of the activation, where they are not the usual ones. */
  parameters: attr.optional(
    attr.custom<Readonly<Record<string, number>>>(
      'numbers by name',
      (value) => typeof value === 'object' && value !== null && Object.values(value).every(Number.isFinite),
    ),
  ),
  /** A further result `derivative`, of the shape of y: the slope of the activation at u. Only where y does not tell it. */
  derivative: attr.optional(attr.flag),
  /** A further result `partials`, per sample [2, C]: entry t holds mean and Σ(y − mean)² of tile t (see `samplesPerTile`). */
  stats: attr.optional(attr.flag),
});

export const epilogueAttr = { epilogue: attr.optional(record) };

/** What a node of an op with an epilogue is told of it. */
export type Epilogue = NonNullable<AttrsOf<typeof epilogueAttr>['epilogue']>;

/** Results of an op with an epilogue. */
export const epilogueResults = { y: kinds.features, derivative: optional(kinds.features), partials: optional(kinds.partials) };

/** Types of all results of an op whose plain result is `y`. */
export function epilogueSpecs(y: TensorSpec, epilogue: Epilogue = {}, bias?: TensorSpec) {
  const { activation: applied, parameters = {}, derivative } = epilogue;
  need(
    !derivative || (applied && ACTIVATIONS[applied].slopeOf === 'x'),
    'an epilogue with a derivative only where the activation is one whose slope y does not tell',
  );
  const known = applied ? Object.keys(ACTIVATIONS[applied].parameters) : [];
  need(
    Object.keys(parameters).every((name) => known.includes(name)),
    `an epilogue with the parameters of its activation (${known.join(', ') || 'none'})`,
  );
  need(!bias || isVector(bias, channelsOf(y.shape)), `a bias [${channelsOf(y.shape)}]`);
  return {
    y,
    derivative: derivative ? y : undefined,
    partials: epilogue.stats ? activation([2, channelsOf(y.shape)]) : undefined,
  };
}

/** For gradient rules: refuses a node that was fused. Differentiation comes before fusion. */
export function needPlain(
  op: string,
  { label, args, attrs }: { readonly label: string; readonly args: object; readonly attrs: object },
  plain: readonly string[],
): void {
  const present = (record: object) => Object.entries(record).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  const more = [...present(args), ...present(attrs)].filter((name) => !plain.includes(name));
  if (more.length)
    refuse(
      `a fused ${op} (${label}) cannot be differentiated: it has ${more.join(', ')}`,
      'Differentiate first: fusion comes after autodiff.',
    );
}

/** Reference: finishes a node whose first result already holds the plain one. */
export function applyEpilogue(
  outputs: { readonly y: ReferenceTensor; readonly derivative?: ReferenceTensor; readonly partials?: ReferenceTensor },
  epilogue: Epilogue = {},
  bias?: ReferenceTensor,
): void {
  const y = outputs.y.data as Float64Array;
  const shape = outputs.y.shape.slice(1);
  const channels = channelsOf(shape);
  if (bias) for (let i = 0; i < y.length; i += channels) for (let c = 0; c < channels; c++) y[i + c] += bias.data[c];
  if (epilogue.activation) {
    const of = activationFunctions(epilogue.activation, epilogue.parameters);
    if (outputs.derivative) for (let i = 0; i < y.length; i++) outputs.derivative.data[i] = of.slope(y[i]);
    for (let i = 0; i < y.length; i++) y[i] = of.y(y[i]);
  }
  if (outputs.partials) {
    const partials = outputs.partials.data;
    const tile = samplesPerTile(pixelsOf(shape)) * pixelsOf(shape) * channels;
    for (let begin = 0, t = 0; begin < y.length; begin += tile, t++) {
      const { mean, squares } = moments(y.subarray(begin, begin + tile), channels);
      partials.set(mean, 2 * t * channels);
      partials.set(squares, (2 * t + 1) * channels);
    }
  }
}
