// What the package asks of the program that runs it. hosts/index.ts says which host there is.

export interface Host {
  /** Cores that this process may use. */
  cores(): number;
  readonly memory: HostMemory;
  /** Milliseconds of a monotonic clock that all threads share. */
  now(): number;
  /** The bytes of a file that the build has made, by its path: `kernels/conv.wasm`. Rejects where there is none. */
  asset(path: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Names of the files in a folder of assets, sorted. Rejects where there is no such folder. */
  assets(folder: string): Promise<string[]>;
  /** Where an asset is, for messages. */
  assetPath(path: string): string;
  /** A further thread. `script`: an asset, or any URL. */
  thread(script: string | URL, options: ThreadOptions): Thread;
  /** What there is of WebGPU. */
  readonly gpu: HostGpu;
}

/** Bytes of memory. */
export interface HostMemory {
  /** What this machine, or the limit of a group of processes, can give to a process at all. */
  physical(): number;
  /** What is used of it by this process and those that share its limit, and what the machine has free. */
  state(): { readonly used: number; readonly free: number };
}

/** Instances of WebGPU, each with its switches. */
export interface HostGpu {
  /** Loads what makes instances. Rejects where it is not installed, or does not load; `isMissing` tells these apart. */
  load(): Promise<(switches: string[]) => unknown>;
  isMissing(error: unknown): boolean;
  /** Whether the system has what an instance needs to find a GPU: it would complain on the terminal. */
  isSupported(): boolean;
}

/** What a thread is called, and who hears of it. */
export interface ThreadOptions {
  readonly name: string;
  onMessage(message: unknown): void;
  onError(error: Error): void;
  onExit(status: number): void;
}

/** A thread, as the calling one sees it. */
export interface Thread {
  postMessage(message: unknown): void;
  /** Whether it keeps the process alive. */
  ref(): void;
  unref(): void;
  terminate(): Promise<unknown>;
}
