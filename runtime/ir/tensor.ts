// Types of tensors: element type, shape, and whether there is one for each sample.

/** Type of the elements of a tensor. */
export type DType = 'f32' | 'u8' | 'i32';

/**
 * Type of a tensor. Images are NHWC. A per-sample tensor has a leading axis of rows that is not part of `shape`: its
 * length is an argument of each run, up to the compiled capacity. `{ f32, [16, 16, 256], perSample }` is what other
 * systems write as `(None, 16, 16, 256)`.
 */
export interface TensorSpec {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly perSample: boolean;
}

export const BYTES_PER_ELEMENT: Record<DType, number> = { f32: 4, u8: 1, i32: 4 };

/** Number of elements of one row of a per-sample tensor, or of the whole of any other. */
export const elementCount = (spec: TensorSpec): number => spec.shape.reduce((product, n) => product * n, 1);

/** Bytes of a tensor with `rows` rows. */
export const byteLength = (spec: TensorSpec, rows: number): number =>
  elementCount(spec) * BYTES_PER_ELEMENT[spec.dtype] * (spec.perSample ? rows : 1);

/** A shape as people write it: `[n, 16, 16, 256]`, n standing for the rows of the run. */
export const formatShape = (spec: TensorSpec): string => `[${[...(spec.perSample ? ['n'] : []), ...spec.shape].join(', ')}]`;

export const sameShape = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((n, i) => n === b[i]);

export const sameSpec = (a: TensorSpec, b: TensorSpec): boolean =>
  a.dtype === b.dtype && a.perSample === b.perSample && sameShape(a.shape, b.shape);

/** A type as people write it: `f32 [n, 16, 16, 256]`. */
export const formatSpec = (spec: TensorSpec): string => `${spec.dtype} ${formatShape(spec)}`;
