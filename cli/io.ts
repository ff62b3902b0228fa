// What the command line takes from the outside, so that it can run inside a test as it runs in a terminal.

import { relative, sep } from 'node:path';
import type { Files } from '../runtime/entries/internal.ts';

export interface OutputStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface CliIo {
  /** Results, and nothing else. */
  readonly stdout: OutputStream;
  /** Progress, messages, errors. */
  readonly stderr: OutputStream;
  /** Absent: nothing comes in. */
  readonly stdin?: AsyncIterable<Uint8Array>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Its reason is the name of the signal that came. */
  readonly signal?: AbortSignal;
  readonly files?: Files;
  /** Set by a command that must not end alone: called with the exit status after an error has been reported. */
  ended?: (status: number) => void;
}

/** Of a command that was stopped, by what stopped it: 128 + the number of the signal, as shells have it. */
const STOPPED: Readonly<Record<string, number>> = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129, EPIPE: 141 };

export function stoppedStatus({ signal }: CliIo): number {
  return STOPPED[String(signal?.reason)] ?? STOPPED.SIGINT;
}

/** Relative where that is shorter to read: inside the current folder. */
export function shown(path: string, { cwd }: CliIo): string {
  const short = relative(cwd, path);
  return short === '' || short === '..' || short.startsWith(`..${sep}`) ? path : short;
}
