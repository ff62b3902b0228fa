// Kernels of batch normalisation. Sums over rows and pixels go by tiles (tiles.ts).

import type { BnGradEpilogue } from '../../runtime/ops/batchnorm.ts';
import type { Epilogue } from '../../runtime/ops/epilogue.ts';
import { map } from './elementwise.ts';
import { epilogueDeclarations, finish } from './epilogue.ts';
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

export const bnFold = (channels: number, epsilon: number): KernelText =>
  forChannels(
    channels,
    `let s = gamma(c) / sqrt(variance(c) + ${f32(epsilon)});
set_scale(c, s);
set_shift(c, beta(c) - mean(c) * s);`,
  );

export const bnGradFold = (channels: number, pixels: number, epsilon: number): KernelText =>
  forChannels(
    channels,
    `let count = f32(step.rows * ${pixels}u);
let r = 1.0 / sqrt(variance(c) + ${f32(epsilon)});
let s = gamma(c) * r;
let dg = r * dyxSum(c);
let k = -s * r * dg / count;
set_scale(c, s);
set_kappa(c, k);
set_alpha(c, -s * dySum(c) / count - k * mean(c));
set_dgamma(c, dg);
set_dbeta(c, dySum(c));`,
  );

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

export const movingAverage = (channels: number): KernelText =>
  forChannels(
    channels,
    `if (ok(0u) == 0i) { return; }
let m = step.bnMomentum;
set_movingMean(c, movingMean(c) * m + mean(c) * (1.0 - m));
set_movingVariance(c, movingVariance(c) * m + variance(c) * (1.0 - m));`,
  );
