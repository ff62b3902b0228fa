// Kernels of batch normalisation. Sums over rows and pixels go by tiles (tiles.ts).

import type { BnGradEpilogue } from '../../runtime/ops/batchnorm.ts';
import type { Epilogue } from '../../runtime/ops/epilogue.ts';
import { map } from './elementwise.ts';
import { epilogueDeclarations, finish } from './epilogue.ts';
import { UPDATE_INVOCATIONS } from './optimizer.ts';
import { storeSum, type TileShape, tileLoop, tileSums } from './tiles.ts';
import { f32, floats, type KernelText, type Lanes } from './wgsl.ts';

/**
 * Mean and Σ(x−mean)² of each tile. One look at x: differences to the tile's first pixel, which is as near to the mean as any,
 * so that little cancels however far from zero the mean is.
 */
export const bnStatsTiles = (shape: TileShape, lanes: Lanes): KernelText =>
  tileLoop({
    shape,
    lanes,
    before: `let first = x(begin * ${shape.channels}u + c);
var sum = ${floats(lanes)}();
var squares = ${floats(lanes)}();`,
    body: `let d = x(at) - first;
  sum += d;
  squares += d * d;`,
    after: `let mean = sum / f32(end - begin);
${storeSum(shape, 2, 0, 'first + mean')}
${storeSum(shape, 2, 1, 'squares - sum * mean')}`,
  });

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
  const T = floats(lanes);
  const added = { none: '', plain: ' + residual(at)', scaled: ' + (residual(at) * residualScale(c) + residualShift(c))' }[residual];
  const value = `x(at) * scale(c) + shift(c)${added}`;
  const declarations = epilogueDeclarations(epilogue, lanes);
  if (!epilogue.stats) {
    return map({
      perSample: pixels * channels,
      declarations,
      body: `let c = at % ${channels}u;\n${finish(epilogue, lanes, value, 'at')}`,
    });
  }
  return tileLoop({
    shape,
    lanes,
    declarations,
    before: `var sum = ${T}();\nvar squares = ${T}();`,
    body: `${finish(epilogue, lanes, value, 'at')}\n  sum += y;\n  squares += y * y;`,
    after: `set_partials(2u * t * ${channels}u + c, sum);\nset_partials((2u * t + 1u) * ${channels}u + c, squares);`,
  });
}

export const bnGradStatsTiles = (shape: TileShape, lanes: Lanes): KernelText =>
  tileSums(shape, lanes, ['dy(at)', 'dy(at) * (x(at) - centre)'], 'let centre = mean(c);');

export function bnGradApply(shape: TileShape, { derivative, biasGrad }: BnGradEpilogue, lanes: Lanes): KernelText {
  const value = `(scale(c) * dy(at) + alpha(c) + kappa(c) * x(at))${derivative ? ' * derivative(at)' : ''}`;
  if (!biasGrad) {
    return map({ perSample: shape.pixels * shape.channels, body: `let c = at % ${shape.channels}u;\nset_dx(at, ${value});` });
  }
  return tileLoop({
    shape,
    lanes,
    before: `var sum = ${floats(lanes)}();`,
    body: `let d = ${value};\n  set_dx(at, d);\n  sum += d;`,
    after: storeSum(shape, 1, 0, 'sum'),
  });
}

/** All moving statistics, which lie in `moving` as those of the batch in `batch`; what pads both is zero and stays so. */
export const allMovingAverages: KernelText = {
  workgroup: [UPDATE_INVOCATIONS, 1, 1],
  body: `if (ok(0u) == 0i) { return; }
let m = step.bnMomentum;
for (var i = group.x * ${UPDATE_INVOCATIONS}u + local; i < arrayLength(&moving_buffer); i += groups.x * ${UPDATE_INVOCATIONS}u) {
  set_moving(i, moving(i) * m + batch(i) * (1.0 - m));
}`,
};

/** The moving statistics of `count` layers; `channels` counts the accesses of each. */
export const movingAverages = (channels: readonly number[]): KernelText => ({
  workgroup: [64, 1, 1],
  body: `if (ok(0u) == 0i) { return; }
let c = group.x * 64u + local;
let m = step.bnMomentum;
${channels
  .map(
    (count, i) => `if (c < ${count}u) {
  set_movingMean${i}(c, movingMean${i}(c) * m + mean${i}(c) * (1.0 - m));
  set_movingVariance${i}(c, movingVariance${i}(c) * m + variance${i}(c) * (1.0 - m));
}`,
  )
  .join('\n')}`,
});
