// Fetches one file of known size and hash. Knows of CIFAR the official addresses only; unpacking is in archive.ts.

import { createHash, type Hash } from 'node:crypto';
import { dirname } from 'node:path';
import { abortError, HybridError } from '../../runtime/base/errors.ts';
import { diskError, type Files, type OpenFile, systemCode, writeAll } from '../../runtime/base/files.ts';
import { grouped } from '../../runtime/base/units.ts';

/** What is to be fetched. */
export interface RemoteFile {
  readonly url: string;
  /** Bytes. */
  readonly size: number;
  /** In hexadecimal, lower case. */
  readonly sha256: string;
}

export const OFFICIAL_ARCHIVES = {
  'CIFAR-10': {
    url: 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
    size: 170_052_171,
    sha256: 'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
  },
  'CIFAR-100': {
    url: 'https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz',
    size: 168_513_733,
    sha256: '58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec',
  },
} as const satisfies Record<string, RemoteFile>;

export interface DownloadOptions {
  readonly files: Files;
  /** Where it goes; replaced if there. The caller checks nothing: what this function leaves there has the right hash. */
  readonly path: string;
  /** How long the other side may say nothing before we give up, in milliseconds; 10,000 by default. */
  readonly silence?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (bytes: number, total: number) => void;
}

/**
 * Fetches `remote` to `path`. A connection that breaks within the file is taken up once where it broke, by a range
 * request. Throws E_NETWORK (no connection, silence, HTTP status, wrong size, wrong hash), E_DISK, or an AbortError;
 * nothing is left behind then.
 */
export async function download(remote: RemoteFile, options: DownloadOptions): Promise<void> {
  const target = new DownloadTarget(options.files, options.path, remote.size);
  try {
    const first = await attempt(remote, target, options);
    // Only what broke within the file is worth a second try: a newcomer without a network must not wait twice.
    if (first && target.bytes === 0) throw first;
    const last = first && (await attempt(remote, target, options));
    if (last) throw last;
    const hash = target.digest();
    if (hash !== remote.sha256) throw networkError(remote, `the downloaded file has SHA-256 ${hash} instead of ${remote.sha256}`);
    await target.finish();
  } catch (error) {
    await target.discard();
    throw error;
  }
}

/** One request for what is still missing. Returns the error where the connection failed; throws where a second try is pointless. */
async function attempt(remote: RemoteFile, target: DownloadTarget, options: DownloadOptions): Promise<HybridError | null> {
  const { silence = 10_000, signal, onProgress } = options;
  if (signal?.aborted) throw abortError(signal);
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  signal?.addEventListener('abort', stop);
  let silent = false;
  const timer = setTimeout(() => {
    silent = true;
    controller.abort();
  }, silence);
  try {
    // `identity`: sizes and ranges are those of the file, not of a compressed form of it.
    const headers: Record<string, string> = { 'accept-encoding': 'identity' };
    if (target.bytes > 0) headers.range = `bytes=${target.bytes}-`;
    const response = await fetch(remote.url, { signal: controller.signal, headers });
    timer.refresh();
    await target.start(await firstByte(remote, response, target.bytes));
    for await (const chunk of response.body ?? []) {
      timer.refresh();
      if (target.bytes + chunk.length > remote.size)
        throw networkError(remote, `the server sent more than the expected ${grouped(remote.size)} bytes`);
      await target.write(chunk);
      onProgress?.(target.bytes, remote.size);
      timer.refresh(); // time that the disk or the caller took is not the network's silence
    }
    return target.bytes === remote.size
      ? null
      : networkError(remote, `it ended after ${grouped(target.bytes)} of ${grouped(remote.size)} bytes`);
  } catch (error) {
    if (error instanceof HybridError) throw error;
    if (signal?.aborted) throw abortError(signal);
    if (silent) return networkError(remote, `no data received for ${silence / 1000} seconds`, error);
    return networkError(remote, reasonOf(error), error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    controller.abort(); // lets go of a body that was not read to its end
  }
}

/** Checks status and size, and returns the position in the file at which the body starts. */
async function firstByte(remote: RemoteFile, response: Response, wanted: number): Promise<number> {
  const { status, headers } = response;
  if (status !== 200 && status !== 206) throw networkError(remote, `the server answered with status ${status}`);
  const range = /^bytes (\d+)-/.exec(headers.get('content-range') ?? '');
  const start = status === 206 ? Number(range?.[1] ?? Number.NaN) : 0;
  if (start !== 0 && start !== wanted) throw networkError(remote, 'the server sent a different range than requested');
  const length = headers.get('content-length');
  if (length !== null && start + Number(length) !== remote.size) {
    throw networkError(remote, `the server offers ${grouped(start + Number(length))} bytes instead of ${grouped(remote.size)}`);
  }
  return start;
}

/** The file that is being written, and its running hash. */
class DownloadTarget {
  bytes = 0;
  readonly #files: Files;
  readonly #path: string;
  readonly #size: number;
  #file: OpenFile | null = null;
  #hash: Hash = createHash('sha256');

  constructor(files: Files, path: string, size: number) {
    this.#files = files;
    this.#path = path;
    this.#size = size;
  }

  /** Goes on at `position`: where it is, or at 0. Opens the file on the first call: without an answer nothing is created. */
  async start(position: number): Promise<void> {
    if (this.#file && position === this.bytes) return;
    await this.#close();
    await this.#onDisk(async () => {
      await this.#files.mkdir(dirname(this.#path));
      this.#file = await this.#files.open(this.#path, 'w');
    });
    this.bytes = 0;
    this.#hash = createHash('sha256');
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (!this.#file) return;
    await writeAll(this.#file, chunk, this.#size);
    this.#hash.update(chunk);
    this.bytes += chunk.length;
  }

  digest(): string {
    return this.#hash.digest('hex');
  }

  async finish(): Promise<void> {
    await this.#onDisk(async () => this.#file?.sync());
    await this.#onDisk(() => this.#close());
  }

  async discard(): Promise<void> {
    // The error that led here is the one to report.
    if (!this.#file) return;
    await this.#close().catch(() => {});
    await this.#files.remove(this.#path).catch(() => {});
  }

  async #close(): Promise<void> {
    await this.#file?.close();
  }

  async #onDisk(operation: () => Promise<void>): Promise<void> {
    try {
      await operation();
    } catch (error) {
      throw diskError(this.#path, error, this.#size);
    }
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the server name is unknown',
  EAI_AGAIN: 'the server name cannot be resolved',
  ECONNREFUSED: 'the server refuses the connection',
  ECONNRESET: 'the connection was lost',
  UND_ERR_SOCKET: 'the connection was lost',
  ENETUNREACH: 'the network is not available',
  EHOSTUNREACH: 'the server cannot be reached',
  ETIMEDOUT: 'the server does not answer',
  UND_ERR_CONNECT_TIMEOUT: 'the server does not answer',
};

/** What went wrong, from the chain of causes that `fetch` wraps it in. */
function reasonOf(error: unknown): string {
  let reason = String(error);
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    // Where several addresses were tried, the first failure stands for all.
    const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause;
    const code = systemCode(first);
    if (Object.hasOwn(REASONS, code)) return `${REASONS[code]} (${code})`;
    if (first instanceof Error) reason = code ? `${first.message} (${code})` : first.message;
  }
  return reason;
}

const networkError = (remote: RemoteFile, what: string, cause?: unknown): HybridError =>
  new HybridError(
    'E_NETWORK',
    `cannot fetch ${remote.url}: ${what}`,
    'Download and unpack it by other means and pass its folder as the data, pass a mirror with `url`, or train on synthetic.',
    { cause },
  );
