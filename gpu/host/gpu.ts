// The device, with what the binding leaves open closed: views on shared memory never reach its queue (they crash Node 20), every
// wait has an end, errors that nobody asked for are kept and given to whoever waits, and a lost device is noticed (after a loss
// nearly every call still "succeeds").

import { HybridError } from '../../runtime/base/errors.ts';
import { mebibytes } from '../../runtime/base/units.ts';
import type { Precision } from '../../runtime/device.ts';
import { checkPrecision, describeAdapter, findAdapter, requestDevice } from './adapter.ts';
import type { AdapterReport } from './adapter-report.ts';
import { MAP_READ, USAGE } from './binding.ts';

export interface GpuOptions {
  /** Tier of the numbers; `f32` by default. */
  readonly precision?: Precision;
  /** False leaves the GPU's matrix unit for f32 out; it is used where there is one and the maker's profile asks for it. */
  readonly f32Matrices?: boolean;
  /** A wait in which nothing at all comes to its end for so long ends in an error. */
  readonly timeLimitMs?: number;
}

export interface BufferRequest {
  readonly label: string;
  readonly bytes: number;
  readonly usage: number;
}

/** What a GPU does in this time it will not do in any: steps take milliseconds, drivers reset a GPU that hangs after seconds. */
const TIME_LIMIT_MS = 60_000;
/** A software adapter may need minutes for one step. */
const SOFTWARE_TIME_LIMIT_MS = 30 * 60_000;

export class Gpu {
  readonly device: GPUDevice;
  readonly adapter: AdapterReport;
  readonly #timeLimitMs: number;
  readonly #onError = (event: Event): void => void this.fail(this.explain((event as GPUUncapturedErrorEvent).error));
  #failure: HybridError | null = null;
  #isLost = false;
  #closed = false;
  /** Those to be told of a failure. */
  readonly #waiting = new Set<(failure: HybridError) => void>();
  /** When something came to its end the last time. */
  #progress = 0;

  /** Opens the fastest adapter. Throws E_ENVIRONMENT where there is none, where it lacks the tier, or where it gives no device. */
  static async open(gpu: GPU, options: GpuOptions = {}): Promise<Gpu> {
    const adapter = await findAdapter(gpu);
    const report = describeAdapter(adapter, options);
    const { precision = 'f32' } = options;
    checkPrecision(report, precision);
    try {
      return new Gpu(await requestDevice(adapter, precision, report), report, options);
    } catch (error) {
      throw new HybridError(
        'E_ENVIRONMENT',
        `${report.name} gives no device: ${(error as Error).message}`,
        'Look at `hybrid doctor`, or use `device: wasm`.',
        { cause: error },
      );
    }
  }

  private constructor(device: GPUDevice, adapter: AdapterReport, { timeLimitMs }: GpuOptions) {
    this.device = device;
    this.adapter = adapter;
    this.#timeLimitMs = timeLimitMs ?? (adapter.software ? SOFTWARE_TIME_LIMIT_MS : TIME_LIMIT_MS);
    device.addEventListener('uncapturederror', silence);
    device.addEventListener('uncapturederror', this.#onError);
    device.lost.then(({ reason, message }) => {
      if (this.#closed) return;
      this.#isLost = true;
      this.fail(lost(message || reason));
    });
  }

  /** Why the device can no longer be used. */
  get failure(): HybridError | null {
    return this.#failure;
  }

  /** Whether the reason is that the device was lost: the one failure that a new device is not expected to have as well. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Notes that the device is of no more use and tells all that wait. The first cause counts. */
  fail(error: HybridError): HybridError {
    if (this.#failure || this.#closed) return this.#failure ?? error;
    this.#failure = error;
    for (const tell of [...this.#waiting]) tell(error);
    return error;
  }

  /** An error of the binding as one for people. */
  explain(error: GPUError): HybridError {
    const kind = error.constructor.name;
    if (kind === 'GPUOutOfMemoryError')
      return new HybridError('E_MEMORY', `the GPU is out of memory: ${error.message}`, 'Use a smaller `batch`.');
    if (kind === 'GPUInternalError') return new HybridError('E_DEVICE', `the GPU's driver failed: ${error.message}`, RETRY);
    return new HybridError('E_INTERNAL', `internal error: WebGPU refuses: ${error.message}`, REPORT);
  }

  /**
   * Waits for the binding, but not for ever: rejects with the device's failure, or with E_DEVICE once nothing has come to its end for
   * the time limit. What the binding gives later is dropped.
   */
  within<T>(what: string, promise: Promise<T>): Promise<T> {
    if (this.#failure) {
      promise.catch(() => {}); // nobody waits for it
      return Promise.reject(this.#failure);
    }
    return new Promise<T>((resolve, reject) => {
      const begin = performance.now();
      const settle = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(tell);
        this.#progress = performance.now();
      };
      const tell = (failure: HybridError): void => {
        settle();
        reject(failure);
      };
      const look = (): void => {
        const left = Math.max(begin, this.#progress) + this.#timeLimitMs - performance.now();
        if (left > 0) timer = setTimeout(look, left);
        else this.fail(unanswered(what, this.#timeLimitMs));
      };
      let timer = setTimeout(look, this.#timeLimitMs);
      this.#waiting.add(tell);
      promise.then(
        (value) => {
          settle();
          resolve(value);
        },
        (error: unknown) => {
          settle();
          // Mapping rejects when the device is lost; the reason comes with `lost`, at about the same time.
          if (!(error instanceof HybridError)) this.#isLost = true;
          reject(this.fail(error instanceof HybridError ? error : lost((error as Error).message)));
        },
      );
    });
  }

  /** Creates buffers, zeroed. Throws E_MEMORY if the GPU cannot give them all. */
  async allocate(requests: readonly BufferRequest[]): Promise<GPUBuffer[]> {
    const { device } = this;
    device.pushErrorScope('out-of-memory');
    device.pushErrorScope('validation');
    const buffers: GPUBuffer[] = [];
    let failure: unknown;
    try {
      for (const { label, bytes, usage } of requests) buffers.push(device.createBuffer({ label, size: bytes, usage }));
    } catch (error) {
      failure = error; // some refusals are thrown
    }
    const scopes = await this.within('allocation', Promise.all([device.popErrorScope(), device.popErrorScope()]));
    failure ??= scopes.find((error) => error);
    if (!failure) return buffers;
    for (const buffer of buffers) buffer.destroy();
    const bytes = requests.reduce((sum, request) => sum + request.bytes, 0);
    const message = `the GPU does not give ${mebibytes(bytes)} MiB of memory: ${(failure as Error).message}`;
    throw new HybridError('E_MEMORY', message, 'Use a smaller `batch`.', { cause: failure });
  }

  /** Writes behind all that was submitted. The data is copied at once; its last word, if not whole, is filled with zeros. */
  write(buffer: GPUBuffer, offset: number, data: ArrayBufferView): void {
    const { byteLength } = data;
    let bytes = new Uint8Array(data.buffer, data.byteOffset, byteLength);
    if (byteLength % 4 !== 0 || !(data.buffer instanceof ArrayBuffer)) {
      const own = new Uint8Array(Math.ceil(byteLength / 4) * 4);
      own.set(bytes);
      bytes = own;
    }
    this.device.queue.writeBuffer(buffer, offset, bytes as Uint8Array<ArrayBuffer>);
  }

  /**
   * Records commands and submits them, at once. Resolves when they were found valid and rejects with E_INTERNAL if not: such
   * commands do nothing, and what their results would have been is what was there before.
   */
  submit(label: string, record: (encoder: GPUCommandEncoder) => void): Promise<void> {
    const { device } = this;
    device.pushErrorScope('validation');
    try {
      const encoder = device.createCommandEncoder({ label });
      record(encoder);
      device.queue.submit([encoder.finish()]);
    } catch (error) {
      device.popErrorScope().catch(() => {});
      throw error;
    }
    return this.within(label, device.popErrorScope()).then((error) => {
      if (error) throw this.fail(this.explain(error));
    });
  }

  /** What a mappable buffer holds when all that was submitted before is done. */
  async download(staging: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    await this.within('results', staging.mapAsync(MAP_READ, 0, bytes));
    const data = staging.getMappedRange(0, bytes).slice(0);
    staging.unmap();
    return data;
  }

  /** Lets go of the device. Waits for nothing: what a hanging GPU holds is the system's to take back. */
  close(): void {
    if (this.#closed) return;
    this.#failure ??= new HybridError('E_INTERNAL', 'the device is closed');
    this.#closed = true;
    for (const tell of [...this.#waiting]) tell(this.#failure);
    // The binding never lets go of a device's listeners, and would keep all that they can reach.
    this.device.removeEventListener('uncapturederror', this.#onError);
    this.device.destroy();
  }
}

/** Dawn would print the error. */
const silence = (event: Event): void => event.preventDefault();

/** Usage of buffers that kernels work on. */
export const STORAGE = USAGE.storage | USAGE.copyDst | USAGE.copySrc;

const RETRY = 'Start again from the last checkpoint; if it comes back, update the GPU driver or use `device: wasm`.';
export const REPORT = 'Please report it together with the output of `hybrid doctor --markdown`.';

const lost = (reason: string): HybridError => new HybridError('E_DEVICE', `the GPU was lost: ${reason}`, RETRY);

const unanswered = (what: string, limitMs: number): HybridError =>
  new HybridError('E_DEVICE', `the GPU has not answered for ${limitMs / 1000} s (waiting for ${what})`, RETRY);
