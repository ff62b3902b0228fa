// Decodes images a few at a time; one that cannot be decoded is marked and does not end the pass.

import { HybridError } from '../../runtime/base/errors.ts';

export interface DecodeInto<T> {
  readonly images: ArrayLike<T>;
  /** Which of them, one after the other in `out`. */
  readonly indices: ArrayLike<number>;
  readonly out: Uint8Array;
  /** Set to 1 where an image cannot be decoded; its pixels are zeros then. */
  readonly bad: Uint8Array;
  readonly shape: readonly [number, number, number];
  readonly decode: (image: T, index: number) => Promise<Uint8Array>;
}

// sharp decodes in threads of its own, of which Node has four by default.
const AT_ONCE = 4;

/** Throws what is no fault of an image: a library that is missing. */
export async function decodeInto<T>({ images, indices, out, bad, shape, decode }: DecodeInto<T>): Promise<void> {
  const imageBytes = shape[0] * shape[1] * shape[2];
  const decodeOne = async (i: number): Promise<void> => {
    const target = out.subarray(i * imageBytes, (i + 1) * imageBytes);
    try {
      target.set(await decode(images[indices[i]], indices[i]));
    } catch (error) {
      if (!(error instanceof HybridError && error.code === 'E_DATA')) throw error;
      bad[indices[i]] = 1;
      target.fill(0);
    }
  };
  for (let i = 0; i < indices.length; i += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, indices.length - i) }, (_, k) => decodeOne(i + k)));
  }
}
