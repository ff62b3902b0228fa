// Kernels of batch normalisation. Sums over rows and pixels go by tiles (tiles.ts).

import { map } from './elementwise.ts';
import { type Epilogue, epilogueDeclarations, finish } from './epilogue.ts';
import { UPDATE_INVOCATIONS } from './optimizer.ts';
import { type TileShape, tileMoments, tileSums } from './tiles.ts';
import { f32, type KernelText, type Lanes } from './wgsl.ts';

/** Mean and Σ(x−mean)² of each tile. */
export const bnStatsTiles = (shape: TileShape, lanes: Lanes): KernelText =>
  tileMoments({ shape, lanes, loads: { y: 'x(at)' }, first: 'let firstValue = x(at);', body: '', set: 'set_sums' });

/** One invocation for each access of the vectors. */
export const forChannels = (channels: number, body: string): KernelText => ({
  workgroup: [64, 1, 1],
  body: `let c = group.x * 64u + local;
if (c >= ${channels}u) { return; }
${body}`,
});

/** scale and shift of channel c from expressions for its mean and variance. */
export const fold = (
  mean: string,
  variance: string,
  epsilon: number,
): string => `let foldScale = gamma(c) / sqrt(${variance} + ${f32(epsilon)});
set_scale(c, foldScale);
set_shift(c, beta(c) - ${mean} * foldScale);`;

/** What `bnGradFold` makes of channel c from expressions for its two sums. */
export const gradientFold = (
  dySum: string,
  dyxSum: string,
  pixels: number,
  epsilon: number,
): string => `let count = f32(step.rows * ${pixels}u);
let r = 1.0 / sqrt(variance(c) + ${f32(epsilon)});
let foldScale = gamma(c) * r;
let dg = r * ${dyxSum};
let k = -foldScale * r * dg / count;
set_scale(c, foldScale);
set_kappa(c, k);
set_alpha(c, -foldScale * ${dySum} / count - k * mean(c));
set_dgamma(c, dg);
set_dbeta(c, ${dySum});`;

export const bnFold = (channels: number, epsilon: number): KernelText => forChannels(channels, fold('mean(c)', 'variance(c)', epsilon));

export const bnFoldGrad = (channels: number, epsilon: number): KernelText =>
  forChannels(channels, `set_dgamma(c, (dscale(c) - mean(c) * dshift(c)) / sqrt(variance(c) + ${f32(epsilon)}));`);

export const bnGradFold = (channels: number, pixels: number, epsilon: number): KernelText =>
  forChannels(channels, gradientFold('dySum(c)', 'dyxSum(c)', pixels, epsilon));

export interface NormalizeOptions {
  readonly shape: TileShape;
  readonly epilogue: Epilogue;
  readonly residual: 'none' | 'plain' | 'scaled';
}

/** With statistics, an invocation takes a channel of a tile; without, one access. */
export function normalize({ shape, epilogue, residual }: NormalizeOptions, lanes: Lanes): KernelText {
  const { pixels, channels } = shape;
  const declarations = epilogueDeclarations(epilogue, lanes);
  if (!epilogue.stats) {
    const added = { none: '', plain: ' + residual(at)', scaled: ' + (residual(at) * residualScale(c) + residualShift(c))' }[residual];
    return map({
      perSample: pixels * channels,
      declarations,
      body: `let c = at % ${channels}u;\n${finish(epilogue, lanes, `x(at) * scale(c) + shift(c)${added}`, 'at')}`,
    });
  }
  const added = { none: '', plain: ' + r', scaled: ' + (r * residualScale(c) + residualShift(c))' }[residual];
  const body = finish(epilogue, lanes, `u * scale(c) + shift(c)${added}`, 'at');
  const loads = { u: 'x(at)', ...(residual === 'none' ? {} : { r: 'residual(at)' }) };
  const first = Object.entries(loads).map(([name, expression]) => `let ${name} = ${expression};`);
  return tileMoments({
    shape,
    lanes,
    declarations,
    loads,
    first: `${first.join(' ')} ${body} let firstValue = y;`,
    body,
    set: 'set_partials',
  });
}

export const bnGradStatsTiles = (shape: TileShape, lanes: Lanes): KernelText =>
  tileSums({
    ...{ shape, lanes, before: 'let centre = mean(c);' },
    loads: { slope: 'dy(at)', value: 'x(at)' },
    terms: ['slope', 'slope * (value - centre)'],
  });

/** What bnGradApply does besides: multiply by a stored derivative, sum the result to the gradient of a bias. */
export interface BnGradEpilogue {
  readonly derivative: boolean;
  readonly biasGrad: boolean;
}

export function bnGradApply(shape: TileShape, { derivative, biasGrad }: BnGradEpilogue, lanes: Lanes): KernelText {
  if (!biasGrad) {
    const value = `(scale(c) * dy(at) + alpha(c) + kappa(c) * x(at))${derivative ? ' * derivative(at)' : ''}`;
    return map({ perSample: shape.pixels * shape.channels, body: `let c = at % ${shape.channels}u;\nset_dx(at, ${value});` });
  }
  return tileSums({
    ...{ shape, lanes, before: 'let factor = scale(c); let constant = alpha(c); let ofX = kappa(c);' },
    loads: { slope: 'dy(at)', value: 'x(at)', ...(derivative ? { inner: 'derivative(at)' } : {}) },
    body: `let d = (factor * slope + constant + ofX * value)${derivative ? ' * inner' : ''}; set_dx(at, d);`,
    terms: ['d'],
  });
}

/** All moving statistics, which lie in `moving` as those of the batch in `batch`; what pads both is zero and stays so. */
export const allMovingAverages = (momentum?: number): KernelText => ({
  workgroup: [UPDATE_INVOCATIONS, 1, 1],
  body: `if (ok(0u) == 0i) { return; }
let m = ${momentumOf(momentum)};
for (var i = group.x * ${UPDATE_INVOCATIONS}u + local; i < arrayLength(&moving_buffer); i += groups.x * ${UPDATE_INVOCATIONS}u) {
  set_moving(i, moving(i) * m + batch(i) * (1.0 - m));
}`,
});

/** Of the layers; without, of the run. */
const momentumOf = (momentum: number | undefined): string => (momentum === undefined ? 'step.bnMomentum' : f32(momentum));

/** The moving statistics of `count` layers; `channels` counts the accesses of each. */
export const movingAverages = (channels: readonly number[], momentum?: number): KernelText => ({
  workgroup: [64, 1, 1],
  body: `if (ok(0u) == 0i) { return; }
let c = group.x * 64u + local;
let m = ${momentumOf(momentum)};
${channels
  .map(
    (count, i) => `if (c < ${count}u) {
  set_movingMean${i}(c, movingMean${i}(c) * m + mean${i}(c) * (1.0 - m));
  set_movingVariance${i}(c, movingVariance${i}(c) * m + variance${i}(c) * (1.0 - m));
}`,
  )
  .join('\n')}`,
});
