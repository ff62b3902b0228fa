// What the cases of all families of ops share: what a case is, and operands at sizes that hurt: 1, prime, odd, not a multiple of a vector's
// width, one row, tiles of statistics that do not come out even.

import type { Attrs, GraphBuilder, ValueId } from '../../runtime/ir/graph.ts';
import type { StepScalars } from '../../runtime/ir/step.ts';
import type { Epilogue as EpilogueAttrs } from '../../runtime/ops/epilogue.ts';
import type { OpName } from '../../runtime/ops/index.ts';
import type { Tolerance } from './close.ts';
import { runReference } from './reference.ts';
import { fixed, samples, type TestTensor, uniform } from './tensors.ts';
import type { TestInputs } from './test-node.ts';

export interface OpCase {
  /** What is special about it, for the name of the test. */
  readonly name: string;
  readonly rows: number;
  /** By name where optional ones are left out between others. */
  readonly inputs: TestInputs;
  readonly attrs: Attrs;
  /** State that the op changes: copy it before a run. */
  readonly updates?: readonly TestTensor[];
  readonly step?: Partial<StepScalars>;
}

/** How far a device may be from the reference. */
export interface Tolerances {
  readonly wasm: Tolerance;
  readonly gpu: Tolerance;
}

/** One rounding, or none: nothing else happens to an element. */
export const EXACT: Tolerances = { wasm: { relative: 6e-8 }, gpu: { relative: 1.2e-7 } };

/** What rounding does to sums of up to some hundred products of numbers of about 1, in f32 throughout. */
export const ROUNDING: Tolerances = { wasm: { absolute: 5e-6, relative: 5e-6 }, gpu: { absolute: 1e-5, relative: 5e-6 } };

/** Some roundings of numbers of about 1. */
export const UPDATED: Tolerances = { wasm: { absolute: 1e-7, relative: 1e-6 }, gpu: { absolute: 1e-7, relative: 1e-6 } };

/** A random graph under construction (test/compile/fuzz.test.ts). */
export interface Draft {
  readonly g: GraphBuilder;
  /** Samples, for dropout. */
  readonly samples: ValueId;
  /** A whole number from 0 to below `n`. */
  draw(n: number): number;
  parameter(...shape: number[]): ValueId;
  statistic(...shape: number[]): ValueId;
}

/** Adds an op that reads the image x (and perhaps other, of its shape) and makes an image. */
export type Maker = (draft: Draft, x: ValueId, other: ValueId) => ValueId;

/** All that tests need to know of an op. */
export interface OpTests {
  /** For ops that have kernels: what is run on every device beside the reference. */
  readonly cases?: () => OpCase[];
  /** Cases for the wasm device alone: several chunks, several tiles on every thread, numbers that are hard to sum. */
  readonly large?: () => OpCase[];
  /** ROUNDING where nothing is said. */
  readonly tolerance?: Tolerances;
  /** Of what it updates; UPDATED where nothing is said. */
  readonly updates?: Tolerances;
  /** For ops that have a gradient: how random graphs get one. */
  readonly maker?: Maker;
}

/** What `test/ops/<family>.cases.ts` exports as `family`. */
export type OpFamily = Partial<Record<OpName, OpTests>>;

/** The image as a row of numbers and back: an op for rows in the midst of images. */
export const backToImage = ({ g }: Draft, y: ValueId): ValueId => g.one('reshape', { x: y }, { shape: [1, 1, ...g.spec(y).shape] });

export const channelCount = (g: GraphBuilder, x: ValueId): number => g.spec(x).shape[2];

/** Rows and shapes of activations. */
const ACTIVATIONS: readonly (readonly [rows: number, shape: readonly number[]])[] = [
  [1, [1]],
  [3, [10]],
  [5, [256]],
  [1, [1, 1, 3]],
  [5, [3, 5, 7]],
  [2, [5, 4, 16]],
  [7, [2, 2, 33]],
  [3, [8, 9, 64]],
  [127, [1, 1, 4]],
];

export const forActivations = (make: (rows: number, shape: readonly number[]) => Omit<OpCase, 'name' | 'rows'>): OpCase[] =>
  ACTIVATIONS.map(([rows, shape]) => ({ name: `${rows} × [${shape}]`, rows, ...make(rows, shape) }));

export const x = (rows: number, shape: readonly number[], seed = 1): TestTensor => samples(rows, shape, uniform(seed, -2, 2));
export const vector = (shape: readonly number[], seed: number, low = -1, high = 1): TestTensor =>
  fixed(shape.slice(-1), uniform(seed, low, high));
export const pixelsOf = (shape: readonly number[]): number => shape.slice(0, -1).reduce((product, n) => product * n, 1);

/** With `bias` the node has that operand. */
export type Epilogue = EpilogueAttrs & { readonly bias?: boolean };

export const attrsOf = ({ bias: _, ...epilogue }: Epilogue): EpilogueAttrs => epilogue;

export const EVERYTHING: Epilogue = { bias: true, activation: 'gelu', derivative: true, stats: true };

/** All combinations that fusion can set. */
export const EPILOGUES: readonly Epilogue[] = [
  {},
  { bias: true },
  { stats: true },
  { bias: true, activation: 'relu' },
  { bias: true, activation: 'relu', stats: true },
  { bias: true, activation: 'gelu' },
  { bias: true, activation: 'gelu', derivative: true },
  { bias: true, activation: 'gelu', stats: true },
  EVERYTHING,
  { activation: 'relu' },
  { activation: 'gelu', derivative: true, stats: true },
  { bias: true, activation: 'silu', derivative: true, stats: true },
  { activation: 'rectifier', parameters: { slope: 0.25, threshold: 0.5, limit: 1.5 }, derivative: true },
  { bias: true, activation: 'elu', parameters: { alpha: 0.5 }, stats: true },
];

export const NORMALIZE_EPILOGUES = EPILOGUES.filter(({ bias }) => !bias);

export const withEpilogues = (name: string, inputs: TestTensor[], channels: number, attrs: Attrs): OpCase[] =>
  EPILOGUES.map((epilogue) => ({
    name: `${name} ${JSON.stringify(epilogue)}`,
    rows: inputs[0].shape[0],
    inputs: epilogue.bias ? [...inputs, fixed([channels], uniform(4))] : inputs,
    attrs: { ...attrs, epilogue: attrsOf(epilogue) },
  }));

/** Scale and shift of a normalised input. */
export const affine = (shape: readonly number[]) => ({ scale: vector(shape, 6, 0.5, 1.5), shift: vector(shape, 7) });

/** Operands of bnGradApply with real statistics. */
export const bnGradApplyInputs = (rows: number, shape: readonly number[]): TestTensor[] => [
  x(rows, shape, 6),
  x(rows, shape),
  vector(shape, 7),
  vector(shape, 8, -0.1, 0.1),
  vector(shape, 9, -0.1, 0.1),
];

/** Sizes of statistics, with several samples a tile, one sample a tile, and last tiles that are not full. */
export const STATISTICS: readonly (readonly [rows: number, shape: readonly number[]])[] = [
  [1, [1]],
  [130, [5]],
  [70, [1, 1, 33]],
  [7, [4, 5, 16]],
  [9, [3, 5, 7]],
  [2, [8, 8, 20]],
  [3, [9, 9, 6]],
];

/** The `partials` of an epilogue whose result is `y` [n, h, w, C] or [n, C]: those of a convolution with the unit matrix. */
export function partialsOf(y: TestTensor): TestTensor {
  const channels = y.shape[y.shape.length - 1];
  const unit = fixed([channels, channels], (i) => (i % (channels + 1) === 0 ? 1 : 0));
  const [, partials] = runReference('conv', [y, unit], { stride: 1, padding: 'valid', epilogue: { stats: true } });
  return partials;
}

/** Many elements: several chunks, several tiles on every thread. */
export const large = (rows: number, shape: readonly number[], seed = 1): TestTensor => samples(rows, shape, uniform(seed, -2, 2));
