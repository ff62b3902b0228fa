// The golden end-to-end run of keras-semantics.md, section 10.1: one epoch of three batches on ten drawn images, with
// weights from a linear congruential generator that any language can repeat. Dropout is off, nothing is augmented or
// shuffled, AdamW is the script's (rate 2e-3, weight decay 1e-4). The numbers are Keras' in float64.

import { sizeOf } from '../../runtime/layers/layer.ts';
import type { ArchitectureName } from '../../runtime/model/architectures.ts';
import { glorotLimit } from '../../runtime/model/init.ts';
import type { Model } from '../../runtime/model/model.ts';

export interface GoldenRun {
  /** Inference mode, all ten images, before the first step. */
  readonly before: { readonly loss: number; readonly logits: Readonly<Record<number, number>> };
  /** Training loss of the three steps (4, 4 and 2 images), each before its update. */
  readonly steps: readonly [number, number, number];
  readonly epochLoss: number;
  /** Inference mode, all ten images, after the third step; `logits` are entries of image 0, by class. */
  readonly after: { readonly loss: number; readonly logits: Readonly<Record<number, number>> };
  /** Of the first batch normalisation, channel 0, after the third step. */
  readonly firstBn: { readonly movingMean: number; readonly movingVariance: number; readonly gamma: number };
}

export const GOLDEN_STEP_ROWS = [4, 4, 2] as const;

export const GOLDEN_RUNS: Readonly<
  Record<Exclude<ArchitectureName, 'convmixer' | 'resnet-20' | 'efficientnet-lite0' | 'airbench'>, GoldenRun>
> = {
  'convmixer-256-8': {
    before: { loss: 2.3025865393, logits: { 0: 2.29e-7, 1: -5.7062e-5, 9: -3.7974e-5 } },
    steps: [2.29526476, 2.34201601, 2.31861702],
    epochLoss: 2.31863571,
    after: { loss: 2.3031654, logits: { 0: -0.00630213, 9: -0.009579757 } },
    firstBn: { movingMean: -0.001103584, movingVariance: 0.97030694, gamma: 1.000611138 },
  },
  'conv-pooling': {
    before: { loss: 2.3025352417, logits: { 0: 0.002290029, 1: -0.001560436, 9: 0.001356948 } },
    steps: [2.35761605, 11.93224725, 9.69767781],
    epochLoss: 7.65548088,
    after: { loss: 2.30060029, logits: { 0: 0.009426072, 9: -0.057317365 } },
    firstBn: { movingMean: 0.014824302, movingVariance: 0.972742539, gamma: 1.000829702 },
  },
  'convmixer-2stage-flatten': {
    before: { loss: 2.3025831853, logits: { 0: 7.62e-7, 1: -0.000123155, 9: 0.000213876 } },
    steps: [2.8813157, 29.73244601, 8.7734666],
    epochLoss: 14.800198,
    after: { loss: 2.37406627, logits: { 0: 0.145243409, 9: -0.585448391 } },
    firstBn: { movingMean: -0.001109777, movingVariance: 0.970306475, gamma: 0.996847934 },
  },
  'convmixer-2stage': {
    before: { loss: 2.3025841577, logits: { 0: 8.1081e-5, 1: -1.9055e-5, 9: 2.0162e-5 } },
    steps: [2.3129413, 2.23341493, 2.40097268],
    epochLoss: 2.29873703,
    after: { loss: 2.30362257, logits: { 0: -0.026677619, 9: -0.023931962 } },
    firstBn: { movingMean: -0.001094635, movingVariance: 0.970307001, gamma: 1.005472733 },
  },
  'convmixer-256-8-block-residual': {
    before: { loss: 2.3025886383, logits: { 0: -0.000311266, 1: 0.000370075, 9: 8.0813e-5 } },
    steps: [2.28866642, 2.30743271, 2.36496948],
    epochLoss: 2.31143355,
    after: { loss: 2.303016, logits: { 0: 0.020104676, 9: -0.025283459 } },
    firstBn: { movingMean: -0.001109928, movingVariance: 0.970307021, gamma: 1.003636993 },
  },
};

/** The ten images and their labels: x[n,h,w,c] = (7n + 13h + 29w + 53c + 11·((h·w) mod 17)) mod 256, y[n] = n. */
export function goldenBatch(): { rows: number; images: Uint8Array; labels: Int32Array; samples: Int32Array } {
  const rows = 10;
  const images = new Uint8Array(rows * 32 * 32 * 3);
  let i = 0;
  for (let n = 0; n < rows; n++) {
    for (let h = 0; h < 32; h++) {
      for (let w = 0; w < 32; w++) {
        for (let c = 0; c < 3; c++) images[i++] = (7 * n + 13 * h + 29 * w + 53 * c + 11 * ((h * w) % 17)) % 256;
      }
    }
  }
  const labels = Int32Array.from({ length: rows }, (_, n) => n);
  return { rows, images, labels, samples: labels.slice() };
}

/** Weights by name: one stream s ← 1664525·s + 1013904223 (mod 2³²) from 12345 through all kernels in order, w = (2s/2³² − 1)·limit. */
export function goldenWeights(model: Model): Map<string, Float32Array> {
  let s = 12345;
  return new Map(
    model.variables.map(({ name, shape, role }) => {
      const values = new Float32Array(sizeOf(shape));
      if (role === 'gamma' || role === 'moving_variance') values.fill(1);
      if (role === 'kernel') {
        const limit = glorotLimit(shape);
        for (let e = 0; e < values.length; e++) {
          s = (Math.imul(1664525, s) + 1013904223) >>> 0;
          values[e] = ((2 * s) / 2 ** 32 - 1) * limit;
        }
      }
      return [name, values];
    }),
  );
}
