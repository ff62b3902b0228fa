// The one error class of the package, and the table from error codes to exit statuses.
// Every error a person can meet says what happened, with the numbers, and what to do about it.

/** Stable error codes and the exit status of a command that ends with one. Documented in docs/errors.md. */
export const EXIT_STATUS = {
  E_USAGE: 2, // a flag, argument or configuration value that is not valid
  E_ENVIRONMENT: 3, // this machine or Node lacks something that was asked for
  E_WORKER_BOOT: 3, // data workers that do not start
  E_DATA: 4, // a dataset that is missing, unreadable or malformed
  E_NETWORK: 4, // a dataset that could not be fetched
  E_CHECKPOINT: 5, // a checkpoint or weight file that is missing, corrupt or of another model
  E_DIVERGED: 6, // loss or gradients are not finite
  E_WORKER: 7, // a data worker that hangs, or fails again and again
  E_LOCKED: 8, // another process is using the run folder
  E_MEMORY: 9, // does not fit in the memory of the device
  E_RANK: 11, // a rank of a distributed run that is lost, or disagrees
  E_DISK: 10, // the disk is full or refuses to write
  E_DEVICE: 12, // the GPU was lost, did not answer in time, or its driver failed
  E_ABORTED: 130, // stopped by its user
  E_INTERNAL: 1, // a defect of this program
} as const;

/**
 * A stable code of `HybridError`; docs/errors.md has causes and remedies.
 *
 * @category Errors
 */
export type ErrorCode = keyof typeof EXIT_STATUS;

/** Machine-readable details of an error. */
export interface ErrorDetails extends ErrorOptions {
  /** The setting concerned, by its name in code. */
  readonly field?: string;
  /** A value of that setting that avoids the error. */
  readonly suggested?: string | number | boolean;
  /** In a group of processes: whether all ranks encounter it by themselves. */
  readonly onAllRanks?: boolean;
}

/**
 * An error reported to a person: what happened, with the numbers (`message`), and what to do about it (`remedy`). Both name settings as
 * code does, in backticks where they are meant to be given: `` `batch` `` or `` `batch: 48` ``. The command line puts its flags there.
 *
 * @category Errors
 */
export class HybridError extends Error {
  override readonly name = 'HybridError';
  readonly code: ErrorCode;
  /** Remedy for the reader, in one sentence. */
  readonly remedy: string;
  /** The setting concerned, by its name in code. */
  readonly field?: string;
  /** A value of that setting that avoids the error. */
  readonly suggested?: string | number | boolean;
  /** Whether all ranks of a group encounter it by themselves. */
  readonly onAllRanks: boolean;

  constructor(code: ErrorCode, message: string, remedy = '', details?: ErrorDetails) {
    super(message, details);
    this.code = code;
    this.remedy = remedy;
    if (details?.field !== undefined) this.field = details.field;
    if (details?.suggested !== undefined) this.suggested = details.suggested;
    this.onAllRanks = details?.onAllRanks ?? false;
  }

  /** The same with another message, such as one that says which rank it comes from. */
  withMessage(message: string, remedy = this.remedy): HybridError {
    const { code, field, suggested, onAllRanks } = this;
    return new HybridError(code, message, remedy, { cause: this, field, suggested, onAllRanks });
  }

  get exitStatus(): number {
    return EXIT_STATUS[this.code];
  }
}

/** Says that a condition the program itself guarantees does not hold: a defect, never bad input. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition)
    throw new HybridError('E_INTERNAL', `internal error: ${message}`, 'Please report it together with the command that caused it.');
}

/** The error of an aborted call, in Node's convention: name AbortError, code ABORT_ERR, the signal's reason as cause. */
export function abortError(signal?: AbortSignal): Error {
  const error = new Error('The operation was aborted', { cause: signal?.reason });
  error.name = 'AbortError';
  return Object.assign(error, { code: 'ABORT_ERR' });
}

/**
 * Whether an error says that its caller stopped the call.
 *
 * @category Errors
 */
export function isAbortError(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

/** The candidate nearest to a mistyped word (at most a third of its letters wrong), for "did you mean". */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
