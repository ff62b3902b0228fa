// Eigenvalues and eigenvectors of a small symmetric matrix, by Jacobi's rotations: additions, products, quotients and roots in a fixed order, so
// that every engine gives the same bits.

/** An eigenvalue and its vector, of length 1. */
export interface Eigenpair {
  readonly value: number;
  readonly vector: Float64Array;
}

/** Sweeps over all pairs of axes. They converge quadratically: matrices of hundreds of rows take less than fifteen. */
const MOST_SWEEPS = 60;

/**
 * The eigenpairs of a symmetric matrix of `size` rows, the largest value first. The entry of a vector that is farthest from zero, the first of
 * such, is positive. The matrix is not changed; only its lower half and diagonal are read.
 */
export function eigenpairs(matrix: ArrayLike<number>, size: number): readonly Eigenpair[] {
  const a = Float64Array.from({ length: size * size }, (_, i) => {
    const [row, column] = [Math.floor(i / size), i % size];
    return matrix[row < column ? column * size + row : i];
  });
  const vectors = Float64Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
  const norm = Math.sqrt(a.reduce((sum, x) => sum + x * x, 0));
  for (let sweep = 0; sweep < MOST_SWEEPS && offDiagonal(a, size) > norm * Number.EPSILON; sweep++) {
    for (let p = 0; p < size; p++) for (let q = p + 1; q < size; q++) rotate(a, vectors, size, p, q);
  }
  const pairs = Array.from({ length: size }, (_, k) => ({
    value: a[k * (size + 1)],
    vector: upright(Float64Array.from({ length: size }, (_, row) => vectors[row * size + k])),
  }));
  return pairs.sort((one, other) => other.value - one.value);
}

/** Length of what is beside the diagonal. */
function offDiagonal(a: Float64Array, size: number): number {
  let sum = 0;
  for (let p = 0; p < size; p++) for (let q = 0; q < p; q++) sum += 2 * a[p * size + q] ** 2;
  return Math.sqrt(sum);
}

/** Makes the entry (p, q) zero, and turns the vectors along. */
function rotate(a: Float64Array, vectors: Float64Array, size: number, p: number, q: number): void {
  const apq = a[p * size + q];
  if (apq === 0) return;
  const theta = (a[q * size + q] - a[p * size + p]) / (2 * apq);
  const root = Math.abs(theta) > 1e150 ? Math.abs(theta) : Math.sqrt(theta * theta + 1);
  const tangent = (theta < 0 ? -1 : 1) / (Math.abs(theta) + root);
  const cosine = 1 / Math.sqrt(tangent * tangent + 1);
  const sine = tangent * cosine;
  for (let k = 0; k < size; k++) turn(a, k * size + p, k * size + q, cosine, sine);
  for (let k = 0; k < size; k++) turn(a, p * size + k, q * size + k, cosine, sine);
  for (let k = 0; k < size; k++) turn(vectors, k * size + p, k * size + q, cosine, sine);
  a[p * size + q] = 0;
  a[q * size + p] = 0;
}

function turn(data: Float64Array, i: number, j: number, cosine: number, sine: number): void {
  const [x, y] = [data[i], data[j]];
  data[i] = cosine * x - sine * y;
  data[j] = sine * x + cosine * y;
}

/** A vector and its opposite are as good as each other: the one whose largest entry is positive. */
function upright(vector: Float64Array): Float64Array {
  const largest = vector.reduce((best, x) => (Math.abs(x) > Math.abs(best) ? x : best), 0);
  return largest < 0 ? vector.map((x) => -x) : vector;
}
