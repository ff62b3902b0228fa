// Arrays that a file stores in another order than row by row.

/** The elements in row-major order, of which the first lies at `offset` and the next along each axis `strides` behind. */
export function rowMajor<T extends { slice(from: number, to: number): T; [at: number]: unknown }>(
  data: T,
  shape: readonly number[],
  strides: readonly number[],
  offset = 0,
): T {
  const elements = shape.reduce((product, n) => product * n, 1);
  const result = data.slice(0, elements);
  const index = new Array<number>(shape.length).fill(0);
  for (let i = 0, from = offset; i < elements; i++) {
    result[i] = data[from];
    // To the next element in row-major order.
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return result;
}
