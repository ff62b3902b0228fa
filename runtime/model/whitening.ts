// A kernel that whitens patches of images: it follows from the images that a network is to see, and is not trained. After Jordan, "94% on
// CIFAR-10 in 3.29 seconds on a single GPU" (arXiv 2404.00498), section 3.2, which has it from Page, "How to train your ResNet".

import { eigenpairs } from '../base/eigen.ts';
import { HybridError } from '../base/errors.ts';
import type { Shape } from '../layers/layer.ts';

/** Added to eigenvalues: patches hardly differ along the last vectors, and what they have there is noise. */
const EPSILON = 5e-4;

/** Second moments of all patches of some images. */
export class PatchMoments {
  readonly #size: readonly [number, number];
  readonly #sums: Float64Array;
  /** Elements of a patch. */
  readonly #length: number;
  #patches = 0;

  /** Of patches of [height, width] pixels with so many channels. */
  constructor([height, width]: readonly [number, number], channels: number) {
    this.#size = [height, width];
    this.#length = height * width * channels;
    this.#sums = new Float64Array(this.#length ** 2);
  }

  /** Adds every patch that lies within `rows` images [height, width, channels], which follow one another. */
  add(images: ArrayLike<number>, rows: number, [height, width, channels]: readonly [number, number, number]): void {
    const [down, right] = this.#size;
    const patch = new Float64Array(this.#length);
    for (let row = 0; row < rows; row++) {
      for (let y = 0; y + down <= height; y++) {
        for (let x = 0; x + right <= width; x++) {
          let at = 0;
          for (let dy = 0; dy < down; dy++) {
            const from = ((row * height + y + dy) * width + x) * channels;
            for (let k = 0; k < right * channels; k++) patch[at++] = images[from + k];
          }
          this.#addPatch(patch);
        }
      }
    }
  }

  #addPatch(patch: Float64Array): void {
    const sums = this.#sums;
    const n = this.#length;
    this.#patches++;
    for (let i = 0, at = 0; i < n; i++, at += n) for (let j = 0; j <= i; j++) sums[at + j] += patch[i] * patch[j];
  }

  /**
   * The kernel [height, width, channels, filters], whose filters are the eigenvectors of the second moments, each over the root of its value,
   * those of the largest values first, and then the opposites of all of them: their results over all patches have hardly anything in common.
   * Throws E_USAGE unless there are two filters for each element of a patch.
   */
  kernel(shape: Shape): Float32Array {
    const n = this.#length;
    const filters = shape[shape.length - 1];
    if (filters !== 2 * n)
      throw new HybridError(
        'E_USAGE',
        `a whitening kernel [${shape.join(', ')}] has ${filters} filters`,
        `Give it ${2 * n}: an eigenvector and its opposite for each of the ${n} elements of a patch.`,
      );
    const pairs = eigenpairs(
      this.#sums.map((sum) => sum / this.#patches),
      n,
    );
    const kernel = new Float32Array(n * filters);
    for (const [k, { value, vector }] of pairs.entries()) {
      const scale = 1 / Math.sqrt(Math.max(0, value) + EPSILON);
      for (let i = 0; i < n; i++) {
        kernel[i * filters + k] = vector[i] * scale;
        kernel[i * filters + n + k] = -vector[i] * scale;
      }
    }
    return kernel;
  }
}
