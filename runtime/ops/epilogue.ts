// The epilogue of `conv`, `depthwise` and `normalize`: what they do to their result before storing it, so that bias, activation, the
// derivative that the backward pass will need and the sums of batch normalisation cost no pass over memory of their own.
// The fusion rules set it; unfused nodes have none.

import type { TensorSpec } from '../ir/graph.ts';
import type { ReferenceIO } from '../ir/op.ts';
import { activation, channelsOf, isVector, moments, pixelsOf, samplesPerTile } from './check.ts';
import { gelu, geluDerivative } from './elementwise.ts';

export interface Epilogue {
  /** A further input, [C], is added: u = conv + bias. */
  readonly bias?: boolean;
  /** y = activation(u); without one, y = u. */
  readonly activation?: 'gelu' | 'relu';
  /** A further output `derivative`, of the shape of y: gelu'(u). Only with `gelu`: relu's gradient needs y alone. */
  readonly derivative?: boolean;
  /** A further output `partials`, per sample [2, C]: entry t holds mean and Σ(y − mean)² of tile t (see `samplesPerTile`). */
  readonly stats?: boolean;
}

/** Names of the outputs in their order: what stands where depends on the epilogue. */
export function epilogueOutputs(epilogue: Epilogue = {}): ('y' | 'derivative' | 'partials')[] {
  return ['y', ...(epilogue.derivative ? (['derivative'] as const) : []), ...(epilogue.stats ? (['partials'] as const) : [])];
}

/** Specs of all outputs of an op whose plain result is `y`. */
export function epilogueSpecs(y: TensorSpec, epilogue: Epilogue = {}): TensorSpec[] {
  const partials = activation([2, channelsOf(y.shape)]);
  return epilogueOutputs(epilogue).map((name) => (name === 'partials' ? partials : y));
}

/** Whether its parts go together. */
export const fitsEpilogue = ({ activation, derivative }: Epilogue): boolean => !derivative || activation === 'gelu';

/** Whether the inputs after x and w are what the epilogue takes, for an op whose plain result is `y`. */
export function acceptsEpilogue(inputs: readonly TensorSpec[], y: TensorSpec, epilogue: Epilogue = {}): boolean {
  if (!fitsEpilogue(epilogue)) return false;
  if (!epilogue.bias) return inputs.length === 2;
  return inputs.length === 3 && isVector(inputs[2], channelsOf(y.shape));
}

/** For messages: what the op takes besides x and w. */
export function formatEpilogue(epilogue: Epilogue = {}): string {
  return `${epilogue.bias ? ', bias [co]' : ''} (epilogue ${JSON.stringify(epilogue)}; derivative needs gelu)`;
}

/** Reference: finishes a node whose output 0 already holds the plain result. */
export function applyEpilogue(io: ReferenceIO, epilogue: Epilogue = {}): void {
  const names = epilogueOutputs(epilogue);
  const y = io.outputs[0].data as Float64Array;
  const shape = io.outputs[0].shape.slice(1);
  const channels = channelsOf(shape);

  if (epilogue.bias) {
    const bias = io.inputs[2].data;
    for (let i = 0; i < y.length; i += channels) for (let c = 0; c < channels; c++) y[i + c] += bias[c];
  }
  if (epilogue.derivative) {
    const derivative = io.outputs[names.indexOf('derivative')].data;
    for (let i = 0; i < y.length; i++) derivative[i] = geluDerivative(y[i]);
  }
  if (epilogue.activation === 'gelu') for (let i = 0; i < y.length; i++) y[i] = gelu(y[i]);
  if (epilogue.activation === 'relu') for (let i = 0; i < y.length; i++) y[i] = Math.max(y[i], 0);
  if (epilogue.stats) {
    const partials = io.outputs[names.indexOf('partials')].data;
    const tile = samplesPerTile(pixelsOf(shape)) * pixelsOf(shape) * channels;
    for (let begin = 0, t = 0; begin < y.length; begin += tile, t++) {
      const { mean, squares } = moments(y.subarray(begin, begin + tile), channels);
      partials.set(mean, 2 * t * channels);
      partials.set(squares, (2 * t + 1) * channels);
    }
  }
}
